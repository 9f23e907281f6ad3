-- name: lock_notices
SELECT pg_advisory_xact_lock(hashtext('inboxops.notices'))

-- name: open_notices
-- A bounce has no end, so its notice stays open and comes no second time.
WITH wanting AS (
    SELECT tenant_id, min(created_at) AS since FROM notify_channels WHERE removed_at IS NULL GROUP BY tenant_id
), found AS (
    SELECT * FROM conditions UNION ALL SELECT * FROM certificate_conditions
    UNION ALL SELECT tenant_id, kind, subject_id, inbox_id, detail, since FROM canary_conditions WHERE ripe
)
INSERT INTO notices (tenant_id, kind, subject_id, inbox_id, detail)
SELECT c.tenant_id, c.kind, c.subject_id, c.inbox_id, left(c.detail, 1000)
FROM found c JOIN wanting w ON w.tenant_id = c.tenant_id
WHERE (c.since IS NULL OR c.since >= w.since)
  AND NOT EXISTS (SELECT FROM notices n WHERE n.kind = c.kind AND n.subject_id = c.subject_id AND n.closed_at IS NULL)
ORDER BY c.kind, c.subject_id
ON CONFLICT DO NOTHING
RETURNING id

-- name: close_notices
-- A failed answer is over when it was sent, not while it is tried again; an inbox that is not read, or that no certificate can
-- account for, when it was, not when it is paused or disconnected.
UPDATE notices n SET closed_at = now()
WHERE n.closed_at IS NULL AND n.kind <> 'reply_bounced'
  AND NOT EXISTS (SELECT FROM conditions c WHERE c.kind = n.kind AND c.subject_id = n.subject_id)
  AND NOT EXISTS (SELECT FROM certificate_conditions c WHERE c.kind = n.kind AND c.subject_id = n.subject_id)
  AND NOT EXISTS (SELECT FROM canary_conditions c WHERE c.kind = n.kind AND c.subject_id = n.subject_id)
  AND (n.kind <> 'reply_failed' OR EXISTS (SELECT FROM messages m WHERE m.id = n.subject_id AND m.send_status = 'sent'))
  AND (n.kind <> 'inbox_not_certified' OR EXISTS (SELECT FROM inboxes i WHERE i.id = n.subject_id
       AND (i.certified_until > n.opened_at - interval '36 hours' OR i.removed_at IS NOT NULL)))
  AND (n.kind <> 'inbox_not_read' OR EXISTS (SELECT FROM inboxes i WHERE i.id = n.subject_id AND (i.last_error IS NULL OR i.removed_at IS NOT NULL)))
RETURNING n.id

-- name: notice_facts
SELECT n.id, n.tenant_id, tn.slug AS tenant, n.kind, n.inbox_id, i.name AS inbox, i.email_address, n.detail, n.opened_at, n.closed_at,
       m.id AS message_id, t.id AS ticket_id, t.ticket_number
FROM notices n JOIN inboxes i ON i.id = n.inbox_id JOIN tenants tn ON tn.id = n.tenant_id
LEFT JOIN messages m ON n.kind IN ('reply_failed', 'reply_bounced') AND m.id = n.subject_id LEFT JOIN tickets t ON t.id = m.ticket_id
WHERE n.id = ANY (%(ids)s)
ORDER BY n.id

-- name: channels_of
SELECT id, tenant_id, kinds FROM notify_channels WHERE removed_at IS NULL AND tenant_id = ANY (%(tenant_ids)s) ORDER BY id

-- name: claim_notices
-- Nothing is locked while somebody else's server is spoken to. A claim that nobody ends is free again after the lease.
UPDATE outbox o
SET available_at = now() + make_interval(secs => %(lease)s)
FROM notify_channels c JOIN tenants t ON t.id = c.tenant_id
WHERE o.id IN (
    SELECT id FROM outbox WHERE kind = 'notice' AND done_at IS NULL AND available_at <= now() ORDER BY id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) AND c.id = o.name::bigint
RETURNING o.id, o.created_at, o.payload, c.way, c.target, c.secret_encrypted, c.removed_at IS NOT NULL AS removed, t.name AS tenant

-- name: add_channel
INSERT INTO notify_channels (tenant_id, way, target, secret_encrypted, kinds)
VALUES (%(tenant_id)s, %(way)s, %(target)s, %(secret)s, %(kinds)s)
ON CONFLICT (tenant_id, way, target) WHERE removed_at IS NULL DO NOTHING
RETURNING id

-- name: channels
SELECT c.id, t.slug AS tenant, c.way, c.target, c.kinds, c.created_at,
       (SELECT o.last_error FROM outbox o WHERE o.kind = 'notice' AND o.name = c.id::text AND o.done_at IS NULL ORDER BY o.id DESC LIMIT 1)
           AS last_error
FROM notify_channels c JOIN tenants t ON t.id = c.tenant_id
WHERE c.removed_at IS NULL AND (%(tenant)s::text IS NULL OR t.slug = %(tenant)s)
ORDER BY c.id DESC

-- name: channel_one
SELECT id, tenant_id, kinds FROM notify_channels WHERE id = %(id)s AND removed_at IS NULL

-- name: sealed_channels
SELECT id, secret_encrypted, removed_at IS NOT NULL AS removed FROM notify_channels WHERE secret_encrypted IS NOT NULL
ORDER BY id FOR UPDATE

-- name: seal_channel
UPDATE notify_channels SET secret_encrypted = %(secret)s WHERE id = %(id)s

-- name: remove_channel
UPDATE notify_channels SET removed_at = now() WHERE id = %(id)s AND removed_at IS NULL

-- name: give_up_notice
-- Who could not be reached for days learns nothing more from it; `last_error` stays with the row.
UPDATE outbox SET done_at = now() WHERE id = %(id)s AND created_at < now() - %(after)s
