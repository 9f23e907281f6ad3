-- name: lock_inbox
SELECT pg_advisory_xact_lock(hashtext('inboxops.persist'), mod(%(inbox_id)s, 2147483648)::integer)

-- name: known_messages
SELECT message_id_header AS key, id, ticket_id, direction = 'outbound' AS outbound, content_hash
FROM messages
WHERE inbox_id = %(inbox_id)s AND message_id_header = ANY (%(keys)s::text[])
UNION ALL
SELECT wire_message_id, id, ticket_id, direction = 'outbound', content_hash
FROM messages
WHERE inbox_id = %(inbox_id)s AND wire_message_id = ANY (%(keys)s::text[])

-- name: sent_messages
SELECT id, ticket_id FROM messages WHERE inbox_id = %(inbox_id)s AND id = ANY (%(ids)s) AND direction = 'outbound'

-- name: children
SELECT r.reference_id, array_agg(m.ticket_id ORDER BY m.id)
FROM message_references r JOIN messages m ON m.id = r.message_id
WHERE r.inbox_id = %(inbox_id)s AND r.reference_id = ANY (%(keys)s::text[])
GROUP BY r.reference_id

-- name: siblings
-- A machine may name one reference for ever: the newest few tell what there is.
SELECT x.reference_id, array_agg(x.ticket_id ORDER BY x.id)
FROM unnest(%(keys)s::text[]) AS k (reference_id)
CROSS JOIN LATERAL (
    SELECT r.reference_id, m.ticket_id, m.id
    FROM message_references r JOIN messages m ON m.id = r.message_id
    WHERE r.inbox_id = %(inbox_id)s AND r.reference_id = k.reference_id
    ORDER BY m.id DESC LIMIT 5
) x
GROUP BY x.reference_id

-- name: originals
-- The author as the plan has it: whom more than a text names, else who stands in From.
SELECT id, lower(CASE WHEN NOT (customer ->> 'claimed')::boolean THEN customer ->> 'address' ELSE from_address END) AS author,
       sent_date, left(body_text, 20000) AS text, file_marks
FROM messages WHERE id = ANY (%(ids)s)

-- name: aside
SELECT message_id_header, array_agg(content_hash)
FROM inbound
WHERE inbox_id = %(inbox_id)s AND message_id_header = ANY (%(keys)s::text[]) AND state IN ('listed', 'dropped', 'conflict')
  AND NOT id = ANY (%(except)s)
GROUP BY message_id_header

-- name: tickets_by_number
SELECT ticket_number, id FROM tickets
WHERE tenant_id = %(tenant_id)s AND inbox_id = %(inbox_id)s AND ticket_number = ANY (%(numbers)s)

-- name: tickets_by_thread
SELECT DISTINCT ON (provider_thread_id) provider_thread_id, id FROM tickets
WHERE inbox_id = %(inbox_id)s AND provider_thread_id = ANY (%(threads)s)
ORDER BY provider_thread_id, id DESC

-- name: ticket_facts
-- What a mail only names must be a ticket of its inbox; what holds mail of the inbox may be another's, where a person put it there.
WITH RECURSIVE chain AS (
    SELECT id AS asked, id, merged_into_ticket_id FROM tickets
    WHERE tenant_id = %(tenant_id)s AND (inbox_id = %(inbox_id)s AND id = ANY (%(ids)s) OR id = ANY (%(held)s))
    UNION ALL
    SELECT chain.asked, t.id, t.merged_into_ticket_id FROM chain JOIN tickets t ON t.id = chain.merged_into_ticket_id
)
SELECT chain.asked, t.id, t.ticket_number, t.status, t.closed_at, t.normalised_subject, lower(t.requester_address) AS requester,
       ARRAY(SELECT p.address FROM participants p WHERE p.ticket_id = t.id) AS participants
FROM chain JOIN tickets t ON t.id = chain.id
WHERE chain.merged_into_ticket_id IS NULL

-- name: take_ticket_numbers
UPDATE tenants SET last_ticket_number = last_ticket_number + %(count)s WHERE id = %(tenant_id)s RETURNING last_ticket_number

-- name: take_ticket_ids
SELECT nextval(pg_get_serial_sequence('tickets', 'id')) FROM generate_series(1, %(count)s)

-- name: add_tickets
INSERT INTO tickets (id, tenant_id, inbox_id, ticket_number, subject, normalised_subject, requester_address, requester_name,
                     requester_rule, requester_claimed, requester_evidence, provider_thread_id, follows_ticket_id, tags, priority,
                     queue, created_at, updated_at)
OVERRIDING SYSTEM VALUE
SELECT r.id, %(tenant_id)s, %(inbox_id)s, r.ticket_number, r.subject, r.normalised_subject, r.requester_address, r.requester_name,
       r.requester_rule, r.requester_claimed, r.requester_evidence, r.provider_thread_id, r.follows, l.tags,
       coalesce(l.priority, 'normal'), l.queue, r.created_at, now()
FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, ticket_number bigint, subject text, normalised_subject text,
     requester_address text, requester_name text, requester_rule text, requester_claimed boolean, requester_evidence jsonb,
     provider_thread_id text, follows bigint, created_at timestamptz, labels jsonb)
CROSS JOIN LATERAL jsonb_to_record(r.labels) AS l (tags text[], priority text, queue text)

-- name: add_messages
-- The reading is taken apart once a row: each `->` would unpack the whole of it again.
INSERT INTO messages (id, tenant_id, inbox_id, ticket_id, inbound_id, direction, type, message_id_header, message_id_original,
                      content_hash, in_reply_to, reference_ids, from_name, from_address, recipients, subject, body_text, body_new,
                      body_html, sent_date, received_at, placed_by, unknown_sender, verdict, rule, ruleset, evidence, marks,
                      authentication, omitted_attachments, customer, file_marks, mail_rules)
