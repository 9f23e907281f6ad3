-- Since when looks find mail in a row and no run has fetched any of it; NULL after a look that found none, or failed.
ALTER TABLE inbox_looks ADD COLUMN finding_since timestamptz;

-- The server that is asked for an inbox's mail, with the kind of mailbox: as `core.inbox.Inbox.place`.
CREATE FUNCTION look_place(inbox inboxes) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT inbox.connection_type || ' ' || coalesce(nullif(inbox.connection ->> 'host', ''), substring(inbox.connection ->> 'url' FROM '://([^/:]+)'), '') $$;
