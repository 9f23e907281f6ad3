-- When something went the whole way of a mail for the last time: one row, of no tenant.
CREATE TABLE pulse (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    due_at timestamptz NOT NULL,
    began_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    objects text NOT NULL DEFAULT '', -- "" when it answered, else what it said
    events text NOT NULL DEFAULT ''
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT SELECT ON pulse TO inboxops_api;
    END IF;
END
$$;
