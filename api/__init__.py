"""HTTP: authenticate, translate, call one story."""
