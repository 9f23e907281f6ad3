-- A tenant on its way to a database of another installation: ADR 19.

-- While it is on its way no Airflow works for it.
ALTER TABLE tenants DROP CONSTRAINT tenants_cell_check,
    ADD CONSTRAINT tenants_cell_check CHECK (cell = '(moving)' OR cell ~ '^[a-z0-9][a-z0-9-]{0,30}$');

-- What left here, and how far it came. It stays when the tenant's rows are gone: of ids in our own range, that these were given out here.
CREATE TABLE departures (
    departing_id bigint PRIMARY KEY, -- the tenant's
    slug text NOT NULL,
    from_cell text NOT NULL,
    to_database text NOT NULL, -- where it stands and what it is called, so that nothing else is taken for it
    to_cell text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    arrived_at timestamptz, -- its rows are in the other database, where they may have been erased since
    gone_at timestamptz, -- and none is here
    ended_at timestamptz -- nor is an object of it
);
ALTER TABLE departures ENABLE ROW LEVEL SECURITY; -- without a policy: the API's role sees none

-- What a trigger that stands for the time of a move says of a write to a row of the tenant. The move itself names the tenant.
CREATE FUNCTION refuse_departing() RETURNS trigger LANGUAGE plpgsql
    AS $$
    BEGIN
        IF current_setting('inboxops.departing', true) IS NOT DISTINCT FROM TG_ARGV[0] THEN
            RETURN coalesce(NEW, OLD);
        END IF;
        RAISE EXCEPTION 'the tenant is moving to another installation' USING ERRCODE = 'IOMOV';
    END
    $$;

CREATE FUNCTION departure_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT 'departure_oldest_seconds', '{}'::jsonb, coalesce(extract(epoch FROM now() - min(began_at)), 0)::float8
        FROM departures WHERE ended_at IS NULL
    $$;

-- Those that point at a row which goes are looked for at each row that is deleted: by housekeeping each night, and behind a move.
CREATE INDEX messages_by_inbound ON messages (inbound_id) WHERE inbound_id IS NOT NULL;
CREATE INDEX tickets_by_followed ON tickets (follows_ticket_id) WHERE follows_ticket_id IS NOT NULL;
CREATE INDEX tickets_by_merged ON tickets (merged_into_ticket_id) WHERE merged_into_ticket_id IS NOT NULL;

-- As before; what is on its way is in no cell.
CREATE OR REPLACE FUNCTION cells() RETURNS TABLE (
        cell text, tenants bigint, inboxes bigint, tenants_since timestamptz, due_at timestamptz, began_at timestamptz, objects text, events text,
        age_seconds double precision, took_seconds double precision, looked bigint, overdue double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT c.cell, t.tenants, coalesce(i.inboxes, 0), t.since, p.due_at, p.began_at, p.objects, p.events,
               extract(epoch FROM clock_timestamp() - p.beat_at)::float8, extract(epoch FROM p.beat_at - p.began_at)::float8,
               coalesce(l.looked, 0), coalesce(l.overdue, 0)
        FROM (SELECT cell FROM tenants WHERE cell <> '(moving)'
              UNION SELECT cell FROM pulse WHERE beat_at > (SELECT max(beat_at) FROM pulse) - interval '1 day') c
        LEFT JOIN LATERAL (SELECT count(*) AS tenants, min(coalesce(cell_since, created_at)) AS since FROM tenants WHERE tenants.cell = c.cell) t ON true
        LEFT JOIN (SELECT t.cell, count(*) AS inboxes FROM inboxes i JOIN tenants t ON t.id = i.tenant_id WHERE i.removed_at IS NULL GROUP BY 1)
            i ON i.cell = c.cell
        LEFT JOIN (SELECT t.cell, count(*) AS looked, greatest(extract(epoch FROM now() - min(l.due_at)), 0)::float8 AS overdue
                   FROM inbox_looks l JOIN tenants t ON t.id = l.tenant_id GROUP BY 1) l ON l.cell = c.cell
        LEFT JOIN pulse p ON p.cell = c.cell
        ORDER BY c.cell
    $$;

DO $$
BEGIN
    REVOKE ALL ON FUNCTION departure_metrics() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION departure_metrics() TO inboxops_api;
    END IF;
END
$$;
