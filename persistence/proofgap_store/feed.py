"""The log as programs follow it: one thin class, whose verbs are carried out elsewhere (`following`).

Owns the names of the verbs. Refuses to know how anybody is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from proofgap.admission import admitted
from proofgap.audit import Actor
from proofgap_store import denials, following, questions, tree
from proofgap_store.engine import Connection
from proofgap_store.following import Backlog, Following, Look, News, PageOf, Reach, Tallies
from proofgap_store.gate import Answer, Gate
from proofgap_store.shapes import LoggedEvent


@dataclass(frozen=True, slots=True)
class Feed:
    """What moves in one ledger; `Ledger.feed` gives it. A denial is recorded, and raised."""

    gate: Gate
    clock: Callable[[], int]

    def settled(self) -> int:
        """Give the number of the last event before which none is still on its way."""
        return self.gate.read(tree.settled)

    def last(self) -> int:
        """Give the number of the last event, though one before it may still be on its way: cheap, and holds up nobody."""
        return self.gate.read(questions.last_number)

    def news(self, wanted: Following, actor: Actor, *, upto: int | None = None) -> News:
        """Read which runs moved after an event; whoever goes on after ``next`` misses nothing.

        Args:
            wanted: what to follow.
            actor: who follows.
            upto: how far the log is known to be settled, for whoever asked that just now; else it is asked here, and a
                place behind that end, such as one from before the ledger was restored, is the end.

        Raises:
            BadInputError: what is wanted is not acceptable.
            NotFoundError: a run is wanted that is not there, or not visible.

        """
        wanted = admitted("following", wanted)
        end = self.settled() if upto is None else upto
        if upto is None:
            wanted = msgspec.structs.replace(wanted, after=min(wanted.after, end))
        return self.gate.read(lambda connection: following.news(connection, wanted, actor.id, end), (actor.id,))

    def look(self, run: str, actor: Actor) -> Look:
        """Read a run as it stands, with the actor's roles there. No decision is shown, so none is logged.

        Raises:
            NotFoundError: there is no such run, or it is not visible.

        """
        return self.gate.read(lambda connection: following.look(connection, run, actor.id), (actor.id,))

    def moves(self, run: str, actor: Actor, *, after: int = 0, limit: int = 100) -> tuple[LoggedEvent, ...]:
        """Read what moved a run, and what was refused, oldest first.

        Raises:
            NotFoundError, ForbiddenError: the actor may not.

        """
        page = PageOf(after, limit)
        return self._read(actor, lambda connection: following.moves(connection, run, actor.id, page))

    def shown(self, run: str, event_id: int, actor: Actor) -> LoggedEvent:
        """Read a decision as it was shown once, out of the log; it is not made anew.

        Raises:
            NotFoundError: there is none, or it was shown to somebody else, and the actor does not read the log there.
            PrunedError: what it said was pruned.

        """
        return self._read(actor, lambda connection: following.shown(connection, run, event_id, actor.id))

    def reach(self, actor: Actor) -> Reach:
        """Say whose numbers somebody may read.

        Raises:
            ForbiddenError: the actor audits nothing. Recorded.

        """
        return self._read(actor, lambda connection: following.reach(connection, actor.id))

    def tallies(self, after: int) -> Tallies:
        """Count what was recorded after an event, by place and type; whom that may be told, `reach` says."""
        upto = max(after, self.settled())
        return self.gate.read(lambda connection: following.tallies(connection, after, upto))

    def backlog(self) -> Backlog:
        """Count what waits for a worker, and what waits for a checkpoint."""
        return self.gate.read(following.backlog)

    def log_failures(self) -> int:
        """Count the log lines that could not be written since the ledger was opened; the record itself stands."""
        return self.gate.log_failures

    def _read(self, actor: Actor, look: Callable[[Connection], Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(look, (actor.id,))
