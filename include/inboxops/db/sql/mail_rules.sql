-- name: mail_rules
SELECT version, rules::text FROM mail_rule_sets
WHERE tenant_id = %(tenant_id)s ORDER BY version DESC LIMIT 1

-- name: lock_mail_rules
SELECT pg_advisory_xact_lock(hashtext('inboxops.mail_rules'), mod(%(tenant_id)s, 2147483648)::integer)

-- name: add_mail_rules
INSERT INTO mail_rule_sets (tenant_id, version, rules, change, changed_by)
VALUES (%(tenant_id)s, %(version)s, %(rules)s, %(change)s, %(changed_by)s)

-- name: mail_rules_history
SELECT version, change, changed_by, created_at, rules FROM mail_rule_sets
WHERE tenant_id = %(tenant_id)s AND (%(before)s::integer IS NULL OR version < %(before)s)
ORDER BY version DESC LIMIT %(limit)s

-- name: newest_mail_since
SELECT coalesce(min(x.received_at), now()) FROM (
    SELECT b.received_at FROM inbound b
    WHERE b.tenant_id = %(tenant_id)s AND b.storage_key IS NOT NULL AND b.received_at >= now() - make_interval(days => %(days)s)
      AND b.created_at >= now() - make_interval(days => %(days)s + 1)
    ORDER BY b.received_at DESC LIMIT %(most)s
) AS x

-- name: mail_to_try
-- No row is older than its mail: the index of a few kilobytes over `created_at` finds the days, one a mail would cost each arrival.
SELECT b.id, b.inbox_id, b.state, b.reserved_message_id, b.storage_key, b.storage_offset, b.storage_length, b.size_bytes,
       b.received_at, b.in_spam_folder, b.provider_thread_id, b.imported, b.released, b.detached_offsets, t.id AS ticket_id,
       t.ticket_number
FROM inbound b
LEFT JOIN messages m ON m.id = b.message_id AND b.state = 'persisted' LEFT JOIN tickets t ON t.id = m.ticket_id
WHERE b.tenant_id = %(tenant_id)s AND b.inbox_id = ANY (%(inbox_ids)s::bigint[]) AND b.storage_key IS NOT NULL
  AND b.state <> 'duplicate' AND b.received_at >= now() - make_interval(days => %(days)s)
  AND b.created_at >= now() - make_interval(days => %(days)s + 1)
  AND (%(before_time)s::timestamptz IS NULL OR (b.received_at, b.id) < (%(before_time)s, %(before_id)s))
ORDER BY b.received_at DESC, b.id DESC
LIMIT %(limit)s
