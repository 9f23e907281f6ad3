-- Push: how each inbox's channel stands, and the webhooks' narrow way in, which have no tenant to see rows of.

ALTER TABLE inboxes
    ADD COLUMN push_registered_at timestamptz, -- when the present channel was made; renewals leave it alone
    ADD COLUMN push_last_at timestamptz,       -- last push, as far as a few seconds matter
    ADD COLUMN push_missed_at timestamptz,     -- arrival of the last mail that a poll found although no push came
    ADD COLUMN push_missed_in_row integer NOT NULL DEFAULT 0,
    ADD COLUMN push_error text;                -- why the last registration failed

CREATE INDEX inboxes_by_gmail_address ON inboxes (lower(email_address)) WHERE connection_type = 'gmail';

-- Pub/Sub delivers at least once: what is here was stored before. A token is good for an hour, so are these.
CREATE TABLE push_receipts (
    receipt text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX push_receipts_by_age ON push_receipts (seen_at);
ALTER TABLE push_receipts ENABLE ROW LEVEL SECURITY; -- without a policy: the API's role sees none

-- One open errand of each kind an inbox: what comes meanwhile is part of it.
ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('event', 'send', 'wake', 'register'));
UPDATE outbox o SET done_at = now()
WHERE kind = 'wake' AND done_at IS NULL
  AND EXISTS (SELECT FROM outbox p WHERE p.kind = 'wake' AND p.name = o.name AND p.done_at IS NULL AND p.id < o.id);
CREATE UNIQUE INDEX outbox_errands ON outbox (kind, name) WHERE kind IN ('wake', 'register') AND done_at IS NULL;

-- Whose mailbox a Gmail address is, in whichever tenant.
CREATE FUNCTION gmail_listeners(addresses text[]) RETURNS TABLE (key text, inbox_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT lower(email_address), id FROM inboxes
        WHERE connection_type = 'gmail' AND lower(email_address) = ANY (addresses)
          AND removed_at IS NULL AND connected_at IS NOT NULL
    $$;

-- Whose subscription it is, and what its secret hashes to.
CREATE FUNCTION graph_listeners(subscriptions text[]) RETURNS TABLE (key text, inbox_id bigint, client_state_hash bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT graph_subscription_id, id, graph_client_state_hash FROM inboxes
        WHERE graph_subscription_id = ANY (subscriptions) AND graph_client_state_hash IS NOT NULL
          AND removed_at IS NULL AND connected_at IS NOT NULL
    $$;

-- Stores genuine pushes: [{"receipt": text or null, "of_mail": boolean, "errands": [{"kind": ..., "inbox_id": ...}]}].
-- Answers the errands that are open because of them. Whoever stored them delivers them, so the drain leaves them alone for
-- `grace`; an errand that is just being delivered opens again, because its delivery may have come too early for this push.
CREATE FUNCTION store_pushes(pushes jsonb, grace interval)
    RETURNS TABLE (kind text, inbox_id bigint, tenant_id bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        fresh text[];
        heard bigint[];
    BEGIN
        WITH stored AS (
            INSERT INTO push_receipts (receipt)
            SELECT DISTINCT p->>'receipt' FROM jsonb_array_elements(pushes) p WHERE p->>'receipt' IS NOT NULL ORDER BY 1
            ON CONFLICT DO NOTHING
            RETURNING receipt
        )
        SELECT coalesce(array_agg(receipt), '{}') INTO fresh FROM stored;

        SELECT array_agg(DISTINCT (e->>'inbox_id')::bigint) INTO heard
        FROM jsonb_array_elements(pushes) p CROSS JOIN jsonb_array_elements(p->'errands') e
        WHERE (p->>'of_mail')::boolean AND (p->>'receipt' IS NULL OR p->>'receipt' = ANY (fresh));

        -- Who holds the row just now is not waited for: the next push notes it.
        UPDATE inboxes SET push_last_at = now(), push_missed_in_row = 0
        WHERE id IN (
            SELECT id FROM inboxes
            WHERE id = ANY (heard)
              AND (push_last_at IS NULL OR push_last_at < now() - interval '5 seconds' OR push_missed_in_row > 0)
            FOR NO KEY UPDATE SKIP LOCKED
        );

        RETURN QUERY
        WITH wanted AS (
            SELECT DISTINCT e->>'kind' AS kind, i.id, i.tenant_id
            FROM jsonb_array_elements(pushes) p CROSS JOIN jsonb_array_elements(p->'errands') e
            JOIN inboxes i ON i.id = (e->>'inbox_id')::bigint
            WHERE (p->>'receipt' IS NULL OR p->>'receipt' = ANY (fresh))
              AND e->>'kind' IN ('wake', 'register')
              AND i.connected_at IS NOT NULL AND i.paused_at IS NULL AND i.removed_at IS NULL
        ), stored AS (
            INSERT INTO outbox (tenant_id, kind, name, available_at)
            SELECT w.tenant_id, w.kind, w.id::text, now() + grace FROM wanted w ORDER BY w.kind, w.id
            ON CONFLICT (kind, name) WHERE kind IN ('wake', 'register') AND done_at IS NULL
            DO UPDATE SET payload = '{}', available_at = now() + grace WHERE outbox.payload <> '{}'
        )
        SELECT w.kind, w.id, w.tenant_id FROM wanted w;
    END
    $$;

REVOKE EXECUTE ON FUNCTION gmail_listeners(text[]), graph_listeners(text[]), store_pushes(jsonb, interval) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION gmail_listeners(text[]), graph_listeners(text[]), store_pushes(jsonb, interval)
            TO inboxops_api;
    END IF;
END $$;
