-- name: add_upload
INSERT INTO attachments (tenant_id, file_name, storage_key, content_type, size_bytes, uploaded_at)
VALUES (%(tenant_id)s, %(file_name)s, %(storage_key)s, %(content_type)s, %(size_bytes)s, CASE WHEN %(uploaded)s THEN now() END)
RETURNING id

-- name: attachments_by_ids
SELECT id, message_id, file_name, storage_key, content_type, size_bytes FROM attachments
WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::bigint[])

-- name: raw_mail_there
-- Whoever erases it just now is waited for.
SELECT storage_key, detached_offsets FROM inbound
WHERE tenant_id = %(tenant_id)s AND reserved_message_id = %(message_id)s AND storage_key IS NOT NULL
FOR KEY SHARE
