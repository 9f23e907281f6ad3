-- name: inboxes_to_certify
-- Those that were read once, with the time from which on their mail is to be here.
SELECT id, first_read_at, certified_until FROM inboxes
WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL AND first_read_at IS NOT NULL
ORDER BY id

-- name: tenants_to_certify
-- Who has waited longest comes first.
SELECT t.id FROM tenants t
WHERE t.cell = %(cell)s AND EXISTS (SELECT FROM inboxes i WHERE i.tenant_id = t.id AND i.removed_at IS NULL AND i.first_read_at IS NOT NULL)
ORDER BY (SELECT max(c.made_at) FROM certificates c WHERE c.tenant_id = t.id) NULLS FIRST, t.id
LIMIT %(limit)s

-- name: keys_known
SELECT provider_key AS key, size_bytes, state, id FROM inbound
WHERE inbox_id = %(inbox_id)s AND provider_key = ANY (%(keys)s::text[])

-- name: first_row_since
-- By the index of a few kilobytes over the time; rows are written in its order.
SELECT min(id) AS id, min(reserved_message_id) AS message_id FROM inbound WHERE created_at >= %(since)s AND tenant_id = %(tenant_id)s

-- name: rows_to_certify
-- Each inbox from its own time on.
SELECT b.id, b.tenant_id, b.inbox_id, b.provider_key AS key, b.state, b.created_at, b.size_bytes, b.reserved_message_id AS message_id,
       b.storage_key, b.storage_offset AS "offset", b.storage_length AS length, b.detached_bytes, b.detached_offsets,
       (m.id IS NOT NULL)::int AS messages, m.id IS NOT NULL OR r.id IS NOT NULL AS refers
FROM inbound b
LEFT JOIN messages m ON m.id = b.reserved_message_id AND m.inbound_id = b.id
LEFT JOIN messages r ON r.id = b.message_id
WHERE b.tenant_id = %(tenant_id)s AND b.id > %(after)s AND b.created_at >= %(since)s
  AND b.created_at >= (%(own)s::timestamptz[])[array_position(%(inboxes)s::bigint[], b.inbox_id)]
ORDER BY b.id
LIMIT %(limit)s

-- name: rows_of_packs
SELECT b.id, b.tenant_id, b.inbox_id, b.provider_key AS key, b.state, b.created_at, b.size_bytes, b.reserved_message_id AS message_id,
       b.storage_key, b.storage_offset AS "offset", b.storage_length AS length, b.detached_bytes, b.detached_offsets,
       0 AS messages, false AS refers
FROM inbound b
WHERE b.storage_key = ANY (%(keys)s::text[])
ORDER BY b.storage_key, b.storage_offset

-- name: doubled_messages
-- A mail becomes a message under the id that was reserved for it: any other that says it came of that mail is one too many.
SELECT b.inbox_id, b.provider_key AS key, b.id, count(*) AS messages
FROM messages m JOIN inbound b ON b.id = m.inbound_id
WHERE b.tenant_id = %(tenant_id)s AND b.created_at >= %(since)s AND b.id >= %(id)s AND m.id >= %(message_id)s
  AND b.created_at >= (%(own)s::timestamptz[])[array_position(%(inboxes)s::bigint[], b.inbox_id)]
GROUP BY b.id HAVING count(*) > 1

-- name: files_to_certify
SELECT storage_key AS key, size_bytes FROM attachments WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(messages)s)

-- name: objects_still_named
SELECT k.key FROM unnest(%(keys)s::text[]) AS k (key)
WHERE EXISTS (SELECT FROM inbound i WHERE i.storage_key = k.key)
   OR EXISTS (SELECT FROM attachments a WHERE a.storage_key = k.key)

-- name: mail_still_there
SELECT reserved_message_id AS id FROM inbound WHERE reserved_message_id = ANY (%(messages)s) AND storage_key IS NOT NULL

-- name: sent_to_certify
SELECT id, inbox_id, message_id_header AS message_id, coalesce(wire_message_id, '') AS wire_message_id, sent_at
FROM messages m
WHERE tenant_id = %(tenant_id)s AND direction = 'outbound' AND send_status = 'sent' AND sent_at >= %(since)s AND sent_at < %(until)s
  AND sent_at >= (%(own)s::timestamptz[])[array_position(%(inboxes)s::bigint[], m.inbox_id)]
ORDER BY id

-- name: unfiled_to_certify
-- Of each inbox the first, and how many there are. Reading and filing each make a mail's time anew, and so does whoever sends it back.
-- Mail of an inbox that was removed stays as it was left: nobody files it any more.
SELECT id, inbox_id, key, state, since, waiting FROM (
    SELECT id, inbox_id, provider_key AS key, state, updated_at AS since, count(*) OVER (PARTITION BY inbox_id) AS waiting,
           row_number() OVER (PARTITION BY inbox_id ORDER BY id) AS place
    FROM inbound
    WHERE tenant_id = %(tenant_id)s AND state IN ('stored', 'classified') AND updated_at < %(before)s
      AND inbox_id IN (SELECT id FROM inboxes WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL)
) b
WHERE place <= %(most)s
ORDER BY id

