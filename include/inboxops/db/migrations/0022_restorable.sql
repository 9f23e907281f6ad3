-- pg_restore works with an empty search path. A generated column calls ticket_words, whose text called words_of by a name that was looked
-- up there and not found: no dump of the tickets could be restored. A body that is parsed now keeps the function it means.
CREATE OR REPLACE FUNCTION ticket_words(tenant bigint, number bigint, subject text, name text, address text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_tsvector(string_to_array(
        tenant || '.' || array_to_string(words_of(lower(
            ('#' || number || ' ' || left(subject, 400) || ' ' || left(name, 100) || ' ' || left(address, 200)) COLLATE "pg_c_utf8")),
            ' ' || tenant || '.'), ' '));
