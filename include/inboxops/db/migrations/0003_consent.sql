-- Accounts of Google and Microsoft: `connection` pins who consented.

CREATE INDEX inboxes_by_account ON inboxes ((connection->>'account_id')) WHERE connection ? 'account_id';

-- Whether another inbox, also one of another tenant, lives on the same consent: taking it back would stop that one, too.
-- Tells nothing but yes or no, so that the API's role may ask although it sees one tenant only.
CREATE FUNCTION account_is_shared(asked_id bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT FROM inboxes mine
            JOIN inboxes other ON other.id <> mine.id AND other.connection_type = mine.connection_type
                AND other.connection->>'account_id' = mine.connection->>'account_id'
            WHERE mine.id = asked_id AND other.removed_at IS NULL AND other.credentials_encrypted IS NOT NULL
        )
    $$;
