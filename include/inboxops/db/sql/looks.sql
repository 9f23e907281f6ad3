-- name: looks_to_begin
SELECT i.id, now() AS now FROM inboxes i
WHERE i.removed_at IS NULL AND i.connected_at IS NOT NULL AND i.paused_at IS NULL
  AND i.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
  AND NOT EXISTS (SELECT FROM inbox_looks l WHERE l.inbox_id = i.id)

-- name: begin_looks
INSERT INTO inbox_looks (inbox_id, tenant_id, due_at)
SELECT i.id, i.tenant_id, n.due_at
FROM unnest(%(ids)s::bigint[], %(due)s::timestamptz[]) AS n (id, due_at) JOIN inboxes i ON i.id = n.id
ON CONFLICT (inbox_id) DO NOTHING

-- name: end_looks
DELETE FROM inbox_looks l USING inboxes i
WHERE i.id = l.inbox_id AND (i.removed_at IS NOT NULL OR i.connected_at IS NULL OR i.paused_at IS NOT NULL)
  AND l.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
RETURNING l.inbox_id, i.connection_type

-- name: bring_looks_back
-- No turn is so far ahead, unless the clock was put back, or the interval was longer.
UPDATE inbox_looks SET due_at = now() + random() * %(every)s WHERE failures = 0 AND due_at > now() + %(every)s + interval '1 minute'
  AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: end_all_looks
DELETE FROM inbox_looks WHERE tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: let_looks_go
-- What another cell looks at now: its connection here is of no use any more.
UPDATE inbox_looks l SET looked_by = NULL FROM inboxes i, tenants t
WHERE i.id = l.inbox_id AND t.id = l.tenant_id AND t.cell <> %(cell)s AND l.looked_by = %(by)s AND l.claimed_by IS DISTINCT FROM %(by)s
RETURNING l.inbox_id, i.connection_type

-- name: claim_looks
-- An inbox stays with who looked at it last, because its connection does; when that one is late or gone, it is anybody's.
UPDATE inbox_looks l SET claimed_by = %(by)s, claimed_until = now() + %(lease)s
FROM inboxes i
WHERE l.inbox_id IN (
    SELECT inbox_id FROM inbox_looks
    WHERE due_at <= now() AND (claimed_until IS NULL OR claimed_until < now())
      AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
      AND (looked_by = %(by)s OR looked_by IS NULL OR due_at <= now() - %(patience)s)
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AND i.id = l.inbox_id
RETURNING l.inbox_id, l.due_at, clock_timestamp() AS claimed_at, i.connection_type || ' ' || coalesce(i.connection ->> 'host', '') AS place, l.failures, l.failed_as

-- name: renew_looks
UPDATE inbox_looks SET claimed_until = now() + %(lease)s WHERE claimed_by = %(by)s AND inbox_id = ANY (%(ids)s)

-- name: looks_done
-- Of those that are still the looker's: another one that took over says what it saw itself.
UPDATE inbox_looks l
SET due_at = s.due_at, claimed_by = NULL, claimed_until = NULL, looked_by = %(by)s, looked_at = coalesce(s.looked_at, l.looked_at), result = s.result,
    found_at = CASE WHEN s.result = 'found' THEN s.looked_at ELSE l.found_at END,
    error = s.error, failures = s.failures, failed_as = s.failed_as
FROM unnest(%(ids)s::bigint[], %(results)s::text[], %(looked)s::timestamptz[], %(due)s::timestamptz[], %(failures)s::int[],
            %(failed_as)s::text[], %(errors)s::text[]) AS s (inbox_id, result, looked_at, due_at, failures, failed_as, error)
WHERE l.inbox_id = s.inbox_id AND l.claimed_by = %(by)s
RETURNING s.result

-- name: count_looks
INSERT INTO look_counts (result, looks)
SELECT result, count(*) FROM unnest(%(results)s::text[]) AS r (result) GROUP BY result ORDER BY result
ON CONFLICT (result) DO UPDATE SET looks = look_counts.looks + excluded.looks

-- name: last_look
SELECT looked_at, result, found_at, error, failures, due_at FROM inbox_looks WHERE inbox_id = %(id)s
