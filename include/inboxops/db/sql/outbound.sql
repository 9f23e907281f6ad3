-- name: reply_ticket
SELECT t.id AS ticket_id, t.ticket_number, t.subject, t.requester_address, t.requester_name, t.inbox_id, t.tenant_id,
       m.ticket_number AS merged_into, i.email_address, i.display_name, i.removed_at IS NOT NULL AS removed, i.body_marker
FROM tickets t JOIN inboxes i ON i.id = t.inbox_id LEFT JOIN tickets m ON m.id = t.merged_into_ticket_id
WHERE t.tenant_id = %(tenant_id)s AND t.id = %(ticket_id)s

-- name: reply_parent
SELECT coalesce(message_id_original, message_id_header) AS message_id, reference_ids, in_reply_to, from_name, from_address,
       recipients -> 'reply_to' AS reply_to, customer
FROM messages
WHERE ticket_id = %(ticket_id)s AND direction = 'inbound' AND type = 'message' AND NOT unknown_sender
ORDER BY received_at DESC, id DESC LIMIT 1

-- name: next_message_id
SELECT nextval('message_id_seq')

-- name: by_idempotency_key
SELECT m.id, m.ticket_id, t.ticket_number, m.message_id_header, m.created_at, m.idempotency_hash
FROM messages m JOIN tickets t ON t.id = m.ticket_id
WHERE m.tenant_id = %(tenant_id)s AND m.idempotency_key = %(key)s

-- name: add_outbound
INSERT INTO messages (id, tenant_id, inbox_id, ticket_id, direction, type, message_id_header, in_reply_to, reference_ids,
                      from_name, from_address, recipients, subject, body_text, body_new, body_html, sent_date, send_status,
                      author, idempotency_key, idempotency_hash, auto_response_to_ticket_id)
VALUES (%(id)s, %(tenant_id)s, %(inbox_id)s, %(ticket_id)s, 'outbound', %(type)s, %(message_id)s, %(in_reply_to)s,
        %(reference_ids)s, %(from_name)s, %(from_address)s, %(recipients)s, %(subject)s, %(text)s, %(text)s, %(html)s, now(),
        'pending', %(author)s, %(idempotency_key)s, %(idempotency_hash)s, %(auto_response_to)s)
ON CONFLICT DO NOTHING
RETURNING created_at

-- name: add_reply_participants
INSERT INTO participants (ticket_id, address, tenant_id)
SELECT %(ticket_id)s, a.address, %(tenant_id)s FROM unnest(%(addresses)s::text[]) AS a (address)
ON CONFLICT DO NOTHING

-- name: touch_answered
-- Not one that became part of another: nobody would find the answer there.
UPDATE tickets SET updated_at = now(), unread = false WHERE id = %(ticket_id)s AND merged_into_ticket_id IS NULL

-- name: claim_send
-- Of a tenant that is held for a move to another database none is claimed: who holds it waits for claims under way, by this lock.
UPDATE messages AS m
SET send_status = CASE WHEN m.handed_over_attempt = m.send_attempt THEN 'unknown' ELSE 'sending' END,
    send_token = gen_random_uuid(), send_lease_until = now() + make_interval(secs => %(lease_seconds)s)
FROM tickets t, (
    SELECT m.id FROM messages m JOIN tenants t ON t.id = m.tenant_id
    WHERE m.id = %(id)s AND t.cell <> '(moving)'
    FOR KEY SHARE OF t
) here
WHERE m.id = here.id AND t.id = m.ticket_id AND m.direction = 'outbound' AND m.send_attempt = %(attempt)s
  AND m.send_status IN ('pending', 'sending', 'unknown') AND (m.send_lease_until IS NULL OR m.send_lease_until <= now())
RETURNING m.id, m.tenant_id, m.inbox_id, m.ticket_id, m.send_attempt, m.send_token, m.handed_over_attempt,
          extract(epoch FROM now() - m.handed_over_at)::double precision AS handed_over_seconds,
          m.type, m.message_id_header, m.in_reply_to, m.reference_ids, m.from_name, m.from_address, m.recipients, m.subject,
          m.body_text, m.body_html, m.sent_date, t.ticket_number,
          CASE WHEN t.inbox_id = m.inbox_id THEN t.provider_thread_id END AS provider_thread_id

-- name: send_state
SELECT send_status, send_attempt, send_lease_until > now() AS held FROM messages WHERE id = %(id)s AND direction = 'outbound'

