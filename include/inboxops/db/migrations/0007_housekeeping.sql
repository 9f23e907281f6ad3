-- Housekeeping asks which mail an attachment's key belongs to.
CREATE UNIQUE INDEX inbound_by_reserved_message ON inbound (reserved_message_id);
CREATE INDEX inbound_ended ON inbound (updated_at) WHERE state IN ('listed', 'dropped', 'duplicate');
