"""Where bytes are kept: the S3 adapter."""
