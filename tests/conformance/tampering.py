"""Past the guards of a ledger, on every database: what its owner can do to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proofgap_store import Ledger
from proofgap_store.dialect import SQLITE, dialect_of
from proofgap_store.engine import connected, execute, rows, transaction

_TRIGGERS = """
SELECT c.relname AS owner, t.tgname AS name FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace('proofgap') AND NOT t.tgisinternal
"""
_SWALLOWING = {True: "RETURN NULL", False: "RAISE EXCEPTION 'no' USING ERRCODE = 'integrity_constraint_violation'"}


@contextmanager
def unguarded(ledger: Ledger) -> Iterator[Any]:
    """Work on the tables without their guards, as their owner can; then put the guards back."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=True):
        away, back = zip(*_guards(connection), strict=True)
        for statement in away:
            execute(connection, statement)
        yield connection
        for statement in back:
            execute(connection, statement)


def _guards(connection: Any) -> Iterator[tuple[str, str]]:
    """Give what takes each guard away, and what puts it back word for word."""
    if dialect_of(connection) is SQLITE:
        for guard in rows(connection, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"):
            yield f"DROP TRIGGER {guard['name']}", guard["sql"]
        return
    for guard in rows(connection, _TRIGGERS):
        alter = f"ALTER TABLE {guard['owner']}"
        yield f"{alter} DISABLE TRIGGER {guard['name']}", f"{alter} ENABLE ALWAYS TRIGGER {guard['name']}"


def sabotage(ledger: Ledger, kind: str, *, swallows: bool) -> None:
    """Put a foreign trigger before the log that refuses events of one type, or swallows them."""
    with connected(ledger._gate.engine) as connection:
        if dialect_of(connection) is SQLITE:
            does = "RAISE(IGNORE)" if swallows else "RAISE(ABORT, 'no')"
            condition = f"json_extract(NEW.payload, '$.type') = '{kind}'"
            execute(
                connection,
                f"CREATE TRIGGER sabotage BEFORE INSERT ON audit_event WHEN {condition} BEGIN SELECT {does}; END",
            )
            return
        execute(
            connection,
            f"CREATE FUNCTION public.sabotage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_SWALLOWING[swallows]}; END $$",
        )
        condition = f"NEW.payload ->> '$.type' = '{kind}'"
        execute(
            connection,
            f"CREATE TRIGGER sabotage BEFORE INSERT ON audit_event FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION public.sabotage()",
        )
