-- Who the customer is, where that is not the sender, and why.
ALTER TABLE messages ADD COLUMN customer jsonb; -- name, address, rule, claimed; NULL when it is the sender
ALTER TABLE tickets ADD COLUMN requester_rule text NOT NULL DEFAULT 'from';
ALTER TABLE tickets ADD COLUMN requester_claimed boolean NOT NULL DEFAULT false; -- a text alone says so
ALTER TABLE tickets ADD COLUMN requester_evidence jsonb NOT NULL DEFAULT '[]';

-- The tenant's people: addresses, and whole domains, in lower case.
ALTER TABLE tenants ADD COLUMN agents text[] NOT NULL DEFAULT '{}';

-- Whether replies end in a signed [ref:...], which finds the ticket where a mail program drops all headers of the thread.
ALTER TABLE inboxes ADD COLUMN body_marker boolean NOT NULL DEFAULT true;
