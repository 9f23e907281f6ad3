"""The mail rules of a tenant: what its admins want done with mail of their choice, after our own rules have judged it."""
