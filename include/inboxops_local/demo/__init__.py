"""The demonstration: a mail server of its own, a mailbox with mail that we wrote, and the tenant that reads it."""
