"""How a ledger is: its database, its guards, and whether its log can be signed. Changes nothing.

Owns the look. Refuses to know what to do about it, and what the log holds (`verify_tree`).
"""

from __future__ import annotations

import stat
from typing import NamedTuple

from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import MalformedError
from proofgap.notes import parse_note
from proofgap_store import keys, roles_postgresql, tree
from proofgap_store.custody import Custody
from proofgap_store.dialect import SQLITE, dialect_of
from proofgap_store.engine import Connection, execute, library_warning, rows
from proofgap_store.gate import Gate
from proofgap_store.keys import KeyFile, KeyPeriod
from proofgap_store.outside import CustodyError
from proofgap_store.schema import drift, revision
from proofgap_store.sequencer import UnsignedError, demand_head
from proofgap_store.shapes import Diagnosis, Signing
from proofgap_store.sqlite_library import sqlite
from proofgap_store.tree import StoredCheckpoint

_RUNS = "SELECT count(*) AS n FROM restore_run"
_EVENTS = "SELECT count(*) AS n FROM audit_event"


def diagnose(gate: Gate, custody: Custody) -> Diagnosis:
    """Compare the schema that is there with the one that a new ledger has, and look at everything that signing needs."""
    head = _head(custody)  # before the database is read: a head that moves on meanwhile is no conflict
    return gate.read(lambda connection: _diagnosis(connection, gate, custody, head))


class _Head(NamedTuple):
    note: str | None
    size: int | None
    problem: str | None


def _head(custody: Custody) -> _Head:
    try:
        note = custody.head.read()
    except CustodyError as error:
        return _Head(None, None, error.problem)
    try:
        return _Head(note, None if note is None else parse_checkpoint(parse_note(note).text).size, None)
    except MalformedError:
        return _Head(note, None, None)  # that it is no checkpoint is the conflict


def _diagnosis(connection: Connection, gate: Gate, custody: Custody, head: _Head) -> Diagnosis:
    found, signing = drift(connection), _signing(connection, custody, head)
    return Diagnosis(
        database=_database(connection),
        revision=revision(connection),
        runs=rows(connection, _RUNS)[0]["n"],
        events=rows(connection, _EVENTS)[0]["n"],
        missing_guards=found.missing,
        foreign_guards=found.foreign,
        log_failures=gate.log_failures,
        signing=signing,
        warnings=tuple(
            filter(None, (*_database_warnings(connection, gate), signing.key_problem, signing.head_problem))
        ),
    )


def _database_warnings(connection: Connection, gate: Gate) -> tuple[str | None, ...]:
    if not gate.is_on_server:
        return (library_warning(),)
    found = " and ".join(roles_postgresql.powers(connection))
    return (f"{found}, so that no guard holds it: log in as a member of {roles_postgresql.APP}" if found else None,)


def _database(connection: Connection) -> str:
    if dialect_of(connection) is SQLITE:
        return f"SQLite {sqlite.sqlite_version} ({sqlite.__name__})"
    return f"PostgreSQL {execute(connection, 'SHOW server_version').fetchone()[0]}"


def _signing(connection: Connection, custody: Custody, head: _Head) -> Signing:
    last, periods, queue = tree.last_checkpoint(connection), keys.history(connection), tree.queue(connection)
    is_lost = head.note is None and last is not None and custody.head.path is not None
    lost = f"there is no head file at {custody.head.place}; the next checkpoint makes a new one" if is_lost else None
    return Signing(
        key=periods[-1].key.label,
        key_file=custody.key_file.place,
        key_mode=_mode(custody.key_file),
        key_problem=_key_problem(custody.key_file, periods[-1]),
        head_file=custody.head.place,
        head_size=head.size,
        head_problem=head.problem or lost,
        head_conflict=_conflict(connection, head, last, periods),
        unsequenced=queue.events,
        unsequenced_since_us=queue.oldest_us,
        checkpoint_size=None if last is None else last.size,
        checkpoint_at_us=None if last is None else last.at_us,
    )


def _mode(key_file: KeyFile) -> str | None:
    try:
        return None if key_file.path is None else f"{stat.S_IMODE(key_file.path.stat().st_mode):04o}"
    except OSError:
        return None  # the problem says it


def _key_problem(key_file: KeyFile, period: KeyPeriod) -> str | None:
    try:
        is_there = key_file.can_sign(period.key)
    except CustodyError as error:
        return error.problem
    return None if is_there else f"the key {period.key.label} is not at {key_file.place}: no checkpoint can be signed"


def _conflict(
    connection: Connection, head: _Head, last: StoredCheckpoint | None, periods: list[KeyPeriod]
) -> str | None:
    try:
        demand_head(connection, head.note, last, periods)
    except UnsignedError as error:
        return f"{error.problem}. {error.remedy}"
    return None
