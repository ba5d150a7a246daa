"""The schema of a ledger: which one is there, whether it is the one that ought to be, and how it comes to be.

Owns migrations, and the comparison of the tables, indexes and triggers that are there with those that the migrations
make. Whoever removes a guard from the file can write past it, so nothing is written while one is missing or a foreign
one is there. Refuses to know what the tables hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from proofgap.errors import ProofgapError
from proofgap_store.engine import Connection, UnavailableError, execute, rows, unavailable
from proofgap_store.migrations.scripts import NAMES, statements
from proofgap_store.sqlite_library import sqlite

REVISION = NAMES[-1].partition("_")[0]
"""The schema that this version of the code works with."""

_SCHEMA = """
SELECT name, type, sql FROM sqlite_master
WHERE sql IS NOT NULL
  AND NOT (type = 'table' AND name IN ('alembic_version', 'sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4'))
"""
_IS_STAMPED = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
Part = tuple[str, str]
"""A part of a schema: its type and its name. A trigger may bear the name of a table."""


class GuardsError(ProofgapError):
    """Guards of the database are missing or foreign; nothing is written until that is declared."""

    def __init__(self, missing: tuple[str, ...], foreign: tuple[str, ...]) -> None:
        """Name the guards."""
        self.missing, self.foreign = missing, foreign
        found = [f"missing or changed: {', '.join(missing)}"] * bool(missing) + [
            f"foreign: {', '.join(foreign)}"
        ] * bool(foreign)
        self.remedy = "Find out who did that; then: proofgap audit declare-gap --reason TEXT."
        super().__init__(
            f"nothing is written while the guards of the ledger are not as they were made ({'; '.join(found)}). "
            f"{self.remedy}"
        )


class Drift(NamedTuple):
    """How a schema differs from the one that ought to be: by name, what is missing or changed, and what is foreign."""

    missing: tuple[str, ...]
    foreign: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.missing or self.foreign)


NO_DRIFT = Drift((), ())


def drift(connection: Connection, upto: str = REVISION) -> Drift:
    """Compare the schema that is there with the one that the migrations make, up to a revision."""
    missing, foreign = _differences(connection, upto)
    return Drift(tuple(sorted(name for _, name in missing)), tuple(sorted(name for _, name in foreign)))


def _differences(connection: Connection, upto: str = REVISION) -> tuple[list[Part], list[Part]]:
    found, expected = _definitions(connection), wanted(upto)
    missing = [part for part in expected if found.get(part) != expected[part]]
    return missing, [part for part in found if part not in expected]


def version(connection: Connection) -> int:
    """Give the number that the database counts up whenever its schema changes."""
    number: int = execute(connection, "PRAGMA schema_version").fetchone()[0]
    return number


def mend(connection: Connection) -> None:
    """Take foreign triggers away and put missing ones back, in the transaction that is open.

    Raises:
        UnavailableError: a table differs, which no statement of ours can put right.

    """
    found, expected = _definitions(connection), wanted()
    missing, foreign = _differences(connection)
    tables = [name for kind, name in (*missing, *foreign) if kind in {"table", "view"}]
    if tables:
        problem = f"its tables are not those that were made: {', '.join(tables)}"
        raise UnavailableError(problem, "Verify it, and go back to a copy of it that verifies.")
    for kind, name in (*foreign, *(part for part in missing if part in found)):
        quoted = name.replace('"', '""')
        execute(connection, f'DROP {kind.upper()} "{quoted}"')
    for part in missing:
        execute(connection, expected[part])


@cache
def wanted(upto: str = REVISION) -> dict[Part, str]:
    """Give the definition of everything in the schema of a ledger of some revision."""
    with closing(sqlite.connect(":memory:")) as connection:
        for name in (name for name in NAMES if name.partition("_")[0] <= upto):
            for statement in statements(name, "sqlite"):
                connection.execute(statement)
        return _definitions(connection)


def _definitions(connection: Connection) -> dict[Part, str]:
    return {(row["type"], row["name"]): row["sql"] for row in rows(connection, _SCHEMA)}


def revision(connection: Connection) -> str | None:
    """Read which schema is there: ``None`` for an empty database.

    Raises:
        UnavailableError: the database holds something that is no ledger.

    """
    if rows(connection, _IS_STAMPED):
        found = rows(connection, "SELECT version_num FROM alembic_version")
        return str(found[0]["version_num"]) if found else None
    if rows(connection, _SCHEMA):
        raise UnavailableError("the database holds something else", "Name a new file, or the file of a ledger.")
    return None


def migrate(engine: Engine, before: str | None) -> None:
    """Bring a schema from one revision to the one of this version: all of it, or nothing.

    Does nothing if another process was faster.
    """
    with _migrating(engine) as connection:
        if revision(connection.connection.driver_connection) == before:
            _run_migrations(connection)


@contextmanager
def _migrating(engine: Engine) -> Iterator[AlchemyConnection]:
    """Hold the write lock for a migration: all of it is there afterwards, or nothing."""
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
    except DBAPIError as error:
        raise unavailable(error) from error


def _run_migrations(connection: AlchemyConnection) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and needed once in a ledger's life
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    command.upgrade(config, "head")
