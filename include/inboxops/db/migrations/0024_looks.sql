-- Looking without a run: when each inbox is looked at next, who does it, and what the last look said. No rows: each look is a run.
CREATE TABLE inbox_looks (
    inbox_id bigint PRIMARY KEY REFERENCES inboxes,
    tenant_id bigint NOT NULL REFERENCES tenants,
    due_at timestamptz NOT NULL,
    claimed_by text, -- the looker that is at it
    claimed_until timestamptz, -- then it is anybody's again
    looked_by text, -- who has its connection
    looked_at timestamptz, -- when the last look began
    result text CHECK (result IN ('found', 'nothing', 'failed', 'passed')),
    found_at timestamptz, -- when a look last found mail
    error text NOT NULL DEFAULT '',
    failures integer NOT NULL DEFAULT 0, -- in a row
    failed_as text NOT NULL DEFAULT '' -- who can help: tenant_admin, operator, transient
) WITH (fillfactor = 50); -- each row is rewritten twice in an interval
CREATE INDEX inbox_looks_by_due ON inbox_looks (due_at);

ALTER TABLE inbox_looks ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON inbox_looks USING (tenant_id = current_tenant());

-- Of no tenant: how many looks ended how, since this was installed.
CREATE TABLE look_counts (result text PRIMARY KEY, looks bigint NOT NULL);

-- How many inboxes are looked at, and how long the most overdue look waits, in seconds. Of one that is being looked at it does, too.
CREATE FUNCTION looks_standing() RETURNS TABLE (inboxes bigint, overdue double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT count(*), coalesce(greatest(extract(epoch FROM now() - min(due_at)), 0), 0)::float8 FROM inbox_looks $$;

-- For monitoring, beside `metrics`: sums over all tenants.
CREATE FUNCTION look_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT 'looks_total', jsonb_build_object('result', r.result), coalesce(c.looks, 0)::float8
        FROM unnest(ARRAY['found', 'nothing', 'failed', 'passed']) AS r (result) LEFT JOIN look_counts c ON c.result = r.result
        UNION ALL
        SELECT 'look_overdue_seconds', '{}', overdue FROM looks_standing()
        UNION ALL
        SELECT 'look_failing_inboxes', '{}', count(*) FROM inbox_looks WHERE failures > 0
    $$;

DO $$
BEGIN
    REVOKE ALL ON FUNCTION looks_standing(), look_metrics() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION looks_standing(), look_metrics() TO inboxops_api;
    END IF;
END
$$;
