"""How the ledger's database is reached: one recipe, so that no caller can forget half of it.

Owns connections, transactions, and the one function through which every statement goes. What differs between the
databases is a value (`dialect`). SQLAlchemy gives the pool, the URL and the migrations; statements go straight to the
driver, because its execution layer alone costs more than a transition
(``docs/decisions/0007-statements-go-to-the-driver.md``). Refuses to know tables.

SQLite recipe: the driver's own transaction control is off; a writer takes its lock at BEGIN (IMMEDIATE), so that a
race is lost there and not half-way; WAL; every commit is synced (``synchronous=FULL``); foreign keys and recursive
triggers on (else ``INSERT OR REPLACE`` walks past the guards); schema functions untrusted; what is deleted is written
over with zeros; 30 s to wait for a lock. That of PostgreSQL is in `postgresql`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from proofgap.errors import BadInputError, ProofgapError
from proofgap.secret import redacted
from proofgap_store import dialect as dialects
from proofgap_store.dialect import SQLITE, Dialect, Readers, Statement, dialect_of
from proofgap_store.sqlite_library import sqlite

_WAL_RESET_FIXED_IN = (3, 51, 3)  # SQLite 3.7.0 to 3.51.2 can corrupt a WAL database on a checkpoint race
_PRAGMAS = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = {synchronous}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",
)
_STATEMENTS_KEPT = 1_000  # the driver keeps the first ones for ever: those of the migrations must not fill its cache
_IN_MEMORY = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}  # one connection is the whole database
_URLS = "Use sqlite:///FILE or postgresql://USER@HOST/DATABASE."
Row = dict[str, Any]
Connection = dialects.Connection
"""A connection of the driver in use, as the rest of this package names it."""


class UnavailableError(ProofgapError):
    """The ledger's database cannot be reached, or cannot be written now."""

    def __init__(self, problem: str, remedy: str) -> None:
        """Say what the database answered, and what to do."""
        self.problem, self.remedy = problem, remedy
        super().__init__(f"the ledger cannot be used: {problem}. {remedy}")


class RefusedByDatabaseError(ProofgapError):
    """A guard or constraint of the database refused the write; nothing was done."""

    def __init__(self, reason: str) -> None:
        """Pass on what the database said."""
        self.reason = reason
        self.remedy = "Correct the request; if it was right, look at the ledger with: proofgap doctor."
        super().__init__(f"the database refused: {reason}. {self.remedy}")


def library_warning() -> str | None:
    """Say what is wrong with the SQLite in use, or ``None``."""
    if sqlite.sqlite_version_info >= _WAL_RESET_FIXED_IN:
        return None
    return (
        f"SQLite {sqlite.sqlite_version} ({sqlite.__name__}) has the WAL-reset bug, which can corrupt a "
        f"ledger under concurrent use. Install the wheel pysqlite3, or a Python with SQLite 3.51.3 or later."
    )


