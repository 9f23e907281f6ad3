-- name: reserve_message_ids
SELECT nextval('message_id_seq') AS id FROM generate_series(1, %(count)s)

-- name: known_keys
SELECT provider_key AS key FROM inbound WHERE inbox_id = %(inbox_id)s AND provider_key = ANY (%(keys)s::text[])

-- name: erased_keys
-- As they are, or as `give_up_keys` left them.
SELECT r.key FROM jsonb_to_recordset(%(rows)s) AS r (key text, size_bytes bigint, received_at timestamptz)
WHERE EXISTS (
    SELECT FROM inbound i
    WHERE i.inbox_id = %(inbox_id)s AND i.state = 'erased' AND i.size_bytes = r.size_bytes AND i.received_at = r.received_at
      AND (i.provider_key = r.key OR starts_with(i.provider_key, 'before/') AND right(i.provider_key, length(r.key) + 1) = '/' || r.key)
)

-- name: add_inbound
INSERT INTO inbound (tenant_id, inbox_id, provider_key, state, reason, storage_key, storage_offset, storage_length,
                     size_bytes, received_at, in_spam_folder, provider_thread_id, imported, reserved_message_id, detached_bytes,
                     detached_offsets, fetched_by)
SELECT %(tenant_id)s, %(inbox_id)s, r.key, r.state, r.reason, r.storage_key, r."offset", r.length, r.size_bytes, r.received_at,
       r.in_spam_folder, r.thread_id, r.imported, r.message_id, r.detached_bytes, r.detached_offsets, nullif(%(by)s, '')
FROM jsonb_to_recordset(%(rows)s) AS r (key text, state text, reason text, storage_key text, "offset" bigint, length bigint,
     size_bytes bigint, received_at timestamptz, in_spam_folder boolean, thread_id text, imported boolean,
     message_id bigint, detached_bytes bigint[], detached_offsets bigint[])
ON CONFLICT (inbox_id, provider_key) DO NOTHING

-- name: give_up_keys
-- In a CASE, for a number is read only of a key that has one.
UPDATE inbound SET provider_key = 'before/' || id || '/' || provider_key
WHERE inbox_id = %(inbox_id)s
  AND CASE WHEN starts_with(provider_key, %(prefix)s) THEN split_part(provider_key, '/', -1)::bigint >= %(first)s ELSE false END

-- name: stored
SELECT id, reserved_message_id, storage_key, storage_offset, storage_length, size_bytes, received_at, in_spam_folder, provider_thread_id,
       detached_offsets
FROM inbound
WHERE inbox_id = %(inbox_id)s AND state = 'stored' AND id > %(after)s
ORDER BY id
LIMIT %(limit)s

-- name: newest
SELECT id, reserved_message_id, storage_key, storage_offset, storage_length, size_bytes, received_at, in_spam_folder, provider_thread_id,
       detached_offsets
FROM inbound
WHERE inbox_id = %(inbox_id)s AND storage_key IS NOT NULL
ORDER BY id DESC
LIMIT %(limit)s

-- name: save_classified
UPDATE inbound AS i
SET state = 'classified', reason = '', message_id_header = r.message_id, content_hash = r.content_hash, from_address = r.from_address,
    subject = r.subject, verdict = r.verdict, rule = r.rule, ruleset = r.ruleset, evidence = r.evidence, mail_rules = r.mail_rules,
    reading = r.reading,
    body_text = r.body_text, body_new = r.body_new, body_html = r.body_html, updated_at = now()
FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, message_id text, content_hash text, from_address text, subject text, verdict text,
     rule text, ruleset text, evidence jsonb, mail_rules jsonb, reading jsonb, body_text text, body_new text, body_html text)
WHERE i.id = r.id AND i.state = 'stored'

-- name: park
UPDATE inbound SET state = 'parked', reason = %(reason)s, updated_at = now()
WHERE id = %(id)s AND state IN ('stored', 'classified')

-- name: first_stored
SELECT id FROM inbound WHERE inbox_id = %(inbox_id)s AND state = 'stored' AND id > %(after)s ORDER BY id LIMIT 1

-- name: classified
SELECT id, reserved_message_id, received_at, imported, released, replay_id, provider_thread_id, reading::text
FROM inbound
WHERE inbox_id = %(inbox_id)s AND state = 'classified' AND id > %(after)s
  AND id < coalesce(%(before)s::bigint, 9223372036854775807)
ORDER BY id
LIMIT %(limit)s
FOR UPDATE

-- name: finish_inbound
UPDATE inbound AS i
SET state = r.state, reason = r.reason, message_id = r.message_id, reading = NULL, body_text = NULL, body_new = NULL,
    body_html = NULL, updated_at = now()
FROM jsonb_to_recordset(%(rows)s) AS r (inbound_id bigint, state text, reason text, message_id bigint)
WHERE i.id = r.inbound_id

-- name: inbound_list
SELECT b.id, i.name AS inbox, b.state, b.reason, b.received_at, b.from_address, b.subject, b.verdict, b.rule, b.message_id, b.size_bytes
FROM inbound b JOIN inboxes i ON i.id = b.inbox_id JOIN tenants t ON t.id = b.tenant_id
WHERE (%(tenant)s::text IS NULL OR t.slug = %(tenant)s)
  AND (%(inbox_id)s::bigint IS NULL OR b.inbox_id = %(inbox_id)s)
  AND b.state = ANY (%(states)s)
ORDER BY b.id DESC
LIMIT %(limit)s

-- name: inbound_one
SELECT b.*, i.name AS inbox, i.email_address
FROM inbound b JOIN inboxes i ON i.id = b.inbox_id
WHERE b.id = %(id)s

-- name: release
UPDATE inbound SET state = 'stored', released = true, reason = '', updated_at = now()
WHERE id = %(id)s AND state IN ('listed', 'dropped', 'conflict', 'parked') AND storage_key IS NOT NULL
RETURNING tenant_id, inbox_id

-- name: reparse
UPDATE inbound SET state = 'stored', reason = '', updated_at = now()
WHERE id = %(id)s AND state IN ('parked', 'listed', 'dropped') AND storage_key IS NOT NULL
RETURNING tenant_id, inbox_id

-- name: inbound_counts
SELECT state, count(*) FROM inbound WHERE inbox_id = %(inbox_id)s GROUP BY state

-- name: next_classified
SELECT id FROM inbound WHERE inbox_id = %(inbox_id)s AND state = 'classified' AND id > %(after)s ORDER BY id LIMIT 1
