-- What came within a span of time, how much in a day, the mail that a rule is tried on: rows are written in the order of time, so an index
-- of a few kilobytes is enough.
CREATE INDEX inbound_by_arrival ON inbound USING brin (created_at, updated_at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX outbox_by_time ON outbox USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);
