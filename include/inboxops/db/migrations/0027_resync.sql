-- From when on an inbox is to be compared with its mailbox once more; what no row knows is taken in then, and the wish is over.
ALTER TABLE inboxes ADD COLUMN resync_since timestamptz;
