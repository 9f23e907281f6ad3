-- Mail rules of a tenant: every change is a new version of the whole set, so that what a rule once did stays explained.
CREATE TABLE mail_rule_sets (
    tenant_id bigint NOT NULL REFERENCES tenants,
    version integer NOT NULL CHECK (version > 0),
    rules jsonb NOT NULL,
    change text NOT NULL, -- what was done, in words
    changed_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);
ALTER TABLE mail_rule_sets ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON mail_rule_sets USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());

-- Which rules held, of which version, what they did and on what evidence; NULL when none did.
ALTER TABLE inbound ADD COLUMN mail_rules jsonb;
ALTER TABLE messages ADD COLUMN mail_rules jsonb;

ALTER TABLE tickets ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE tickets ADD COLUMN priority text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent'));
ALTER TABLE tickets ADD COLUMN queue text NOT NULL DEFAULT '';

CREATE FUNCTION labels_joined(tags text[], more text[]) RETURNS text[] LANGUAGE sql IMMUTABLE
    AS $$ SELECT tags || ARRAY(SELECT tag FROM unnest(more) WITH ORDINALITY AS m (tag, place) WHERE NOT tag = ANY (tags) ORDER BY place) $$;

CREATE FUNCTION higher_priority(one text, other text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$
        SELECT CASE WHEN array_position(ranks, one) >= array_position(ranks, other) THEN one ELSE other END
        FROM (SELECT ARRAY['low', 'normal', 'high', 'urgent']) AS r (ranks)
    $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT, INSERT ON mail_rule_sets TO inboxops_api;
    END IF;
END
$$;
