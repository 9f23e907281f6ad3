"""Where bytes are kept: the S3 adapter, and how the raw mail of one batch shares an object."""
