-- The whole domain. Every tenant-owned table carries tenant_id, checked by row-level security for the API's role.
-- The owner's role (tasks, triggers, commands) is not under row-level security; its queries name the tenant.

CREATE TABLE tenants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    last_ticket_number bigint NOT NULL DEFAULT 0,
    reopen_days integer NOT NULL DEFAULT 14 CHECK (reopen_days >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE inboxes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    email_address text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    connection_type text NOT NULL CHECK (connection_type IN ('imap', 'gmail', 'microsoft')),
    connection jsonb NOT NULL DEFAULT '{}',
    credentials_encrypted bytea,
    connected_at timestamptz,
    paused_at timestamptz,
    removed_at timestamptz,
    last_error text,
    last_error_kind text CHECK (last_error_kind IN ('tenant_admin', 'operator', 'transient')),
    last_error_at timestamptz,
    imap_last_uid bigint,
    imap_uid_validity bigint,
    imap_import_until bigint,
    gmail_history_id text,
    graph_delta_token text,
    gmail_watch_expires_at timestamptz,
    graph_subscription_id text UNIQUE,
    graph_subscription_expires_at timestamptz,
    graph_client_state_hash bytea,
    auto_response_enabled boolean NOT NULL DEFAULT false,
    auto_response_body text NOT NULL DEFAULT '',
    spam_headers text[] NOT NULL DEFAULT ARRAY['X-Spam-Flag', 'X-Spam-Status'],
    trusted_authserv_ids text[] NOT NULL DEFAULT '{}',
    first_sync_days integer NOT NULL DEFAULT 7 CHECK (first_sync_days >= 0),
    first_sync_messages integer NOT NULL DEFAULT 500 CHECK (first_sync_messages >= 0),
    last_fetch_at timestamptz,
    idle_since timestamptz, -- held in IDLE without a break since then ...
    idle_seen_at timestamptz, -- ... as far as was last looked
    fetch_slot_at timestamptz, -- the rate limit's only state: when the next fetch would fall due at the steady rate
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX inboxes_name ON inboxes (tenant_id, name) WHERE removed_at IS NULL;

CREATE TABLE tickets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint NOT NULL REFERENCES inboxes,
    ticket_number bigint NOT NULL,
    subject text NOT NULL DEFAULT '',
    normalised_subject text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'pending', 'closed')),
    requester_address text NOT NULL DEFAULT '',
    requester_name text NOT NULL DEFAULT '',
    provider_thread_id text,
    follows_ticket_id bigint REFERENCES tickets,
    merged_into_ticket_id bigint REFERENCES tickets,
    unread boolean NOT NULL DEFAULT true,
    closed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, ticket_number),
    UNIQUE (tenant_id, id),
    CHECK ((status = 'closed') = (closed_at IS NOT NULL))
);
CREATE INDEX tickets_by_update ON tickets (tenant_id, updated_at DESC, id DESC);
CREATE INDEX tickets_by_provider_thread ON tickets (inbox_id, provider_thread_id) WHERE provider_thread_id IS NOT NULL;

-- Who takes part in a ticket: the sender gate of threading rule 6 asks this.
CREATE TABLE participants (
    ticket_id bigint NOT NULL REFERENCES tickets ON DELETE CASCADE,
    address text NOT NULL,
    tenant_id bigint NOT NULL REFERENCES tenants,
    PRIMARY KEY (ticket_id, address)
);

CREATE SEQUENCE message_id_seq;

-- One row for each message a provider delivered, from the moment it is durable.
CREATE TABLE inbound (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint NOT NULL REFERENCES inboxes,
    provider_key text NOT NULL,
    state text NOT NULL DEFAULT 'stored'
        CHECK (state IN ('stored', 'classified', 'persisted', 'duplicate', 'conflict', 'listed', 'dropped', 'parked', 'refused')),
    reason text NOT NULL DEFAULT '',
    storage_key text,
    storage_offset bigint,
    storage_length bigint,
    size_bytes bigint NOT NULL,
    received_at timestamptz NOT NULL,
    in_spam_folder boolean NOT NULL DEFAULT false,
    provider_thread_id text,
    imported boolean NOT NULL DEFAULT false,
    released boolean NOT NULL DEFAULT false,
    reserved_message_id bigint NOT NULL DEFAULT nextval('message_id_seq'),
    message_id_header text,
    content_hash text,
    from_address text,
    subject text,
    verdict text CHECK (verdict IN ('own_loop', 'complaint', 'bounce', 'delay', 'receipt', 'spam', 'auto_reply',
                                    'auto_generated', 'bulk', 'human')),
    rule text,
    ruleset text,
    evidence jsonb,
    reading jsonb, -- what persist needs of the parsed message; emptied when persisted, like the bodies
    body_text text,
    body_new text,
    body_html text,
    message_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (inbox_id, provider_key),
    CHECK ((state = 'refused') OR (storage_key IS NOT NULL)),
    CHECK (state NOT IN ('parked', 'refused') OR reason <> '')
);
CREATE INDEX inbound_work ON inbound (inbox_id, state, id) WHERE state IN ('stored', 'classified');
CREATE INDEX inbound_lists ON inbound (tenant_id, state, id DESC) WHERE state IN ('parked', 'refused', 'listed', 'conflict', 'dropped');
CREATE INDEX inbound_by_storage ON inbound (storage_key);
CREATE INDEX inbound_set_aside ON inbound (inbox_id, message_id_header) WHERE state IN ('listed', 'dropped', 'conflict');

