-- name: inbox_columns
SELECT i.id, i.tenant_id, t.slug AS tenant, i.name, i.email_address, i.display_name, i.connection_type, i.connection,
       i.connected_at, i.paused_at, i.last_error, i.imap_last_uid, i.imap_uid_validity, i.imap_import_until, i.imap_last_seen,
       i.imap_went_back, i.gmail_history_id, i.graph_delta_token, i.first_sync_days, i.first_sync_messages, i.spam_headers, i.trusted_authserv_ids,
       i.auto_response_enabled, i.auto_response_body, i.note, t.reopen_days, t.name AS tenant_name,
       t.agents, t.cell, i.body_marker, i.canary_minutes, i.canary_from_id, i.canary_delete, i.resync_since,
       i.removed_at IS NOT NULL AS is_removed
FROM inboxes i JOIN tenants t ON t.id = i.tenant_id
WHERE (i.removed_at IS NULL OR %(removed)s)
  AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND (%(tenant_id)s::bigint IS NULL OR i.tenant_id = %(tenant_id)s)
  AND (%(tenant)s::text IS NULL OR t.slug = %(tenant)s)
ORDER BY i.id

-- name: roster
-- Held: in IDLE for ten minutes and seen so lately. Coming and going changes the DAG, so it has to last a while.
-- Watched: among those that `to_hold` names once they were read.
-- Of one cell. since: when the inbox came to it from another one; before that, the other one polled.
SELECT i.id, t.slug AS tenant, i.name, i.connection_type, i.live,
       coalesce(i.idle_since < now() - interval '10 minutes' AND i.idle_seen_at > now() - interval '3 minutes', false) AS held,
       i.idles AND count(*) FILTER (WHERE i.idles) OVER (ORDER BY i.id) <= %(idle_inboxes)s AS watched,
       t.cell_since AS since
FROM (SELECT *, connected_at IS NOT NULL AND paused_at IS NULL AS live,
             connection_type = 'imap' AND connected_at IS NOT NULL AND paused_at IS NULL AS idles
      FROM inboxes WHERE removed_at IS NULL) i
JOIN tenants t ON t.id = i.tenant_id
WHERE t.cell = %(cell)s
ORDER BY i.id

-- name: add_tenant
INSERT INTO tenants (slug, name, cell) VALUES (%(slug)s, %(name)s, %(cell)s) ON CONFLICT (slug) DO NOTHING RETURNING id

-- name: set_agents
UPDATE tenants SET agents = %(agents)s::text[] WHERE slug = %(slug)s RETURNING id

-- name: set_tenant
UPDATE tenants SET name = coalesce(%(name)s, name), reopen_days = coalesce(%(reopen_days)s, reopen_days)
WHERE slug = %(slug)s RETURNING id

-- name: tenants
SELECT t.id, t.slug, t.name, t.cell, t.last_ticket_number, count(i.id) AS inboxes
FROM tenants t LEFT JOIN inboxes i ON i.tenant_id = t.id AND i.removed_at IS NULL
GROUP BY t.id ORDER BY t.id DESC

-- name: tenant_name
SELECT name FROM tenants WHERE id = %(id)s

-- name: tenant_slug
SELECT slug FROM tenants WHERE id = %(id)s

-- name: tenant_id
SELECT id FROM tenants WHERE slug = %(slug)s

-- name: tenant_cell
SELECT cell FROM tenants WHERE id = %(id)s

-- name: add_inbox
INSERT INTO inboxes (tenant_id, name, email_address, display_name, connection_type, connection, credentials_encrypted,
                     connected_at, first_sync_days, first_sync_messages)
VALUES (%(tenant_id)s, %(name)s, %(email_address)s, %(display_name)s, %(connection_type)s, %(connection)s,
        %(credentials)s, now(), %(first_sync_days)s, %(first_sync_messages)s)
ON CONFLICT (tenant_id, name) WHERE removed_at IS NULL DO NOTHING
RETURNING id

-- name: credentials
SELECT credentials_encrypted FROM inboxes WHERE id = %(id)s

-- name: with_credentials
SELECT id FROM inboxes WHERE credentials_encrypted IS NOT NULL ORDER BY id

-- name: reconnect
UPDATE inboxes AS i
SET credentials_encrypted = %(credentials)s, connection = %(connection)s, connected_at = now(), last_error = NULL,
    last_error_kind = NULL, last_error_at = NULL, updated_at = now()
FROM (SELECT id, connected_at FROM inboxes WHERE id = %(id)s FOR UPDATE) AS before
WHERE i.id = before.id
RETURNING i.tenant_id, before.connected_at IS NULL AS was_disconnected

-- name: pause
UPDATE inboxes
SET paused_at = CASE WHEN %(paused)s THEN coalesce(paused_at, now()) END,
    resumed_at = CASE WHEN NOT %(paused)s AND paused_at IS NOT NULL THEN now() ELSE resumed_at END, updated_at = now()
WHERE id = %(id)s

-- name: remove
UPDATE inboxes
SET removed_at = now(), connected_at = NULL, credentials_encrypted = NULL, updated_at = now()
WHERE id = %(id)s AND removed_at IS NULL

