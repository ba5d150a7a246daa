"""How the schema of a ledger came to be, step by step. Alembic finds these by path."""
