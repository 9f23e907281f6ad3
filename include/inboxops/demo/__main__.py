"""`python -m inboxops.demo`: connect the demonstration inbox, wait until it has been imported, show what became of it."""
