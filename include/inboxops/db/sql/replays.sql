-- name: add_replay
INSERT INTO replays (tenant_id, inbox_id, ticket_id, inbound_id, since, until, asked_by)
VALUES (%(tenant_id)s, %(inbox_id)s, %(ticket_id)s, %(inbound_id)s, %(since)s, %(until)s, %(by)s)
RETURNING id

-- name: replays
SELECT r.id, r.tenant_id, r.inbox_id, i.name AS inbox, r.ticket_id, t.ticket_number, r.inbound_id, r.since, r.until, r.asked_by, r.asked_at,
       r.changed_at, r.state, r.groups, r.report, r.examples, r.done_through, r.problem
FROM replays r LEFT JOIN inboxes i ON i.id = r.inbox_id LEFT JOIN tickets t ON t.id = r.ticket_id
WHERE (%(tenant_id)s::bigint IS NULL OR r.tenant_id = %(tenant_id)s)
  AND (%(inbox_id)s::bigint IS NULL OR r.inbox_id = %(inbox_id)s)
  AND (%(id)s::bigint IS NULL OR r.id = %(id)s)
  AND (%(before_id)s::bigint IS NULL OR r.id < %(before_id)s)
ORDER BY r.id DESC
LIMIT %(limit)s

-- name: replay_done
-- What was changed, by group, and what became of it: mails.
SELECT g AS "group", count(DISTINCT c.inbound_id) AS changed, count(DISTINCT c.inbound_id) FILTER (WHERE c.undone_at IS NOT NULL) AS undone,
       count(DISTINCT c.inbound_id) FILTER (WHERE c.yielded) AS yielded
FROM replay_changes c CROSS JOIN LATERAL unnest(c.groups) AS g
WHERE c.replay_id = %(id)s
GROUP BY g ORDER BY g

-- name: mail_to_show
-- Of mails that a report names, those that are still there. One that is being erased is waited for, and none is erased meanwhile.
SELECT id FROM inbound WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::bigint[]) AND storage_key IS NOT NULL ORDER BY id FOR SHARE

-- name: replay_previewed
UPDATE replays SET state = 'previewed', report = %(report)s, examples = %(examples)s, problem = '', changed_at = now()
WHERE id = %(id)s AND state = 'asked'

-- name: replay_wanted
-- From a state at rest to one that a run works at. Groups are added to those that others asked for, and all begins again for them.
UPDATE replays
SET state = %(state)s, groups = ARRAY(SELECT g FROM unnest(groups || %(groups)s::text[]) AS g GROUP BY g ORDER BY g), done_through = 0,
    problem = '', changed_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND state = ANY (%(from)s::text[])
RETURNING id

-- name: replay_applying
-- Who wants it taken back waits for the slice that is being written, and no other follows.
SELECT id FROM replays WHERE id = %(id)s AND state = 'applying' FOR SHARE

-- name: replay_went_on
-- Of what a run did for other groups than those of now, nothing counts.
UPDATE replays SET done_through = greatest(done_through, %(through)s), changed_at = now()
WHERE id = %(id)s AND state = 'applying' AND groups = %(groups)s::text[]

-- name: replay_ended
UPDATE replays SET state = %(state)s, problem = '', changed_at = now()
WHERE id = %(id)s AND state = %(from)s AND groups = %(groups)s::text[]

-- name: replay_failed
UPDATE replays SET problem = %(problem)s, changed_at = now() WHERE id = %(id)s

-- name: named_for_replay
SELECT CASE
    WHEN %(inbox_id)s::bigint IS NOT NULL
         AND NOT EXISTS (SELECT FROM inboxes WHERE tenant_id = %(tenant_id)s AND id = %(inbox_id)s AND removed_at IS NULL) THEN 'inbox'
    WHEN %(ticket_id)s::bigint IS NOT NULL
         AND NOT EXISTS (SELECT FROM tickets WHERE tenant_id = %(tenant_id)s AND id = %(ticket_id)s) THEN 'ticket'
    WHEN %(inbound_id)s::bigint IS NOT NULL
         AND NOT EXISTS (SELECT FROM inbound WHERE tenant_id = %(tenant_id)s AND id = %(inbound_id)s) THEN 'inbound message'
END AS missing

-- name: mail_to_replay
-- No row is older than its mail, by a day that clocks differ: the index over `created_at` finds the days.
SELECT b.id, b.inbox_id, b.reserved_message_id, b.storage_key, b.storage_offset, b.storage_length, b.size_bytes, b.received_at, b.in_spam_folder,
       b.provider_thread_id, b.detached_offsets, b.imported, b.released
FROM inbound b JOIN inboxes i ON i.id = b.inbox_id AND i.removed_at IS NULL
WHERE b.tenant_id = %(tenant_id)s AND b.id > %(after)s AND b.storage_key IS NOT NULL
  AND b.state IN ('persisted', 'listed', 'dropped', 'conflict', 'parked', 'duplicate')
  AND (%(inbox_id)s::bigint IS NULL OR b.inbox_id = %(inbox_id)s)
  AND (%(inbound_id)s::bigint IS NULL OR b.id = %(inbound_id)s)
  AND (%(ticket_id)s::bigint IS NULL OR b.id IN (SELECT m.inbound_id FROM messages m WHERE m.ticket_id = %(ticket_id)s))
  AND (%(since)s::timestamptz IS NULL OR (b.received_at >= %(since)s AND b.created_at >= %(since)s - interval '1 day'))
  AND (%(until)s::timestamptz IS NULL OR b.received_at < %(until)s)
