-- name: console_inboxes
-- Every inbox of a cell that may be seen, with how it stands; the counts come from partial indexes of unfinished work, not from the mail.
WITH unfiled AS (
    SELECT inbox_id, count(*) AS unfiled, extract(epoch FROM now() - min(created_at))::float8 AS waiting,
           min(updated_at) < now() - interval '30 minutes' AS stands -- longer than any of its tasks takes
    FROM inbound WHERE state IN ('stored', 'classified') GROUP BY inbox_id
), parked AS (
    SELECT inbox_id, count(*) AS parked FROM inbound WHERE state = 'parked' GROUP BY inbox_id
), shown AS (
    SELECT i.id, t.slug AS tenant, i.name, i.email_address, i.connection_type AS kind,
           CASE WHEN i.connected_at IS NULL THEN 'disconnected' WHEN i.paused_at IS NOT NULL THEN 'paused' ELSE 'connected' END AS state,
           greatest(i.last_fetch_at, l.looked_at) AS looked_at, l.result AS look_result, i.last_error, i.last_error_kind, i.last_error_at, coalesce(u.unfiled, 0) AS unfiled, coalesce(p.parked, 0) AS parked,
           greatest(u.waiting, CASE WHEN i.connected_at IS NOT NULL AND i.paused_at IS NULL
                                    THEN extract(epoch FROM now() - coalesce(i.last_fetch_at, i.connected_at))::float8 END) AS lag,
           CASE WHEN i.connection_type = 'imap' THEN CASE WHEN i.idle_seen_at > now() - interval '3 minutes' THEN 'idle' ELSE 'polled' END
                WHEN i.connection_type = 'jmap' THEN 'polled'
                WHEN i.push_error IS NOT NULL THEN 'failed' WHEN i.push_missed_in_row > 0 THEN 'silent'
                WHEN i.push_registered_at IS NOT NULL
                      AND coalesce(i.gmail_watch_expires_at, i.graph_subscription_expires_at) > now() THEN 'push' ELSE 'polled' END AS push,
           CASE WHEN u.stands THEN 'not_filed'
                WHEN i.connected_at IS NOT NULL AND i.paused_at IS NULL AND coalesce(i.idle_seen_at < now() - interval '3 minutes', true)
                     AND greatest(i.last_fetch_at, l.looked_at, i.connected_at, i.resumed_at) < now() - greatest(interval '2 hours', 3 * %(every)s)
                     THEN 'not_read' END AS stands,
           CASE WHEN c.state NOT IN ('back', 'back_late') THEN c.state END AS canary,
           f.name || CASE WHEN f.removed_at IS NULL THEN '' ELSE ' (removed)' END AS canary_from
    FROM inboxes i JOIN tenants t ON t.id = i.tenant_id LEFT JOIN unfiled u ON u.inbox_id = i.id LEFT JOIN parked p ON p.inbox_id = i.id
    LEFT JOIN inboxes f ON f.id = i.canary_from_id
    LEFT JOIN LATERAL ( -- the last of which anything is known
        SELECT state FROM canary_states s WHERE s.inbox_id = i.id AND i.canary_minutes IS NOT NULL AND s.state NOT IN ('being_sent', 'on_its_way')
        ORDER BY s.id DESC LIMIT 1
    ) c ON true
    LEFT JOIN inbox_looks l ON l.inbox_id = i.id
    WHERE i.removed_at IS NULL AND (%(cell)s::text IS NULL OR t.cell = %(cell)s) AND (%(ids)s::bigint[] IS NULL OR i.id = ANY (%(ids)s))
)
SELECT s.*, count(*) OVER () AS total
FROM shown s
WHERE (%(q)s::text = '' OR strpos(lower(s.tenant || ' ' || s.name || ' ' || s.email_address), lower(%(q)s)) > 0)
  AND (%(state)s::text = '' OR s.state = %(state)s)
  AND (%(kind)s::text = '' OR s.kind = %(kind)s)
  AND (NOT %(trouble)s OR s.last_error IS NOT NULL OR s.parked > 0 OR s.push IN ('failed', 'silent') OR s.canary IS NOT NULL
       OR s.stands IS NOT NULL)
ORDER BY
    CASE WHEN NOT %(down)s THEN CASE %(sort)s WHEN 'tenant' THEN s.tenant WHEN 'name' THEN s.name WHEN 'kind' THEN s.kind
                                              WHEN 'state' THEN s.state WHEN 'push' THEN s.push END END,
    CASE WHEN %(down)s THEN CASE %(sort)s WHEN 'tenant' THEN s.tenant WHEN 'name' THEN s.name WHEN 'kind' THEN s.kind
                                          WHEN 'state' THEN s.state WHEN 'push' THEN s.push END END DESC,
    CASE %(sort)s WHEN 'lag' THEN s.lag WHEN 'parked' THEN s.parked WHEN 'seen' THEN extract(epoch FROM s.looked_at)
    END * CASE WHEN %(down)s THEN -1 ELSE 1 END NULLS LAST,
    s.id
LIMIT %(limit)s OFFSET %(offset)s

-- name: console_rates
-- Mails of the last day, of the inboxes on one page.
SELECT inbox_id, count(*) FROM inbound
WHERE created_at > now() - interval '1 day' AND inbox_id = ANY (%(ids)s) GROUP BY inbox_id

-- name: console_outbox
SELECT kind, count(*), extract(epoch FROM now() - min(available_at))::float8 AS waiting
FROM outbox WHERE done_at IS NULL AND available_at <= now() GROUP BY kind ORDER BY kind

-- name: console_came
-- What a run took in or filed, by when its rows were written: an inbox has one run at a time.
SELECT b.id, b.state, b.reason, b.received_at, b.created_at, b.from_address, b.subject, b.verdict, b.rule, b.evidence, b.size_bytes,
       b.storage_key, b.message_id, m.placed_by, m.ticket_id, t.ticket_number,
       (SELECT count(*) FROM attachments a WHERE a.message_id = m.id) AS files,
       coalesce(e.events, 0) AS events,
       (SELECT r.send_status FROM messages r WHERE r.auto_response_to_ticket_id = t.id AND t.created_at >= b.created_at - interval '1 day'
        LIMIT 1) AS auto_response
FROM inbound b LEFT JOIN messages m ON m.id = b.message_id AND m.inbound_id = b.id LEFT JOIN tickets t ON t.id = m.ticket_id
LEFT JOIN ( -- an event is written with the message that it tells of
    SELECT (o.payload ->> 'message_id')::bigint AS message_id, count(*) AS events FROM outbox o
    WHERE o.created_at BETWEEN %(since)s AND %(until)s AND o.kind = 'event' AND o.payload ? 'message_id' GROUP BY 1
) e ON e.message_id = m.id
WHERE b.inbox_id = %(inbox_id)s
  AND (b.created_at BETWEEN %(since)s AND %(until)s OR b.updated_at BETWEEN %(since)s AND %(until)s)
ORDER BY b.id
LIMIT %(limit)s

-- name: console_counts
-- Of the last week: an inbox may have millions.
SELECT state, count(*) FROM inbound WHERE inbox_id = %(inbox_id)s AND created_at > now() - interval '7 days' GROUP BY state

-- name: console_aside
SELECT id, state, reason, received_at, from_address, subject, verdict, rule FROM inbound
WHERE inbox_id = %(inbox_id)s AND state IN ('parked', 'refused', 'listed', 'conflict', 'dropped')
ORDER BY id DESC LIMIT %(limit)s
