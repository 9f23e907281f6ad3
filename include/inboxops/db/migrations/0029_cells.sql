-- Cells: which Airflow works for a tenant. An installation with one has all its tenants in `main`, as before.
ALTER TABLE tenants
    ADD COLUMN cell text NOT NULL DEFAULT 'main' CHECK (cell ~ '^[a-z0-9][a-z0-9-]{0,30}$'),
    ADD COLUMN cell_since timestamptz; -- when it came there from another cell; NULL: it was made there
CREATE INDEX tenants_by_cell ON tenants (cell);

-- A pulse for each cell. `one` and the defaults stay for processes of the version before, which know a single row: that of `main`.
ALTER TABLE pulse ADD COLUMN cell text NOT NULL DEFAULT 'main';
ALTER TABLE pulse DROP CONSTRAINT pulse_pkey;
ALTER TABLE pulse ALTER COLUMN one DROP NOT NULL;
ALTER TABLE pulse ADD PRIMARY KEY (cell), ADD UNIQUE (one);

-- Every cell that has tenants, or beat within a day of the last beat of any: how many inboxes it has, its last beat (NULL: none), and how its
-- looks are. One that was given up, and has no tenant, is left out. The API's role sees one tenant at a time; this answers with sums over all.
CREATE FUNCTION cells() RETURNS TABLE (
        cell text, tenants bigint, inboxes bigint, tenants_since timestamptz, due_at timestamptz, began_at timestamptz, objects text, events text,
        age_seconds double precision, took_seconds double precision, looked bigint, overdue double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT c.cell, t.tenants, coalesce(i.inboxes, 0), t.since, p.due_at, p.began_at, p.objects, p.events,
               extract(epoch FROM clock_timestamp() - p.beat_at)::float8, extract(epoch FROM p.beat_at - p.began_at)::float8,
               coalesce(l.looked, 0), coalesce(l.overdue, 0)
        FROM (SELECT cell FROM tenants UNION SELECT cell FROM pulse WHERE beat_at > (SELECT max(beat_at) FROM pulse) - interval '1 day') c
        LEFT JOIN LATERAL (SELECT count(*) AS tenants, min(coalesce(cell_since, created_at)) AS since FROM tenants WHERE tenants.cell = c.cell) t ON true
        LEFT JOIN (SELECT t.cell, count(*) AS inboxes FROM inboxes i JOIN tenants t ON t.id = i.tenant_id WHERE i.removed_at IS NULL GROUP BY 1)
            i ON i.cell = c.cell
        LEFT JOIN (SELECT t.cell, count(*) AS looked, greatest(extract(epoch FROM now() - min(l.due_at)), 0)::float8 AS overdue
                   FROM inbox_looks l JOIN tenants t ON t.id = l.tenant_id GROUP BY 1) l ON l.cell = c.cell
        LEFT JOIN pulse p ON p.cell = c.cell
        ORDER BY c.cell
    $$;

-- As before, with the cell where a figure is of one.
CREATE OR REPLACE FUNCTION metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        WITH c AS MATERIALIZED (SELECT * FROM cells())
        SELECT 'inboxes', jsonb_build_object('kind', connection_type, 'state',
                   CASE WHEN connected_at IS NULL THEN 'disconnected' WHEN paused_at IS NOT NULL THEN 'paused' ELSE 'connected' END),
               count(*)::float8
        FROM inboxes WHERE removed_at IS NULL GROUP BY 2
        UNION ALL
        SELECT 'inbox_errors', jsonb_build_object('kind', connection_type), count(*)
        FROM inboxes WHERE removed_at IS NULL AND last_error IS NOT NULL GROUP BY 2
        UNION ALL
        SELECT 'push_silent_inboxes', jsonb_build_object('kind', connection_type), count(*)
        FROM inboxes WHERE removed_at IS NULL AND push_missed_in_row > 0 GROUP BY 2
        UNION ALL
        SELECT 'mail_unfiled', jsonb_build_object('state', state), count(*)
        FROM inbound WHERE state IN ('stored', 'classified') GROUP BY 2
        UNION ALL
        SELECT 'mail_unfiled_oldest_seconds', '{}', coalesce(extract(epoch FROM now() - min(updated_at)), 0)
        FROM inbound WHERE state IN ('stored', 'classified')
        UNION ALL
        SELECT 'mail_parked', '{}', count(*) FROM inbound WHERE state = 'parked'
        UNION ALL
        SELECT 'sends', jsonb_build_object('state', send_status), count(*)
        FROM messages WHERE send_status IN ('pending', 'sending', 'unknown') GROUP BY 2
        UNION ALL
        SELECT 'sends', jsonb_build_object('state', 'failed'), count(*) FROM messages WHERE send_status = 'failed'
        UNION ALL
        SELECT 'outbox_open', jsonb_build_object('kind', kind), count(*) FROM outbox WHERE done_at IS NULL GROUP BY 2
        UNION ALL
        SELECT 'outbox_oldest_seconds', '{}', coalesce(extract(epoch FROM now() - min(available_at)), 0)
        FROM outbox WHERE done_at IS NULL AND available_at < now()
        UNION ALL
        SELECT 'recent_verdicts', jsonb_build_object('verdict', verdict), count(*)
        FROM (SELECT verdict FROM messages WHERE direction = 'inbound' ORDER BY id DESC LIMIT 1000) m GROUP BY 2
        UNION ALL
        SELECT 'arrival_to_ticket_seconds', jsonb_build_object('quantile', q.q::text),
               percentile_cont(q.q) WITHIN GROUP (ORDER BY m.seconds)
        FROM (VALUES (0.5::float8), (0.95)) AS q (q), (
            SELECT greatest(extract(epoch FROM created_at - received_at), 0)::float8 AS seconds
            FROM messages WHERE direction = 'inbound' ORDER BY id DESC LIMIT 200
        ) m GROUP BY q.q
        UNION ALL
        -- Of a cell that never beat, since it has tenants: it has mail to move, and moves none.
        SELECT 'pulse_age_seconds', jsonb_build_object('cell', cell), coalesce(age_seconds, extract(epoch FROM now() - tenants_since))
        FROM c WHERE coalesce(age_seconds, extract(epoch FROM now() - tenants_since)) IS NOT NULL
        UNION ALL
        SELECT 'pulse_hop_up', jsonb_build_object('cell', cell, 'hop', 'object_store'), (objects = '')::int FROM c WHERE objects IS NOT NULL
        UNION ALL
        SELECT 'pulse_hop_up', jsonb_build_object('cell', cell, 'hop', 'event_bus'), (events = '')::int FROM c WHERE events IS NOT NULL
        UNION ALL
        SELECT 'cell_inboxes', jsonb_build_object('cell', cell), inboxes FROM c
    $$;

CREATE OR REPLACE FUNCTION look_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT 'looks_total', jsonb_build_object('result', r.result), coalesce(c.looks, 0)::float8
        FROM unnest(ARRAY['found', 'nothing', 'failed', 'passed']) AS r (result) LEFT JOIN look_counts c ON c.result = r.result
        UNION ALL
        SELECT 'look_overdue_seconds', jsonb_build_object('cell', cell), overdue FROM cells()
        UNION ALL
        SELECT 'look_failing_inboxes', '{}', count(*) FROM inbox_looks WHERE failures > 0
    $$;

-- `looks_standing` is asked by processes of the version before alone.

DO $$
BEGIN
    REVOKE ALL ON FUNCTION cells() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        -- Which cell a tenant is in is the operator's to say; of its row the API counts tickets.
        REVOKE UPDATE ON tenants FROM inboxops_api;
        GRANT UPDATE (last_ticket_number) ON tenants TO inboxops_api;
        GRANT EXECUTE ON FUNCTION cells() TO inboxops_api;
    END IF;
END
$$;
