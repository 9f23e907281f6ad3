"""The lab: servers for tests, and measurements. Nothing here is needed to run the product."""
