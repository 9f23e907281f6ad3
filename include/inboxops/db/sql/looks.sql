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
UPDATE inbox_looks SET due_at = now() + random() * %(every)s
WHERE due_at > now() + CASE WHEN failures = 0 THEN %(every)s ELSE %(longest)s END + interval '1 minute'
  AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: looks_mended
-- Somebody connected the inbox, or a run read it, since the look at it failed.
SELECT i.id, now() AS now FROM inbox_looks l JOIN inboxes i ON i.id = l.inbox_id
WHERE l.failures > 0 AND (i.connected_at > l.looked_at OR i.last_fetch_at > l.looked_at)
  AND l.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: begin_anew
UPDATE inbox_looks l SET failures = 0, failed_as = '', error = '', due_at = least(l.due_at, n.due_at)
FROM unnest(%(ids)s::bigint[], %(due)s::timestamptz[]) AS n (id, due_at) WHERE l.inbox_id = n.id

-- name: note_not_fetched
-- What another said of the inbox since then, as a run that fails does, says more.
-- Mail that came and is still to be filed was fetched.
-- While a wake-up waits, Airflow is away, and that is told of elsewhere.
UPDATE inboxes i
SET last_error = %(error)s, last_error_kind = 'transient', updated_at = now(),
    last_error_at = CASE WHEN last_error_kind = 'transient' THEN last_error_at ELSE now() END
FROM inbox_looks l
WHERE l.inbox_id = i.id AND l.finding_since < now() - %(since)s AND coalesce(i.last_fetch_at < l.finding_since, true)
  AND NOT EXISTS (SELECT FROM inbound b WHERE b.inbox_id = i.id AND b.state IN ('stored', 'classified'))
  AND NOT EXISTS (SELECT FROM outbox w WHERE w.kind = 'wake' AND w.done_at IS NULL AND w.name = i.id::text)
  AND i.connected_at IS NOT NULL AND (i.last_error IS NULL OR i.updated_at < l.finding_since)
  AND l.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: not_fetched
SELECT t.slug || '/' || i.name AS name
FROM inbox_looks l JOIN inboxes i ON i.id = l.inbox_id JOIN tenants t ON t.id = l.tenant_id
WHERE l.finding_since < now() - %(since)s AND coalesce(i.last_fetch_at < l.finding_since, true) AND t.cell = %(cell)s
  AND NOT EXISTS (SELECT FROM inbound b WHERE b.inbox_id = i.id AND b.state IN ('stored', 'classified'))
ORDER BY l.finding_since, i.id

-- name: latest_looks
SELECT look_place(i) AS place, count(*) AS looks FROM inbox_looks l JOIN inboxes i ON i.id = l.inbox_id
WHERE l.due_at < now() - %(late)s AND l.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
GROUP BY 1 ORDER BY min(l.due_at) LIMIT 1

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
    SELECT d.inbox_id FROM inbox_looks d JOIN inboxes o ON o.id = d.inbox_id
    WHERE d.due_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now())
      AND d.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
      AND (d.looked_by = %(by)s OR d.looked_by IS NULL OR d.due_at <= now() - %(patience)s)
      AND look_place(o) <> ALL (%(full)s::text[])
    ORDER BY d.due_at LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
) AND i.id = l.inbox_id
RETURNING l.inbox_id, l.due_at, clock_timestamp() AS claimed_at, look_place(i) AS place, l.failures, l.failed_as

-- name: renew_looks
UPDATE inbox_looks SET claimed_until = now() + %(lease)s WHERE claimed_by = %(by)s AND inbox_id = ANY (%(ids)s)

-- name: leave_looks
UPDATE inbox_looks SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = %(by)s AND inbox_id = ANY (%(ids)s)

-- name: looks_done
-- Of those that are still the looker's: another one that took over says what it saw itself.
UPDATE inbox_looks l
SET due_at = s.due_at, claimed_by = NULL, claimed_until = NULL, looked_by = %(by)s, looked_at = coalesce(s.looked_at, l.looked_at), result = s.result,
    found_at = CASE WHEN s.result = 'found' THEN s.looked_at ELSE l.found_at END,
    finding_since = CASE WHEN s.result = 'found' AND i.last_fetch_at >= l.finding_since THEN s.looked_at
                         WHEN s.result = 'found' THEN coalesce(l.finding_since, s.looked_at) END,
    error = s.error, failures = s.failures, failed_as = s.failed_as
FROM unnest(%(ids)s::bigint[], %(results)s::text[], %(looked)s::timestamptz[], %(due)s::timestamptz[], %(failures)s::int[],
            %(failed_as)s::text[], %(errors)s::text[]) AS s (inbox_id, result, looked_at, due_at, failures, failed_as, error)
JOIN inboxes i ON i.id = s.inbox_id
WHERE l.inbox_id = s.inbox_id AND l.claimed_by = %(by)s
RETURNING s.result

-- name: count_looks
INSERT INTO look_counts (result, looks)
SELECT result, count(*) FROM unnest(%(results)s::text[]) AS r (result) GROUP BY result ORDER BY result
ON CONFLICT (result) DO UPDATE SET looks = look_counts.looks + excluded.looks

-- name: last_look
SELECT looked_at, result, found_at, error, failures, due_at FROM inbox_looks WHERE inbox_id = %(id)s
