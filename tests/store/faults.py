"""Faults at the driver: every statement of a ledger counted, and one of them broken, before or after it took effect."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from proofgap_store import Ledger, outside
from proofgap_store.sqlite_library import sqlite

Action = Callable[[], None]


class Plan:
    """Which statement is struck, on which side of it, and by what. Without an action it only counts."""

    def __init__(self, number: int = -1, side: str = "before", action: Action | None = None) -> None:
        """Plan one fault; statements are counted from 0."""
        self.number, self.side, self.action = number, side, action
        self.seen: list[str] = []

    def strike(self, side: str) -> None:
        """Act, if this is the place."""
        if self.action and (len(self.seen) - 1, side) == (self.number, self.side):
            action, self.action = self.action, None
            action()


_QUIET = Plan()
_armed = [_QUIET]


class Faulty(sqlite.Connection):  # type: ignore[misc]
    """A connection whose statements can be struck."""

    def execute(self, statement: str, *parameters: Any) -> Any:
        """Run a statement, and whatever the plan has for it."""
        plan = _armed[0]
        plan.seen.append(statement.split(" ", 1)[0] if statement.strip() else statement)
        plan.strike("before")
        answer = super().execute(statement, *parameters)
        try:
            plan.strike("after")
        except BaseException:
            answer.close()  # nobody gets it, but a traceback may keep it: no transaction ends while its rows are unread
            raise
        return answer


def expose(ledger: Ledger) -> Ledger:
    """Let the faults of this module reach a ledger's connections."""
    engine = ledger._gate.engine

    @event.listens_for(engine, "do_connect")
    def _faulty(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["factory"] = Faulty

    engine.dispose()
    with engine.connect():
        return ledger


class FaultyFiles:
    """What the module of files outside the database asks of the system; every step of it can be struck."""

    def __getattr__(self, name: str) -> Any:
        """Give a function of the system as it is, or one that can be struck."""
        found = getattr(os, name)
        return struck(found) if name in {"open", "fsync"} else found


def struck(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let the faults of this module reach a step that is no statement."""

    def step(*arguments: Any) -> Any:
        plan = _armed[0]
        plan.seen.append(f"file:{work.__name__}")
        plan.strike("before")
        answer = work(*arguments)
        plan.strike("after")
        return answer

    return step


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


def die() -> None:
    """End this process at once, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def broken() -> None:
    """Fail as a disk does."""
    message = "disk I/O error"
    raise sqlite.OperationalError(message)


def interrupted() -> None:
    """Fail as a user does who presses the keys."""
    raise KeyboardInterrupt