def address(url: str) -> URL:
    """Read where a ledger is.

    Raises:
        BadInputError: the URL is none, or names a database that is not supported.

    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadInputError("ledger", "what is given is no database URL", _URLS) from None
    if parsed.drivername not in {"sqlite", "postgresql"}:
        raise BadInputError("ledger", f"{parsed.drivername!r} is not supported", _URLS)
    return parsed


def shown_address(url: str) -> str:
    """Write where a ledger is without the password, wherever in the URL it stands."""
    return redacted(address(url).render_as_string())


def make_engine(url: str, *, synchronous: str = "FULL") -> Engine:
    """Open the way to a ledger.

    Args:
        url: ``sqlite:///FILE``, ``sqlite://`` for one that lives in memory, or ``postgresql://USER@HOST/DATABASE``.
        synchronous: ``FULL`` (every commit survives a power cut) or ``NORMAL`` (nor need it survive a crash of the server).

    Raises:
        BadInputError: the URL is none, names a database that is not supported, or one whose driver is not installed.

    """
    parsed = address(url)
    if parsed.drivername == "postgresql":
        made: Engine = _postgresql().make_engine(parsed, synchronous)
        return made
    return _sqlite_engine(parsed, synchronous)


@cache
def _postgresql() -> ModuleType:
    if find_spec("psycopg") is None or find_spec("procrastinate") is None:
        remedy = "Install it: pip install 'proofgap[postgres]'."
        raise BadInputError("ledger", "the driver for PostgreSQL is not installed", remedy)
    from proofgap_store import postgresql  # noqa: PLC0415 - its driver is an extra

    return postgresql


def _sqlite_engine(parsed: URL, synchronous: str) -> Engine:
    options: dict[str, Any] = dict(_IN_MEMORY) if parsed.database in {None, "", ":memory:"} else {}
    engine = create_engine(
        parsed,
        module=sqlite,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": _STATEMENTS_KEPT},
        **options,
    )
    pragmas = [pragma.format(synchronous=synchronous) for pragma in _PRAGMAS]

    @event.listens_for(engine, "connect")
    def _prepare(connection: Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    return engine


def dialect_for(engine: Engine) -> Dialect:
    """Tell which kind of database an engine leads to."""
    if engine.dialect.name == SQLITE.name:
        return SQLITE
    found: Dialect = _postgresql().POSTGRESQL
    return found


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Borrow a connection of the driver from the pool.

    Raises:
        UnavailableError: the database cannot be reached.

    """
    dialect = dialect_for(engine)
    try:
        borrowed = engine.raw_connection()
    except (SQLAlchemyError, dialect.failures) as error:
        raise unavailable(error, dialect) from error
    try:
        yield borrowed.driver_connection
    finally:
        if dialect.is_lost(borrowed.driver_connection):
            borrowed.invalidate()
        borrowed.close()


@contextmanager
def transaction(connection: Connection, *, writes: bool, readers: Readers = None) -> Iterator[Connection]:
    """Run one transaction on a connection: all of it is there afterwards, or nothing.

    Args:
        connection: a connection of the driver.
        writes: whether it writes; else it sees one snapshot.
        readers: whose rows it may see, where the database keeps them apart; ``None``: the ledger itself looks.

    Raises:
        RefusedByDatabaseError: a guard or a constraint said no.
        UnavailableError: the database is gone, full, read-only, locked for too long, or not to be read.

    """
    dialect = dialect_of(connection)
    try:
        try:
            dialect.begin(connection, writes, readers)
            yield connection
            dialect.commit(connection, writes)
        except BaseException:
            if connection.in_transaction:
                execute(connection, "ROLLBACK")
            raise
    except dialect.failures as error:
        reason = dialect.refusal(error)
        if reason is not None:
            raise RefusedByDatabaseError(reason) from error
        raise unavailable(error, dialect) from error


def execute(connection: Connection, statement: str, parameters: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - a cursor of whichever driver
    """Run one statement: every statement of the ledger goes through here; gives the driver's cursor."""
    return connection.execute(statement, parameters or {})


def together(connection: Connection, *statements: Statement) -> list[list[Any]]:
    """Run statements in their order and give the rows of each: in one round trip, where there is a server."""
    return dialect_of(connection).together(connection, statements)


def rows(connection: Connection, statement: str, /, **parameters: object) -> list[Row]:
    """Run one statement and give its rows as dictionaries."""
    cursor = execute(connection, statement, parameters)
    names = dialect_of(connection).names(cursor)
    if not names:
        return []
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def walk(
    connection: Connection, statement: str, parameters: Mapping[str, object] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Run one statement and give its rows one by one: however many, memory stays flat."""
    with dialect_of(connection).cursor(connection, statement, parameters or {}) as cursor:
        for row in cursor:  # noqa: UP028 - it would close the cursor, and the database may be closed already
            yield row


def walk_rows(connection: Connection, statement: str, /, **parameters: object) -> Iterator[Row]:
    """Run one statement and give its rows one by one, as dictionaries."""
    with dialect_of(connection).cursor(connection, statement, parameters) as cursor:
        names = dialect_of(connection).names(cursor)
        for row in cursor:
            yield dict(zip(names, row, strict=True))


def unavailable(error: Exception, dialect: Dialect = SQLITE) -> UnavailableError:
    """Turn the database's own error into one that says the remedy."""
    problem = str(getattr(error, "orig", error)).strip()
    return UnavailableError(problem, dialect.remedy)
