-- name: plan_for_these_values
-- A prepared plan would serve every filter, and none of them with its index.
SET LOCAL plan_cache_mode = force_custom_plan

-- name: ticket_page
SELECT t.id, t.ticket_number, t.status, t.subject, t.requester_name, t.requester_address, t.inbox_id, i.name AS inbox, t.unread,
       t.created_at, t.updated_at, t.closed_at, t.tags, t.priority, t.queue, m.preview, m.trouble
FROM tickets t JOIN inboxes i ON i.id = t.inbox_id
LEFT JOIN LATERAL (
    SELECT left(n.body_new, 160) AS preview,
           CASE WHEN n.bounce_received_at IS NOT NULL THEN 'bounced' WHEN n.send_status IN ('failed', 'unknown') THEN n.send_status END
               AS trouble
    FROM messages n WHERE n.ticket_id = t.id AND n.type <> 'note' ORDER BY n.id DESC LIMIT 1
) m ON true
WHERE t.tenant_id = %(tenant_id)s AND t.merged_into_ticket_id IS NULL
  AND (%(status)s::text IS NULL OR t.status = %(status)s)
  AND (%(inbox_id)s::bigint IS NULL OR t.inbox_id = %(inbox_id)s)
  AND (%(unread)s::boolean IS NULL OR t.unread = %(unread)s)
  AND (%(ids)s::bigint[] IS NULL OR t.id = ANY (%(ids)s))
  AND (%(before_time)s::timestamptz IS NULL OR (t.updated_at, t.id) < (%(before_time)s, %(before_id)s))
ORDER BY t.updated_at DESC, t.id DESC
LIMIT %(limit)s

-- name: tickets_with
SELECT tickets_with(%(q)s, %(status)s, %(inbox_id)s, %(unread)s, %(before_time)s, %(before_id)s, %(limit)s)

-- name: ticket_one
SELECT t.id, t.ticket_number, t.status, t.subject, t.requester_name, t.requester_address, t.inbox_id, i.name AS inbox, t.unread,
       t.created_at, t.updated_at, t.closed_at, m.ticket_number AS merged_into, f.ticket_number AS follows,
       t.requester_rule, t.requester_claimed, t.requester_evidence, t.tags, t.priority, t.queue,
       ARRAY(SELECT p.address FROM participants p WHERE p.ticket_id = t.id ORDER BY 1) AS participants
FROM tickets t JOIN inboxes i ON i.id = t.inbox_id
LEFT JOIN tickets m ON m.id = t.merged_into_ticket_id LEFT JOIN tickets f ON f.id = t.follows_ticket_id
WHERE t.tenant_id = %(tenant_id)s AND t.id = %(id)s

-- name: thread_messages
SELECT m.id, m.ticket_id, m.direction, m.type, coalesce(m.message_id_original, m.message_id_header) AS message_id_header,
       m.wire_message_id, m.from_name, m.from_address, m.recipients, m.subject, m.body_text, m.body_new,
       m.body_html <> '' AS has_html, m.sent_date, m.received_at, m.created_at, m.placed_by, m.unknown_sender, m.verdict, m.rule,
       m.ruleset, m.evidence, coalesce(m.mail_rules, '[]') AS mail_rules, m.marks, m.omitted_attachments, m.author,
       m.send_status, m.send_attempt, m.sent_at, m.send_error, m.sent_answer,
       m.refused_recipients, m.bounce_received_at
FROM messages m
WHERE m.tenant_id = %(tenant_id)s AND m.ticket_id = %(ticket_id)s AND (%(before_id)s::bigint IS NULL OR m.id < %(before_id)s)
ORDER BY m.id DESC
LIMIT %(limit)s

-- name: thread_attachments
-- What a sender calls inline, and his text does not show, is a file like any other: many programs say so of every file.
SELECT a.id, a.message_id, a.file_name, a.content_type, a.size_bytes, a.content_id,
       a.inline AND a.content_id <> '' AND position('cid:' || btrim(a.content_id, '<>') IN m.body_html) > 0 AS inline
FROM attachments a JOIN messages m ON m.id = a.message_id
WHERE a.tenant_id = %(tenant_id)s AND a.message_id = ANY (%(ids)s::bigint[])
ORDER BY a.id

-- name: thread_bounces
SELECT id, message_id, kind, recipients, status, diagnostic, received_at FROM bounces
WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(ids)s::bigint[])
ORDER BY id

-- name: message_one
SELECT ticket_id, id, body_html FROM messages WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: patch_ticket
UPDATE tickets
SET status = coalesce(%(status)s, status), unread = coalesce(%(unread)s, unread), tags = coalesce(%(tags)s::text[], tags),
    priority = coalesce(%(priority)s, priority), queue = coalesce(%(queue)s, queue),
    closed_at = CASE WHEN coalesce(%(status)s, status) = 'closed' THEN coalesce(closed_at, now()) END,
    updated_at = CASE WHEN %(status)s::text <> status THEN now() ELSE updated_at END
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND merged_into_ticket_id IS NULL
RETURNING ticket_number

-- name: inbound_page
SELECT b.id, b.inbox_id, i.name AS inbox, b.state, b.reason, b.received_at, b.from_address, b.subject, b.verdict, b.rule, b.evidence,
       coalesce(b.mail_rules, '[]') AS mail_rules,
       b.message_id, b.size_bytes
FROM inbound b JOIN inboxes i ON i.id = b.inbox_id
WHERE b.tenant_id = %(tenant_id)s AND b.state = ANY (%(states)s::text[])
  AND (%(inbox_id)s::bigint IS NULL OR b.inbox_id = %(inbox_id)s)
  AND (%(before_id)s::bigint IS NULL OR b.id < %(before_id)s)
ORDER BY b.id DESC
LIMIT %(limit)s

-- name: patch_inbox
UPDATE inboxes
SET display_name = coalesce(%(display_name)s, display_name),
    auto_response_enabled = coalesce(%(auto_response_enabled)s, auto_response_enabled),
    body_marker = coalesce(%(body_marker)s, body_marker),
    trusted_authserv_ids = coalesce(%(trusted_authserv_ids)s::text[], trusted_authserv_ids),
    spam_headers = coalesce(%(spam_headers)s::text[], spam_headers),
    auto_response_body = coalesce(%(auto_response_body)s, auto_response_body), updated_at = now()
WHERE id = %(id)s AND removed_at IS NULL