ORDER BY b.id
LIMIT %(limit)s

-- name: left_out_of_replay
-- What is not read again, and why.
SELECT CASE WHEN b.state = 'erased' THEN 'erased' WHEN b.state = 'refused' THEN 'never taken in' WHEN i.removed_at IS NOT NULL THEN 'of a removed inbox'
       ELSE 'being filed just now' END AS why, count(*)
FROM inbound b JOIN inboxes i ON i.id = b.inbox_id
WHERE b.tenant_id = %(tenant_id)s AND (i.removed_at IS NOT NULL OR b.state IN ('erased', 'refused', 'stored', 'classified'))
  AND (%(inbox_id)s::bigint IS NULL OR b.inbox_id = %(inbox_id)s)
  AND (%(inbound_id)s::bigint IS NULL OR b.id = %(inbound_id)s)
  AND (%(ticket_id)s::bigint IS NULL OR b.id IN (SELECT m.inbound_id FROM messages m WHERE m.ticket_id = %(ticket_id)s))
  AND (%(since)s::timestamptz IS NULL OR (b.received_at >= %(since)s AND b.created_at >= %(since)s - interval '1 day'))
  AND (%(until)s::timestamptz IS NULL OR b.received_at < %(until)s)
GROUP BY 1

-- name: hold_readings
SELECT id FROM inbound WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::bigint[]) ORDER BY id FOR UPDATE

-- name: kept_readings
-- What is stored of mails. A bounce that a person told of names the reply: there is no message of its own.
SELECT b.id, b.inbox_id, b.received_at, b.state, b.reason, b.released, b.verdict AS row_verdict, b.rule AS row_rule, b.ruleset AS row_ruleset,
       b.evidence AS row_evidence, b.mail_rules AS row_mail_rules, b.subject AS row_subject, b.from_address AS row_from_address,
       b.message_id AS row_message_id,
       m.id AS message_id, m.ticket_id, m.type, m.unknown_sender, m.verdict, m.rule, m.ruleset, m.evidence, m.mail_rules, m.customer, m.in_reply_to,
       m.reference_ids, m.omitted_attachments, m.file_marks, m.subject, m.body_text, m.body_new, m.body_html, m.from_name, m.from_address,
       m.recipients, m.sent_date, m.marks, m.authentication,
       t.ticket_number, t.requester_rule, t.follows_ticket_id IS NOT NULL AS follows,
       NOT EXISTS (SELECT FROM messages o WHERE o.ticket_id = m.ticket_id AND o.direction = 'inbound' AND o.id < m.id) AS opened,
       EXISTS (SELECT FROM messages o WHERE o.ticket_id = m.ticket_id AND o.direction = 'outbound' AND o.type <> 'auto_response' AND o.id > m.id)
           AS answered
FROM inbound b
LEFT JOIN messages m ON m.id = b.message_id AND m.inbound_id = b.id LEFT JOIN tickets t ON t.id = m.ticket_id
WHERE b.tenant_id = %(tenant_id)s AND b.id = ANY (%(ids)s::bigint[]) AND b.state IN ('persisted', 'listed', 'dropped', 'conflict', 'parked', 'duplicate')

-- name: hold_tickets
-- Who answers in one of them just now is waited for, and who is about to waits.
SELECT id FROM tickets WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::bigint[]) ORDER BY id FOR UPDATE

-- name: written_by_agents
SELECT id, created_at FROM messages
WHERE tenant_id = %(tenant_id)s AND ticket_id = %(ticket_id)s AND direction = 'outbound' AND type <> 'auto_response'
ORDER BY id

-- name: kept_files
SELECT id, message_id, file_name, storage_key, content_type, size_bytes, content_id, inline FROM attachments
WHERE tenant_id = %(tenant_id)s AND message_id = ANY (%(ids)s::bigint[])
ORDER BY id

-- name: corrections_of_mail
-- What people said of mails, and still stands: by the message, by the mail that was set aside, or by what was moved along.
SELECT DISTINCT c.kind, coalesce(x.id, c.message_id) AS message_id, c.inbound_id
FROM corrections c
LEFT JOIN LATERAL (
    SELECT (e ->> 'id')::bigint AS id FROM jsonb_array_elements(c.changes) AS e WHERE e ->> 'table' = 'messages'
) x ON true
WHERE c.tenant_id = %(tenant_id)s AND c.undone_at IS NULL
  AND (c.message_id = ANY (%(messages)s::bigint[]) OR c.inbound_id = ANY (%(inbound)s::bigint[]) OR x.id = ANY (%(messages)s::bigint[]))

