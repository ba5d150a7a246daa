"""The log as auditors use it: one thin class, whose verbs are carried out elsewhere.

Owns the names of the verbs. Refuses to know how any of them works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proofgap.audit import Actor
from proofgap_store import questions
from proofgap_store.gate import Gate
from proofgap_store.questions import EVERY_EVENT, NEWEST
from proofgap_store.shapes import LoggedEvent, LogListing, LogPage, LogQuery


@dataclass(frozen=True, slots=True)
class Audit:
    """The log of one ledger, for its auditors; `Ledger.audit` gives it.

    Every verb raises `ForbiddenError` for an actor who audits nothing, and answers for what the actor may not see as
    for what does not exist.
    """

    gate: Gate
    clock: Callable[[], int]

    def list(self, query: LogQuery, actor: Actor, page: LogPage = NEWEST) -> LogListing:
        """Read a page of events, newest first unless asked otherwise. Events that come meanwhile move no page."""
        return self.gate.read(lambda connection: questions.listing(connection, query, actor.id, page))

    def get(self, event: int | str, actor: Actor) -> LoggedEvent:
        """Read one event, by its number or by its id (a UUID).

        Raises:
            NotFoundError: there is none, or it is not visible.

        """
        return self.gate.read(lambda connection: questions.one(connection, event, actor.id))

    def tail(self, after: int, actor: Actor, query: LogQuery = EVERY_EVENT) -> tuple[LoggedEvent, ...]:
        """Read what was recorded after an event (0: from the beginning), oldest first, one page at most."""
        page = LogPage(limit=questions.PAGE_EVENTS_MAX, after=str(after), oldest_first=True)
        return self.list(query, actor, page).events
