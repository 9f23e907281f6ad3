-- What was erased for good. The row of a mail stays without anything of the mail, so that its mailbox can't bring it back.
ALTER TABLE inbound DROP CONSTRAINT inbound_state_check;
ALTER TABLE inbound ADD CONSTRAINT inbound_state_check CHECK (
    state IN ('stored', 'classified', 'persisted', 'duplicate', 'conflict', 'listed', 'dropped', 'parked', 'refused', 'erased'));
ALTER TABLE inbound DROP CONSTRAINT inbound_check;
ALTER TABLE inbound ADD CONSTRAINT inbound_check CHECK (state IN ('refused', 'erased') OR storage_key IS NOT NULL);

CREATE TABLE erasures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    address_hash bytea NOT NULL, -- keyed: it can be compared with an address, and says none
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    counts jsonb NOT NULL
);
CREATE INDEX erasures_by_tenant ON erasures (tenant_id, id DESC);
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON erasures USING (tenant_id = current_tenant());
