"""How a ledger on PostgreSQL is reached, through psycopg 3: the other half of `engine`.

Connections speak as those of SQLite do (``:name`` for parameters, ``execute``, ``in_transaction``), so that nobody
else knows the difference. Every session sets its own search path, time limits and encoding: what a database or a role
was set to does not matter. Writers run in READ COMMITTED, under the locks that the triggers take; readers see one
snapshot. A connection that the server ended while nobody used it is replaced before it is handed out. Owns these.
Refuses to know tables.
"""

from __future__ import annotations

import re
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from typing import Any

import msgspec
import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from proofgap_store.dialect import Dialect, Parameters, Readers, Statement
from proofgap_store.queue_schema import bring_up

SCHEMA = "proofgap"
"""The schema of a ledger within its database."""

OLDEST = 15_00_00
"""The oldest version of the server that is known to do, as it gives it."""

_SETTINGS = """
SET search_path = proofgap, proofgap_queue, pg_temp;
SET client_encoding = 'UTF8';
SET synchronous_commit = {synchronous};
SET lock_timeout = '30s';
SET statement_timeout = '10min';
SET idle_in_transaction_session_timeout = '2min'
"""
_SYNCHRONOUS = {"FULL": "on", "NORMAL": "off", "OFF": "off"}
_PARAMETER = re.compile(r"(?<![\w:]):([a-z_]\w*)")
_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_NAME_READERS = "SELECT set_config('proofgap.reader', :readers, true)"  # what the policies on rows go by
_ROWS_AT_A_TIME = 1_000
_CONNECTING: dict[str, Any] = {
    "application_name": "proofgap",
    "connect_timeout": 10,  # seconds, as the next three
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""A server that does not even acknowledge is taken for lost; else whoever waits for it waits for many minutes."""

_STALE = {
    "audit_event_link": "proofgap: stale stream: another event took the place in its stream",
    "restore_run_one_live": "proofgap: stale claim: another run holds the environment",
    "receipt_pkey": "a row of receipt is there already",
}
"""Table: what a unique constraint is called, and what it says in the words of the triggers, if it stopped a race."""

_NUMBERS = count()


@lru_cache(maxsize=1_024)
def translated(statement: str) -> bytes:
    """Write a statement's parameters as psycopg has them."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that takes statements as they are written in this package.

    What begins a transaction, and what ends one that only read, is not sent by itself: it goes ahead of the next
    statement, in one round trip.
    """

    dialect: Dialect
    ahead: tuple[Statement, ...] = ()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or about to be, or failed and not yet rolled back."""
        return bool(self.ahead) or self.info.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }

    def execute(  # type: ignore[explicit-override]  # typing.override came with Python 3.12
        self,
        query: Any,  # noqa: ANN401 - as the driver has it
        params: Any = None,  # noqa: ANN401 - as above
        **options: Any,  # noqa: ANN401 - as above
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run one statement, after those that wait."""
        if not self.ahead:
            return super().execute(translated(query), params or {}, **options)
        return self.at_once(((query, params or {}),))[-1]

    def at_once(self, statements: Sequence[Statement]) -> list[psycopg.Cursor[tuple[Any, ...]]]:
        """Run those that wait and these, in one round trip; the first error is raised, and no later one was run.

        Several are prepared the first time that they are run: only then does the driver look whether the server did it. Later
        it would take one for prepared although an error before it kept it from being so.
        """
        due, self.ahead = (*self.ahead, *statements), ()
        prepare = True if len(statements) > 1 else None
        with self.one_error():
            return [
                super(Connection, self).execute(translated(query), params, prepare=prepare) for query, params in due
            ]

    @contextmanager
    def one_error(self) -> Iterator[None]:
        """Open a pipeline; its first error is raised when it is over.

        If it left the pipeline, the driver would write a warning about every error that follows from it.
        """
        first: psycopg.Error | None = None
        try:
            with self.pipeline():
                try:
                    yield
                except psycopg.Error as error:
                    first = error
        except psycopg.Error as error:
            first = first or error
        if first is not None:
            raise first

    def settle(self) -> None:
        """Send what waits."""
        if self.ahead:
            self.at_once(())

    def take_in(self, statement: str, found: Iterable[tuple[object, ...]]) -> None:
        """Run a COPY that reads rows, and hand it these."""
        self.settle()
        with self.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in found:
                copy.write_row(row)


def _refusal(error: Exception) -> str | None:
    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected):
        return f"proofgap: stale transaction: {error}"
    if isinstance(error, errors.UniqueViolation):
        known = _STALE.get(error.diag.constraint_name or "")
        return known or f"a row of {error.diag.table_name} is there already: {error.diag.message_detail}"
    if isinstance(error, errors.IntegrityError | errors.DataError):
        return error.diag.message_primary or str(error)
    return None


@contextmanager
def _cursor(connection: Connection, statement: str, parameters: Parameters) -> Iterator[Any]:
    """Open a cursor of the server; its transaction must stay open meanwhile."""
    connection.settle()
    with connection.cursor(name=f"proofgap_{next(_NUMBERS)}") as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        cursor.execute(translated(statement), parameters)
        yield cursor


def _names(cursor: psycopg.Cursor[Any]) -> list[str]:
    """Ask the result: the driver's own description looks up the type of each column first."""
    found = cursor.pgresult
    return [] if found is None else [(found.fname(n) or b"").decode() for n in range(found.nfields)]


def _is_lost(connection: Connection) -> bool:
    if not connection.closed:
        with suppress(psycopg.Error):  # then it is closed
            connection.settle()
    return connection.closed


def _begin(connection: Connection, writes: bool, readers: Readers) -> None:  # noqa: FBT001 - as the dialect has it
    named = "*" if readers is None else msgspec.json.encode(readers).decode()
    connection.ahead += ((_WRITING if writes else _READING, {}), (_NAME_READERS, {"readers": named}))


def _commit(connection: Connection, writes: bool) -> None:  # noqa: FBT001 - as the dialect has it
    if writes:
        connection.execute("COMMIT")
    else:
        connection.ahead += (("COMMIT", {}),)


def _together(connection: Connection, statements: Sequence[Statement]) -> list[list[Any]]:
    return [cursor.fetchall() for cursor in connection.at_once(statements)[-len(statements) :]]


POSTGRESQL = Dialect(
    name="postgresql",
    begin=_begin,
    computes_in_writes=True,
    migrating=(
        _WRITING,
        "SELECT pg_advisory_xact_lock(1886547814, 3)",
        "SELECT set_config('role', pg_get_userbyid(nspowner), true) FROM pg_namespace WHERE oid = to_regnamespace('proofgap')",
        f"DO $$ BEGIN IF to_regnamespace('{SCHEMA}') IS NULL THEN CREATE SCHEMA {SCHEMA}; END IF; END $$",
    ),
    beside=bring_up,
    failures=psycopg.Error,
    refusal=_refusal,
    remedy="Check the server, the network, its disk, and what this user may do there.",
    cursor=_cursor,
    names=_names,
    commit=_commit,
    together=_together,
    is_lost=_is_lost,
    settled="SELECT settled_number()",
    clock="clock_us()",
    skip_locked="FOR NO KEY UPDATE OF e SKIP LOCKED",
    soundness=None,  # amcheck is an extension that the owner of the server installs
)
Connection.dialect = POSTGRESQL


def make_engine(url: URL, synchronous: str) -> Engine:
    """Open the way to a ledger on PostgreSQL; whoever connects sets the session up."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = _SETTINGS.format(synchronous=_SYNCHRONOUS[synchronous])
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        creator=lambda: connect(address, settings),
        use_native_hstore=False,
    )
    event.listen(engine, "checkout", _demand_silence)
    return engine


def _demand_silence(connection: Connection, _record: object, _borrower: object) -> None:
    """Let the pool connect anew where the server ended a connection that nobody used: it asks no server."""
    if connection.closed or _has_spoken(connection.fileno()):
        raise InvalidatePoolError


def _has_spoken(socket: int) -> bool:
    """Whether something arrived that nobody asked for: to who is idle a server says hardly anything but that it ends."""
    looked = select.poll()
    looked.register(socket, select.POLLIN)
    return bool(looked.poll(0))


def connect(address: str, settings: str) -> Connection:
    """Connect, and set the session up.

    Raises:
        psycopg.Error: there is no such server, it lets nobody in, or it cannot keep a ledger.

    """
    connection = Connection.connect(address, autocommit=True, **_CONNECTING)
    if connection.info.server_version < OLDEST or connection.info.parameter_status("server_encoding") != "UTF8":
        connection.close()
        message = "a ledger needs PostgreSQL 15 or later, and a database in UTF8"
        raise psycopg.NotSupportedError(message)
    connection.adapters.register_dumper(str, StrDumper)  # else the server must guess the type of a text
    connection.adapters.register_dumper(int, Int8Dumper)  # else each size of a number is a statement of its own
    psycopg.Connection.execute(connection, settings.encode())
    return connection
