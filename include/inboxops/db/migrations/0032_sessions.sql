-- Sessions of the tickets page: the cookie names a row, so that a log-out ends the session wherever its cookie was copied to.
CREATE TABLE page_sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    api_key_id bigint NOT NULL REFERENCES api_keys,
    token_hash bytea NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX page_sessions_by_key ON page_sessions (api_key_id);
CREATE INDEX page_sessions_by_end ON page_sessions (expires_at);
ALTER TABLE page_sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON page_sessions USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());

-- Like a key, a session is found before there is a tenant.
CREATE FUNCTION session_key(wanted bytea) RETURNS TABLE (id bigint, tenant_id bigint, name text, role text, prefix text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT k.id, k.tenant_id, k.name, k.role, k.prefix FROM page_sessions s JOIN api_keys k ON k.id = s.api_key_id
        WHERE s.token_hash = wanted AND s.expires_at > now() AND k.revoked_at IS NULL
    $$;
REVOKE EXECUTE ON FUNCTION session_key(bytea) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT, INSERT, DELETE ON page_sessions TO inboxops_api;
        GRANT EXECUTE ON FUNCTION session_key(bytea) TO inboxops_api;
    END IF;
END $$;
