-- Figures of the whole installation for monitoring: counts and ages, never an address, a subject or a tenant. The API's role sees one
-- tenant at a time; this answers with sums over all. Every part reads a partial index or a bounded number of rows.
CREATE FUNCTION metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
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
        SELECT 'pulse_age_seconds', '{}', extract(epoch FROM now() - beat_at) FROM pulse
        UNION ALL
        SELECT 'pulse_hop_up', jsonb_build_object('hop', 'object_store'), (objects = '')::int FROM pulse
        UNION ALL
        SELECT 'pulse_hop_up', jsonb_build_object('hop', 'event_bus'), (events = '')::int FROM pulse
    $$;

DO $$
BEGIN
    REVOKE ALL ON FUNCTION metrics() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION metrics() TO inboxops_api;
    END IF;
END
$$;
