-- What intruders found open. First the role of tasks and commands: every tenant's rows, and no table of its own. Only `inboxops prepare` acts as the owner.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_tasks') THEN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_tasks' AND rolbypassrls) THEN
            RAISE EXCEPTION 'the role inboxops_tasks would see no row: ALTER ROLE inboxops_tasks BYPASSRLS'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        GRANT USAGE ON SCHEMA public TO inboxops_tasks;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO inboxops_tasks;
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO inboxops_tasks;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO inboxops_tasks;
        REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM inboxops_tasks;
        -- What later migrations make.
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO inboxops_tasks;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO inboxops_tasks;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO inboxops_tasks;
    END IF;
END $$;

-- Where pg_temp is not named in a search path, it is looked into first.
ALTER FUNCTION api_key(text) SET search_path = public, pg_temp;
ALTER FUNCTION use_login_link(bytea) SET search_path = public, pg_temp;
ALTER FUNCTION tickets_with(text, text, bigint, boolean, timestamptz, bigint, integer) SET search_path = public, pg_temp;

-- Of the tenant's own inboxes alone: a stranger's id answers like one that does not exist.
CREATE OR REPLACE FUNCTION account_is_shared(asked_id bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT FROM inboxes mine
            JOIN inboxes other ON other.id <> mine.id AND other.connection_type = mine.connection_type
                AND other.connection->>'account_id' = mine.connection->>'account_id'
            WHERE mine.id = asked_id AND mine.tenant_id = current_tenant()
              AND other.removed_at IS NULL AND other.credentials_encrypted IS NOT NULL
        )
    $$;
REVOKE EXECUTE ON FUNCTION account_is_shared(bigint) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION account_is_shared(bigint) TO inboxops_api;
    END IF;
END $$;

-- How many automatic answers a tenant sent lately, by domain.
CREATE INDEX auto_responses_by_time ON messages (tenant_id, created_at) WHERE type = 'auto_response';