SELECT r.id, i.tenant_id, i.inbox_id, r.ticket, i.id, 'inbound', r.type, r.message_id, w.original_id,
       i.content_hash, w.in_reply_to, w."references", w.sender->>'name', w.sender->>'address',
       jsonb_build_object('to', w."to", 'cc', w.cc, 'reply_to', w.reply_to),
       i.subject, i.body_text, i.body_new, i.body_html, w.date, i.received_at, r.placed_by,
       r.unknown_sender, i.verdict, i.rule, i.ruleset, i.evidence, w.marks, w.authentication, w.omitted,
       CASE WHEN w.customer->>'rule' <> 'from' THEN w.customer->'address' || w.customer - 'address' - 'evidence' END,
       coalesce(w.files, '{}'), i.mail_rules
FROM jsonb_to_recordset(%(rows)s) AS r (inbound_id bigint, id bigint, ticket bigint, type text, message_id text, placed_by text,
     unknown_sender boolean)
JOIN inbound i ON i.id = r.inbound_id
CROSS JOIN LATERAL jsonb_to_record(i.reading) AS w (original_id text, in_reply_to text[], "references" text[], sender jsonb,
     "to" jsonb, cc jsonb, reply_to jsonb, date timestamptz, marks text[], authentication jsonb, omitted jsonb, customer jsonb, files bigint[])

-- name: add_attachments
INSERT INTO attachments (tenant_id, message_id, file_name, storage_key, content_type, size_bytes, content_id, inline, uploaded_at)
SELECT %(tenant_id)s::bigint, a.message_id, a.file_name, a.storage_key, a.content_type, a.size_bytes, a.content_id, a.inline, now()
FROM jsonb_to_recordset(%(rows)s) AS a (message_id bigint, file_name text, storage_key text, content_type text,
     size_bytes bigint, content_id text, inline boolean)
ON CONFLICT (storage_key) DO NOTHING

-- name: add_participants
INSERT INTO participants (ticket_id, address, tenant_id)
SELECT DISTINCT r.ticket, p.address, %(tenant_id)s::bigint
FROM jsonb_to_recordset(%(rows)s) AS r (ticket bigint, participants jsonb)
CROSS JOIN LATERAL jsonb_array_elements_text(r.participants) AS p (address)
ON CONFLICT DO NOTHING

-- name: add_references
INSERT INTO message_references (inbox_id, reference_id, message_id)
SELECT DISTINCT %(inbox_id)s::bigint, x.reference_id, r.id
FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, "references" jsonb)
CROSS JOIN LATERAL jsonb_array_elements_text(r."references") AS x (reference_id)
ON CONFLICT DO NOTHING

-- name: add_bounces
INSERT INTO bounces (tenant_id, inbox_id, inbound_id, message_id, kind, recipients, status, diagnostic, original_ids, received_at)
SELECT %(tenant_id)s, %(inbox_id)s, r.inbound_id, r.message_id, r.kind, texts(r.recipients), r.status, r.diagnostic,
       texts(r.original_ids), r.received_at
FROM jsonb_to_recordset(%(rows)s) AS r (inbound_id bigint, message_id bigint, kind text, recipients jsonb, status text,
     diagnostic text, original_ids jsonb, received_at timestamptz)
ON CONFLICT (inbound_id) DO UPDATE SET message_id = excluded.message_id WHERE bounces.message_id IS NULL

-- name: mark_bounced
UPDATE messages AS m SET bounce_received_at = r.received_at
FROM jsonb_to_recordset(%(rows)s) AS r (message_id bigint, received_at timestamptz)
WHERE m.id = r.message_id AND m.bounce_received_at IS NULL
RETURNING m.id AS message_id, m.ticket_id

-- name: label_tickets
-- What is there stays: tags come to it, a priority only rises, a queue is taken where there is none.
UPDATE tickets AS t
SET tags = labels_joined(t.tags, texts(r.tags)), priority = higher_priority(t.priority, coalesce(r.priority, t.priority)),
    queue = coalesce(nullif(t.queue, ''), r.queue)
FROM jsonb_to_recordset(%(rows)s) AS r (ticket bigint, tags jsonb, priority text, queue text)
WHERE t.id = r.ticket

-- name: move_messages
WITH moved AS (
    UPDATE messages SET ticket_id = %(into)s WHERE ticket_id = %(ticket)s RETURNING id
), labels AS (
    UPDATE tickets AS t
    SET tags = labels_joined(t.tags, s.tags), priority = higher_priority(t.priority, s.priority),
        queue = coalesce(nullif(t.queue, ''), s.queue)
    FROM tickets s WHERE t.id = %(into)s AND s.id = %(ticket)s
), people AS (
    INSERT INTO participants (ticket_id, address, tenant_id)
    SELECT %(into)s, address, tenant_id FROM participants WHERE ticket_id = %(ticket)s
    ON CONFLICT DO NOTHING
)
UPDATE tickets
SET merged_into_ticket_id = %(into)s, status = 'closed', closed_at = coalesce(closed_at, now()), updated_at = now()
WHERE id = %(ticket)s

-- name: reopen
UPDATE tickets SET status = 'open', closed_at = NULL, updated_at = now() WHERE id = ANY (%(tickets)s)

-- name: touch
UPDATE tickets SET updated_at = now(), unread = true WHERE id = ANY (%(tickets)s) RETURNING id, ticket_number
