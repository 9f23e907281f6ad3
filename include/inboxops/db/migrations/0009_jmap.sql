-- A fourth kind of mailbox.
ALTER TABLE inboxes DROP CONSTRAINT inboxes_connection_type_check;
ALTER TABLE inboxes ADD CONSTRAINT inboxes_connection_type_check CHECK (connection_type IN ('imap', 'gmail', 'microsoft', 'jmap'));
