-- What tells a copy of a mail from another mail under the same Message-ID: a mark of each file's content (`core.copies`). Of older
-- mail nothing is known, so that a file is never taken for one of its own.
ALTER TABLE messages ADD COLUMN file_marks bigint[] NOT NULL DEFAULT '{}';
