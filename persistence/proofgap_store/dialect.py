"""What differs between the databases that a ledger can live in: one value for each, and nothing else knows which it is.

The statements do not differ: there is one text of each, written so that both read it the same
(``docs/decisions/0011-one-text-for-two-databases.md``). Owns the list of differences. Refuses to know tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from proofgap_store.sqlite_library import sqlite

Connection = Any
"""A connection of the driver in use (PEP 249), with ``execute`` and ``in_transaction`` as the one of SQLite has them."""

Parameters = Mapping[str, object]

Statement = tuple[str, Parameters]
"""A statement, and its parameters."""

Readers = tuple[str, ...] | None
"""Principals whose rows a transaction may see, where the database keeps them apart; ``None``: the ledger itself looks."""


class Dialect(NamedTuple):
    """One kind of database."""

    name: str  # as the scripts of the migrations are named
    begin: Callable[[Connection, bool, Readers], None]  # a transaction that writes, or one that sees one snapshot
    computes_in_writes: bool  # whether nobody waits for a transaction that will write, and still computes
    migrating: tuple[str, ...]  # begins one that changes the schema, alone
    beside: Callable[[Connection], None]  # brings up what is beside the schema of the ledger, and no record
    failures: type[Exception]  # what the driver raises
    refusal: Callable[[Exception], str | None]  # why a guard or a constraint said no; None: the database failed
    remedy: str  # what to look at when the database fails
    cursor: Callable[
        [Connection, str, Parameters], AbstractContextManager[Any]
    ]  # gives rows one by one: memory stays flat
    names: Callable[[Any], list[str]]  # of the columns that a cursor gives; none: it gives no rows
    commit: Callable[[Connection, bool], None]  # ends a transaction: one that writes, or one that sees one snapshot
    together: Callable[[Connection, Sequence[Statement]], list[list[Any]]]  # runs statements in order; gives their rows
    is_lost: Callable[[Connection], bool]  # sends what still waits; whether a connection is of no use any more
    settled: str  # the number up to which every event is there, or never will be
    clock: str  # an expression: microseconds since 1970-01-01 UTC
    skip_locked: str  # locks the environment that was chosen, passing over those that others locked; "": writers wait
    soundness: str | None  # gives "ok", or what is damaged, one a row; None: its own user cannot ask it


def _refusal(error: Exception) -> str | None:
    return str(error) if isinstance(error, sqlite.IntegrityError) else None


@contextmanager
def _cursor(connection: Connection, statement: str, parameters: Parameters) -> Iterator[Any]:
    yield connection.execute(statement, parameters)


def _names(cursor: Any) -> list[str]:  # noqa: ANN401 - as the driver has it
    return [column[0] for column in cursor.description or ()]


def _begin(connection: Connection, writes: bool, _readers: Readers) -> None:  # noqa: FBT001 - as the dialect has it
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")  # a race is lost here, and not half-way


def _commit(connection: Connection, _writes: bool) -> None:  # noqa: FBT001 - as the dialect has it
    connection.execute("COMMIT")


def _together(connection: Connection, statements: Sequence[Statement]) -> list[list[Any]]:
    return [connection.execute(*statement).fetchall() for statement in statements]


SQLITE = Dialect(
    name="sqlite",
    begin=_begin,
    computes_in_writes=False,
    migrating=("BEGIN IMMEDIATE",),
    beside=lambda _connection: None,
    failures=sqlite.Error,
    refusal=_refusal,
    remedy="Check the file, its folder, the disk and who may write there.",
    cursor=_cursor,
    names=_names,
    commit=_commit,
    together=_together,
    is_lost=lambda _connection: False,
    settled="SELECT coalesce(max(event_id), 0) FROM audit_event",
    clock="CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    skip_locked="",
    soundness="PRAGMA integrity_check(20)",
)


def dialect_of(connection: Connection) -> Dialect:
    """Tell which kind of database a connection leads to; every connection but those of SQLite carries its own."""
    found: Dialect = getattr(connection, "dialect", SQLITE)
    return found
