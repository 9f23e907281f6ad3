"""How every connection to a server that a tenant may have named is made: where it leads, how long it takes, how much is heard."""
