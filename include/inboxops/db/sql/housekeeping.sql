-- name: forget_listed
-- The oldest first, a bounded number in one transaction; what is deleted here leaves its objects to `named_objects`. A person's mail
-- is listed only because a rule of the tenant says so, and rules are wrong at times: it stays until somebody looks at it.
WITH old AS (
    SELECT i.id FROM inbound i
    WHERE i.state IN ('listed', 'dropped', 'duplicate') AND i.updated_at < now() - make_interval(days => %(days)s)
      AND NOT (i.state = 'listed' AND i.verdict = 'human')
      AND NOT EXISTS (SELECT FROM bounces b WHERE b.inbound_id = i.id AND b.message_id IS NOT NULL)
    ORDER BY i.updated_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), unlinked AS (
    DELETE FROM bounces b USING old WHERE b.inbound_id = old.id
), old_readings AS (
    DELETE FROM replay_changes c USING old WHERE c.inbound_id = old.id
)
DELETE FROM inbound i USING old WHERE i.id = old.id
RETURNING i.id

-- name: forget_examples
-- What replays' reports show of mail that went; their counts stay.
UPDATE replays r SET examples = (
    SELECT coalesce(jsonb_object_agg(g.key, g.mails), '{}') FROM (
        SELECT g.key, (SELECT jsonb_agg(e) FROM jsonb_array_elements(g.value) AS e WHERE NOT (e ->> 'inbound_id')::bigint = ANY (%(ids)s::bigint[])) AS mails
        FROM jsonb_each(r.examples) AS g
    ) AS g WHERE g.mails IS NOT NULL
)
WHERE EXISTS (SELECT FROM jsonb_path_query(r.examples, '$.*[*].inbound_id') AS id WHERE id::text::bigint = ANY (%(ids)s::bigint[]))

-- name: forget_uploads
DELETE FROM attachments WHERE message_id IS NULL AND created_at < now() - make_interval(days => %(days)s)

-- name: forget_sessions
DELETE FROM page_sessions WHERE expires_at < now()

-- name: hold_mail
-- Who releases such a mail, or has it read again, waits for the transaction that asks, and then writes its objects anew.
SELECT reserved_message_id, state IN ('stored', 'classified') AS in_work, storage_key IS NOT NULL AS kept FROM inbound
WHERE reserved_message_id = ANY (%(message_ids)s)
FOR UPDATE

-- name: named_objects
SELECT k.key FROM unnest(%(keys)s::text[]) AS k (key)
WHERE EXISTS (SELECT FROM inbound i WHERE i.storage_key = k.key)
   OR EXISTS (SELECT FROM attachments a WHERE a.storage_key = k.key)
   OR EXISTS (SELECT FROM replay_changes c WHERE c.kept_files <> '{}' AND c.kept_files @> ARRAY[k.key])
