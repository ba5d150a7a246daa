"""The schema of a ledger: which one is there, whether it is the one that ought to be, and how it comes to be.

Owns migrations, and the comparison of the tables, indexes and triggers that are there with those that the migrations
make. Whoever removes a guard from the file can write past it, so nothing is written while one is missing or a foreign
one is there. Refuses to know what the tables hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from proofgap.errors import ProofgapError
from proofgap_store import catalog_postgresql, catalog_sqlite
from proofgap_store.catalog import Catalog, Part
from proofgap_store.dialect import Connection, Statement, dialect_of
from proofgap_store.engine import UnavailableError, dialect_for, execute, rows, unavailable
from proofgap_store.migrations.scripts import NAMES
from proofgap_store.read import LAW

REVISION = NAMES[-1].partition("_")[0]
"""The schema that this version of the code works with."""

_CATALOGS = {"sqlite": catalog_sqlite.CATALOG, "postgresql": catalog_postgresql.CATALOG}
_ORDER = ("CREATE OR REPLACE", "CREATE", "ALTER")  # a trigger needs its function, and is switched on when it is there


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
    return Drift(tuple(sorted(part.name for part in missing)), tuple(sorted(part.name for part in foreign)))


def _differences(connection: Connection, upto: str = REVISION) -> tuple[list[Part], list[Part]]:
    catalog = _catalog(connection)
    found, expected = catalog.parts(connection), catalog.wanted(upto)
    missing = [part for part in expected if part not in found or found[part].definition != expected[part]]
    return missing, [part for part in found if part not in expected]


def asking_version(connection: Connection) -> Statement:
    """Give the statement that gives the number that changes whenever the schema does."""
    return _catalog(connection).version, {}


def asking_standing(connection: Connection) -> Statement:
    """Give the statement that gives that number, and the one of the law, as both stand."""
    return f"SELECT ({_catalog(connection).version}) AS version, ({LAW[0]}) AS law", {}


def version(connection: Connection) -> int:
    """Give that number."""
    number: int = execute(connection, *asking_version(connection)).fetchone()[0]
    return number


def mend(connection: Connection) -> None:
    """Take foreign triggers away and put missing ones back, in the transaction that is open.

    Raises:
        UnavailableError: a table differs, which no statement of ours can put right.

    """
    catalog = _catalog(connection)
    parts, (missing, foreign) = catalog.parts(connection), _differences(connection)
    again = {part: catalog.statements(part) for part in missing}
    tables = [part.name for part in missing if not again[part]]
    tables += [part.name for part in foreign if part.kind in {"table", "view"}]
    if tables:
        problem = f"its tables are not those that were made: {', '.join(tables)}"
        raise UnavailableError(problem, "Verify it, and go back to a copy of it that verifies.")
    gone = [part for part in (*foreign, *missing) if part in parts and not (part in again and part.kind == "function")]
    for part in sorted(gone, key=lambda part: part.kind == "function"):  # it goes when nothing needs it any more
        execute(connection, parts[part].drop)
    for statement in sorted((text for made in again.values() for text in made), key=_place):
        execute(connection, statement)


def _place(statement: str) -> int:
    return next(place for place, words in enumerate(_ORDER) if statement.startswith(words))


def _catalog(connection: Connection) -> Catalog:
    return _CATALOGS[dialect_of(connection).name]


def revision(connection: Connection) -> str | None:
    """Read which schema is there: ``None`` for an empty database.

    Raises:
        UnavailableError: the database holds something that is no ledger.

    """
    catalog = _catalog(connection)
    if rows(connection, catalog.is_stamped):
        found = rows(connection, "SELECT version_num FROM alembic_version")
        return str(found[0]["version_num"]) if found else None
    if catalog.parts(connection):
        raise UnavailableError("the database holds something else", "Name a new file, or the file of a ledger.")
    return None


def of_another_version(found: str) -> UnavailableError:
    """Give the error that says that the schema which is there is not the one that this version of the code works with."""
    remedy = "Bring it up with: proofgap db upgrade." if found < REVISION else "Use the version that made it."
    return UnavailableError(f"its schema is {found}, this version works with {REVISION}", remedy)


def migrate(engine: Engine, before: str | None) -> None:
    """Bring a schema from one revision to the one of this version: all of it, or nothing.

    Does nothing if another process was faster.
    """
    with _migrating(engine) as connection:
        if revision(connection.connection.driver_connection) == before:
            _run_migrations(connection)
        dialect_for(engine).beside(connection.connection.driver_connection)


@contextmanager
def _migrating(engine: Engine) -> Iterator[AlchemyConnection]:
    """Hold the write lock for a migration: all of it is there afterwards, or nothing."""
    dialect = dialect_for(engine)
    try:
        with engine.connect() as connection:
            for statement in dialect.migrating:
                connection.exec_driver_sql(statement)
            yield connection
            connection.commit()
    except (DBAPIError, dialect.failures) as error:
        raise unavailable(error, dialect) from error


def _run_migrations(connection: AlchemyConnection) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and needed once in a ledger's life
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    command.upgrade(config, "head")