-- name: corrected_tickets
-- Tickets of which people said what belongs into them.
SELECT ticket_id, to_ticket_id FROM corrections
WHERE tenant_id = %(tenant_id)s AND undone_at IS NULL AND kind IN ('move', 'split', 'merge')
  AND (ticket_id = ANY (%(ids)s::bigint[]) OR to_ticket_id = ANY (%(ids)s::bigint[]))

-- name: ticket_to_renew
SELECT t.id, t.status, t.subject, t.requester_address, t.requester_rule, t.tags, t.priority, t.queue,
       NOT EXISTS (SELECT FROM messages m WHERE m.ticket_id = t.id AND m.id <> %(message_id)s) AS alone
FROM tickets t WHERE t.tenant_id = %(tenant_id)s AND t.id = %(id)s
FOR UPDATE OF t

-- name: keys_of_files
-- Under which files of a message ever stood.
SELECT storage_key FROM attachments WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s
UNION
SELECT unnest(kept_files) FROM replay_changes WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s

-- name: take_files
DELETE FROM attachments AS a WHERE a.tenant_id = %(tenant_id)s AND a.id = ANY (%(ids)s::bigint[]) RETURNING a.storage_key, to_jsonb(a) AS row

-- name: take_files_by_key
DELETE FROM attachments WHERE tenant_id = %(tenant_id)s AND storage_key = ANY (%(keys)s::text[])

-- name: put_files_back
INSERT INTO attachments OVERRIDING SYSTEM VALUE
SELECT r.* FROM jsonb_array_elements(%(rows)s) AS one CROSS JOIN LATERAL jsonb_populate_record(NULL::attachments, one) AS r
WHERE r.tenant_id = %(tenant_id)s

-- name: refer
INSERT INTO message_references (inbox_id, reference_id, message_id)
SELECT %(inbox_id)s, id, %(message_id)s FROM unnest(%(ids)s::text[]) AS id
ON CONFLICT DO NOTHING
RETURNING reference_id

-- name: unrefer
DELETE FROM message_references WHERE inbox_id = %(inbox_id)s AND message_id = %(message_id)s AND reference_id = ANY (%(ids)s::text[])
RETURNING reference_id

-- name: references_of
SELECT reference_id FROM message_references WHERE inbox_id = %(inbox_id)s AND message_id = %(message_id)s

-- name: unlink_bounce
DELETE FROM bounces WHERE tenant_id = %(tenant_id)s AND inbound_id = %(inbound_id)s RETURNING message_id

-- name: add_replay_change
INSERT INTO replay_changes (tenant_id, replay_id, inbound_id, message_id, inbox_id, groups, kept, kept_files)
VALUES (%(tenant_id)s, %(replay_id)s, %(inbound_id)s, %(message_id)s, %(inbox_id)s, %(groups)s, %(kept)s, %(kept_files)s)

-- name: ticket_numbers
SELECT id, ticket_number FROM tickets WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::bigint[])

-- name: replay_to_file
-- Inboxes that have mail which a replay put in front of the stages.
SELECT DISTINCT inbox_id FROM inbound WHERE tenant_id = %(tenant_id)s AND replay_id = %(id)s AND state IN ('stored', 'classified') ORDER BY 1

-- name: changes_to_undo
-- The newest first: what was built on another goes before it.
SELECT id, inbound_id, message_id, inbox_id, kept, made_at FROM replay_changes
WHERE replay_id = %(id)s AND undone_at IS NULL AND NOT yielded
ORDER BY id DESC
LIMIT %(limit)s

-- name: change_undone
UPDATE replay_changes SET undone_at = CASE WHEN %(yielded)s THEN NULL ELSE now() END, yielded = %(yielded)s,
    kept_files = CASE WHEN %(yielded)s THEN kept_files ELSE '{}' END
WHERE id = %(id)s

-- name: filed_again
-- What became of a mail that a replay had filed, with its ticket's other mail.
SELECT b.state, b.inbox_id, m.id AS message_id, m.ticket_id, m.rule, t.status, t.merged_into_ticket_id IS NOT NULL AS merged,
       EXISTS (SELECT FROM messages o WHERE o.ticket_id = m.ticket_id AND o.id <> m.id) AS in_company
FROM inbound b LEFT JOIN messages m ON m.id = b.message_id AND m.inbound_id = b.id LEFT JOIN tickets t ON t.id = m.ticket_id
WHERE b.tenant_id = %(tenant_id)s AND b.id = %(id)s
FOR UPDATE OF b

-- name: ticket_of_number
SELECT id FROM tickets WHERE tenant_id = %(tenant_id)s AND ticket_number = %(number)s

-- name: ticket_of_message
SELECT ticket_id FROM messages WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: out_of_the_stages
-- Mail that waits to be filed is set aside again: what was read of it goes.
UPDATE inbound SET reading = NULL, body_text = NULL, body_new = NULL, body_html = NULL WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- name: forget_replays
-- Old readings first: from then on nothing can be taken back.
WITH old AS (
    SELECT id FROM replays
    WHERE changed_at < now() - make_interval(days => %(days)s) AND state NOT IN ('applying', 'undoing')
    ORDER BY id LIMIT 100
    FOR UPDATE SKIP LOCKED
)
DELETE FROM replays r USING old WHERE r.id = old.id
