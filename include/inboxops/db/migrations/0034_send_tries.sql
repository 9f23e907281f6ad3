-- Earlier tries of a send, the newest 20: [{attempt, at, status, error}]. The last word of each stands there, what followed does not hide it.
ALTER TABLE messages ADD COLUMN send_tries jsonb NOT NULL DEFAULT '[]';
