-- Stored mail read again: what was asked for, what it would change, how far that is done, and every old reading while it can be taken back.
-- A run of Airflow names a row and nothing else.
CREATE TABLE replays (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    inbox_id bigint, -- of which mail: all that is named holds; it names rows without referring to them
    ticket_id bigint,
    inbound_id bigint,
    since timestamptz,
    until timestamptz,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'previewed', 'applying', 'applied', 'undoing', 'undone')),
    groups text[] NOT NULL DEFAULT '{}', -- that are applied
    report jsonb, -- counts of the preview
    examples jsonb,
    done_through bigint NOT NULL DEFAULT 0, -- inbound id: applying goes on behind it
    problem text NOT NULL DEFAULT '', -- why the last try ended
    CHECK (since IS NOT NULL OR ticket_id IS NOT NULL OR inbound_id IS NOT NULL)
);
CREATE INDEX replays_by_tenant ON replays (tenant_id, id DESC);

CREATE TABLE replay_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    replay_id bigint NOT NULL REFERENCES replays ON DELETE CASCADE,
    inbound_id bigint NOT NULL,
    message_id bigint,
    inbox_id bigint NOT NULL,
    groups text[] NOT NULL,
    kept jsonb NOT NULL, -- changes: [{table, id, become, before}], and what else came or went by it
    kept_files text[] NOT NULL DEFAULT '{}', -- keys of objects that no other row names
    made_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    yielded boolean NOT NULL DEFAULT false -- something was changed since: it stays as it is
);
CREATE INDEX replay_changes_by_replay ON replay_changes (replay_id, id DESC);
CREATE INDEX replay_changes_by_mail ON replay_changes (inbound_id);
CREATE INDEX replay_changes_by_file ON replay_changes USING gin (kept_files) WHERE kept_files <> '{}';

ALTER TABLE replays ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON replays USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
ALTER TABLE replay_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON replay_changes USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());

ALTER TABLE inbound ADD COLUMN replay_id bigint; -- which replay had it filed: nobody is answered, no closed ticket opens

-- Where a rule is tried by the API, set-aside mail is planned as filing would plan it: what refers to what belongs to an inbox's tenant.
ALTER TABLE message_references ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON message_references USING (inbox_id IN (SELECT id FROM inboxes WHERE tenant_id = current_tenant()));

-- A run of `replay_mail` that is to be started waits as the others do.
ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('event', 'send', 'wake', 'register', 'notice', 'replay'));
DROP INDEX outbox_errands;
CREATE UNIQUE INDEX outbox_errands ON outbox (kind, name) WHERE kind IN ('wake', 'register', 'replay') AND done_at IS NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT, INSERT, UPDATE ON replays TO inboxops_api;
        GRANT SELECT ON replay_changes, message_references TO inboxops_api;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO inboxops_api;
    END IF;
END $$;
