-- What people put right, with what the rows were before: each can be taken back, and each is a labelled example of what a rule got
-- wrong. It names rows without referring to them: mail that is deleted for good takes nothing of this along.
CREATE TABLE corrections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    kind text NOT NULL CHECK (kind IN ('move', 'split', 'merge', 'spam', 'not_spam', 'bounce', 'customer')),
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    undone_by text,
    undone_at timestamptz,
    message_id bigint,
    inbound_id bigint,
    ticket_id bigint, -- where it was, or the one that is meant
    to_ticket_id bigint, -- where it went
    reply_id bigint,
    customer jsonb,
    changes jsonb NOT NULL DEFAULT '[]', -- [{table, id, become, before}]
    joined jsonb NOT NULL DEFAULT '[]', -- [{ticket, address}]: participants that came by it
    CHECK ((undone_by IS NULL) = (undone_at IS NULL))
);
CREATE INDEX corrections_by_tenant ON corrections (tenant_id, id DESC);
CREATE INDEX corrections_by_ticket ON corrections (ticket_id, id DESC);
CREATE INDEX corrections_by_target ON corrections (to_ticket_id, id DESC) WHERE to_ticket_id IS NOT NULL;

ALTER TABLE corrections ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON corrections USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT, INSERT, UPDATE ON corrections TO inboxops_api;
        GRANT INSERT, UPDATE ON bounces TO inboxops_api;
        GRANT DELETE ON participants TO inboxops_api;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO inboxops_api;
    END IF;
END $$;

-- The columns that `named` names, as they are in `whole`.
CREATE FUNCTION picked(whole jsonb, named jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$ SELECT coalesce(jsonb_object_agg(key, whole -> key), '{}') FROM jsonb_object_keys(named) AS key $$;
