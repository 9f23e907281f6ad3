-- Beside nothing that locks readers out: while the indexes are made, only what writes waits.
-- By what a mail is looked for, as numbers: its ids, and who wrote or got it, in lower case. Numbers keep the index small; a word that
-- happens to have the number of another is told apart by the row.
CREATE FUNCTION trace_marks(words text[], people jsonb) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT coalesce(array_agg(DISTINCT hashtextextended(lower(word), 0)), '{}')
        FROM (SELECT unnest(words) UNION ALL SELECT jsonb_path_query(people, '$.*[*].address') #>> '{}') AS x (word)
        WHERE word <> ''
    $$;
CREATE INDEX messages_by_trace ON messages
    USING gin (trace_marks(ARRAY[message_id_header, message_id_original, wire_message_id, from_address, customer ->> 'address'], recipients));
-- Mail that became a message of its own is found by that.
CREATE INDEX inbound_by_trace ON inbound USING gin (trace_marks(ARRAY[message_id_header, from_address], NULL))
    WHERE message_id IS DISTINCT FROM reserved_message_id AND state NOT IN ('stored', 'classified'); -- in work it is found by its state
