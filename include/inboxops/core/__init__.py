"""Pure: bytes and `now` in, frozen values out. No I/O, no clock, no environment."""
