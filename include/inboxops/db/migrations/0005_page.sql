-- The tickets page: links that log in once, search by words, and lists that stay quick with a million tickets.

CREATE TABLE login_links (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    api_key_id bigint NOT NULL REFERENCES api_keys,
    link_hash bytea NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE login_links ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON login_links USING (tenant_id = current_tenant());

-- Like a key, a link is found before there is a tenant. It works once: the first to come gets the key that it stands for.
CREATE FUNCTION use_login_link(wanted bytea) RETURNS TABLE (id bigint, tenant_id bigint, name text, role text, prefix text)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
    AS $$
        WITH used AS (
            UPDATE login_links l SET used_at = now()
            WHERE l.link_hash = wanted AND l.used_at IS NULL AND l.expires_at > now()
            RETURNING l.api_key_id
        )
        SELECT k.id, k.tenant_id, k.name, k.role, k.prefix FROM used JOIN api_keys k ON k.id = used.api_key_id
        WHERE k.revoked_at IS NULL
    $$;
REVOKE EXECUTE ON FUNCTION use_login_link(bytea) FROM PUBLIC;

-- A text as words in lower case: letters, digits and `#`. Chinese and Japanese are written without spaces: each character counts.
CREATE FUNCTION words_of(words text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT string_to_array(btrim(regexp_replace(
            CASE WHEN words ~ '[\u3040-\u30ff\u3400-\u9fff]' THEN regexp_replace(words, '([\u3040-\u30ff\u3400-\u9fff])', ' \1 ', 'g')
                 ELSE words END COLLATE "pg_c_utf8",
            '[^[:alnum:]#]+', ' ', 'g')), ' ')
    $$;

-- What a ticket is found by. Each word has its tenant in front, so that a search reads the postings of one tenant only; the
-- bounds keep a word below what a lexeme may have.
CREATE FUNCTION ticket_words(tenant bigint, number bigint, subject text, name text, address text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT array_to_tsvector(string_to_array(
            tenant || '.' || array_to_string(words_of(lower(
                ('#' || number || ' ' || left(subject, 400) || ' ' || left(name, 100) || ' ' || left(address, 200)) COLLATE "pg_c_utf8")),
                ' ' || tenant || '.'), ' '))
    $$;

ALTER TABLE tickets ADD COLUMN words tsvector GENERATED ALWAYS AS (
    ticket_words(tenant_id, ticket_number, subject, requester_name, requester_address)
) STORED;
CREATE INDEX tickets_by_words ON tickets USING gin (words);

CREATE INDEX tickets_by_status ON tickets (tenant_id, status, updated_at DESC, id DESC) WHERE merged_into_ticket_id IS NULL;
CREATE INDEX tickets_by_inbox ON tickets (tenant_id, inbox_id, updated_at DESC, id DESC) WHERE merged_into_ticket_id IS NULL;
CREATE INDEX tickets_unread ON tickets (tenant_id, updated_at DESC, id DESC) WHERE unread AND merged_into_ticket_id IS NULL;

-- Tickets that have a word with each beginning in `q`; a number also means the ticket of that number.
-- It runs as the owner and keeps the tenant itself: `@@` may not run below row-level security (it is not leakproof), so under
-- the API's role no search would use its index. Frequent words are found among the newest tickets, at once; rare ones by the
-- index of words. The planner can't be asked which of both it is: it takes every unknown beginning for frequent.
CREATE FUNCTION tickets_with(q text, wanted_status text, wanted_inbox bigint, wanted_unread boolean,
                             before_time timestamptz, before_id bigint, most integer) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET jit = off
    AS $$
        DECLARE
            tenant bigint := current_tenant();
            wanted tsquery := (
                SELECT string_agg(CASE WHEN word ~ '^[0-9]+$' THEN format('(''%1$s.%2$s'':* | ''%1$s.#%2$s'')', tenant, word)
                                       WHEN word ~ '^#[0-9]+$' THEN format('''%s.%s''', tenant, word)
                                       ELSE format('''%s.%s'':*', tenant, word) END, ' & ')
                FROM unnest(words_of(lower(q COLLATE "pg_c_utf8"))) AS word WHERE word <> ''
            )::tsquery;
            filters text := 't.tenant_id = $1 AND t.merged_into_ticket_id IS NULL'
                || CASE WHEN wanted_status IS NOT NULL THEN ' AND t.status = $2' ELSE '' END
                || CASE WHEN wanted_inbox IS NOT NULL THEN ' AND t.inbox_id = $3' ELSE '' END
                || CASE wanted_unread WHEN true THEN ' AND t.unread' WHEN false THEN ' AND NOT t.unread' ELSE '' END
                || CASE WHEN before_time IS NOT NULL THEN ' AND (t.updated_at, t.id) < ($4, $5)' ELSE '' END;
            found bigint[];
        BEGIN
            IF wanted IS NULL OR tenant IS NULL THEN
                RETURN '{}';
            END IF;
            EXECUTE 'SELECT array_agg(id) FROM (SELECT id FROM (SELECT t.id, t.words FROM tickets t WHERE ' || filters
                || ' ORDER BY t.updated_at DESC, t.id DESC LIMIT 10000) newest WHERE words @@ $6 LIMIT $7) first'
                INTO found USING tenant, wanted_status, wanted_inbox, before_time, before_id, wanted, most;
            IF cardinality(found) = most THEN
                RETURN found;
            END IF;
            EXECUTE 'WITH every AS MATERIALIZED (SELECT t.id, t.updated_at FROM tickets t WHERE ' || filters || ' AND t.words @@ $6)'
                || ' SELECT array_agg(id) FROM (SELECT id FROM every ORDER BY updated_at DESC, id DESC LIMIT $7) first'
                INTO found USING tenant, wanted_status, wanted_inbox, before_time, before_id, wanted, most;
            RETURN coalesce(found, '{}');
        END
    $$;
REVOKE EXECUTE ON FUNCTION tickets_with(text, text, bigint, boolean, timestamptz, bigint, integer) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inboxops_api') THEN
        GRANT EXECUTE ON FUNCTION use_login_link(bytea) TO inboxops_api;
        GRANT EXECUTE ON FUNCTION tickets_with(text, text, bigint, boolean, timestamptz, bigint, integer) TO inboxops_api;
    END IF;
END $$;
