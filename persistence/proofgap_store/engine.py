"""How the ledger's database is reached: one recipe, so that no caller can forget half of it.

Owns the SQLite library in use, connections, and the two kinds of transaction. Refuses to know tables.

SQLite recipe: the driver's own transaction control is off; a writer takes its lock at BEGIN (IMMEDIATE), so that a
race is lost there and not half-way; WAL; every commit is synced (``synchronous=FULL``); foreign keys and recursive
triggers on (else ``INSERT OR REPLACE`` walks past the guards); schema functions untrusted; 30 s to wait for a lock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import StaticPool

from proofgap.errors import BadInputError, ProofgapError

try:
    import pysqlite3 as sqlite_library  # a current SQLite in a wheel
except ImportError:
    import sqlite3 as sqlite_library  # the interpreter's own

_WAL_RESET_FIXED_IN = (3, 51, 3)  # SQLite 3.7.0 to 3.51.2 can corrupt a WAL database on a checkpoint race
_PRAGMAS = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = {synchronous}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = OFF",
)
Row = dict[str, Any]


class UnavailableError(ProofgapError):
    """The ledger's database cannot be reached, or cannot be written now."""

    def __init__(self, problem: str, remedy: str) -> None:
        """Say what the database answered, and what to do."""
        self.problem, self.remedy = problem, remedy
        super().__init__(f"the ledger cannot be used: {problem}. {remedy}")


def library() -> ModuleType:
    """Give the SQLite library of this process; there must be only one."""
    return sqlite_library


def library_warning() -> str | None:
    """Say what is wrong with the SQLite in use, or ``None``."""
    if sqlite_library.sqlite_version_info >= _WAL_RESET_FIXED_IN:
        return None
    return (
        f"SQLite {sqlite_library.sqlite_version} ({sqlite_library.__name__}) has the WAL-reset bug, which can corrupt a "
        f"ledger under concurrent use. Install the wheel pysqlite3, or a Python with SQLite 3.51.3 or later."
    )


def make_engine(url: str, *, synchronous: str = "FULL") -> Engine:
    """Open the way to a ledger.

    Args:
        url: an SQLAlchemy URL; ``sqlite:///FILE``, or ``sqlite://`` for one that lives in memory.
        synchronous: ``FULL`` (every commit survives a power cut) or ``NORMAL``.

    Raises:
        BadInputError: the URL is none, or names a database that is not supported.

    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadInputError("ledger", f"{url!r} is no database URL", "Use sqlite:///FILE.") from None
    if parsed.get_backend_name() != "sqlite":
        raise BadInputError("ledger", f"{parsed.drivername!r} is not supported", "Use sqlite:///FILE.")
    options: dict[str, Any] = {"poolclass": StaticPool} if parsed.database in {None, "", ":memory:"} else {}
    engine = create_engine(
        parsed, module=sqlite_library, connect_args={"isolation_level": None, "check_same_thread": False}, **options
    )
    pragmas = [pragma.format(synchronous=synchronous) for pragma in _PRAGMAS]

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - whichever SQLite library it is
        for pragma in pragmas:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("writes") else "BEGIN")

    return engine


@contextmanager
def transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    """Run one transaction: all of it is there afterwards, or nothing.

    Raises:
        UnavailableError: the database cannot be reached or is full, read-only or locked for too long.

    """
    with translated(), engine.connect() as connection:
        connection.info["writes"] = writes
        with connection.begin():
            yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's own errors of place and time into one that says the remedy; others pass."""
    try:
        yield
    except DBAPIError as error:
        problem = str(error.orig)
        if isinstance(error.orig, sqlite_library.OperationalError | sqlite_library.DatabaseError) and not isinstance(
            error.orig, sqlite_library.IntegrityError
        ):
            raise UnavailableError(problem, "Check the file, its folder, the disk and who may write there.") from error
        raise


def rows(connection: Connection, statement: str, /, **parameters: object) -> list[Row]:
    """Run one statement and give its rows as dictionaries."""
    result = connection.exec_driver_sql(statement, parameters)
    return [dict(row) for row in result.mappings()] if result.returns_rows else []


def python_is_supported() -> bool:
    """Tell whether this interpreter is one that is tested."""
    return (3, 11) <= sys.version_info[:2] <= (3, 13)
