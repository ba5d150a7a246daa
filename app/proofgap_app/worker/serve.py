"""One process that executes whatever is queued for it, until it is told to end: the loop around `restore`.

Theory. Five kinds of threads share one lease: one beats (`lease`), as many as runs may be executed at once claim and
execute, the caller's own reaps lost workers, one decides what else is due, and as many again do what takes long of that,
such as preparing drills (`asides`): a preview reads a whole backup, and nobody is to wait for that. The engine
(`proofgap_store.dispatching`) decides how a thread comes to know that a run waits; the claim decides who gets it.

Ends, from gentle to hard: *drain* takes nothing new and lets every run end; *stop* also asks every tool to stop, and
records what came of it, and leaves a drill that is being prepared to others. Whatever is harder than that is the silence of a lost worker. A worker that was found lost,
because it was frozen or cut off, stops its tools, registers anew and goes on.

While the database is away nothing is claimed, and whoever executes waits with what there is to record. Nobody is
declared lost by a worker that was itself cut off until the others had a whole lease to come back.

Owns this loop. Refuses to know how a run is executed: it is handed in.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog

from proofgap.audit import Actor
from proofgap.errors import FencedError, ProofgapError
from proofgap.facts import RunStatus
from proofgap.outcome import ExecutionFacts, outcome_of
from proofgap.records import RunDetails
from proofgap_app.worker.asides import Asides, carefully
from proofgap_app.worker.lease import Grip, Lease
from proofgap_app.worker.stop import Stop
from proofgap_store import Claim, Ledger, NewWorker, UnavailableError
from proofgap_store.fencing import new_token

_LOG = structlog.get_logger("proofgap.worker")
_PAUSE_SECONDS = 1.0
_LISTENS_SECONDS = 0.2
_LOOKS_A_LEASE = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A run to execute, and what may end it early."""

    claim: Claim
    grip: Grip
    stop: Stop


Body = Callable[[Job], None]
"""Executes one claimed run to its end, and records it; what it raises is logged, and the next run is taken."""


