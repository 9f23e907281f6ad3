"""Where committed events go."""
