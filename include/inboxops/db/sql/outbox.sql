-- name: add_outbox
INSERT INTO outbox (tenant_id, kind, name, payload, available_at)
SELECT %(tenant_id)s, r.kind, r.name, r.payload, now() + make_interval(secs => coalesce(r.delay_seconds, 0))
FROM jsonb_to_recordset(%(rows)s) AS r (kind text, name text, payload jsonb, delay_seconds double precision)

-- name: lock_events
SELECT pg_advisory_xact_lock(hashtext('inboxops.events'), mod(%(tenant_id)s, 2147483648)::integer)

-- name: tenants_with_open_events
-- In any order: where not all are tried, each has its turn some time.
SELECT tenant_id FROM (
    SELECT DISTINCT tenant_id FROM outbox WHERE done_at IS NULL AND kind = 'event' AND available_at <= now()
      AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
) AS with_events
ORDER BY random()

-- name: open_events
SELECT id, tenant_id, name, payload FROM outbox
WHERE done_at IS NULL AND kind = 'event' AND tenant_id = %(tenant_id)s AND available_at <= now()
ORDER BY id LIMIT %(limit)s

-- name: due_sends
SELECT id, name, payload, (SELECT cell FROM tenants t WHERE t.id = outbox.tenant_id) AS cell FROM outbox
WHERE done_at IS NULL AND kind = 'send' AND available_at <= now()
  AND (%(cell)s::text IS NULL OR tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s))
  AND (%(tenant_id)s::bigint IS NULL OR tenant_id = %(tenant_id)s) AND (%(name)s::text IS NULL OR name = %(name)s)
ORDER BY id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: order_left_sends
-- Each failure for now leaves a try, and each try is followed by the next: where none came for so long, no run is there any more.
-- What waits for longer than a day a person decides upon: it may be out of date by then. Nor is it done again and again: where the
-- DAG is paused, the runs that there are wait.
INSERT INTO outbox (tenant_id, kind, name, payload)
SELECT m.tenant_id, 'send', o.name, jsonb_build_object('message_id', m.id, 'attempt', m.send_attempt)
FROM messages m CROSS JOIN LATERAL (SELECT m.id || '-' || m.send_attempt AS name) o
WHERE m.send_status = 'pending' AND m.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
  AND coalesce((m.send_tries -> -1 ->> 'at')::timestamptz, m.created_at) < now() - make_interval(mins => %(minutes)s)
  AND coalesce((m.send_tries -> -1 ->> 'at')::timestamptz, m.created_at) > now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM outbox w WHERE w.kind = 'send' AND w.tenant_id = m.tenant_id AND w.name = o.name
                  AND (w.done_at IS NULL OR w.done_at > now() - make_interval(mins => %(minutes)s)))
  AND (SELECT count(*) FROM outbox w WHERE w.kind = 'send' AND w.tenant_id = m.tenant_id AND w.name = o.name) < 4

-- name: outbox_done
UPDATE outbox SET done_at = now(), attempts = attempts + 1, last_error = NULL WHERE id = ANY (%(ids)s)

-- name: outbox_failed
UPDATE outbox
SET attempts = attempts + 1, last_error = %(error)s,
    available_at = now() + make_interval(secs => least(600, 5 * power(2, least(attempts, 10))))
WHERE id = ANY (%(ids)s)

-- name: outbox_clean
DELETE FROM outbox WHERE done_at < now() - make_interval(days => %(days)s)

-- name: add_errand
-- One that is just being delivered opens again: its delivery may have come too early.
INSERT INTO outbox (tenant_id, kind, name, available_at) VALUES (%(tenant_id)s, %(kind)s, %(name)s, now() + %(delay)s)
ON CONFLICT (kind, name) WHERE kind IN ('wake', 'register', 'replay') AND done_at IS NULL
DO UPDATE SET payload = '{}', available_at = excluded.available_at WHERE outbox.payload <> '{}'

-- name: claim_errands
-- Nothing is locked while Airflow is called. A claim that nobody ends is free again after the lease.
UPDATE outbox
SET payload = jsonb_build_object('claim', %(claim)s::text), available_at = now() + make_interval(secs => %(lease)s)
WHERE id IN (
    SELECT id FROM outbox
    WHERE done_at IS NULL AND kind = %(kind)s
      AND (%(cell)s::text IS NULL OR tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s))
      AND CASE WHEN %(name)s::text IS NULL THEN available_at <= now() ELSE name = %(name)s END
    ORDER BY id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING id, name, (SELECT cell FROM tenants t WHERE t.id = outbox.tenant_id) AS cell

-- name: errand_done
UPDATE outbox SET done_at = now(), attempts = attempts + 1, last_error = NULL
WHERE id = %(id)s AND payload->>'claim' = %(claim)s
