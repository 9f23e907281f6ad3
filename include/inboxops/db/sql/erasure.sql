-- name: erasable_messages
-- The customer's mails, what we sent to nobody else, and what came back of that: reports, and copies of either.
WITH theirs AS (
    SELECT m.id, m.inbound_id FROM messages m
    WHERE m.tenant_id = %(tenant_id)s AND m.direction = 'inbound'
      AND (lower(m.from_address) = %(address)s OR lower(m.customer ->> 'address') = %(address)s)
), ours AS (
    SELECT m.id FROM messages m
    WHERE m.tenant_id = %(tenant_id)s AND m.direction = 'outbound'
      AND (SELECT bool_and(lower(p ->> 'address') = %(address)s)
           FROM jsonb_array_elements(coalesce(m.recipients -> 'to', '[]') || coalesce(m.recipients -> 'cc', '[]')) AS p)
), returned AS (
    SELECT m.id, b.inbound_id FROM bounces b LEFT JOIN messages m ON m.inbound_id = b.inbound_id
    WHERE b.tenant_id = %(tenant_id)s AND (b.message_id IN (SELECT id FROM ours) OR %(address)s = ANY (SELECT lower(unnest(b.recipients))))
), aside AS (
    SELECT i.id FROM inbound i WHERE i.tenant_id = %(tenant_id)s AND (lower(i.from_address) = %(address)s
        OR i.state = 'duplicate' AND i.message_id IN (SELECT id FROM theirs UNION SELECT id FROM ours))
)
SELECT ARRAY(SELECT id FROM theirs UNION SELECT id FROM ours UNION SELECT id FROM returned WHERE id IS NOT NULL) AS messages,
       ARRAY(SELECT inbound_id FROM theirs WHERE inbound_id IS NOT NULL UNION SELECT inbound_id FROM returned UNION SELECT id FROM aside)
           AS inbound

-- name: inboxes_of_tenant
SELECT id FROM inboxes WHERE tenant_id = %(tenant_id)s ORDER BY id

-- name: erasable_frames
SELECT id, storage_key, storage_offset AS "offset", storage_length AS length, reserved_message_id AS message_id, detached_bytes,
       detached_offsets
FROM inbound
WHERE tenant_id = %(tenant_id)s AND id = ANY (%(inbound)s) AND storage_key IS NOT NULL
ORDER BY storage_key, storage_offset
FOR UPDATE

-- name: erasable_files
-- With those that a replay took off a message, and could put back.
SELECT storage_key FROM attachments WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(messages)s)
UNION
SELECT unnest(kept_files) FROM replay_changes WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(messages)s)

-- name: tickets_left_empty
-- Tickets that hold nothing but what goes, and those that became part of such a one.
WITH RECURSIVE emptied AS (
    SELECT t.id FROM tickets t
    WHERE t.tenant_id = %(tenant_id)s
      AND t.id IN (SELECT ticket_id FROM messages WHERE id = ANY (%(messages)s))
      AND NOT EXISTS (SELECT FROM messages m WHERE m.ticket_id = t.id AND NOT m.id = ANY (%(messages)s))
    UNION
    SELECT t.id FROM tickets t JOIN emptied e ON t.merged_into_ticket_id = e.id
)
SELECT id FROM emptied

-- name: mentions
-- What others wrote and the customer is named in: nobody but a person can say what of it is whose.
SELECT DISTINCT t.ticket_number FROM messages m JOIN tickets t ON t.id = m.ticket_id
WHERE m.tenant_id = %(tenant_id)s AND NOT m.id = ANY (%(messages)s)
  AND (strpos(lower(m.recipients::text), %(address)s) > 0 OR strpos(lower(m.body_text), %(address)s) > 0)
ORDER BY 1 LIMIT 1000

-- name: rules_that_name
-- Rules as they stand, which an admin has to change.
SELECT r ->> 'name' AS name FROM (
    SELECT rules FROM mail_rule_sets WHERE tenant_id = %(tenant_id)s ORDER BY version DESC LIMIT 1
) s CROSS JOIN LATERAL jsonb_array_elements(s.rules) AS r
WHERE strpos(lower(r::text), %(address)s) > 0

-- name: erase_old_rules
-- What rules once were goes where it names the customer.
DELETE FROM mail_rule_sets s
WHERE tenant_id = %(tenant_id)s AND strpos(lower(s.rules::text), %(address)s) > 0
  AND version < (SELECT max(version) FROM mail_rule_sets WHERE tenant_id = %(tenant_id)s)

-- name: being_read
SELECT count(*) FROM inbound WHERE tenant_id = %(tenant_id)s AND state = 'stored'

-- name: unreadable
SELECT count(*) FROM inbound WHERE tenant_id = %(tenant_id)s AND state = 'parked' AND from_address IS NULL

-- name: erase_corrections
DELETE FROM corrections
WHERE tenant_id = %(tenant_id)s
  AND (message_id = ANY (%(messages)s) OR reply_id = ANY (%(messages)s) OR inbound_id = ANY (%(inbound)s)
       OR ticket_id = ANY (%(tickets)s) OR to_ticket_id = ANY (%(tickets)s)
       OR strpos(lower(changes::text || joined::text || coalesce(customer::text, '')), %(address)s) > 0)

-- name: erase_replay_changes
-- What a replay made of the customer's mail, or of what names him, can't be taken back any more.
DELETE FROM replay_changes
WHERE tenant_id = %(tenant_id)s
  AND (message_id = ANY (%(messages)s) OR inbound_id = ANY (%(inbound)s) OR strpos(lower(kept::text), %(address)s) > 0)

