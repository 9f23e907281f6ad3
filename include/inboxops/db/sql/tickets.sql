-- name: tickets
SELECT t.id, t.ticket_number, t.status, t.subject, t.requester_name, t.requester_address, i.name AS inbox, t.unread,
       t.created_at, t.updated_at, t.tags, t.priority, t.queue,
       (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id) AS messages,
       (SELECT count(*) FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.ticket_id = t.id) AS attachments
FROM tickets t JOIN inboxes i ON i.id = t.inbox_id JOIN tenants n ON n.id = t.tenant_id
WHERE (%(tenant)s::text IS NULL OR n.slug = %(tenant)s)
  AND (%(inbox_id)s::bigint IS NULL OR t.inbox_id = %(inbox_id)s)
  AND (%(status)s::text IS NULL OR t.status = %(status)s)
  AND t.merged_into_ticket_id IS NULL
ORDER BY t.updated_at DESC, t.id DESC
LIMIT %(limit)s