-- name: unsent_to_certify
SELECT id, inbox_id, message_id_header AS message_id, send_status AS status, created_at AS asked_at,
       type = 'auto_response' AS automatic
FROM messages
WHERE tenant_id = %(tenant_id)s AND send_status IN ('failed', 'unknown') AND created_at < %(before)s
UNION ALL
SELECT id, inbox_id, message_id_header, send_status, created_at, type = 'auto_response' FROM messages
WHERE tenant_id = %(tenant_id)s AND send_status IN ('pending', 'sending') AND created_at < %(before)s
ORDER BY id

-- name: send_statuses
SELECT id, send_status FROM messages WHERE id = ANY (%(ids)s)

-- name: settle_found
-- The Sent folder proves it: what was unknown did leave.
UPDATE messages SET send_status = 'sent', sent_at = coalesce(sent_at, handed_over_at, now()), send_error = NULL
WHERE id = ANY (%(ids)s) AND send_status = 'unknown' AND (send_lease_until IS NULL OR send_lease_until <= now())
RETURNING id

-- name: erased_series
SELECT coalesce(array_agg(DISTINCT n) FILTER (WHERE n IS NOT NULL), '{}') AS ticket_numbers
FROM erasures e LEFT JOIN LATERAL unnest(e.ticket_numbers) AS n ON true WHERE e.tenant_id = %(tenant_id)s

-- name: erased_messages
SELECT DISTINCT m AS id FROM erasures e CROSS JOIN LATERAL unnest(e.message_ids) AS m
WHERE e.tenant_id = %(tenant_id)s AND m = ANY (%(ids)s)

-- name: number_gaps
-- One look: the last number that was given, and what does not follow the number before it.
WITH given AS (
    SELECT last_ticket_number AS last FROM tenants WHERE id = %(tenant_id)s
), series AS (
    SELECT 0::bigint AS number
    UNION ALL
    SELECT t.ticket_number FROM tickets t, given WHERE t.tenant_id = %(tenant_id)s AND t.ticket_number <= given.last
    UNION ALL
    SELECT last + 1 FROM given
), steps AS (
    SELECT number, lead(number) OVER (ORDER BY number) AS next FROM series
)
SELECT given.last, s.number, s.next FROM given LEFT JOIN steps s ON s.next <> s.number + 1 ORDER BY s.number

-- name: lock_certificates
SELECT pg_advisory_xact_lock(hashtext('inboxops.certificates'), mod(%(tenant_id)s, 2147483648)::integer)

-- name: last_certificate
SELECT number, digest FROM certificates WHERE tenant_id = %(tenant_id)s ORDER BY number DESC LIMIT 1

-- name: add_certificate
INSERT INTO certificates (tenant_id, number, day, made_at, body, digest, signature, mails, unaccounted)
VALUES (%(tenant_id)s, %(number)s, %(day)s, %(made_at)s, %(body)s, %(digest)s, %(signature)s, %(mails)s, %(unaccounted)s)

-- name: set_certified
UPDATE inboxes SET certified_until = greatest(certified_until, %(until)s), certify_error = NULL WHERE id = %(id)s

-- name: set_not_certified
-- Of one that is not read there is nothing to say: it is paused, or its admins were told why.
UPDATE inboxes SET certify_error = CASE WHEN connected_at IS NOT NULL AND paused_at IS NULL THEN left(%(why)s, 1000) END WHERE id = %(id)s

-- name: certificates
SELECT number, day, made_at, body, digest, signature, mails, unaccounted FROM certificates
WHERE tenant_id = %(tenant_id)s AND (%(before)s::integer IS NULL OR number < %(before)s)
ORDER BY number DESC LIMIT %(limit)s

-- name: certificates_behind
SELECT number, day, made_at, body, digest, signature, mails, unaccounted FROM certificates
WHERE tenant_id = %(tenant_id)s AND number > %(after)s
ORDER BY number LIMIT %(limit)s

-- name: certificate_of_day
SELECT number, day, made_at, body, digest, signature, mails, unaccounted FROM certificates
WHERE tenant_id = %(tenant_id)s AND (%(day)s::date IS NULL OR day = %(day)s)
ORDER BY number DESC LIMIT 1

-- name: certified_inbox
SELECT i.certified_until, i.certify_error, c.day, coalesce((c.unaccounted ->> i.id::text)::int, 0) AS unaccounted
FROM inboxes i
LEFT JOIN LATERAL (SELECT day, unaccounted FROM certificates WHERE tenant_id = i.tenant_id ORDER BY number DESC LIMIT 1) c ON true
WHERE i.id = %(inbox_id)s