-- name: message_files
SELECT file_name, storage_key, content_type, size_bytes FROM attachments WHERE message_id = %(id)s ORDER BY storage_key

-- name: hand_over
UPDATE messages
SET handed_over_attempt = send_attempt, handed_over_at = now(),
    send_lease_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(id)s AND send_token = %(token)s AND send_status = 'sending'
  AND (handed_over_attempt IS NULL OR handed_over_attempt < send_attempt)

-- name: is_not_sent
UPDATE messages SET send_status = 'sending', handed_over_attempt = NULL, handed_over_at = NULL
WHERE id = %(id)s AND send_token = %(token)s

-- name: sent
-- A fact, whoever holds the lease by now.
UPDATE messages
SET send_status = 'sent', sent_at = coalesce(sent_at, now()), send_error = NULL, send_lease_until = NULL, send_token = NULL,
    wire_message_id = coalesce(nullif(%(wire_message_id)s, ''), wire_message_id), refused_recipients = %(refused)s,
    sent_answer = %(answer)s
WHERE id = %(id)s AND send_status <> 'sent'
RETURNING tenant_id, ticket_id

-- name: not_sent
-- With the tries before it, of which there may be any number: the newest are kept.
UPDATE messages
SET send_tries = (CASE WHEN jsonb_array_length(send_tries) < 20 THEN send_tries ELSE send_tries - 0 END) || jsonb_build_object(
        'attempt', send_attempt, 'at', now(), 'status', %(status)s::text, 'error', %(error)s::text),
    send_status = %(status)s, send_error = %(error)s, send_lease_until = NULL, send_token = NULL,
    handed_over_attempt = %(handed_over_attempt)s
WHERE id = %(id)s AND send_token = %(token)s
RETURNING tenant_id, ticket_id

-- name: retry_send
UPDATE messages
SET send_attempt = send_attempt + 1, send_status = 'pending', send_error = NULL, send_token = NULL, send_lease_until = NULL
WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND direction = 'outbound' AND send_status IN ('pending', 'failed', 'unknown')
  AND (send_lease_until IS NULL OR send_lease_until <= now())
RETURNING send_attempt, ticket_id

-- name: doubt_waiting
UPDATE messages
SET send_status = 'unknown', handed_over_attempt = send_attempt, handed_over_at = coalesce(handed_over_at, created_at),
    send_error = %(error)s, send_lease_until = NULL, send_token = NULL
WHERE direction = 'outbound' AND send_status IN ('pending', 'sending')

-- name: left_sending
SELECT id, send_attempt FROM messages
WHERE send_status = 'sending' AND send_lease_until < now() - make_interval(mins => %(minutes)s)
  AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
ORDER BY id LIMIT %(limit)s

-- name: settle_unknown
-- Who refers to a message has seen it: what was unknown did leave.
UPDATE messages SET send_status = 'sent', sent_at = coalesce(sent_at, handed_over_at), send_error = NULL
WHERE inbox_id = %(inbox_id)s AND send_status = 'unknown' AND message_id_header = ANY (%(ids)s::text[])

-- name: ticket_number_of
SELECT ticket_number FROM tickets WHERE id = %(ticket_id)s

-- name: ticket_of_outbound
SELECT ticket_id FROM messages WHERE id = %(id)s

-- name: auto_responses_to_mail
SELECT in_reply_to[1] AS message_id FROM messages
WHERE tenant_id = %(tenant_id)s AND type = 'auto_response' AND in_reply_to[1] = ANY (%(ids)s::text[])

-- name: auto_responses_to_addresses
SELECT lower(recipients #>> '{to,0,address}') AS address, count(*) FROM messages
WHERE tenant_id = %(tenant_id)s AND type = 'auto_response' AND lower(recipients #>> '{to,0,address}') = ANY (%(addresses)s::text[])
  AND created_at > now() - make_interval(hours => %(hours)s)
GROUP BY 1

-- name: auto_responses_to_domains
SELECT split_part(lower(recipients #>> '{to,0,address}'), '@', -1) AS domain, count(*) FROM messages
WHERE tenant_id = %(tenant_id)s AND type = 'auto_response' AND created_at > now() - make_interval(hours => %(hours)s)
GROUP BY 1

-- name: attach_files
UPDATE attachments AS a
SET message_id = %(message_id)s, storage_key = r.storage_key, file_name = r.file_name, uploaded_at = coalesce(a.uploaded_at, now())
FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, storage_key text, file_name text)
WHERE a.id = r.id AND a.tenant_id = %(tenant_id)s AND a.message_id IS NULL
