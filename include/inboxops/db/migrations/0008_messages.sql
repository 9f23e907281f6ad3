-- Most messages have neither key: an index that leaves them out is a tenth as large. And an index that begins with the tenant and is
-- no help beyond it was what PostgreSQL took, before it had counted anything, to check that an attachment's message exists: it
-- went through all messages of the tenant.
ALTER TABLE messages DROP CONSTRAINT messages_tenant_id_idempotency_key_key;
CREATE UNIQUE INDEX messages_by_idempotency_key ON messages (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
ALTER TABLE messages DROP CONSTRAINT messages_auto_response_to_ticket_id_key;
CREATE UNIQUE INDEX messages_one_auto_response ON messages (auto_response_to_ticket_id) WHERE auto_response_to_ticket_id IS NOT NULL;
-- (tenant_id, ticket_id) is checked as well, and says more.
ALTER TABLE messages DROP CONSTRAINT messages_ticket_id_fkey;