CREATE TABLE messages (
    id bigint PRIMARY KEY DEFAULT nextval('message_id_seq'),
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint NOT NULL REFERENCES inboxes,
    ticket_id bigint NOT NULL REFERENCES tickets,
    inbound_id bigint REFERENCES inbound,
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    type text NOT NULL CHECK (type IN ('message', 'note', 'auto_response')),
    message_id_header text NOT NULL,
    message_id_original text,
    wire_message_id text,
    content_hash text NOT NULL DEFAULT '',
    in_reply_to text[] NOT NULL DEFAULT '{}',
    reference_ids text[] NOT NULL DEFAULT '{}',
    from_name text NOT NULL DEFAULT '',
    from_address text NOT NULL DEFAULT '',
    recipients jsonb NOT NULL DEFAULT '{}',
    subject text NOT NULL DEFAULT '',
    body_text text NOT NULL DEFAULT '',
    body_new text NOT NULL DEFAULT '',
    body_html text NOT NULL DEFAULT '',
    sent_date timestamptz,
    received_at timestamptz,
    placed_by text NOT NULL DEFAULT '',
    unknown_sender boolean NOT NULL DEFAULT false,
    verdict text,
    rule text,
    ruleset text,
    evidence jsonb,
    marks text[] NOT NULL DEFAULT '{}',
    authentication jsonb NOT NULL DEFAULT '{}',
    omitted_attachments jsonb NOT NULL DEFAULT '[]',
    send_status text CHECK (send_status IN ('pending', 'sending', 'sent', 'failed', 'unknown')),
    send_attempt integer NOT NULL DEFAULT 0,
    send_lease_until timestamptz,
    sent_at timestamptz,
    send_error text,
    refused_recipients jsonb NOT NULL DEFAULT '[]',
    bounce_received_at timestamptz,
    author text NOT NULL DEFAULT '',
    idempotency_key text,
    idempotency_hash text,
    auto_response_to_ticket_id bigint UNIQUE, -- stays when tickets are merged: one for each ticket ever opened
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (inbox_id, message_id_header),
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, idempotency_key),
    FOREIGN KEY (tenant_id, ticket_id) REFERENCES tickets (tenant_id, id),
    CHECK ((direction = 'outbound') = (send_status IS NOT NULL)),
    CHECK ((type = 'auto_response') = (auto_response_to_ticket_id IS NOT NULL))
);
CREATE INDEX messages_by_ticket ON messages (ticket_id, id);
CREATE INDEX messages_by_wire_id ON messages (inbox_id, wire_message_id) WHERE wire_message_id IS NOT NULL;
CREATE INDEX messages_unsent ON messages (id) WHERE send_status IN ('pending', 'sending', 'unknown');

-- Ids that messages refer to: a parent that comes after its reply finds the reply here.
CREATE TABLE message_references (
    inbox_id bigint NOT NULL REFERENCES inboxes,
    reference_id text NOT NULL,
    message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE,
    PRIMARY KEY (inbox_id, reference_id, message_id)
);
CREATE INDEX message_references_by_message ON message_references (message_id);

CREATE TABLE attachments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    message_id bigint,
    file_name text NOT NULL,
    storage_key text NOT NULL UNIQUE,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    content_id text NOT NULL DEFAULT '',
    inline boolean NOT NULL DEFAULT false,
    uploaded_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, message_id) REFERENCES messages (tenant_id, id)
);
CREATE INDEX attachments_by_message ON attachments (message_id);

CREATE TABLE bounces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint NOT NULL REFERENCES inboxes,
    inbound_id bigint NOT NULL UNIQUE REFERENCES inbound,
    message_id bigint REFERENCES messages,
    kind text NOT NULL CHECK (kind IN ('hard', 'soft', 'delayed')),
    recipients text[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT '',
    diagnostic text NOT NULL DEFAULT '',
    original_ids text[] NOT NULL DEFAULT '{}',
    received_at timestamptz NOT NULL
);
CREATE INDEX bounces_unlinked ON bounces (tenant_id, id DESC) WHERE message_id IS NULL;
CREATE INDEX bounces_by_message ON bounces (message_id);

-- What has to go out after a commit: events to Redis, send runs and wake-ups to Airflow. Written in the same
-- transaction as what it tells of; deleted never before it was delivered.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    kind text NOT NULL CHECK (kind IN ('event', 'send', 'wake')),
    name text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    done_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_open ON outbox (available_at, id) WHERE done_at IS NULL;

CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    name text NOT NULL,
    prefix text NOT NULL UNIQUE,
    key_hash bytea NOT NULL,
    role text NOT NULL CHECK (role IN ('agent', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- Row-level security: the API's role sees the rows of the tenant that its connection names, and nothing without one.
CREATE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('inboxops.tenant_id', true), '')::bigint $$;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['inboxes', 'tickets', 'participants', 'inbound', 'messages', 'attachments', 'bounces',
                                      'outbox', 'api_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())',
                       table_name);
    END LOOP;
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant_only ON tenants USING (id = current_tenant());
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT USAGE ON SCHEMA public TO inboxops_api;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO inboxops_api;
        GRANT INSERT, UPDATE ON tickets, participants, messages, attachments, outbox, inboxes, message_references TO inboxops_api;
        GRANT UPDATE ON tenants, inbound, api_keys TO inboxops_api;
        GRANT DELETE ON attachments TO inboxops_api;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO inboxops_api;
    END IF;
END $$;

-- A JSON array of strings as a text array.
CREATE FUNCTION texts(items jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE
    AS $$ SELECT coalesce(array_agg(value ORDER BY ordinality), '{}') FROM jsonb_array_elements_text(items) WITH ORDINALITY $$;
