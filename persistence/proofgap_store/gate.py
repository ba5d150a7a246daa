"""The one gate: how anything gets into the ledger, and what is said about it afterwards.

Owns the two transactions of a write and their order. First a reading one, in which everything is computed: what
stands, who asks, whether it is allowed, the events and their links. Then a writing one, which inserts what was
computed and nothing else. If somebody else wrote to the same stream in between, the database refuses the stale link
and the whole is computed anew. A crash before the commit leaves nothing; a crash after it leaves everything but the
log line, which is a copy of the record and never the record.

Refuses to know what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from proofgap.audit import EventType
from proofgap.errors import ProofgapError, StaleError
from proofgap_store.audit_log import Linked, Written, append
from proofgap_store.engine import rows, transaction

ATTEMPTS_MAX = 50
"""How often a write is computed anew when others keep writing to the same stream."""

_STALE = ("proofgap: stale", "a row of receipt is there already")
_LOGGER = structlog.get_logger("proofgap")


class RefusedByDatabaseError(ProofgapError):
    """A guard or constraint of the database refused the write; nothing was done."""

    def __init__(self, reason: str) -> None:
        """Pass on what the database said."""
        self.reason = reason
        self.remedy = "Correct the request; if it was right, look at the ledger with: proofgap doctor."
        super().__init__(f"the database refused: {reason}. {self.remedy}")


Answer = TypeVar("Answer")
Insert = tuple[str, dict[str, Any]]
"""A statement and its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(Generic[Answer]):
    """What one transaction inserts: events first, then the rows that belong to them; and what is answered then."""

    events: Sequence[Linked]
    answer: Callable[[Sequence[Written]], Answer]
    rows: Callable[[Sequence[Written]], Sequence[Insert]] = field(default=lambda _written: ())


@dataclass(slots=True)
class Gate:
    """The way into one ledger."""

    engine: Engine
    log_failures: int = 0

    def read(self, look: Callable[[Connection], Answer]) -> Answer:
        """Run one reading transaction."""
        with transaction(self.engine, writes=False) as connection:
            return look(connection)

    def write(self, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        """Compute what to write, then write it; or give the answer at once, if there is nothing to write.

        Raises:
            StaleError: others kept writing to the same stream.
            RefusedByDatabaseError: the database refused for another reason.

        """
        for _attempt in range(ATTEMPTS_MAX):
            writing = self.read(prepare)
            if not isinstance(writing, Writing):
                return writing
            try:
                written = self._insert(writing)
            except IntegrityError as error:
                reason = str(error.orig)
                if not any(stale in reason for stale in _STALE):
                    raise RefusedByDatabaseError(reason) from error
                continue
            self._announce(written)
            return writing.answer(written)
        raise StaleError("the stream", None, None)

    def _insert(self, writing: Writing[Any]) -> list[Written]:
        with transaction(self.engine, writes=True) as connection:
            written = append(connection, writing.events)  # a crash from here to the commit: nothing happened
            for statement, parameters in writing.rows(written):
                rows(connection, statement, **parameters)
        return written  # a crash from here on: everything happened, only nobody was told

    def _announce(self, written: Sequence[Written]) -> None:
        for number, event in written:
            try:
                _LOGGER.info(event.type.value, event_id=number, run=event.run, leaf=event.leaf, **_told(event))
            except (OSError, ValueError):  # a broken stream: the record stands, the copy is lost and counted
                self.log_failures += 1


def _told(event: Linked) -> dict[str, Any]:
    """Pick what a log line says of an event."""
    data = event.data
    if event.type is EventType.DECISION_PROJECTED:
        return {"viewer": data["viewer"].id, "trigger": data["trigger"], "state": data["decision"].state}
    told = ("subject", "source", "target", "version", "guard", "principal", "role", "machine")
    named = {name: data[name] for name in told if data.get(name) is not None}
    return named if data.get("event") is None else {"fired": data["event"], **named}  # "event" is the line's own name
