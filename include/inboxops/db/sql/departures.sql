-- name: tables
-- columns: all; written: those that are not computed from others.
SELECT c.relname::text AS name,
       array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '') AS written,
       ARRAY(SELECT DISTINCT p.relname::text FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND p.oid <> c.oid) AS parents
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY c.oid, c.relname

-- name: owns_tables
SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'public.tenants'::regclass

-- name: sequences
-- last: what was given out last, 0 before the first.
SELECT format('%%I.%%I', schemaname, sequencename) AS name, coalesce(last_value, 0) AS last FROM pg_sequences WHERE schemaname = 'public'

-- name: lift_sequence
SELECT setval(%(name)s::regclass, %(last)s)

-- name: hold_move
-- Of two commands that move a tenant one goes on. False also for the database that holds it already.
SELECT pg_try_advisory_xact_lock(hashtext('inboxops.move'), hashtext(%(slug)s))

-- name: departure
SELECT departing_id, slug, from_cell, to_database, to_cell, arrived_at IS NOT NULL AS arrived, gone_at IS NOT NULL AS gone FROM departures WHERE slug = %(slug)s AND ended_at IS NULL

-- name: departures_open
SELECT slug, to_cell, began_at FROM departures WHERE ended_at IS NULL ORDER BY began_at

-- name: depart
-- One that was here before, and left, leaves again.
INSERT INTO departures (departing_id, slug, from_cell, to_database, to_cell)
VALUES (%(id)s, %(slug)s, %(from_cell)s, %(to_database)s, %(to_cell)s)
ON CONFLICT (departing_id) DO UPDATE
SET from_cell = excluded.from_cell, to_database = excluded.to_database, to_cell = excluded.to_cell, began_at = now(), arrived_at = NULL, gone_at = NULL, ended_at = NULL

-- name: departs_from
SELECT from_cell FROM departures WHERE departing_id = %(id)s

-- name: depart_elsewhere
UPDATE departures SET to_cell = %(to_cell)s WHERE departing_id = %(id)s

-- name: left_before
SELECT EXISTS (SELECT FROM departures WHERE departing_id = %(id)s AND ended_at IS NOT NULL)

-- name: depart_not
DELETE FROM departures WHERE departing_id = %(id)s

-- name: arrived
UPDATE departures SET arrived_at = now() WHERE departing_id = %(id)s

-- name: departed
UPDATE departures SET gone_at = now() WHERE departing_id = %(id)s

-- name: departure_ended
UPDATE departures SET ended_at = now() WHERE departing_id = %(id)s

-- name: sends_under_way
SELECT count(*), extract(epoch FROM max(send_lease_until) - now())::float8 AS seconds FROM messages
WHERE tenant_id = %(tenant_id)s AND send_status IN ('sending', 'unknown') AND send_lease_until > now()

-- name: kinds_of_tenant
SELECT DISTINCT connection_type FROM inboxes WHERE tenant_id = %(tenant_id)s AND connected_at IS NOT NULL

-- name: migrations
SELECT name, sha256 FROM schema_migrations

-- name: sealed_of_tenant
SELECT 'inboxes' AS holder, id, credentials_encrypted AS sealed FROM inboxes WHERE tenant_id = %(tenant_id)s AND credentials_encrypted IS NOT NULL
UNION ALL
SELECT 'notify_channels', id, secret_encrypted FROM notify_channels WHERE tenant_id = %(tenant_id)s AND secret_encrypted IS NOT NULL

-- name: arrive_inboxes
-- What was held in IDLE, the other installation held.
UPDATE inboxes SET idle_since = NULL, idle_seen_at = NULL WHERE tenant_id = %(tenant_id)s

-- name: arrive_looks
DELETE FROM inbox_looks WHERE tenant_id = %(tenant_id)s
