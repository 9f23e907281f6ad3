"""One machine, one command: what starts every server here, shows a demonstration, and stands in for the clouds."""
