-- By what a folder is known that is put back to a snapshot under its old UIDVALIDITY: UIDs that were read name other mail from then on.
ALTER TABLE inboxes
    ADD COLUMN imap_last_seen text, -- UID, size in bytes and arrival time (seconds since the epoch) of the last message that was read
    ADD COLUMN imap_went_back boolean; -- seen once so far: it may be a replica that lags behind

-- When what holds mailboxes in IDLE last said which; NULL: never yet.
ALTER TABLE pulse ADD COLUMN idle_at timestamptz;
