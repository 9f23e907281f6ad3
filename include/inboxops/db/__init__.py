"""PostgreSQL: numbered migrations, named SQL, one store."""
