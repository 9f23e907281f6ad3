-- Sending: who holds a message now, and which attempt was allowed to hand it over (ADR 0005).

ALTER TABLE messages
    ADD COLUMN send_token uuid,             -- of the run that holds the lease
    ADD COLUMN handed_over_attempt integer, -- the attempt that may have left: no second one does by itself
    ADD COLUMN handed_over_at timestamptz;

CREATE INDEX auto_responses_by_address ON messages (tenant_id, lower(recipients #>> '{to,0,address}'), created_at)
    WHERE type = 'auto_response';
CREATE INDEX auto_responses_by_mail ON messages (tenant_id, (in_reply_to[1])) WHERE type = 'auto_response';
CREATE INDEX attachments_waiting ON attachments (created_at) WHERE message_id IS NULL;

-- A key names its tenant, so it has to be found before there is a tenant to see rows of: by its prefix, one at a time.
CREATE FUNCTION api_key(wanted text) RETURNS TABLE (id bigint, tenant_id bigint, name text, role text, key_hash bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
    AS $$ SELECT k.id, k.tenant_id, k.name, k.role, k.key_hash FROM api_keys k WHERE k.prefix = wanted AND k.revoked_at IS NULL $$;
REVOKE EXECUTE ON FUNCTION api_key(text) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION api_key(text) TO inboxops_api;
        REVOKE ALL ON message_references FROM inboxops_api;
    END IF;
END $$;
