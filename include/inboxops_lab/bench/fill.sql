-- Messages first..last of one inbox, three to a ticket, as if they had come in over the last two years. Parameters: tenant_id,
-- inbox_id, first, last (multiples of 3 apart). Ticket numbers are far above those of mail that is really taken in.
WITH numbers AS (
    SELECT n, now() - interval '2 years' * (1 - n / 1e7) AS at FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), opened AS (
    INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, normalised_subject, requester_address, created_at, updated_at)
    SELECT %(tenant_id)s, %(inbox_id)s, 1000000000 + n / 3, 'Question ' || n, 'question ' || n, 'c' || n %% 50000 || '@customer.example', at, at
    FROM numbers WHERE n %% 3 = 0
    RETURNING id, ticket_number
), joined AS (
    INSERT INTO participants (ticket_id, address, tenant_id)
    SELECT id, 'c' || 3 * (ticket_number - 1000000000) %% 50000 || '@customer.example', %(tenant_id)s FROM opened
), taken AS (
    INSERT INTO inbound (tenant_id, inbox_id, provider_key, state, storage_key, storage_offset, storage_length, size_bytes, received_at,
                         message_id_header, content_hash, from_address, subject, verdict, rule, ruleset)
    SELECT %(tenant_id)s, %(inbox_id)s, 'filled/' || n, 'persisted', %(tenant_id)s || '/raw/filled/' || n / 300, n %% 300 * 20000, 20000, 40000,
           at, 'filled.' || n || '@customer.example', md5(n::text), 'c' || n %% 50000 || '@customer.example', 'Question ' || n, 'human',
           'human', 'filled'
    FROM numbers
    RETURNING id, reserved_message_id, provider_key, message_id_header, content_hash, from_address, subject, received_at
), written AS (
    INSERT INTO messages (id, tenant_id, inbox_id, ticket_id, inbound_id, direction, type, message_id_header, content_hash, in_reply_to,
                          reference_ids, from_address, subject, body_text, body_new, received_at, placed_by, verdict, rule, ruleset)
    SELECT t.reserved_message_id, %(tenant_id)s, %(inbox_id)s, o.id, t.id, 'inbound', 'message', t.message_id_header, t.content_hash,
           ARRAY['filled.' || n - n %% 3 || '@customer.example'], ARRAY['filled.' || n - n %% 3 || '@customer.example'], t.from_address,
           t.subject, repeat(md5(n::text) || ' ', 30), repeat(md5(n::text) || ' ', 10), t.received_at, 'in_reply_to', 'human', 'human', 'filled'
    FROM taken t CROSS JOIN LATERAL (SELECT substr(t.provider_key, 8)::bigint AS n) AS x JOIN opened o ON o.ticket_number = 1000000000 + n / 3
    RETURNING id, reference_ids
), referred AS (
    INSERT INTO message_references (inbox_id, reference_id, message_id)
    SELECT %(inbox_id)s, unnest(reference_ids), id FROM written
)
INSERT INTO attachments (tenant_id, message_id, file_name, storage_key, content_type, size_bytes, uploaded_at)
SELECT %(tenant_id)s, id, 'file.pdf', %(tenant_id)s || '/' || id || '/01-file.pdf', 'application/pdf', 30000, now()
FROM written WHERE id %% 4 = 0