@dataclass(slots=True, kw_only=True)
class Crew:
    """The threads of one worker process."""

    ledger: Ledger
    actor: Actor
    new: NewWorker
    body: Body
    look_after: Callable[[Lease, Asides], None] = lambda _lease, _asides: None  # now and then, besides reaping
    counts: Counter[str] = field(
        default_factory=Counter
    )  # since the process began: claimed, ended, failed, fenced, reaped
    lease: Lease | None = None
    _draining: threading.Event = field(default_factory=threading.Event)
    _halted: threading.Event = field(default_factory=threading.Event)
    _stops: set[Stop] = field(default_factory=set)
    _tending: threading.Thread | None = None
    _asides: Asides = field(init=False)

    def __post_init__(self) -> None:
        """Make places for as many works beside the runs as there are for runs."""
        self._asides = Asides(self.new.concurrency)

    def drain(self) -> None:
        """Take nothing new; `work` returns when what is under way has ended. May be called from a signal handler."""
        self._draining.set()

    def halt(self) -> None:
        """Drain, and ask every tool to stop. As above."""
        self._halted.set()
        self._draining.set()
        for stop in tuple(self._stops):
            stop.asked = True

    @property
    def is_draining(self) -> bool:
        """Whether nothing new is taken any more."""
        return self._draining.is_set()

    @property
    def executing(self) -> int:
        """How many runs are being executed now."""
        return len(self._stops)

    def work(self) -> None:
        """Work until drained; a lease that is lost is followed by a new one, and a database that is away is waited for.

        Raises:
            ProofgapError: the worker may not execute anything, or its labels are wrong.

        """
        try:
            while not self._draining.is_set():
                self._work()
        finally:
            self._see_tending_out()

    def _see_tending_out(self) -> None:
        """Wait until the fleet is looked after, unless told to stop: a drill that is half prepared is taken up by others."""
        while self._tending is not None and self._tending.is_alive() and not self._halted.is_set():
            self._tending.join(_LISTENS_SECONDS)
        self._asides.see_out(self._halted.is_set)

    def _work(self) -> None:
        """Work as long as one lease lasts."""
        try:
            with Lease(self.ledger, self.actor, self.new) as lease:
                self.lease = lease
                _LOG.info("worker.began", worker=lease.worker.id, name=self.new.name)
                self._serve(lease)
        except UnavailableError as error:
            _LOG.warning("worker.waits_for_the_database", error=str(error))
            self._draining.wait(_PAUSE_SECONDS)

    def _serve(self, lease: Lease) -> None:
        """Let the engine deliver to this lease, and look after the fleet meanwhile."""
        ending = threading.Event()
        engine = threading.Thread(target=self._deliver, args=(lease, ending), name="engine")
        engine.start()
        try:
            looked = time.monotonic()  # not at once: while the database was away, nobody could beat
            while engine.is_alive() and not (self._draining.is_set() or lease.is_lost):
                if time.monotonic() - looked >= self._seconds_between_looks:
                    self._look(lease)
                    looked = time.monotonic()
                self._draining.wait(min(_LISTENS_SECONDS, self._seconds_between_looks))
        finally:
            ending.set()
            engine.join()

    @property
    def _seconds_between_looks(self) -> float:
        return self.new.lease_us / 1_000_000 / _LOOKS_A_LEASE

    def _deliver(self, lease: Lease, ending: threading.Event) -> None:
        def execute(run_id: str | None, should_stop: Callable[[], bool]) -> bool:
            return self._execute(lease, run_id, should_stop)

        try:
            self.ledger.fleet.dispatcher.serve(
                execute, name=lease.worker.id, concurrency=self.new.concurrency, stop=ending
            )
        except UnavailableError as error:
            _LOG.warning("worker.waits_for_the_database", error=str(error))

    def _look(self, lease: Lease) -> None:
        """Reap, and have done whatever else is due; not right after this worker was cut off itself."""
        if time.monotonic() - lease.failed_at < self.new.lease_us / 1_000_000:
            return
        carefully(self._reap)
        if self._tending is None or not self._tending.is_alive():
            self._tending = threading.Thread(
                target=carefully,
                args=(partial(self.look_after, lease, self._asides),),
                name="looks after the fleet",
                daemon=True,
            )
            self._tending.start()

    def _reap(self) -> None:
        reaped = self.ledger.fleet.reap(self.actor)
        self.counts["reaped"] += len(reaped.failed)
        if reaped != type(reaped)():
            _LOG.warning("worker.reaped", lost=reaped.workers, failed=reaped.failed, blocked=reaped.blocked)

    def _execute(self, lease: Lease, run_id: str | None, should_stop: Callable[[], bool]) -> bool:
        """Claim a run and execute it; what goes wrong is logged, and belongs to that run only.

        What the engine had fetched when the drain began is left to others.
        """
        claim = None if self._draining.is_set() else self._claim(lease, run_id)
        if claim is None:
            return False
        self.counts["claimed"] += 1
        stop = Stop()
        self._stops.add(stop)
        log = _LOG.bind(worker=lease.worker.id, run=claim.run.id)
        log.info("worker.claimed")
        try:
            with lease.grip(claim, should_stop) as grip:
                self.body(Job(claim, grip, stop))
            self.counts["ended"] += 1
            log.info("worker.ended")
        except FencedError as error:
            self.counts["fenced"] += 1
            log.warning("worker.fenced", error=str(error))
        except ProofgapError as error:
            self.counts["failed"] += 1
            log.warning("worker.run_went_wrong", error=str(error))
        except Exception:  # a run that goes wrong must not end the runs beside it
            self.counts["failed"] += 1
            log.exception("worker.run_went_wrong")
        finally:
            self._stops.discard(stop)
        self._see_ended(lease, claim)
        return True

    def _see_ended(self, lease: Lease, claim: Claim) -> None:
        """See that a run is not left running whose execution is over: a worker that lives on keeps nobody waiting."""
        outcome = outcome_of(ExecutionFacts(reached_end=False))
        given = RunDetails(outcome_rule=outcome.rule, end_reason=outcome.end_reason, counts_are_lower_bounds=True)
        while not lease.is_lost and not self._halted.is_set():
            try:
                if self.ledger.peek(claim.run.id, self.actor).status is RunStatus.RUNNING:
                    self.ledger.fire(claim.run.id, outcome.event, self.actor, given=given, token=claim.token)
            except UnavailableError:
                time.sleep(_PAUSE_SECONDS)
            except ProofgapError as error:
                _LOG.warning("worker.could_not_end_a_run", run=claim.run.id, error=str(error))
                return
            else:
                return

    def _claim(self, lease: Lease, run_id: str | None) -> Claim | None:
        """Claim a run; an answer that may have got lost is asked for again, with the same token."""
        token = new_token()
        while not lease.is_lost and not self._halted.is_set():
            try:
                return self.ledger.fleet.claim(lease.worker.id, self.actor, run=run_id, token=token)
            except UnavailableError as error:
                _LOG.warning("worker.could_not_claim", worker=lease.worker.id, error=str(error))
            except ProofgapError as error:
                _LOG.warning("worker.could_not_claim", worker=lease.worker.id, error=str(error))
                return None
            time.sleep(_PAUSE_SECONDS)
        return None
