"""What the product does, one story a file. No I/O of their own: everything comes through ports."""
