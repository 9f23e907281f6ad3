-- Canaries: mails of our own to an inbox that wishes so, which must come back. What was sent when, and what became of it.
ALTER TABLE inboxes
    ADD COLUMN canary_minutes integer CHECK (canary_minutes BETWEEN 15 AND 10080), -- NULL: none
    ADD COLUMN canary_from_id bigint REFERENCES inboxes; -- NULL: the inbox itself sends them

CREATE TABLE canaries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint NOT NULL REFERENCES inboxes, -- that it watches
    sender_id bigint NOT NULL REFERENCES inboxes,
    made_at timestamptz NOT NULL DEFAULT now(),
    handed_over_at timestamptz, -- the one permission to hand it over was taken
    sent_at timestamptz, -- the server said that it took it
    late_at timestamptz, -- when it is late unless it is back
    error text, -- why it did not leave, or why nobody knows
    back_at timestamptz, -- when the inbox's provider had it
    inbound_id bigint,
    in_spam_folder boolean NOT NULL DEFAULT false
);
CREATE INDEX canaries_by_inbox ON canaries (inbox_id, id DESC);

ALTER TABLE canaries ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON canaries USING (tenant_id = current_tenant());

-- In doubt: it may have left, so it is never late; when it comes back, it is counted.
CREATE VIEW canary_states WITH (security_invoker = true) AS
    SELECT c.*, CASE
        WHEN back_at IS NOT NULL THEN CASE WHEN in_spam_folder THEN 'spam' WHEN back_at > late_at THEN 'back_late' ELSE 'back' END
        WHEN sent_at IS NOT NULL THEN CASE WHEN late_at < now() THEN 'late' ELSE 'on_its_way' END
        WHEN handed_over_at IS NOT NULL THEN 'in_doubt'
        WHEN error IS NOT NULL THEN 'not_sent'
        ELSE 'being_sent'
    END AS state
    FROM canaries c;

-- In the form of `conditions`. ripe: it may be told. A canary is late only for an inbox that was read since, with all its mail filed; once
-- told, it is over when one that was sent as late or later came back to where mail is read, or nobody wishes for canaries any more.
CREATE VIEW canary_conditions WITH (security_invoker = true) AS
    SELECT c.tenant_id, 'canary_late' AS kind, c.inbox_id AS subject_id, c.inbox_id,
           'a canary from ' || s.email_address || ', sent ' || to_char(c.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
               || ' UTC with the subject "InboxOps canary c' || c.id || '-..."'
               || CASE c.state WHEN 'spam' THEN ', came back in the spam folder' ELSE ', is not back' END AS detail,
           NULL::timestamptz AS since,
           i.connected_at IS NOT NULL AND i.paused_at IS NULL AND i.last_error IS NULL AND (c.state = 'spam' OR i.last_fetch_at > c.late_at)
               AND NOT EXISTS (SELECT FROM inbound b WHERE b.inbox_id = i.id AND b.state IN ('stored', 'classified')) AS ripe
    FROM inboxes i
    CROSS JOIN LATERAL (SELECT * FROM canary_states c WHERE c.inbox_id = i.id AND c.state IN ('late', 'spam', 'back', 'back_late')
                          AND c.sent_at IS NOT NULL ORDER BY c.sent_at DESC, c.id DESC LIMIT 1) c
    JOIN inboxes s ON s.id = c.sender_id
    WHERE i.removed_at IS NULL AND i.canary_minutes IS NOT NULL AND c.state IN ('late', 'spam')
    UNION ALL
    SELECT c.tenant_id, 'canary_not_sent', c.inbox_id, c.inbox_id, 'from ' || s.email_address || ': ' || c.error, NULL, true
    FROM inboxes i
    CROSS JOIN LATERAL (SELECT * FROM canary_states c WHERE c.inbox_id = i.id AND c.state <> 'being_sent' ORDER BY c.id DESC LIMIT 1) c
    JOIN inboxes s ON s.id = c.sender_id
    WHERE i.removed_at IS NULL AND i.canary_minutes IS NOT NULL AND c.state = 'not_sent';

-- For monitoring, beside `metrics`: sums over all tenants.
CREATE FUNCTION canary_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT 'canaries', jsonb_build_object('state', s.state), count(c.id)::float8
        FROM unnest(ARRAY['being_sent', 'not_sent', 'in_doubt', 'on_its_way', 'late', 'back', 'back_late', 'spam']) AS s (state)
        LEFT JOIN canary_states c ON c.state = s.state AND c.made_at > now() - interval '1 day'
        GROUP BY 2
        UNION ALL
        SELECT 'canary_late_inboxes', '{}', count(*) FROM canary_conditions WHERE kind = 'canary_late'
    $$;

DO $$
BEGIN
    REVOKE ALL ON FUNCTION canary_metrics() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT ON canaries, canary_states TO inboxops_api;
        GRANT EXECUTE ON FUNCTION canary_metrics() TO inboxops_api;
    END IF;
END
$$;
