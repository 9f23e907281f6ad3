-- An inbox that no certificate can account for is told of, however well the tenant's other inboxes are.
ALTER TABLE inboxes
    ADD COLUMN resumed_at timestamptz, -- when a pause ended: nothing was to be asked meanwhile
    ADD COLUMN certify_error text; -- why the last certificate could not ask it; NULL: it did, or nothing was to be asked

-- For 36 hours, as the alert has it: a day's certificate may be half a day late. One that was connected or resumed since has its next one first.
CREATE OR REPLACE VIEW certificate_conditions WITH (security_invoker = true) AS
    SELECT c.tenant_id, 'mail_unaccounted' AS kind, u.key::bigint AS subject_id, u.key::bigint AS inbox_id,
           u.value || ' findings of certificate ' || c.number || ' of ' || c.day AS detail, NULL::timestamptz AS since
    FROM certificates c CROSS JOIN LATERAL jsonb_each_text(c.unaccounted) AS u
    WHERE c.number = (SELECT max(l.number) FROM certificates l WHERE l.tenant_id = c.tenant_id)
    UNION ALL
    SELECT i.tenant_id, 'inbox_not_certified', i.id, i.id,
           coalesce('accounted for to ' || to_char(i.certified_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', 'never accounted for')
               || '; not asked since: ' || i.certify_error, NULL
    FROM inboxes i
    WHERE i.removed_at IS NULL AND i.connected_at IS NOT NULL AND i.paused_at IS NULL AND i.certify_error IS NOT NULL
      AND greatest(i.certified_until, i.first_read_at, i.connected_at, i.resumed_at) < now() - interval '36 hours';

CREATE OR REPLACE FUNCTION certificate_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        -- Of the inbox that waits longest, of those that are read now; counted from its first cursor where it has none.
        SELECT 'certificate_age_seconds', '{}'::jsonb, coalesce(max(extract(epoch FROM now() -
                   greatest(certified_until, first_read_at, connected_at, resumed_at))), 0)::float8
        FROM inboxes
        WHERE removed_at IS NULL AND connected_at IS NOT NULL AND paused_at IS NULL AND first_read_at IS NOT NULL
        UNION ALL
        SELECT 'certificate_findings', '{}', coalesce(sum(u.value::float8), 0)
        FROM tenants t
        CROSS JOIN LATERAL (SELECT unaccounted FROM certificates c WHERE c.tenant_id = t.id ORDER BY number DESC LIMIT 1) l
        CROSS JOIN LATERAL jsonb_each_text(l.unaccounted) AS u
    $$;

-- Of an inbox that is paused, disconnected or not read nothing is said, neither to its admins nor in the figures: it gets no further canary
-- that could end it, or has its own notice.
CREATE OR REPLACE VIEW canary_conditions WITH (security_invoker = true) AS
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
           'from ' || s.email_address || ': ' || coalesce(c.error, 'the run that sent it ended at the last step'), NULL,
           i.connected_at IS NOT NULL AND i.paused_at IS NULL
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
        LEFT JOIN canary_conditions c ON c.kind = k.kind AND c.ripe
        GROUP BY 1
        UNION ALL
        -- Of those of the last day that are back, by the clock of the mailbox.
        SELECT 'canary_back_seconds', jsonb_build_object('quantile', q.q::text), percentile_cont(q.q) WITHIN GROUP (ORDER BY b.seconds)
        FROM (VALUES (0.5::float8), (0.95)) AS q (q), (
            SELECT greatest(extract(epoch FROM back_at - sent_at), 0)::float8 AS seconds
            FROM canaries WHERE made_at > now() - interval '1 day' AND back_at IS NOT NULL AND sent_at IS NOT NULL
        ) b GROUP BY q.q
    $$;
