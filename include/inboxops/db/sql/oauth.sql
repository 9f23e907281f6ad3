-- name: hold_credentials
SELECT pg_advisory_xact_lock(hashtext('inboxops.credentials'), mod(%(inbox_id)s, 2147483648)::integer)

-- name: replace_credentials
UPDATE inboxes SET credentials_encrypted = %(credentials)s, updated_at = now()
WHERE id = %(inbox_id)s AND credentials_encrypted = %(before)s

-- name: forget_credentials
UPDATE inboxes
SET credentials_encrypted = NULL, connected_at = NULL, last_error = NULL, last_error_kind = NULL, last_error_at = NULL,
    updated_at = now()
WHERE id = %(inbox_id)s

-- name: account_is_shared
SELECT account_is_shared(%(inbox_id)s)

-- name: inbox_of_account
SELECT id FROM inboxes
WHERE tenant_id = %(tenant_id)s AND connection_type = %(connection_type)s AND removed_at IS NULL
  AND connection->>'account_id' = %(account_id)s AND coalesce(connection->>'mailbox', '') = %(mailbox)s
ORDER BY id
LIMIT 1
