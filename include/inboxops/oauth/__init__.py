"""Consent and tokens of Google and Microsoft: asked for once in a browser, kept sealed, renewed under a lock."""
