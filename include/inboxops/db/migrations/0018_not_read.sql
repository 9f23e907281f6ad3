-- An inbox that is not read says why: at once in `last_error`, and to its admins when it lasts.

COMMENT ON COLUMN inboxes.last_error_at IS 'since when, of that kind';

CREATE OR REPLACE VIEW conditions WITH (security_invoker = true) AS
    SELECT tenant_id, 'inbox_disconnected' AS kind, id AS subject_id, id AS inbox_id, last_error AS detail, NULL::timestamptz AS since
    FROM inboxes WHERE removed_at IS NULL AND connected_at IS NULL AND last_error IS NOT NULL
    UNION ALL
    SELECT tenant_id, 'inbox_not_read', id, id, last_error, NULL
    FROM inboxes
    WHERE removed_at IS NULL AND connected_at IS NOT NULL AND paused_at IS NULL AND last_error IS NOT NULL
      AND (last_error_kind <> 'transient' OR last_error_at < now() - interval '15 minutes')
    UNION ALL
    SELECT tenant_id, 'push_failed', id, id, push_error, NULL
    FROM inboxes WHERE removed_at IS NULL AND connected_at IS NOT NULL AND push_error IS NOT NULL
    UNION ALL
    SELECT tenant_id, 'mail_parked', inbox_id, inbox_id, count(*) || ' messages; the last: ' || (array_agg(reason ORDER BY id DESC))[1], NULL
    FROM inbound WHERE state = 'parked' GROUP BY tenant_id, inbox_id
    UNION ALL
    SELECT tenant_id, 'reply_failed', id, inbox_id, coalesce(send_error, 'the mail server may have taken it, or not'), created_at
    FROM messages WHERE send_status IN ('failed', 'unknown')
    UNION ALL
    SELECT m.tenant_id, 'reply_bounced', m.id, m.inbox_id,
           coalesce((SELECT nullif(b.diagnostic, '') FROM bounces b WHERE b.message_id = m.id ORDER BY b.id DESC LIMIT 1), 'it came back'),
           m.bounce_received_at
    FROM messages m WHERE m.bounce_received_at IS NOT NULL;
