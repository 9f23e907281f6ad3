-- name: inboxes_of
-- Whatever the ids name: the inboxes whose filing has to wait meanwhile, always in the same order.
SELECT DISTINCT inbox_id FROM (
    SELECT inbox_id FROM messages WHERE tenant_id = %(tenant_id)s AND id = ANY (%(messages)s)
    UNION ALL
    SELECT t.inbox_id FROM messages m JOIN tickets t ON t.id = m.ticket_id WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(messages)s)
    UNION ALL
    SELECT inbox_id FROM tickets WHERE tenant_id = %(tenant_id)s AND id = ANY (%(tickets)s)
    UNION ALL
    SELECT inbox_id FROM inbound WHERE tenant_id = %(tenant_id)s AND id = %(inbound)s
) AS concerned (inbox_id)
ORDER BY inbox_id

-- name: ticket_to_correct
SELECT t.id, t.ticket_number AS number, t.status, m.ticket_number AS merged_into, t.requester_name, t.requester_address
FROM tickets t LEFT JOIN tickets m ON m.id = t.merged_into_ticket_id
WHERE t.tenant_id = %(tenant_id)s AND t.id = %(id)s
FOR UPDATE OF t

-- name: messages_to_correct
SELECT id, ticket_id, direction = 'inbound' AS inbound, type, verdict, rule, unknown_sender, from_name, from_address, customer, recipients,
       subject, inbound_id
FROM messages
WHERE tenant_id = %(tenant_id)s AND (ticket_id = %(ticket_id)s OR id = %(id)s OR inbound_id = %(inbound_id)s)
ORDER BY id
FOR UPDATE

-- name: inbound_to_correct
SELECT id, inbox_id, state FROM inbound WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE

-- name: ensure_bounce
-- A person says that a mail is one: whoever the reply went to did not get it.
INSERT INTO bounces (tenant_id, inbox_id, inbound_id, kind, recipients, received_at)
SELECT i.tenant_id, i.inbox_id, i.id, 'hard', ARRAY(SELECT p ->> 'address' FROM jsonb_array_elements(m.recipients -> 'to') AS p), i.received_at
FROM inbound i, messages m
WHERE i.tenant_id = %(tenant_id)s AND i.id = %(inbound_id)s AND m.tenant_id = %(tenant_id)s AND m.id = %(reply_id)s
ON CONFLICT (inbound_id) DO NOTHING

-- name: bounce_to_correct
SELECT id FROM bounces WHERE tenant_id = %(tenant_id)s AND inbound_id = %(inbound_id)s FOR UPDATE

-- name: recount_bounced
UPDATE messages AS m
SET bounce_received_at = (SELECT min(b.received_at) FROM bounces b WHERE b.message_id = m.id AND b.kind <> 'delayed')
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s)

-- name: buried
-- Messages that would stand in a ticket which became part of another: nobody would find them there.
SELECT DISTINCT t.ticket_number AS number, into_.ticket_number AS merged_into
FROM messages m JOIN tickets t ON t.id = m.ticket_id JOIN tickets into_ ON into_.id = t.merged_into_ticket_id
WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY (%(ids)s)

-- name: open_ticket
INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, normalised_subject, requester_address, requester_name)
SELECT tenant_id, inbox_id, %(number)s, %(subject)s, %(normalised_subject)s, %(address)s, %(name)s
FROM tickets WHERE tenant_id = %(tenant_id)s AND id = %(source)s
RETURNING id

-- name: join_people
INSERT INTO participants (ticket_id, address, tenant_id)
SELECT DISTINCT r.ticket, r.address, %(tenant_id)s::bigint FROM jsonb_to_recordset(%(rows)s) AS r (ticket bigint, address text)
ON CONFLICT DO NOTHING
RETURNING ticket_id AS ticket, address

-- name: part_people
DELETE FROM participants p USING jsonb_to_recordset(%(rows)s) AS r (ticket bigint, address text)
WHERE p.tenant_id = %(tenant_id)s AND p.ticket_id = r.ticket AND p.address = r.address

-- name: add_correction
INSERT INTO corrections (tenant_id, kind, made_by, message_id, inbound_id, ticket_id, to_ticket_id, reply_id, customer, changes, joined)
VALUES (%(tenant_id)s, %(kind)s, %(by)s, %(message_id)s, %(inbound_id)s, %(ticket_id)s, %(to_ticket_id)s, %(reply_id)s, %(customer)s,
        %(changes)s, %(joined)s)
RETURNING id

-- name: correction_to_undo
SELECT * FROM corrections WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE

-- name: undone
UPDATE corrections SET undone_by = %(by)s, undone_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: touch_corrected
UPDATE tickets SET updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s) RETURNING id, ticket_number

-- name: corrections
SELECT c.id, c.kind, c.made_by, c.made_at, c.undone_by, c.undone_at, c.message_id, c.inbound_id, c.reply_id, c.customer,
       c.ticket_id, s.ticket_number, c.to_ticket_id, d.ticket_number AS to_ticket_number
FROM corrections c LEFT JOIN tickets s ON s.id = c.ticket_id LEFT JOIN tickets d ON d.id = c.to_ticket_id
WHERE c.tenant_id = %(tenant_id)s
  AND (%(ticket_id)s::bigint IS NULL OR c.ticket_id = %(ticket_id)s OR c.to_ticket_id = %(ticket_id)s)
  AND (%(id)s::bigint IS NULL OR c.id = %(id)s)
  AND (%(before_id)s::bigint IS NULL OR c.id < %(before_id)s)
ORDER BY c.id DESC
LIMIT %(limit)s

-- name: correction_examples
-- What stands, with the mail that it was about and what was made of it before.
SELECT c.id, c.kind, c.customer, c.made_at, coalesce(c.inbound_id, m.inbound_id, n.inbound_id) AS inbound_id, b.state AS inbound_state,
       coalesce(r.wire_message_id, r.message_id_header) AS reply_message_id,
       (SELECT f.inbound_id FROM messages f WHERE f.ticket_id = c.to_ticket_id AND f.direction = 'inbound'
        AND f.inbound_id IS DISTINCT FROM coalesce(c.inbound_id, m.inbound_id, n.inbound_id)
        ORDER BY f.id LIMIT 1) AS joins_inbound_id
FROM corrections c
LEFT JOIN messages m ON m.id = c.message_id
LEFT JOIN LATERAL ( -- of a ticket: the first mail that was moved, or that is in it
    SELECT f.inbound_id FROM messages f
    WHERE c.message_id IS NULL AND c.inbound_id IS NULL AND f.direction = 'inbound' AND f.tenant_id = c.tenant_id AND (
        f.id IN (SELECT (x ->> 'id')::bigint FROM jsonb_array_elements(c.changes) AS x WHERE x ->> 'table' = 'messages')
        OR (c.kind = 'customer' AND f.ticket_id = c.ticket_id))
    ORDER BY f.id LIMIT 1
) n ON true
LEFT JOIN messages r ON r.id = c.reply_id
LEFT JOIN inbound b ON b.id = coalesce(c.inbound_id, m.inbound_id, n.inbound_id)
WHERE c.tenant_id = %(tenant_id)s AND c.undone_at IS NULL AND c.id > %(after_id)s
ORDER BY c.id
LIMIT %(limit)s
