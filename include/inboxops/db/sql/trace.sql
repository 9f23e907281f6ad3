-- name: traced
-- Mails that came and messages that were written, by one of: a Message-ID (ours also as it went over the wire), a ticket's number
-- (also of one that became part of another), the number of a mail that came, an address. The newest first.
WITH RECURSIVE meant AS (
    SELECT t.id FROM tickets t WHERE t.ticket_number = %(number)s AND (%(tenant_id)s::bigint IS NULL OR t.tenant_id = %(tenant_id)s)
    UNION
    SELECT t.merged_into_ticket_id FROM tickets t JOIN meant m ON m.id = t.id WHERE t.merged_into_ticket_id IS NOT NULL
), found AS (
    SELECT m.id AS message_id, m.inbound_id FROM messages m
    WHERE (%(tenant_id)s::bigint IS NULL OR m.tenant_id = %(tenant_id)s)
      AND (m.ticket_id IN (SELECT id FROM meant)
           OR m.message_id_header = %(key)s OR m.message_id_original = %(key)s OR m.wire_message_id = %(key)s
           OR %(address)s <> '' AND (lower(m.from_address) = %(address)s OR lower(m.customer ->> 'address') = %(address)s
              OR EXISTS (SELECT FROM jsonb_array_elements(coalesce(m.recipients -> 'to', '[]')) AS p WHERE lower(p ->> 'address') = %(address)s)))
    UNION
    SELECT i.message_id, i.id FROM inbound i
    WHERE (%(tenant_id)s::bigint IS NULL OR i.tenant_id = %(tenant_id)s)
      AND (i.id = %(inbound_id)s OR i.message_id_header = %(key)s OR %(address)s <> '' AND lower(i.from_address) = %(address)s)
)
SELECT i.id AS inbound_id, i.provider_key, i.received_at, i.created_at AS stored_at, i.fetched_by, i.imported, i.released, i.storage_key, i.storage_offset,
       i.storage_length, i.size_bytes, coalesce(i.state, m.send_status) AS state, i.reason, coalesce(m.verdict, i.verdict) AS verdict,
       coalesce(m.rule, i.rule) AS rule, coalesce(m.ruleset, i.ruleset) AS ruleset, coalesce(m.evidence, i.evidence) AS evidence,
       m.id AS message_id, m.direction, m.type, m.author, m.created_at AS filed_at, m.placed_by, m.send_attempt, m.sent_at, m.send_error, m.sent_answer,
       m.wire_message_id, m.bounce_received_at, t.ticket_number, t.id AS ticket_id, x.id AS inbox_id, x.name AS inbox, n.slug AS tenant,
       coalesce(m.message_id_original, m.message_id_header, i.message_id_header) AS message_id_header,
       coalesce(m.subject, i.subject) AS subject, coalesce(m.from_address, i.from_address) AS from_address
FROM found f LEFT JOIN inbound i ON i.id = f.inbound_id
LEFT JOIN messages m ON m.id = coalesce(f.message_id, 0) AND (i.id IS NULL OR m.inbound_id = i.id)
LEFT JOIN tickets t ON t.id = m.ticket_id
JOIN inboxes x ON x.id = coalesce(i.inbox_id, m.inbox_id) JOIN tenants n ON n.id = x.tenant_id
WHERE %(inbox_ids)s::bigint[] IS NULL OR x.id = ANY (%(inbox_ids)s)
ORDER BY coalesce(i.created_at, m.created_at) DESC
LIMIT %(limit)s

-- name: traced_events
SELECT (payload ->> 'message_id')::bigint AS message_id, kind, name, created_at, done_at, attempts, last_error FROM outbox
WHERE created_at BETWEEN %(since)s AND %(until)s AND payload ? 'message_id' AND (payload ->> 'message_id')::bigint = ANY (%(messages)s)
ORDER BY id

-- name: traced_bounces
SELECT message_id, kind, recipients, status, diagnostic, received_at FROM bounces WHERE message_id = ANY (%(messages)s) ORDER BY id

-- name: traced_corrections
SELECT id, kind, made_by, made_at, undone_by, undone_at, message_id, inbound_id FROM corrections
WHERE message_id = ANY (%(messages)s) OR inbound_id = ANY (%(inbound)s) OR EXISTS (
    SELECT FROM jsonb_array_elements(changes) AS c WHERE c ->> 'table' = 'messages' AND (c ->> 'id')::bigint = ANY (%(messages)s))
ORDER BY id

-- name: traced_replays
-- What replays changed of mails, as far as their old readings are kept. The tenant's are asked for by its mail.
SELECT c.replay_id, c.inbound_id, c.groups, c.made_at, c.undone_at, c.yielded, r.asked_by
FROM replay_changes c JOIN replays r ON r.id = c.replay_id
WHERE c.inbound_id = ANY (%(inbound)s)
ORDER BY c.id

-- name: traced_canaries
SELECT c.inbound_id, c.id, c.made_at, c.sent_at, c.back_at, c.state, c.error, c.removed, c.removal_error, s.name AS sender
FROM canary_states c JOIN inboxes s ON s.id = c.sender_id
WHERE c.inbound_id = ANY (%(inbound)s)
ORDER BY c.id
