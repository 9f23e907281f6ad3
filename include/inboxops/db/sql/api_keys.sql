-- name: add_api_key
INSERT INTO api_keys (tenant_id, name, prefix, key_hash, role)
VALUES (%(tenant_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(role)s)
RETURNING id

-- name: key_of_name
SELECT id FROM api_keys
WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND role = %(role)s AND revoked_at IS NULL
ORDER BY id LIMIT 1

-- name: add_login_link
INSERT INTO login_links (tenant_id, api_key_id, link_hash, expires_at)
VALUES (%(tenant_id)s, %(key_id)s, %(link_hash)s, now() + make_interval(mins => %(minutes)s))

-- name: use_login_link
SELECT id, tenant_id, name, role, prefix FROM use_login_link(%(link_hash)s)

-- name: add_session
INSERT INTO page_sessions (tenant_id, api_key_id, token_hash, expires_at)
VALUES (%(tenant_id)s, %(key_id)s, %(token_hash)s, now() + make_interval(secs => %(seconds)s))

-- name: find_session
SELECT id, tenant_id, name, role, prefix FROM session_key(%(token_hash)s)

-- name: end_session
DELETE FROM page_sessions WHERE token_hash = %(token_hash)s

-- name: api_keys
SELECT t.slug AS tenant, k.prefix, k.name, k.role, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE %(tenant)s::text IS NULL OR t.slug = %(tenant)s
ORDER BY k.id DESC

-- name: revoke_api_key
WITH ended AS (
    DELETE FROM page_sessions s USING api_keys k WHERE k.id = s.api_key_id AND k.prefix = %(prefix)s
)
UPDATE api_keys SET revoked_at = now() WHERE prefix = %(prefix)s AND revoked_at IS NULL

-- name: find_api_key
SELECT id, tenant_id, name, role, key_hash, %(prefix)s AS prefix FROM api_key(%(prefix)s)

-- name: note_api_key_use
UPDATE api_keys SET last_used_at = now()
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
