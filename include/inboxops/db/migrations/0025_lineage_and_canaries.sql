-- Which run and try of its inbox's DAG took a mail in, for whoever follows it. NULL: by hand, or before this was kept.
ALTER TABLE inbound ADD COLUMN fetched_by text;

-- A canary in doubt is told, too, and one that a run is just handing over is in none: it is in doubt where the run kept why it does not know,
-- or where no run can be at it any more.
DROP VIEW canary_conditions;
DROP VIEW canary_states;

-- An inbox may have its canaries deleted from the mailbox once they were recognised there.
ALTER TABLE inboxes ADD COLUMN canary_delete boolean NOT NULL DEFAULT false;
ALTER TABLE canaries
    ADD COLUMN removed text CHECK (removed IN ('trashed', 'deleted', 'gone')), -- out of the mailbox, by us or, gone, by others before
    ADD COLUMN removal_tried_at timestamptz,
    ADD COLUMN removal_error text; -- why it is still there

CREATE VIEW canary_states WITH (security_invoker = true) AS
    SELECT c.*, CASE
        WHEN back_at IS NOT NULL THEN CASE WHEN in_spam_folder THEN 'spam' WHEN back_at > late_at THEN 'back_late' ELSE 'back' END
        WHEN sent_at IS NOT NULL THEN CASE WHEN late_at < now() THEN 'late' ELSE 'on_its_way' END
        WHEN handed_over_at IS NOT NULL AND (error IS NOT NULL OR handed_over_at < now() - interval '10 minutes') THEN 'in_doubt'
        WHEN error IS NOT NULL THEN 'not_sent'
        ELSE 'being_sent'
    END AS state
    FROM canaries c;

-- In the form of `conditions`. ripe: it may be told. A canary is late only for an inbox that was read since, with all its mail filed; once
-- told, it is over when one that was sent as late or later came back to where mail is read, or nobody wishes for canaries any more.
CREATE VIEW canary_conditions WITH (security_invoker = true) AS
    SELECT c.tenant_id, 'canary_late' AS kind, c.inbox_id AS subject_id, c.inbox_id,
           'a canary from ' || s.email_address || ', sent ' || to_char(c.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
               || ' UTC with the subject "InboxOps canary c' || c.id || '-..."'
               || CASE c.state WHEN 'spam' THEN ', came back in the spam folder' ELSE ', is not back' END AS detail,
           NULL::timestamptz AS since,
           i.connected_at IS NOT NULL AND i.paused_at IS NULL AND i.last_error IS NULL AND (c.state = 'spam' OR i.last_fetch_at > c.late_at)
               AND NOT EXISTS (SELECT FROM inbound b WHERE b.inbox_id = i.id AND b.state IN ('stored', 'classified')) AS ripe
    FROM inboxes i
    CROSS JOIN LATERAL (SELECT * FROM canary_states c WHERE c.inbox_id = i.id AND c.state IN ('late', 'spam', 'back', 'back_late')
                          AND c.sent_at IS NOT NULL ORDER BY c.sent_at DESC, c.id DESC LIMIT 1) c
    JOIN inboxes s ON s.id = c.sender_id
    WHERE i.removed_at IS NULL AND i.canary_minutes IS NOT NULL AND c.state IN ('late', 'spam')
    UNION ALL
    SELECT c.tenant_id, 'canary_' || c.state, c.inbox_id, c.inbox_id,
           'from ' || s.email_address || ': ' || coalesce(c.error, 'the run that sent it ended at the last step'), NULL, true
    FROM inboxes i
    CROSS JOIN LATERAL (SELECT * FROM canary_states c WHERE c.inbox_id = i.id AND c.state <> 'being_sent' ORDER BY c.id DESC LIMIT 1) c
    JOIN inboxes s ON s.id = c.sender_id
    WHERE i.removed_at IS NULL AND i.canary_minutes IS NOT NULL AND c.state IN ('not_sent', 'in_doubt');

CREATE OR REPLACE FUNCTION canary_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT 'canaries', jsonb_build_object('state', s.state), count(c.id)::float8
        FROM unnest(ARRAY['being_sent', 'not_sent', 'in_doubt', 'on_its_way', 'late', 'back', 'back_late', 'spam']) AS s (state)
        LEFT JOIN canary_states c ON c.state = s.state AND c.made_at > now() - interval '1 day'
        GROUP BY 2
        UNION ALL
        SELECT k.kind || '_inboxes', '{}', count(c.kind)
        FROM unnest(ARRAY['canary_late', 'canary_not_sent', 'canary_in_doubt']) AS k (kind)
        LEFT JOIN canary_conditions c ON c.kind = k.kind
        GROUP BY 1
    $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT ON canary_states TO inboxops_api;
    END IF;
END
$$;