-- name: disconnect
UPDATE inboxes
SET connected_at = NULL, last_error = %(error)s, last_error_kind = 'tenant_admin', last_error_at = now(), updated_at = now()
WHERE id = %(id)s AND connected_at = %(connected_at)s
RETURNING tenant_id

-- name: note_error
-- `last_error_at` is since when. What disconnected an inbox stays until somebody connects it again.
UPDATE inboxes
SET last_error = %(error)s, last_error_kind = %(kind)s, updated_at = now(),
    last_error_at = CASE WHEN last_error_kind = %(kind)s THEN last_error_at ELSE now() END
WHERE id = %(id)s AND connected_at IS NOT NULL

-- name: is_read
UPDATE inboxes
SET last_error = NULL, last_error_kind = NULL, last_error_at = NULL, last_fetch_at = now()
WHERE id = %(id)s AND connected_at IS NOT NULL

-- name: move_cursor
UPDATE inboxes
SET imap_uid_validity = %(uid_validity)s, imap_last_uid = %(last_uid)s, imap_import_until = %(import_until)s,
    imap_last_seen = %(last_seen)s, imap_went_back = %(went_back)s, gmail_history_id = %(history_id)s,
    graph_delta_token = %(delta_token)s, note = %(note)s, last_fetch_at = now(), first_read_at = coalesce(first_read_at, now())
WHERE id = %(id)s
  AND imap_uid_validity IS NOT DISTINCT FROM %(old_uid_validity)s
  AND imap_last_uid IS NOT DISTINCT FROM %(old_last_uid)s
  AND imap_import_until IS NOT DISTINCT FROM %(old_import_until)s
  AND imap_last_seen IS NOT DISTINCT FROM %(old_last_seen)s
  AND imap_went_back IS NOT DISTINCT FROM %(old_went_back)s
  AND gmail_history_id IS NOT DISTINCT FROM %(old_history_id)s
  AND graph_delta_token IS NOT DISTINCT FROM %(old_delta_token)s

-- name: take_fetch_slot
-- Generic cell rate algorithm: half the limit may come at once, the other half flows in evenly, so no hour sees more.
-- None gives more than an hour ahead: what is further was given before the clock was put back.
UPDATE inboxes
SET fetch_slot_at = CASE WHEN fetch_slot_at BETWEEN now() AND now() + interval '1 hour' THEN fetch_slot_at ELSE now() END
                    + %(interval)s
WHERE id = %(id)s AND (coalesce(fetch_slot_at, now()) <= now() + interval '1 hour' - %(interval)s
                       OR fetch_slot_at > now() + interval '1 hour')
RETURNING id

-- name: resync
UPDATE inboxes SET resync_since = %(since)s, updated_at = now() WHERE id = %(id)s AND removed_at IS NULL

-- name: resynced
-- A wish that was made meanwhile stays.
UPDATE inboxes SET resync_since = NULL, note = %(note)s, updated_at = now() WHERE id = %(id)s AND resync_since = %(since)s

-- name: has_work
SELECT EXISTS (SELECT FROM inbound WHERE inbox_id = %(id)s AND state IN ('stored', 'classified'))
    OR EXISTS (SELECT FROM inboxes WHERE id = %(id)s AND resync_since IS NOT NULL AND connected_at IS NOT NULL AND paused_at IS NULL)

-- name: inboxes_left_behind
-- In any order: where there is no time for all, each has its turn some time, whatever becomes of the first.
SELECT inbox_id FROM (
    SELECT DISTINCT inbox_id FROM inbound
    WHERE state IN ('stored', 'classified') AND updated_at < now() - make_interval(mins => %(minutes)s)
      AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
) AS left_behind
ORDER BY random()

-- name: own_addresses
SELECT lower(email_address) FROM inboxes WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL

-- name: to_hold
SELECT i.id, i.tenant_id, i.email_address, i.connection_type, i.connection, i.credentials_encrypted, i.imap_last_uid,
       i.imap_uid_validity
FROM (SELECT * FROM inboxes
      WHERE connection_type = 'imap' AND removed_at IS NULL AND connected_at IS NOT NULL AND paused_at IS NULL
        AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
      ORDER BY id LIMIT %(limit)s) i
WHERE i.imap_last_uid IS NOT NULL
ORDER BY i.id

-- name: note_held
UPDATE inboxes
SET idle_since = CASE WHEN id = ANY (%(ids)s) THEN coalesce(idle_since, now()) END,
    idle_seen_at = CASE WHEN id = ANY (%(ids)s) THEN now() END
WHERE connection_type = 'imap' AND (id = ANY (%(ids)s) OR idle_since IS NOT NULL)
  AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: note_hub
-- As `triggered`.
UPDATE pulse SET idle_at = now() WHERE cell = %(cell)s

-- name: idling
SELECT count(*) AS inboxes, count(*) FILTER (WHERE idle_seen_at > now() - interval '3 minutes') AS held,
       extract(epoch FROM now() - greatest((SELECT idle_at FROM pulse WHERE cell = %(cell)s), min(first_read_at)))::float8 AS seconds
FROM (SELECT * FROM inboxes
      WHERE connection_type = 'imap' AND removed_at IS NULL AND connected_at IS NOT NULL AND paused_at IS NULL
        AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
      ORDER BY id LIMIT %(limit)s) i
WHERE imap_last_uid IS NOT NULL
