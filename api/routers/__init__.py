"""One router a file: what people and programs may ask."""
