-- name: change_messages
-- A row becomes something else if it still is what is expected; columns that `become` does not name stay as they are.
WITH old AS (
    SELECT m.id, r.become, picked(to_jsonb(m), r.become) AS before
    FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, become jsonb, expect jsonb) JOIN messages m USING (id)
    WHERE m.tenant_id = %(tenant_id)s AND picked(to_jsonb(m), r.expect) = r.expect
    FOR UPDATE OF m
)
UPDATE messages AS m
SET (ticket_id, type, placed_by, verdict, rule, ruleset, evidence, mail_rules, customer, in_reply_to, reference_ids,
     omitted_attachments, file_marks, subject, body_text, body_new, body_html, from_name, from_address, recipients, sent_date,
     marks, authentication) = (
    SELECT n.ticket_id, n.type, n.placed_by, n.verdict, n.rule, n.ruleset, nullif(n.evidence, 'null'), nullif(n.mail_rules,
           'null'), nullif(n.customer, 'null'), n.in_reply_to, n.reference_ids, n.omitted_attachments, n.file_marks, n.subject,
           n.body_text, n.body_new, n.body_html, n.from_name, n.from_address, n.recipients, n.sent_date, n.marks,
           n.authentication
    FROM jsonb_populate_record(m, old.become) AS n
)
FROM old WHERE m.id = old.id
RETURNING m.id, old.before, picked(to_jsonb(m), old.become) AS become

-- name: change_tickets
WITH old AS (
    SELECT t.id, r.become, picked(to_jsonb(t), r.become) AS before
    FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, become jsonb, expect jsonb) JOIN tickets t USING (id)
    WHERE t.tenant_id = %(tenant_id)s AND picked(to_jsonb(t), r.expect) = r.expect
    FOR UPDATE OF t
)
UPDATE tickets AS t
SET (status, closed_at, merged_into_ticket_id, requester_name, requester_address, requester_rule, requester_claimed,
     requester_evidence, subject, normalised_subject, tags, priority, queue) = (
    SELECT n.status, n.closed_at, n.merged_into_ticket_id, n.requester_name, n.requester_address, n.requester_rule,
           n.requester_claimed, n.requester_evidence, n.subject, n.normalised_subject, n.tags, n.priority, n.queue
    FROM jsonb_populate_record(t, old.become) AS n
)
FROM old WHERE t.id = old.id
RETURNING t.id, old.before, picked(to_jsonb(t), old.become) AS become

-- name: change_inbound
WITH old AS (
    SELECT i.id, r.become, picked(to_jsonb(i) - '{reading, body_text, body_new, body_html}'::text[], r.become) AS before
    FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, become jsonb, expect jsonb) JOIN inbound i USING (id)
    WHERE i.tenant_id = %(tenant_id)s AND picked(to_jsonb(i) - '{reading, body_text, body_new, body_html}'::text[], r.expect) = r.expect
      AND i.storage_key IS NOT NULL
    FOR UPDATE OF i
)
UPDATE inbound AS i
SET (state, reason, released, replay_id, message_id, verdict, rule, ruleset, evidence, mail_rules, subject, from_address) = (
    SELECT n.state, n.reason, n.released, n.replay_id, n.message_id, n.verdict, n.rule, n.ruleset, nullif(n.evidence, 'null'),
           nullif(n.mail_rules, 'null'), n.subject, n.from_address
    FROM jsonb_populate_record(i, old.become) AS n
), updated_at = now()
FROM old WHERE i.id = old.id
RETURNING i.id, old.before, picked(to_jsonb(i) - '{reading, body_text, body_new, body_html}'::text[], old.become) AS become

-- name: change_bounces
WITH old AS (
    SELECT b.id, r.become, picked(to_jsonb(b), r.become) AS before
    FROM jsonb_to_recordset(%(rows)s) AS r (id bigint, become jsonb, expect jsonb) JOIN bounces b USING (id)
    WHERE b.tenant_id = %(tenant_id)s AND picked(to_jsonb(b), r.expect) = r.expect
    FOR UPDATE OF b
)
UPDATE bounces AS b
SET message_id = (SELECT n.message_id FROM jsonb_populate_record(b, old.become) AS n)
FROM old WHERE b.id = old.id
RETURNING b.id, old.before, picked(to_jsonb(b), old.become) AS become
