-- What came within a span of time, and how much in a day: rows are written in the order of time, so an index of a few kilobytes is enough.
CREATE INDEX inbound_by_arrival ON inbound USING brin (created_at, updated_at) WITH (pages_per_range = 16, autosummarize = on);
