"""InboxOps: mailboxes in, tickets in PostgreSQL, replies out."""

__version__ = "0.1.0"
