"""The ledger: the record of every restore run, and the only way to change it.

Theory. A worker fires an event. The ledger reads the run as it stands, lets the machine decide (`move`, pure), and
inserts the events that follow: the transition and the projection of its decision. Triggers in the database move the
run from the inserted event, or the insert fails; no statement of ours updates a status. Refused attempts are events
too, in a transaction of their own. Every decision that is shown to somebody is projected for that person and logged.

Owns the public verbs. Refuses to know rules (`proofgap.lifecycle`, `proofgap.decision`), SQL (`read`, `audit_log`)
and how people ask (`proofgap_app`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from proofgap.access import Action
from proofgap.admission import admitted, known
from proofgap.audit import Actor
from proofgap.effects import refuse_results_at_birth
from proofgap.errors import RefusedError
from proofgap.facts import Facts, RunEvent, SnapshotEvent
from proofgap.moves import retry
from proofgap.records import Check, Item, RunDetails, RunRecord, SnapshotDetails
from proofgap.secret import without_secrets
from proofgap.text import check_words
from proofgap_store import administration, births, denials, evidencing, expiry, firing, health, importing, lists, views
from proofgap_store.access import Access
from proofgap_store.audit import Audit
from proofgap_store.calls import check_report, check_time, made
from proofgap_store.clock import new_id, now_us
from proofgap_store.custody import Custody
from proofgap_store.desk import Desk
from proofgap_store.dialect import Readers
from proofgap_store.engine import Connection, make_engine
from proofgap_store.feed import Feed
from proofgap_store.fleet import Fleet
from proofgap_store.gate import Answer, Gate, Prepare
from proofgap_store.maintenance import Database
from proofgap_store.schema import Drift
from proofgap_store.sessions import Sessions
from proofgap_store.shapes import Diagnosis, HistoryEvent, ImportResult, Listing, NewRun, Receipt, Shown
from proofgap_store.tracing import Attempted, Tracer, traced
from proofgap_store.transitions import Attempt, Call, record_refusal
from proofgap_store.verification import Anchors, Depth, Verification
from proofgap_store.verifying import verify, verify_file

_NOTHING_GIVEN = RunDetails()
_NOTHING_FOUND = SnapshotDetails()


class Ledger:
    """One ledger, open. Use it as a context manager, or `close` it."""

    def __init__(self, gate: Gate, custody: Custody, clock: Callable[[], int] = now_us) -> None:
        """Wrap a gate; use `Ledger.open`."""
        self._gate, self._custody, self._clock = gate, custody, clock

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        owner: str | None = None,
        synchronous: str = "FULL",
        key: Path | None = None,
        head: Path | None = None,
    ) -> Self:
        """Open a ledger, and create it where there is none yet.

        Args:
            url: ``sqlite:///FILE``, ``sqlite://`` for one in memory, or ``postgresql://USER@HOST/DATABASE``.
            create: whether a missing ledger is created; else that is an error.
            owner: who becomes admin of workspace ``default``, environment ``local``; the operating-system user.
            synchronous: ``FULL``, or ``NORMAL`` where a power cut, or a crash of the server, may lose the last commits.
            key: the file of the key that signs checkpoints; ``FILE.key`` beside the ledger, or in the user's data folder.
            head: the file that keeps the last checkpoint; ``FILE.head`` in the same place, unless given.

        Raises:
            BadInputError: the URL is none.
            UnavailableError: there is no ledger there, it is no ledger, or it cannot be reached.

        """
        gate = Gate(make_engine(url, synchronous=synchronous))
        custody = administration.set_up(gate, create=create, owner=owner, key=key, head=head)
        return cls(gate, custody)

    def close(self) -> None:
        """Let go of the database."""
        self._gate.engine.dispose()

    def __enter__(self) -> Self:
        """Give the ledger itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def create(self, new: NewRun, actor: Actor, *, key: str | None = None, at_us: int | None = None) -> Receipt:
        """Create a run as a draft.

        Raises:
            NotFoundError: there is no such environment, or the actor holds no role there.
            ForbiddenError: their role may not create runs.
            KeyReusedError: the key was used for another request.

        """
        new = admitted("new", new)
        refuse_results_at_birth(new.details)
        return self._begin(new, self._call(actor, at_us, key, "create", new))

    def _begin(self, new: NewRun, call: Call) -> Receipt:
        run_id, readers = new_id("rr"), (call.actor.id,)

        def act() -> Receipt:
            return self._write(call.actor, lambda connection: births.beginning(connection, run_id, new, call), readers)

        return traced(self._gate.tracer, Attempted("create", None, None), act)

    def fire(  # noqa: PLR0913 - the one gate: every argument is part of the public contract
        self,
        run_id: str,
        event: RunEvent,
        actor: Actor,
        *,
        given: RunDetails = _NOTHING_GIVEN,
        items: Sequence[Item] = (),
        key: str | None = None,
        expected_version: int | None = None,
        at_us: int | None = None,
        note: str | None = None,
        token: str | None = None,
    ) -> Receipt:
        """Fire an event on a run: all of it happens, or none of it.

        Args:
            run_id: the run.
            event: what happened, or is to happen.
            actor: who fires it.
            given: the facts that come with the event.
            items: item outcomes; only with ``report``. What looks like a secret is taken out of what is said of them.
            key: an idempotency key; the same key with the same request gives the original receipt again.
            expected_version: refuse unless the run has this version.
            at_us: when it happened; now, unless given.
            note: why, in the actor's words. It can be erased: the event holds a commitment to it only.
            token: the fencing token of the run's claim, where a worker claimed it (`Fleet.claim`).

        Raises:
            NotFoundError: there is no such run, or the actor cannot see it.
            ForbiddenError: the actor's roles do not allow this event. Recorded.
            NotAllowedError, GuardRefusedError, StaleError: the machine refused, or the version is another. Recorded.
            FencedError: the run was claimed, and this is not, or not any more, the token of its claim. Recorded.
            KeyReusedError, BadInputError: the key was used for another request; a fact does not belong to the event.

        """
        event, given = known(RunEvent, "event", event), admitted("given", given)
        found = without_secrets(admitted("items", tuple(items), length_max=evidencing.FOUND_LENGTH_MAX))
        check_report(event, given, found)
        call = self._call(actor, at_us, key, "fire", run_id, event, given, found, expected_version)
        call = call._replace(note=None if note is None else check_words("note", note))
        return firing.fire(self._gate, firing.Fired(run_id, event, given, found, expected_version, token), call)

    def retry(self, run_id: str, actor: Actor, *, key: str | None = None, at_us: int | None = None) -> Receipt:
        """Create a new run that tries again what a run did that has ended; the old one stays as it is.

        Raises:
            NotAllowedError: the run has not ended yet. Recorded.

        """
        record = self._read(actor, lambda connection: views.visible(connection, run_id, actor.id, Action.CREATE)).record
        call = self._call(actor, at_us, key, "retry", run_id)
        try:
            details = retry(record)
        except RefusedError as error:
            record_refusal(self._gate, Attempt(run_id, "retry", lambda _record: Action.CREATE, run_id), call, error)
            raise
        new = NewRun(
            workspace=record.workspace, environment=record.environment, is_dry_run=record.is_dry_run, details=details
        )
        return self._begin(new, call)

    def begin_evidence(
        self,
        run_id: str,
        actor: Actor,
        *,
        captured_at_us: int | None = None,
        key: str | None = None,
        token: str | None = None,
    ) -> Receipt:
        """Ask for an evidence snapshot of a run whose execution has ended; ``subject`` is its id.

        Raises:
            GuardRefusedError: nothing was executed, or it has not ended. Recorded.
            FencedError: as for `fire`. Recorded.

        """
        call = self._call(actor, None, key, "begin_evidence", run_id, captured_at_us)
        check_time("captured_at_us", captured_at_us, call.rec_us)
        return evidencing.begin(self._gate, run_id, captured_at_us, call, token)

    def fire_evidence(  # noqa: PLR0913 - the gate of evidence: every argument is part of the public contract
        self,
        snapshot_id: str,
        event: SnapshotEvent,
        actor: Actor,
        *,
        given: SnapshotDetails = _NOTHING_FOUND,
        checks: Sequence[Check] = (),
        key: str | None = None,
        at_us: int | None = None,
        token: str | None = None,
    ) -> Receipt:
        """Fire an event on an evidence snapshot. Activating it supersedes the one that was active before.

        Raises:
            NotFoundError: there is no such snapshot, or the actor cannot see its run.
            GuardRefusedError: nothing was checked, or a later snapshot is active. Recorded.
            FencedError: as for `fire`. Recorded.

        """
        event = known(SnapshotEvent, "event", event)
        given, found = evidencing.sound(given, checks)
        call = self._call(actor, at_us, key, "fire_evidence", snapshot_id, event, given, found)
        return evidencing.fire(self._gate, evidencing.Finding(snapshot_id, event, given, found), call, token)

    def peek(self, run_id: str, actor: Actor) -> RunRecord:
        """Read a run as it stands, for whoever works on it or waits for it. No decision is shown, so none is logged.

        Raises:
            NotFoundError: there is no such run, or the actor cannot see it.

        """
        return self._gate.read(lambda connection: views.peek(connection, run_id, actor.id), (actor.id,))

    def project(self, run_id: str, viewer: str, actor: Actor) -> Shown:
        """Project a run's decision for one person, and log that they were shown it.

        Raises:
            NotFoundError: there is no such run, or the viewer cannot see it.
            ForbiddenError: the actor may not see what others are shown.

        """
        asked = views.Asked(actor, viewer, self._clock())
        return self._shown(asked, lambda connection: views.showing(connection, run_id, asked))

    show = project

    def list_runs(self, viewer: str, actor: Actor, query: views.Query = views.EVERYTHING) -> Listing:
        """Show somebody a page of runs, newest first; one audit event names each row's run, state and facts."""
        asked = views.Asked(actor, viewer, self._clock())
        return self._shown(asked, lambda connection: lists.listing(connection, asked, query))

    def history(self, run_id: str, viewer: str, *, after: int = 0) -> list[HistoryEvent]:
        """Read the log of a run, oldest first; only what came after an event, where its id is given.

        Raises:
            NotFoundError, ForbiddenError: the viewer may not.

        """
        return self._read(Actor(id=viewer), lambda connection: views.history(connection, run_id, viewer, after))

    def items(self, run_id: str, viewer: str, page: views.Page = views.FIRST_PAGE) -> list[Item]:
        """Read item outcomes of a run, ordered by key."""
        return self._gate.read(lambda connection: views.items(connection, run_id, viewer, page), (viewer,))

    def checks(self, snapshot_id: str, viewer: str) -> list[Check]:
        """Read the checks of an evidence snapshot, in the order they were made."""
        return self._read(Actor(id=viewer), lambda connection: views.checks(connection, snapshot_id, viewer))

    def import_facts(self, lines: Sequence[tuple[Facts, bytes]], actor: Actor) -> ImportResult:
        """Take in records of another system: all of them, or none.

        Args:
            lines: the facts of each run, and the bytes of the line they were read from.
            actor: who imports; becomes admin of environments that come into being by it.

        Raises:
            BadInputError: a record contradicts one that is there already. Nothing is stored.

        """
        call = self._call(actor, None, None)
        return self._write(actor, lambda connection: importing.writing(connection, lines, call), None)

    def trace_by(self, tracer: Tracer | None) -> None:
        """Let somebody look on at each transition from now on; ``None``: nobody."""
        self._gate.tracer = tracer

    @property
    def access(self) -> Access:
        """Give who may do what where, for its administrators."""
        return Access(self._gate, self._clock)

    @property
    def desk(self) -> Desk:
        """Give what the page of a run shows beside its decision."""
        return Desk(self._gate, self._clock)

    @property
    def audit(self) -> Audit:
        """Give the log, for its auditors."""
        return Audit(self._gate, self._custody, self._clock)

    @property
    def fleet(self) -> Fleet:
        """Give the workers, what waits for them, and what they hold."""
        return Fleet(self._gate, self._clock)

    @property
    def feed(self) -> Feed:
        """Give what moves, for whoever follows it."""
        return Feed(self._gate, self._clock)

    @property
    def sessions(self) -> Sessions:
        """Give who is let in by the network: tokens, links and sessions."""
        return Sessions(self._gate, self._clock)

    @property
    def database(self) -> Database:
        """Give the database that the ledger lives in, for whoever operates it."""
        return Database(self._gate, self._custody, self._clock)

    def verify(self, *, anchors: Anchors | None = None, is_quick: bool = False) -> Verification:
        """Verify the log of this ledger, and that its records follow from it; held against its own head file.

        Args:
            anchors: what else to hold it against: keys that are trusted, a pinned checkpoint.
            is_quick: read no payloads; never comes to OK.

        """
        held = anchors or Anchors(head=self._custody.head.read())
        depth = Depth(now_us=self._clock(), is_quick=is_quick)
        if self._gate.url is not None:
            return verify_file(self._gate.url, held, depth)
        return self._gate.read(lambda connection: verify(connection, held, depth))

    def guards(self) -> Drift:
        """Say how the guards of the database differ from those that were made: nothing is written while they do."""
        return self._gate.read(self._gate.guards)

    def diagnose(self) -> Diagnosis:
        """Say how the ledger and its database are."""
        return health.diagnose(self._gate, self._custody)

    def expire_evidence(self) -> int:
        """Let all evidence expire whose time is over; gives of how many runs.

        Nobody who is shown a decision needs it: what that decision would rest on is looked at first. It is for those
        who read the log, and are to find there when evidence stopped counting.
        """
        now_us = self._clock()
        runs = self._gate.read(lambda connection: expiry.due(connection, now_us))
        expiry.expire(self._gate, runs, now_us)
        return len(runs)

    def _shown(self, asked: views.Asked, look: Prepare[Answer]) -> Answer:
        """Show something, once nothing of it rests on evidence that has stopped counting."""
        while True:
            try:
                return self._write(asked.actor, look, (asked.actor.id, asked.viewer))
            except expiry.EvidenceOverError as over:
                expiry.expire(self._gate, over.runs, asked.at_us)

    def _read(self, actor: Actor, look: Callable[[Connection], Answer]) -> Answer:
        with denials.recorded(self._gate, actor, self._clock):
            return self._gate.read(look, (actor.id,))

    def _write(self, actor: Actor, prepare: Prepare[Answer], readers: Readers) -> Answer:
        with denials.recorded(self._gate, actor, self._clock):
            return self._gate.write(prepare, readers)

    def _call(self, actor: Actor, at_us: int | None, key: str | None, *request: object) -> Call:
        return made(self._clock(), actor, at_us, key, *request)
