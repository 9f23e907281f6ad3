-- Certificates: that every mail of a day is accounted for, signed, each chained to the one before. Rows are added and never changed.
CREATE TABLE certificates (
    tenant_id bigint NOT NULL REFERENCES tenants,
    number integer NOT NULL CHECK (number > 0), -- counted for each tenant, without a gap
    day date NOT NULL,
    made_at timestamptz NOT NULL,
    body text NOT NULL, -- canonical JSON: what was signed, byte for byte
    digest text NOT NULL, -- SHA-256 of the body, in hex
    signature text NOT NULL,
    mails integer NOT NULL,
    unaccounted jsonb NOT NULL DEFAULT '{}', -- inbox id -> findings that are open
    PRIMARY KEY (tenant_id, number)
);
CREATE INDEX certificates_by_day ON certificates (tenant_id, day, number);

-- From when on the mail of an inbox is to be here: what came before its first cursor may be, as far as the first sync went.
-- Of inboxes that are being read already, from now on.
ALTER TABLE inboxes ADD COLUMN first_read_at timestamptz;
UPDATE inboxes SET first_read_at = now()
WHERE imap_last_uid IS NOT NULL OR gmail_history_id IS NOT NULL OR graph_delta_token IS NOT NULL;
ALTER TABLE inboxes ADD COLUMN certified_until timestamptz;

-- Sizes of the large files that stand apart from a raw mail; NULL where that was not kept.
ALTER TABLE inbound ADD COLUMN detached_bytes bigint[];

-- What an erasure takes out of two series that are counted: numbers that say nothing of anybody.
ALTER TABLE erasures ADD COLUMN ticket_numbers bigint[] NOT NULL DEFAULT '{}', ADD COLUMN message_ids bigint[] NOT NULL DEFAULT '{}';
-- Of erasures until now: the numbers that are missing today.
UPDATE erasures e SET ticket_numbers = ARRAY(
    SELECT n FROM generate_series(1, t.last_ticket_number) AS n
    WHERE NOT EXISTS (SELECT FROM tickets k WHERE k.tenant_id = t.id AND k.ticket_number = n))
FROM tenants t
WHERE t.id = e.tenant_id AND e.id = (SELECT max(x.id) FROM erasures x WHERE x.tenant_id = e.tenant_id);

-- What left within a span of time.
CREATE INDEX messages_by_sent ON messages (tenant_id, sent_at) WHERE send_status = 'sent';

ALTER TABLE certificates ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON certificates USING (tenant_id = current_tenant());

-- What the last certificate of a tenant leaves open, in the form of `conditions`.
CREATE VIEW certificate_conditions WITH (security_invoker = true) AS
    SELECT c.tenant_id, 'mail_unaccounted' AS kind, u.key::bigint AS subject_id, u.key::bigint AS inbox_id,
           u.value || ' findings of certificate ' || c.number || ' of ' || c.day AS detail, NULL::timestamptz AS since
    FROM certificates c CROSS JOIN LATERAL jsonb_each_text(c.unaccounted) AS u
    WHERE c.number = (SELECT max(l.number) FROM certificates l WHERE l.tenant_id = c.tenant_id);

-- For monitoring, beside `metrics`: sums and ages over all tenants.
CREATE FUNCTION certificate_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        -- Of the tenant that waits longest, counted from its first cursor where it has none.
        SELECT 'certificate_age_seconds', '{}'::jsonb, coalesce(max(extract(epoch FROM now() - coalesce(l.made_at, i.since))), 0)::float8
        FROM (SELECT tenant_id, min(first_read_at) AS since FROM inboxes
              WHERE removed_at IS NULL AND connected_at IS NOT NULL AND paused_at IS NULL AND first_read_at IS NOT NULL GROUP BY tenant_id) i
        LEFT JOIN LATERAL (SELECT made_at FROM certificates c WHERE c.tenant_id = i.tenant_id ORDER BY number DESC LIMIT 1) l ON true
        UNION ALL
        SELECT 'certificate_findings', '{}', coalesce(sum(u.value::float8), 0)
        FROM tenants t
        CROSS JOIN LATERAL (SELECT unaccounted FROM certificates c WHERE c.tenant_id = t.id ORDER BY number DESC LIMIT 1) l
        CROSS JOIN LATERAL jsonb_each_text(l.unaccounted) AS u
    $$;

DO $$
BEGIN
    REVOKE ALL ON FUNCTION certificate_metrics() FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT ON certificates TO inboxops_api;
        GRANT EXECUTE ON FUNCTION certificate_metrics() TO inboxops_api;
    END IF;
END
$$;
