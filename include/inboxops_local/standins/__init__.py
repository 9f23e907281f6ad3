"""Gmail and Microsoft Graph as servers of our own: the wire protocols of the real ones, with mailboxes in memory.

Tests run every story against them, `make run` shows a Gmail and a Microsoft inbox with them, and `inboxops stand-in`
starts one to look at. Everything listens on 127.0.0.1 only. Nothing here is imported by the product itself.
"""
