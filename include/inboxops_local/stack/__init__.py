"""The local stack: every server `make run` needs, under one supervisor."""
