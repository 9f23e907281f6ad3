-- name: wish_for_canaries
-- Who sends them is an inbox of the same tenant.
UPDATE inboxes i SET canary_minutes = %(minutes)s, canary_from_id = %(from_id)s, canary_delete = %(delete)s, updated_at = now()
WHERE i.id = %(id)s AND i.removed_at IS NULL
  AND (%(from_id)s::bigint IS NULL
       OR EXISTS (SELECT FROM inboxes f WHERE f.id = %(from_id)s AND f.tenant_id = i.tenant_id AND f.removed_at IS NULL))

-- name: canaries_due
-- One that did not leave is followed by another soon; whoever waited longest comes first.
SELECT i.id FROM inboxes i
LEFT JOIN LATERAL (SELECT made_at, state FROM canary_states c WHERE c.inbox_id = i.id ORDER BY c.id DESC LIMIT 1) c ON true
WHERE i.removed_at IS NULL AND i.connected_at IS NOT NULL AND i.paused_at IS NULL AND i.canary_minutes IS NOT NULL
  AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND (%(cell)s::text IS NULL OR i.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s))
  AND (c.made_at IS NULL OR c.made_at <= now() - make_interval(mins =>
       CASE WHEN c.state = 'not_sent' THEN least(i.canary_minutes, 15) ELSE i.canary_minutes END))
ORDER BY c.made_at NULLS FIRST, i.id

-- name: hold_inbox
SELECT id FROM inboxes WHERE id = %(id)s FOR UPDATE

-- name: add_canary
INSERT INTO canaries (tenant_id, inbox_id, sender_id)
SELECT tenant_id, id, coalesce(canary_from_id, id) FROM inboxes WHERE id = %(id)s AND removed_at IS NULL
RETURNING id, tenant_id, inbox_id, sender_id, made_at

-- name: hand_over_canary
-- Given once, and not to a run that was taken for dead.
UPDATE canaries SET handed_over_at = now() WHERE id = %(id)s AND handed_over_at IS NULL AND error IS NULL

-- name: canary_sent
UPDATE canaries SET sent_at = handed_over_at, late_at = now() + %(late_after)s, error = NULL WHERE id = %(id)s

-- name: canary_not_sent
-- What may have left keeps its permission: it is in doubt.
UPDATE canaries SET error = left(%(error)s, 1000), handed_over_at = CASE WHEN %(in_doubt)s THEN handed_over_at END
WHERE id = %(id)s AND sent_at IS NULL

-- name: canaries_left
-- Of a run that ended before the hand-over, so long ago that it runs no more.
UPDATE canaries SET error = 'the run that was to send it ended before it did'
WHERE handed_over_at IS NULL AND error IS NULL AND made_at < now() - make_interval(mins => %(minutes)s)
  AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)

-- name: canaries_back
-- The first mail with its token is the canary; what was said of a try that nobody knew the end of is settled by that.
UPDATE canaries c
SET back_at = r.received_at, inbound_id = r.inbound_id, in_spam_folder = b.in_spam_folder, sent_at = coalesce(c.sent_at, c.handed_over_at, c.made_at)
FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, inbound_id bigint, received_at timestamptz)
JOIN inbound b ON b.id = r.inbound_id
WHERE c.id = r.id AND c.inbox_id = %(inbox_id)s AND c.back_at IS NULL

-- name: canaries
SELECT c.id, c.tenant_id, t.slug AS tenant, c.inbox_id, i.name AS inbox, s.name AS sender, c.made_at, c.sent_at, c.late_at, c.back_at,
       c.inbound_id, c.error, c.removed, c.removal_tried_at, c.removal_error, c.state
FROM canary_states c JOIN inboxes i ON i.id = c.inbox_id JOIN inboxes s ON s.id = c.sender_id JOIN tenants t ON t.id = c.tenant_id
WHERE (%(tenant)s::text IS NULL OR t.slug = %(tenant)s) AND (%(inbox_id)s::bigint IS NULL OR c.inbox_id = %(inbox_id)s)
  AND (%(id)s::bigint IS NULL OR c.id = %(id)s)
ORDER BY c.id DESC
LIMIT %(limit)s

-- name: canaries_to_remove
-- Recognised, filed as nothing else, and tried at most once an hour. One that came back as spam stays: it shows people what to allow.
SELECT c.id, c.inbox_id, b.provider_key AS key, b.size_bytes, b.received_at, b.provider_thread_id AS thread_id
FROM canary_states c JOIN inboxes i ON i.id = c.inbox_id JOIN inbound b ON b.id = c.inbound_id AND b.inbox_id = c.inbox_id
WHERE i.canary_delete AND i.removed_at IS NULL AND i.connected_at IS NOT NULL AND i.paused_at IS NULL
  AND i.tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
  AND c.removed IS NULL AND c.state IN ('back', 'back_late') AND b.state = 'dropped'
  AND (c.removal_tried_at IS NULL OR c.removal_tried_at < now() - interval '1 hour')
ORDER BY c.inbox_id, c.id
LIMIT %(limit)s

-- name: canary_removed
UPDATE canaries SET removed = %(removed)s, removal_tried_at = now(), removal_error = NULL WHERE id = %(id)s

-- name: canaries_not_removed
UPDATE canaries SET removal_error = left(%(error)s, 1000), removal_tried_at = now() WHERE id = ANY (%(ids)s) AND removed IS NULL

-- name: forget_canaries
-- The last of each inbox stays: it says how mail arrives.
DELETE FROM canaries c WHERE c.made_at < now() - make_interval(days => %(days)s)
  AND EXISTS (SELECT FROM canaries l WHERE l.inbox_id = c.inbox_id AND l.id > c.id AND l.back_at IS NOT NULL)
