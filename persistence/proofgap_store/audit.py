"""The log as auditors use it: one thin class, whose verbs are carried out elsewhere.

Owns the names of the verbs. Refuses to know how any of them works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proofgap.audit import Actor
from proofgap_store import (
    bundling,
    declaring,
    denials,
    durations,
    exporting,
    holds,
    pruning,
    questions,
    reasons,
    redaction,
    replaying,
    rotation,
    seen,
    tree,
)
from proofgap_store.bundling import Bundled
from proofgap_store.custody import Custody
from proofgap_store.declaring import Gap, RestoredLedger
from proofgap_store.durations import StayQuery, Stays
from proofgap_store.engine import Connection
from proofgap_store.exporting import Export, Manifest
from proofgap_store.gate import Answer, Gate, Writing
from proofgap_store.holds import Hold, HoldOn
from proofgap_store.pruning import Pruned, PruneOrder
from proofgap_store.questions import EVERY_EVENT, NEWEST, Progress, silent
from proofgap_store.reasons import DecisionHistory, Why
from proofgap_store.redaction import Erasure, Redaction
from proofgap_store.replaying import Replay
from proofgap_store.rotation import LogKey
from proofgap_store.seen import Moment, Seen
from proofgap_store.sequencer import Checkpointed, Sequencer
from proofgap_store.shapes import LoggedEvent, LogListing, LogPage, LogQuery


@dataclass(frozen=True, slots=True)
class Audit:
    """The log of one ledger, for its auditors; `Ledger.audit` gives it.

    Every verb raises `ForbiddenError` for an actor who may not, which is recorded, and answers for what the actor may not
    see as for what does not exist.
    """

    gate: Gate
    custody: Custody
    clock: Callable[[], int]

    def checkpoint(self) -> Checkpointed | None:
        """Give every waiting event its leaf and sign the tree; the last checkpoint, ``None`` before the first event.

        Raises:
            UnsignedError: what is stored is not what was signed before.
            CustodyError: the key file or the head file cannot be used.

        """
        return self._sequencer.run()

    def waiting(self) -> int:
        """Count the events that no checkpoint covers yet, for whoever decides when to make the next."""
        return self.gate.read(tree.queue).events

    @property
    def _sequencer(self) -> Sequencer:
        return Sequencer(gate=self.gate, custody=self.custody, clock=self.clock)

    def keys(self, actor: Actor) -> tuple[LogKey, ...]:
        """Read which keys the log named as its own, one after the other; an auditor pins them."""
        return self._read(actor, lambda connection: rotation.key_periods(connection, actor.id))

    def is_all(self, actor: Actor) -> bool:
        """Tell whether the actor audits every environment of the ledger: only they may be told where something is wrong.

        Raises:
            ForbiddenError: the actor audits nothing. Recorded.

        """
        return self._read(actor, lambda connection: questions.audits_everything(connection, actor.id))

    def policy(self, actor: Actor) -> str:
        """Write the policy (C2SP tlog-policy) that takes every key of the log, and asks for no witness."""
        return self._read(actor, lambda connection: rotation.policy_of(connection, actor.id))

    def rotate_key(self, actor: Actor, *, lost: bool = False) -> LogKey:
        """Put a new key in force, endorsed by the old one; without the endorsement where the old one is lost.

        Raises:
            ForbiddenError: the actor is no admin of the environment that the ledger began with. Recorded.
            NotFoundError: they hold no role there at all.
            BadInputError: the key is said to be lost, and is there.
            CustodyError: the old key is not there, or the new one cannot be kept.
            UnsignedError: what waits cannot be signed with the old key.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return rotation.rotate(self._sequencer, actor, lost=lost)

    def bundle(self, run: str, actor: Actor, file: Path, *, previous: Path | None = None) -> Bundled:
        """Take everything about a run out into one file that can be verified without the ledger; it is an event.

        Args:
            run: the run.
            actor: who takes it.
            file: a new zip file.
            previous: an earlier bundle of this ledger, from which the log is then proven to have only grown.

        Raises:
            BadInputError: the file is there already or cannot be written, ``previous`` is none, or events were pruned.
            NotFoundError: there is no such run, or it is not visible.
            ForbiddenError: the actor does not audit the environment of the run. Recorded.
            UnsignedError, CustodyError: no checkpoint could be signed.
            OSError: writing failed. There is no bundle without its event.

        """
        note = None if previous is None else bundling.previous_checkpoint(previous)
        order = bundling.Order(run, actor, file, note, self.clock())
        with denials.recorded(self.gate, actor, self.clock):
            return bundling.bundle(self.gate, self.custody, order, self.checkpoint)

    def list(self, query: LogQuery, actor: Actor, page: LogPage = NEWEST) -> LogListing:
        """Read a page of events, newest first unless asked otherwise. Events that come meanwhile move no page."""
        return self._read(actor, lambda connection: questions.listing(connection, query, actor.id, page))

    def get(self, event: int | str, actor: Actor) -> LoggedEvent:
        """Read one event, by its number or by its id (a UUID).

        Raises:
            NotFoundError: there is none, or it is not visible.

        """
        return self._read(actor, lambda connection: questions.one(connection, event, actor.id))

    def tail(self, after: int, actor: Actor, query: LogQuery = EVERY_EVENT) -> tuple[LoggedEvent, ...]:
        """Read what was recorded after an event (0: from the beginning), oldest first, one page at most.

        Whoever goes on after the last one misses nothing: what is beyond a write that is under way comes the next time.
        """
        page = LogPage(limit=questions.PAGE_EVENTS_MAX, after=str(after), oldest_first=True)
        upto = self.gate.read(tree.settled)
        return tuple(event for event in self.list(query, actor, page).events if event.event_id <= upto)

    def export(self, wanted: Export, actor: Actor, progress: Progress = silent) -> Manifest:
        """Take events out of the log into a new file, with a manifest beside it; that this was done is an event.

        Raises:
            BadInputError: the file is there already, or cannot be written, or the form needs what is not installed.
            StaleError: what the actor may read changed meanwhile.
            OSError: writing failed. There is no file without its event.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return exporting.export(self.gate, wanted, actor, self.clock(), progress)

    def redact(self, wanted: Erasure, actor: Actor) -> Redaction:
        """Erase what an event committed to; the commitment stays, and an event says what was erased.

        Raises:
            NotFoundError: there is no such opening, it was erased before, or it is not visible.
            ForbiddenError: the actor is no admin.

        """
        return self._write(actor, lambda connection: redaction.redacting(connection, wanted, actor, self.clock()))

    def hold(self, wanted: HoldOn, reason: str, actor: Actor) -> Hold:
        """Keep events from being pruned until the hold is released.

        Raises:
            NotFoundError, ForbiddenError: there is no such thing, or the actor does not administer it.

        """
        return self._write(actor, lambda connection: holds.holding(connection, wanted, reason, actor, self.clock()))

    def release(self, hold: str, actor: Actor) -> Hold:
        """Release a hold.

        Raises:
            NotFoundError: there is none in force, or it is not visible.
            ForbiddenError: the actor does not administer what it holds.

        """
        return self._write(actor, lambda connection: holds.releasing(connection, hold, actor, self.clock()))

    def holds(self, actor: Actor) -> tuple[Hold, ...]:
        """Read the holds over what the actor audits, those that were released as well."""
        return self._read(actor, lambda connection: holds.listing(connection, actor.id))

    def prune(self, order: PruneOrder, actor: Actor) -> Pruned:
        """Export the oldest events, read the export back, and take their payloads out of the ledger.

        Raises:
            BadInputError: there is nothing to prune, or a file of this name is not the export of these events.
            HeldError: a hold covers the first event.
            ForbiddenError: the actor does not administer everything that these events speak of.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return pruning.prune(self.gate, order, actor, self.clock())

    def declare_gap(self, reason: str, actor: Actor) -> Gap:
        """Put guards right that are missing or foreign, and record that they were not: the only way past them.

        Raises:
            BadInputError: they are as they were made.
            UnavailableError: a table differs, which cannot be put right.

        """
        return self._write(actor, lambda connection: declaring.declaring_gap(connection, reason, actor, self.clock()))

    def declare_restore(self, reason: str, actor: Actor) -> RestoredLedger:
        """Record that this ledger is a restored copy, and let the head file begin anew from it.

        Raises:
            UnsignedError, UnavailableError: no checkpoint could be signed; the declaration stands.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return declaring.declare_restore(self.gate, self.custody, self.clock, reason, actor)

    def as_seen(self, person: str, run: str, at_us: int, actor: Actor) -> Seen:
        """Read what a person had been shown of a run, at or before a moment; nothing, where they never were.

        Raises:
            NotFoundError: there is no such run, or it is not visible.

        """
        moment = Moment(person, run, at_us)
        with denials.recorded(
            self.gate, actor, self.clock
        ):  # of a list over runs that they do not see, one row is theirs
            return self.gate.read(lambda connection: seen.last_shown(connection, moment, actor.id))

    def why(self, run: str, actor: Actor) -> Why:
        """Read what the last decision of a run rests on: its facts, and the rules in their order.

        Raises:
            NotFoundError: there is no such run, or it is not visible.

        """
        return self._read(actor, lambda connection: reasons.why(connection, run, actor.id))

    def history(self, run: str, actor: Actor) -> DecisionHistory:
        """Read each projection that changed a run's decision, oldest first, with the events that caused it, as far as it is known.

        Raises:
            NotFoundError: there is no such run, or it is not visible.

        """
        return self._read(actor, lambda connection: reasons.history(connection, run, actor.id))

    def replay(self, run: str | None, actor: Actor, progress: Progress = silent) -> Replay:
        """Decide every logged projection anew, of one run or of all, and compare every field.

        Raises:
            NotFoundError: there is no such run, or it is not visible.

        """
        return self._read(actor, lambda connection: replaying.replay(connection, run, actor.id, progress))

    def durations(self, query: StayQuery, actor: Actor) -> tuple[Stays, ...]:
        """Read how long records stayed in each status of their machine."""
        return self._read(actor, lambda connection: durations.durations(connection, query, actor.id))

    def _read(self, actor: Actor, look: Callable[[Connection], Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(look, (actor.id,))

    def _write(self, actor: Actor, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(prepare, (actor.id,))
