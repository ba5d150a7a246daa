"""Faults at the driver: every statement of a ledger counted, and one of them broken, before or after it took effect.

A statement is broken as its database breaks: a file by an error of the disk, a server by a connection that is cut, by
the server itself, and then the driver finds out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import event

from proofgap_store import Ledger, outside, postgresql
from proofgap_store.dialect import SQLITE, dialect_of
from proofgap_store.engine import connected, dialect_for
from proofgap_store.sqlite_library import sqlite
from tests.postgresql import administer

Action = Callable[[Any], None]
"""What is done at a place; it is handed the connection that is there, or None between statements."""


class Plan:
    """Which statement is struck, on which side of it, and by what. Without an action it only counts."""

    def __init__(self, number: int | str = -1, side: str = "before", action: Action | None = None) -> None:
        """Plan one fault; statements are counted from 0, or the first of a verb is struck."""
        self.number, self.side, self.action = number, side, action
        self.seen: list[str] = []

    def strike(self, side: str, connection: Any = None) -> None:
        """Act, if this is the place."""
        if self.action and side == self.side and self.number in {len(self.seen) - 1, self.seen[-1]}:
            action, self.action = self.action, None
            action(connection)

    def around(self, verb: str, work: Callable[[], Any], connection: Any = None) -> Any:
        """Do one step, and whatever is planned for it."""
        self.seen.append(verb)
        self.strike("before", connection)
        answer = work()
        self.strike("after", connection)
        return answer


_QUIET = Plan()
_armed = [_QUIET]


class Faulty(sqlite.Connection):  # type: ignore[misc]
    """A connection to a file whose statements can be struck."""

    def execute(self, statement: str, *parameters: Any) -> Any:
        """Run a statement, and whatever the plan has for it."""
        work, answers = super().execute, list[Any]()
        try:
            _armed[0].around(_verb(statement), lambda: answers.append(work(statement, *parameters)), self)
        except BaseException:
            for (
                answer
            ) in answers:  # nobody gets it, but a traceback may keep it: no transaction ends while its rows are unread
                answer.close()
            raise
        return answers[0]


class _Struck(psycopg.Connection[Any]):
    """What the store's connection to a server calls for each statement, within a pipeline as well."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run a statement, and whatever the plan has for it; within a pipeline it may be on its way only."""
        work = super().execute
        return _armed[0].around(_verb(query.decode()), lambda: work(query, params, **options), self)


class FaultyOnServer(postgresql.Connection, _Struck):
    """A connection to a server whose statements can be struck."""


def _verb(statement: str) -> str:
    return statement.split(maxsplit=1)[0] if statement.strip() else statement


def expose(ledger: Ledger) -> Ledger:
    """Let the faults of this module reach a ledger's connections."""
    engine = ledger._gate.engine
    if dialect_for(engine) is SQLITE:
        event.listen(
            engine, "do_connect", lambda _dialect, _record, _arguments, options: options.update(factory=Faulty)
        )
    else:
        event.listen(engine, "connect", lambda connection, _record: setattr(connection, "__class__", FaultyOnServer))
    engine.dispose()
    with connected(engine):
        return ledger


class FaultyFiles:
    """What the module of files outside the database asks of the system; every step of it can be struck."""

    def __getattr__(self, name: str) -> Any:
        """Give a function of the system as it is, or one that can be struck."""
        found = getattr(os, name)
        return struck(found) if name in {"open", "fsync"} else found


def struck(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let the faults of this module reach a step that is no statement."""
    return lambda *arguments: _armed[0].around(f"file:{work.__name__}", lambda: work(*arguments))


def expose_files(patch: Callable[[object, str, object], None] = setattr) -> None:
    """Let the faults of this module reach the key file and the head file: before and after each rename, too."""
    patch(outside, "os", FaultyFiles())


def armed(plan: Plan, work: Callable[[], Any]) -> Any:
    """Do some work under a plan."""
    _armed[0] = plan
    try:
        return work()
    finally:
        _armed[0] = _QUIET


def count(work: Callable[[], Any]) -> list[str]:
    """Do some work; give the statements that it ran, by their verbs."""
    plan = Plan()
    armed(plan, work)
    return plan.seen


def die(_connection: Any = None) -> None:
    """End this process at once, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def broken(connection: Any = None) -> None:
    """Fail as a disk does, or as a network: the server ends the connection, and the next statement on it says so."""
    if connection is None:
        message = "No space left on device"
        raise OSError(28, message)
    if dialect_of(connection) is SQLITE:
        message = "disk I/O error"
        raise sqlite.OperationalError(message)
    administer(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 10000)")
    psycopg.Connection.execute(connection, b"SELECT 'is anybody there?'")


def outpaced(connection: Any) -> None:
    """Fail as a database does that let somebody else go first."""
    if dialect_of(connection) is SQLITE:
        message = "proofgap: stale stream"
        raise sqlite.IntegrityError(message)
    message = "deadlock detected"
    raise psycopg.errors.DeadlockDetected(message)


def interrupted(_connection: Any = None) -> None:
    """Fail as a user does who presses the keys."""
    raise KeyboardInterrupt
