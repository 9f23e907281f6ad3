-- Who is on duty, and which cells count.

-- When the cell's drain last came to its end, or the cell began to beat; NULL: a version before runs there.
ALTER TABLE pulse ADD COLUMN drained_at timestamptz;

-- What was ordered of a message, open or done: whether its run is to be expected.
CREATE INDEX outbox_sends ON outbox (name) WHERE kind = 'send';

-- As before; but of the pulse it tells for the cells that count, as core.cells.that_count has it: with tenants, or all where none has one. An
-- empty one that was stopped pages nobody. And it tells of the hops `triggerer` and `drain`, while the cell beats: else its scheduler
-- starts nothing there, either. 80 seconds and 5 minutes are LATE_SECONDS and DRAIN_SECONDS of core.pulse.
CREATE OR REPLACE FUNCTION metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        WITH known AS MATERIALIZED (SELECT * FROM cells()),
             c AS (SELECT * FROM known WHERE tenants > 0 OR NOT EXISTS (SELECT FROM known WHERE tenants > 0))
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
        SELECT 'pulse_hop_up', jsonb_build_object('cell', c.cell, 'hop', h.hop), (h.at > now() - h.late)::int
        FROM c JOIN pulse p USING (cell)
        CROSS JOIN LATERAL (VALUES ('triggerer', p.triggered_at, interval '80 seconds'), ('drain', p.drained_at, '5 minutes')) AS h (hop, at, late)
        WHERE h.at IS NOT NULL AND p.beat_at > now() - interval '80 seconds'
        UNION ALL
        SELECT 'cell_inboxes', jsonb_build_object('cell', cell), inboxes FROM known
    $$;
