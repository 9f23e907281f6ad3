-- name: gmail_listeners
SELECT key, inbox_id FROM gmail_listeners(%(addresses)s)

-- name: graph_listeners
SELECT key, inbox_id, client_state_hash FROM graph_listeners(%(subscriptions)s)

-- name: store_pushes
SELECT kind, inbox_id, tenant_id FROM store_pushes(%(pushes)s, make_interval(secs => %(grace)s))

-- name: forget_push_receipts
DELETE FROM push_receipts WHERE seen_at < now() - make_interval(hours => %(hours)s)

-- name: push_channels
SELECT id AS inbox_id, connection_type, push_registered_at AS registered_at,
       CASE connection_type WHEN 'gmail' THEN gmail_watch_expires_at ELSE graph_subscription_expires_at END AS expires_at,
       push_last_at AS last_push_at, push_missed_at AS missed_at, push_missed_in_row AS missed_in_row, push_error AS error
FROM inboxes
WHERE id = ANY (%(ids)s)
ORDER BY id

-- name: lock_channel
SELECT tenant_id FROM inboxes WHERE id = %(id)s FOR NO KEY UPDATE

-- name: push_subscription
SELECT graph_subscription_id FROM inboxes WHERE id = %(id)s

-- name: push_due
-- Those that failed last time come behind the others, so that they keep nobody waiting.
SELECT id FROM (
    SELECT id, push_error, push_missed_in_row,
           CASE connection_type WHEN 'gmail' THEN gmail_watch_expires_at ELSE graph_subscription_expires_at END AS expires_at
    FROM inboxes
    WHERE connection_type = %(connection_type)s AND removed_at IS NULL AND connected_at IS NOT NULL
      AND tenant_id IN (SELECT id FROM tenants WHERE cell = %(cell)s)
) i
WHERE expires_at IS NULL OR expires_at < now() + %(within)s OR push_missed_in_row >= %(suspect_after)s
ORDER BY push_error IS NOT NULL, expires_at, id
LIMIT %(limit)s

-- name: push_registered
UPDATE inboxes
SET gmail_watch_expires_at = CASE connection_type WHEN 'gmail' THEN %(expires_at)s ELSE gmail_watch_expires_at END,
    graph_subscription_id = CASE connection_type WHEN 'microsoft' THEN %(subscription_id)s ELSE graph_subscription_id END,
    graph_subscription_expires_at = CASE connection_type WHEN 'microsoft' THEN %(expires_at)s ELSE graph_subscription_expires_at END,
    graph_client_state_hash = CASE WHEN %(made)s THEN %(client_state_hash)s ELSE graph_client_state_hash END,
    push_registered_at = CASE WHEN %(made)s THEN now() ELSE push_registered_at END,
    push_missed_in_row = CASE WHEN %(made)s THEN 0 ELSE push_missed_in_row END,
    push_error = NULL
WHERE id = %(id)s

-- name: push_failed
UPDATE inboxes SET push_error = %(error)s WHERE id = %(id)s

-- name: push_stopped
UPDATE inboxes
SET gmail_watch_expires_at = NULL, graph_subscription_id = NULL, graph_subscription_expires_at = NULL,
    graph_client_state_hash = NULL, push_registered_at = NULL, push_missed_in_row = 0, push_error = NULL
WHERE id = %(id)s

-- name: settled_arrival
-- What the fetch before has just stored waits for classify, so this looks at nothing else.
SELECT max(received_at) FROM inbound
WHERE inbox_id = %(id)s AND state = 'stored' AND NOT imported AND received_at < now() - %(settled)s

-- name: note_missed_push
UPDATE inboxes SET push_missed_at = %(missed_at)s, push_missed_in_row = push_missed_in_row + 1 WHERE id = %(id)s
