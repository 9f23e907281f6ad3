-- Notices to a tenant's admins: what is wrong, told once when it begins and once when it is over.

CREATE TABLE notify_channels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    way text NOT NULL CHECK (way IN ('mail', 'webhook')),
    target text NOT NULL,           -- an e-mail address, or a URL
    secret_encrypted bytea,         -- signs what goes to a webhook
    kinds text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CHECK ((way = 'webhook') = (secret_encrypted IS NOT NULL))
);
CREATE UNIQUE INDEX notify_channels_once ON notify_channels (tenant_id, way, target) WHERE removed_at IS NULL;

CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    kind text NOT NULL,
    subject_id bigint NOT NULL,     -- an inbox, or a message
    inbox_id bigint NOT NULL REFERENCES inboxes,
    detail text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
CREATE UNIQUE INDEX notices_open ON notices (kind, subject_id) WHERE closed_at IS NULL;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['notify_channels', 'notices'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = current_tenant())', table_name);
    END LOOP;
END $$;

CREATE INDEX messages_not_sent ON messages (tenant_id) WHERE send_status IN ('failed', 'unknown');
CREATE INDEX messages_bounced ON messages (tenant_id) WHERE bounce_received_at IS NOT NULL;
CREATE INDEX inbound_parked ON inbound (inbox_id) WHERE state = 'parked';

-- What is wrong now. `since` tells news from what was there before anybody wanted to be told; what lasts has none.
CREATE VIEW conditions WITH (security_invoker = true) AS
    SELECT tenant_id, 'inbox_disconnected' AS kind, id AS subject_id, id AS inbox_id, last_error AS detail, NULL::timestamptz AS since
    FROM inboxes WHERE removed_at IS NULL AND connected_at IS NULL AND last_error IS NOT NULL
    UNION ALL
    SELECT tenant_id, 'push_failed', id, id, push_error, NULL
    FROM inboxes WHERE removed_at IS NULL AND connected_at IS NOT NULL AND push_error IS NOT NULL
    UNION ALL
    SELECT tenant_id, 'mail_parked', inbox_id, inbox_id, count(*) || ' messages; the last: ' || (array_agg(reason ORDER BY id DESC))[1], NULL
    FROM inbound WHERE state = 'parked' GROUP BY tenant_id, inbox_id
    UNION ALL
    SELECT tenant_id, 'reply_failed', id, inbox_id, coalesce(send_error, 'the mail server may have taken it, or not'), created_at
    FROM messages WHERE send_status IN ('failed', 'unknown')
    UNION ALL
    SELECT m.tenant_id, 'reply_bounced', m.id, m.inbox_id,
           coalesce((SELECT nullif(b.diagnostic, '') FROM bounces b WHERE b.message_id = m.id ORDER BY b.id DESC LIMIT 1), 'it came back'),
           m.bounce_received_at
    FROM messages m WHERE m.bounce_received_at IS NOT NULL;

ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('event', 'send', 'wake', 'register', 'notice'));
