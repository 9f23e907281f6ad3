-- name: traced
-- Mails that came and messages that were written, by one of: a Message-ID (ours also as it went over the wire), a ticket's number
-- (also of one that became part of another), the number of a mail that came, an address of who wrote or got it, the number of a canary,
-- which may be nowhere else. The newest first.
WITH RECURSIVE meant AS (
    SELECT t.id FROM tickets t WHERE t.ticket_number = %(number)s AND (%(tenant_id)s::bigint IS NULL OR t.tenant_id = %(tenant_id)s)
    UNION
    SELECT t.merged_into_ticket_id FROM tickets t JOIN meant m ON m.id = t.id WHERE t.merged_into_ticket_id IS NOT NULL
), named AS (
    SELECT m.* FROM messages m
    WHERE trace_marks(ARRAY[m.message_id_header, m.message_id_original, m.wire_message_id, m.from_address, m.customer ->> 'address'], m.recipients)
          && trace_marks(ARRAY[%(key)s, %(address)s], NULL)
), found AS (
    SELECT m.id AS message_id, m.inbound_id, NULL::bigint AS canary_id, m.created_at AS known_at, m.tenant_id, m.inbox_id
    FROM messages m WHERE m.ticket_id IN (SELECT id FROM meant)
    UNION
    SELECT m.id, m.inbound_id, NULL, m.created_at, m.tenant_id, m.inbox_id FROM named m
    WHERE m.message_id_header = %(key)s OR m.message_id_original = %(key)s OR m.wire_message_id = %(key)s
       OR %(address)s <> '' AND (lower(m.from_address) = %(address)s OR lower(m.customer ->> 'address') = %(address)s
          OR EXISTS (SELECT FROM jsonb_array_elements(coalesce(m.recipients -> 'to', '[]') || coalesce(m.recipients -> 'cc', '[]')) AS p
                     WHERE lower(p ->> 'address') = %(address)s))
    UNION
    SELECT i.message_id, i.id, NULL, i.created_at, i.tenant_id, i.inbox_id FROM inbound i
    WHERE i.message_id IS DISTINCT FROM i.reserved_message_id AND i.state NOT IN ('stored', 'classified')
      AND trace_marks(ARRAY[i.message_id_header, i.from_address], NULL) && trace_marks(ARRAY[%(key)s, %(address)s], NULL)
      AND (i.message_id_header = %(key)s OR %(address)s <> '' AND lower(i.from_address) = %(address)s)
    UNION
    SELECT i.message_id, i.id, NULL, i.created_at, i.tenant_id, i.inbox_id FROM inbound i
    WHERE i.state IN ('stored', 'classified') AND (i.message_id_header = %(key)s OR %(address)s <> '' AND lower(i.from_address) = %(address)s)
    UNION
    SELECT i.message_id, i.id, NULL, i.created_at, i.tenant_id, i.inbox_id FROM inbound i WHERE i.id = %(inbound_id)s
    UNION
    SELECT NULL, c.inbound_id, c.id, c.made_at, c.tenant_id, c.inbox_id FROM canaries c WHERE c.id = %(canary_id)s
), newest AS (
    SELECT * FROM found
    WHERE (%(inbox_ids)s::bigint[] IS NULL OR inbox_id = ANY (%(inbox_ids)s)) AND (%(tenant_id)s::bigint IS NULL OR tenant_id = %(tenant_id)s)
    ORDER BY known_at DESC, message_id DESC, inbound_id DESC
    LIMIT %(limit)s
)
SELECT i.id AS inbound_id, i.provider_key, i.received_at, i.created_at AS stored_at, i.fetched_by, i.imported, i.released, i.storage_key, i.storage_offset,
       i.storage_length, i.size_bytes, coalesce(i.state, m.send_status) AS state, i.reason, coalesce(m.verdict, i.verdict) AS verdict,
       coalesce(m.rule, i.rule) AS rule, coalesce(m.ruleset, i.ruleset) AS ruleset, coalesce(m.evidence, i.evidence) AS evidence,
       m.id AS message_id, m.direction, m.type, m.author, m.created_at AS filed_at, m.placed_by, m.send_attempt, m.sent_at, m.send_error, m.sent_answer,
       m.send_tries, m.wire_message_id, m.bounce_received_at, t.ticket_number, t.id AS ticket_id, x.id AS inbox_id, x.name AS inbox, n.slug AS tenant,
       coalesce(m.message_id_original, m.message_id_header, i.message_id_header) AS message_id_header,
       coalesce(m.subject, i.subject, 'InboxOps canary c' || c.id || '-...') AS subject,
       coalesce(m.from_address, i.from_address, s.email_address) AS from_address, f.canary_id, f.known_at
FROM newest f LEFT JOIN inbound i ON i.id = f.inbound_id
LEFT JOIN messages m ON m.id = f.message_id AND (i.id IS NULL OR m.inbound_id = i.id)
LEFT JOIN tickets t ON t.id = m.ticket_id
LEFT JOIN canaries c ON c.id = f.canary_id LEFT JOIN inboxes s ON s.id = c.sender_id
JOIN inboxes x ON x.id = f.inbox_id JOIN tenants n ON n.id = f.tenant_id
ORDER BY f.known_at DESC, f.message_id DESC, f.inbound_id DESC

-- name: traced_events
SELECT (payload ->> 'message_id')::bigint AS message_id, kind, name, created_at, done_at, attempts, last_error FROM outbox
WHERE created_at BETWEEN %(since)s AND %(until)s AND payload ? 'message_id' AND (payload ->> 'message_id')::bigint = ANY (%(messages)s)
ORDER BY id

-- name: traced_bounces
SELECT message_id, kind, recipients, status, diagnostic, received_at FROM bounces WHERE message_id = ANY (%(messages)s) ORDER BY id

-- name: traced_corrections
-- messages: those that were meant, and those that were changed with them.
SELECT c.id, c.kind, c.made_by, c.made_at, c.undone_by, c.undone_at, c.inbound_id, x.messages FROM corrections c
CROSS JOIN LATERAL (SELECT array_remove(ARRAY[c.message_id, c.reply_id] || ARRAY(
    SELECT (e ->> 'id')::bigint FROM jsonb_array_elements(c.changes) AS e WHERE e ->> 'table' = 'messages'), NULL)) AS x (messages)
WHERE c.inbound_id = ANY (%(inbound)s) OR x.messages && %(messages)s::bigint[]
ORDER BY c.id

-- name: traced_replays
-- What replays changed of mails, as far as their old readings are kept. The tenant's are asked for by its mail.
-- judged: what it was taken for until then, and by which rules, where that was renewed.
SELECT c.replay_id, c.inbound_id, c.groups, c.made_at, c.undone_at, c.yielded, r.asked_by, (
           SELECT e -> 'before' FROM jsonb_array_elements(c.kept -> 'changes') AS e WHERE e -> 'before' ->> 'verdict' IS NOT NULL LIMIT 1
       ) AS judged
FROM replay_changes c JOIN replays r ON r.id = c.replay_id
WHERE c.inbound_id = ANY (%(inbound)s)
ORDER BY c.id

-- name: traced_canaries
SELECT c.inbound_id, c.id, c.made_at, c.sent_at, c.back_at, c.state, c.error, c.removed, c.removal_error, s.name AS sender
FROM canary_states c JOIN inboxes s ON s.id = c.sender_id
WHERE c.inbound_id = ANY (%(inbound)s) OR c.id = ANY (%(canaries)s)
ORDER BY c.id
