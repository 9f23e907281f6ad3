"""Servers that tests and the bench start for themselves: mail servers, certificates, a proxy that can hurt."""
