-- name: hold_tenant
SELECT id, cell FROM tenants WHERE slug = %(slug)s FOR UPDATE

-- name: replays_at_work
-- That write. One whose row nobody touched for so long was left by a run that is no more.
SELECT id, state FROM replays
WHERE tenant_id = %(tenant_id)s AND state IN ('applying', 'undoing') AND changed_at > now() - make_interval(mins => %(minutes)s)
ORDER BY id LIMIT 1

-- name: move_tenant
UPDATE tenants SET cell = %(cell)s, cell_since = now() WHERE id = %(id)s

-- name: replays_to_go_on
SELECT id FROM replays WHERE tenant_id = %(tenant_id)s AND state IN ('asked', 'applying', 'undoing') ORDER BY id

-- name: order_sends_again
-- Their runs stand in the Airflow that the tenant left. A second run of an attempt finds it claimed, or done.
INSERT INTO outbox (tenant_id, kind, name, payload)
SELECT m.tenant_id, 'send', o.name, jsonb_build_object('message_id', m.id, 'attempt', m.send_attempt)
FROM messages m CROSS JOIN LATERAL (SELECT m.id || '-' || m.send_attempt AS name) o
WHERE m.direction = 'outbound' AND m.send_status IN ('pending', 'sending', 'unknown')
  AND (m.send_status <> 'unknown' OR m.id = %(id)s)
  AND (%(tenant_id)s::bigint IS NULL OR m.tenant_id = %(tenant_id)s)
  AND (%(id)s::bigint IS NULL OR m.id = %(id)s AND m.send_attempt = %(attempt)s)
  AND NOT EXISTS (SELECT FROM outbox w WHERE w.kind = 'send' AND w.done_at IS NULL AND w.tenant_id = m.tenant_id AND w.name = o.name)

-- name: message_cell
SELECT t.slug AS tenant, t.cell FROM messages m JOIN tenants t ON t.id = m.tenant_id WHERE m.id = %(id)s