-- name: erase_replay_examples
-- Counts stay; a report that shows the customer's mail, or names him, shows nothing more.
UPDATE replays r SET examples = '{}'
WHERE tenant_id = %(tenant_id)s AND examples IS NOT NULL
  AND (strpos(lower(examples::text), %(address)s) > 0
       OR EXISTS (SELECT FROM jsonb_path_query(r.examples, '$.*[*].inbound_id') AS id WHERE id::text::bigint = ANY (%(inbound)s)))

-- name: erase_notices
DELETE FROM notices
WHERE tenant_id = %(tenant_id)s
  AND (kind IN ('reply_failed', 'reply_bounced') AND subject_id = ANY (%(messages)s) OR strpos(lower(detail), %(address)s) > 0)

-- name: erase_outbox
DELETE FROM outbox
WHERE tenant_id = %(tenant_id)s AND ((payload ->> 'message_id')::bigint = ANY (%(messages)s) OR strpos(lower(payload::text), %(address)s) > 0)

-- name: erase_bounces
DELETE FROM bounces
WHERE tenant_id = %(tenant_id)s AND (inbound_id = ANY (%(inbound)s) OR message_id = ANY (%(messages)s))

-- name: erase_files
DELETE FROM attachments WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(messages)s)

-- name: erase_messages
DELETE FROM messages WHERE tenant_id = %(tenant_id)s AND id = ANY (%(messages)s)

-- name: erase_people
DELETE FROM participants WHERE tenant_id = %(tenant_id)s AND address = %(address)s

-- name: unfollow
UPDATE tickets SET follows_ticket_id = NULL WHERE tenant_id = %(tenant_id)s AND follows_ticket_id = ANY (%(tickets)s)

-- name: erase_tickets
DELETE FROM tickets WHERE tenant_id = %(tenant_id)s AND id = ANY (%(tickets)s)
RETURNING ticket_number

-- name: forget_requester
UPDATE tickets
SET requester_name = '', requester_address = '', requester_rule = 'erased', requester_claimed = false, requester_evidence = '[]',
    updated_at = now()
WHERE tenant_id = %(tenant_id)s AND lower(requester_address) = %(address)s
RETURNING id, ticket_number

-- name: erase_inbound
UPDATE inbound
SET state = 'erased', reason = 'erased for good', storage_key = NULL, storage_offset = NULL, storage_length = NULL, detached_bytes = NULL,
    detached_offsets = NULL, message_id_header = NULL,
    content_hash = NULL, from_address = NULL, subject = NULL, evidence = NULL, mail_rules = NULL, reading = NULL, body_text = NULL, body_new = NULL,
    body_html = NULL, message_id = NULL, provider_thread_id = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = ANY (%(inbound)s)

-- name: add_erasure
INSERT INTO erasures (tenant_id, address_hash, made_by, counts, ticket_numbers, message_ids)
VALUES (%(tenant_id)s, %(address_hash)s, %(by)s, %(counts)s, %(ticket_numbers)s, %(message_ids)s)
RETURNING id

-- name: erase_tenant
-- One statement: what refers to what is looked at when all of it is gone.
WITH messages_ AS (DELETE FROM messages WHERE tenant_id = %(tenant_id)s RETURNING 1),
     references_ AS (DELETE FROM message_references r USING inboxes i WHERE i.id = r.inbox_id AND i.tenant_id = %(tenant_id)s),
     attachments_ AS (DELETE FROM attachments WHERE tenant_id = %(tenant_id)s RETURNING 1),
     bounces_ AS (DELETE FROM bounces WHERE tenant_id = %(tenant_id)s),
     participants_ AS (DELETE FROM participants WHERE tenant_id = %(tenant_id)s),
     corrections_ AS (DELETE FROM corrections WHERE tenant_id = %(tenant_id)s),
     changes_ AS (DELETE FROM replay_changes WHERE tenant_id = %(tenant_id)s),
     replays_ AS (DELETE FROM replays WHERE tenant_id = %(tenant_id)s),
     certificates_ AS (DELETE FROM certificates WHERE tenant_id = %(tenant_id)s),
     erasures_ AS (DELETE FROM erasures WHERE tenant_id = %(tenant_id)s),
     rules_ AS (DELETE FROM mail_rule_sets WHERE tenant_id = %(tenant_id)s),
     looks_ AS (DELETE FROM inbox_looks WHERE tenant_id = %(tenant_id)s),
     canaries_ AS (DELETE FROM canaries WHERE tenant_id = %(tenant_id)s),
     notices_ AS (DELETE FROM notices WHERE tenant_id = %(tenant_id)s),
     channels_ AS (DELETE FROM notify_channels WHERE tenant_id = %(tenant_id)s),
     links_ AS (DELETE FROM login_links WHERE tenant_id = %(tenant_id)s),
     sessions_ AS (DELETE FROM page_sessions WHERE tenant_id = %(tenant_id)s),
     keys_ AS (DELETE FROM api_keys WHERE tenant_id = %(tenant_id)s),
     outbox_ AS (DELETE FROM outbox WHERE tenant_id = %(tenant_id)s),
     tickets_ AS (DELETE FROM tickets WHERE tenant_id = %(tenant_id)s RETURNING 1),
     inbound_ AS (DELETE FROM inbound WHERE tenant_id = %(tenant_id)s RETURNING 1),
     inboxes_ AS (DELETE FROM inboxes WHERE tenant_id = %(tenant_id)s RETURNING 1),
     tenant_ AS (DELETE FROM tenants WHERE id = %(tenant_id)s)
SELECT (SELECT count(*) FROM inboxes_) AS inboxes, (SELECT count(*) FROM tickets_) AS tickets, (SELECT count(*) FROM messages_) AS messages,
       (SELECT count(*) FROM inbound_) AS mails, (SELECT count(*) FROM attachments_) AS files
