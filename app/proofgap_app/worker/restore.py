"""One restore from its request to its evidence: a driver does the work, the ledger keeps the record.

Theory. Every step is an event, fired after the step was done and before the next one begins: what is in the ledger
has happened. The driver observes; the outcome rule (`proofgap.outcome`) says how the run ended; the ledger may refuse.
Evidence is a step of its own, after the end: it reads the target, and never what the execution reported.

A crash leaves the run where it was: before ``start`` nothing was written; after it, the run is still running in the
ledger, which is the truth as far as anybody knows it. A wish to stop is no crash: it interrupts what the driver does,
and never what the ledger records, so that a run that was stopped always has its end.

Owns the order of the steps and what a failing one leads to. Refuses to know formats (`drivers`), rules and people
(`cli`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from msgspec.structs import replace

from proofgap.access import Action
from proofgap.errors import FencedError, GuardRefusedError, ProofgapError, RefusedError
from proofgap.facts import EndReason, RunEvent, RunStatus
from proofgap.hooks import ProjectForRecord
from proofgap.moves import move
from proofgap.outcome import ExecutionFacts, Outcome, outcome_of
from proofgap.records import (
    Completeness,
    Moment,
    PreviewFacts,
    RunDetails,
    RunRecord,
)
from proofgap_app.drivers.base import (
    Driver,
    EvidenceReport,
    Execution,
    Plan,
    Request,
    SourceChangedError,
    TargetChangedError,
)
from proofgap_app.drivers.traced import traced
from proofgap_app.worker import record
from proofgap_app.worker.gathering import gather
from proofgap_app.worker.lease import Grip, Lease, here
from proofgap_app.worker.recording import Recorder
from proofgap_app.worker.stop import Heard
from proofgap_app.worker.target_lock import BusyError, EnvironmentHeldError, hold
from proofgap_store import Claim, NewRun

PREVIEW_VALID_US = 3_600_000_000
"""How long a preview may be acted on: one hour, in microseconds."""

_LOG = structlog.get_logger("proofgap.worker")


@dataclass(slots=True, kw_only=True)
class Restore(Recorder):
    """One restore under way."""

    driver: Driver
    request: Request
    clock: Callable[[], int]
    _is_resumed: bool = False
    _is_started: bool = False  # the driver was told to restore: from then on only it can say that nothing was written

    def __post_init__(self) -> None:
        """Let the steps of the driver be traced."""
        self.driver = traced(self.driver)

    def run(self, new: NewRun) -> str:
        """Take a new run as far as it goes; gives its id. Look at the ledger for how it ended.

        Raises:
            NotFoundError, ForbiddenError: the actor may not execute runs there, and this is no dry run: no run is created.
            ProofgapError, OSError: there is no plan or no preview: the run is blocked. Or backup or target changed at the
                last moment: it failed. Or approvals are missing: it waits. Or there is no evidence.
            KeyboardInterrupt: somebody asked to stop before anything was written: the run is cancelled. Or asked twice.

        """
        if not new.is_dry_run:
            self.ledger.access.demand(Action.EXECUTE, (new.workspace, new.environment), self.actor)
        self.run_id = self._moved(self.ledger.create(new, self.actor)).run_id
        plan = self._prepare(new)
        if plan is not None:
            self._go_on(plan)
        return self.run_id

    def prepare(self, run_id: str, new: NewRun) -> None:
        """Take a run that is there already to the queue, for any worker that may have it.

        Raises:
            StaleError: somebody else prepares it.
            ProofgapError, OSError: as for `run`.

        """
        self.run_id = run_id
        self._line_up(self._prepare(new, self.ledger.peek(run_id, self.actor).version), RunDetails())

    def leave(self, new: NewRun, place: RunDetails) -> None:
        """Take a new run to the queue, and leave it there for any worker that may have it.

        Args:
            new: the run.
            place: its place in line: priority and deadline.

        Raises:
            NotFoundError, ForbiddenError: the actor may not create or queue runs there.
            ProofgapError, OSError, KeyboardInterrupt: as for `run`.

        """
        self.run_id = self._moved(self.ledger.create(new, self.actor)).run_id
        self._line_up(self._prepare(new), place)

    def _line_up(self, plan: Plan | None, place: RunDetails) -> None:
        """Queue a plan that somebody agreed to, for whichever worker claims it."""
        if plan is None:
            return
        with self._looking():
            found = self.driver.fingerprint(plan)
        self._queued(replace(place, plan_digest=plan.digest, target_fingerprint=found))

    def resume(self, run_id: str) -> None:
        """Go on with a run that was previewed, by now approved or not, if it still is what was previewed.

        Nothing but the ledger's own guards ends the run before it is queued: a wish to stop, a no, or a backup that cannot
        be read now leave it previewed, with its approvals.

        Raises:
            NotFoundError, ForbiddenError: there is no such run to see, or the actor may not execute it: it waits on.
            RefusedError: the run is not at its preview, or may not be queued. Recorded.
            ProofgapError, OSError, KeyboardInterrupt: as for `run`.

        """
        waiting = self.ledger.peek(run_id, self.actor)
        self.ledger.access.demand(Action.EXECUTE, (waiting.workspace, waiting.environment), self.actor)
        self.run_id, self._is_resumed = run_id, True
        if not self._may_be_queued(waiting):
            return
        shown = waiting.details.preview or PreviewFacts()
        with self._looking():
            plan = self.driver.plan(self.request)
            found = (plan.digest, self.driver.fingerprint(plan))
        if found == (shown.plan_digest, shown.target_fingerprint):  # if not, a guard of the queue says so
            self.watcher.resumed(plan, shown)
            if not self._agreed(plan, shown):
                return
        self._go_on(plan)

    def _may_be_queued(self, waiting: RunRecord) -> bool:
        """Ask the machine before the backup is read and anybody is asked; its no is the ledger's, and recorded there."""
        moment = Moment(at_us=self.clock(), actor=self.actor.id, new_id="none")
        try:
            move(waiting, RunEvent.QUEUE, RunDetails(), moment=moment, hooks=ProjectForRecord())
        except RefusedError:
            return self._queued(RunDetails(), expected_version=waiting.version)
        return True

    def execute(self, claim: Claim, grip: Grip) -> None:
        """Execute a run that a worker has claimed, if backup and target are still what was previewed.

        Raises:
            ProofgapError, OSError: there is no plan any more, or it is another one, or somebody is at work in the target: the
                run failed, and nothing was written. Or there is no evidence.
            FencedError: the run was taken from the worker: the tool was stopped, and nothing more is recorded.

        """
        self.run_id, self._grip, shown = claim.run.id, grip, claim.run.details.preview or PreviewFacts()
        try:
            plan = self.driver.plan(self.request)
            if shown.plan_digest not in {None, plan.digest}:
                raise SourceChangedError(str(self.request.backup))
            with hold(self.driver.place(plan), self.run_id):
                self._execute(plan, shown.target_fingerprint)
        except (ProofgapError, OSError) as error:
            self._end_unstarted(error)
            raise

    def _end_unstarted(self, error: Exception) -> None:
        """End a claimed run whose tool was never started; any other one is left to whoever knows less (`serve`)."""
        if self._is_started or isinstance(error, FencedError) or self._stands().status is not RunStatus.RUNNING:
            return
        given = RunDetails(end_reason=record.reason_of(error), nothing_written=True)
        self._fire(RunEvent.FAIL, given, note=record.note_of(error))

    def _go_on(self, plan: Plan) -> None:
        """Release, execute and look at the target, which nobody else restores into meanwhile."""
        try:
            with hold(self.driver.place(plan), self.run_id), Lease(self.ledger, self.actor, here()) as lease:
                self._demand_free()
                claim = self._release(plan, lease)
                if claim is not None:
                    with lease.grip(claim) as self._grip:
                        self._execute(plan, claim.run.details.target_fingerprint)
        except BusyError as error:
            if self._is_resumed:
                raise
            self._end_blocked(EndReason.TARGET_BUSY, f"{error.because}. {error.remedy}".rstrip("."))

    def _demand_free(self) -> None:
        """Look before the run is queued: one that is resumed waits on, with its approvals.

        A run that only seems to be live, because its process was killed, is found to be lost here: nobody else may look.
        """
        waiting = self.ledger.peek(self.run_id, self.actor)
        scope = (waiting.workspace, waiting.environment)
        holder = self.ledger.fleet.holder(scope, self.actor)
        if holder is not None and not holder.needs_release:
            self.ledger.fleet.reap_in_a_file(self.actor)
            holder = self.ledger.fleet.holder(scope, self.actor)
        if holder is not None:
            raise EnvironmentHeldError("/".join(scope), holder.run, needs_release=holder.needs_release)

    def _prepare(self, new: NewRun, version: int | None = None) -> Plan | None:
        """Scope, check and preview; nothing is written. ``None``: there is nothing to go on with."""
        self._fire(RunEvent.SCOPE, record.scoped(new.details, self.request), expected_version=version)
        with self._looking():
            plan = self.driver.plan(self.request)
            known = self.ledger.peek(self.run_id, self.actor).details
            checked = record.checked(plan, self.driver.fingerprint(plan), known)
        self._fire(RunEvent.CHECK, checked)
        with self._looking():
            preview = self.driver.preview(plan, progress=self.watcher.working("preview", plan.bytes_total))
        shown = record.previewed(plan, preview, self.clock() + PREVIEW_VALID_US)
        self._fire(RunEvent.PREVIEW, RunDetails(preview=shown))
        self.watcher.previewed(plan, preview)
        if not new.is_dry_run and record.holds_nothing(plan):
            self._end_blocked(
                EndReason.SOURCE_INCOMPLETE, "the backup is incomplete, and no item of it can be restored"
            )
            return None
        return None if new.is_dry_run or not self._agreed(plan, shown) else plan

    def _agreed(self, plan: Plan, shown: PreviewFacts) -> bool:
        with self._looking():
            agreed = self.watcher.agrees(plan, shown)
        if not agreed and not self._is_resumed:
            self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
        return agreed

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Look at source and target before anything is written: who interrupts it cancels the run, what prevents it blocks it.

        A run that is resumed waits on, with its approvals.
        """
        try:
            with self.stop.heard(Heard.AT_ONCE):
                yield
        except KeyboardInterrupt:
            if not self._is_resumed:
                self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
            raise
        except (ProofgapError, OSError) as error:
            if not self._is_resumed:
                self._block(error)
            raise

    def _block(self, error: Exception) -> None:
        """End a run whose source or target cannot be worked with: it was looked at, and that is what was found."""
        if self.ledger.peek(self.run_id, self.actor).status is RunStatus.SCOPED:
            self._fire(RunEvent.CHECK)
        self._fire(RunEvent.BLOCK, RunDetails(end_reason=record.reason_of(error)), note=record.note_of(error))

    def _release(self, plan: Plan, lease: Lease) -> Claim | None:
        """Queue the plan that was previewed, for nobody else, and claim it: from here on it is executed here, or nowhere."""
        with self._looking():
            found = self.driver.fingerprint(plan)
        worker = lease.worker.id
        if not self._queued(RunDetails(plan_digest=plan.digest, target_fingerprint=found, worker=worker)):
            return None
        try:
            claim = self.ledger.fleet.claim(worker, self.actor, run=self.run_id)
            if claim is None:
                run = self.ledger.peek(self.run_id, self.actor)
                self.ledger.access.demand(Action.EXECUTE, (run.workspace, run.environment), self.actor)
        except ProofgapError:  # nobody else will start what was released here
            self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
            raise
        if claim is None:  # somebody was faster, since it was looked at
            self._end_blocked(EndReason.TARGET_BUSY, "another run holds the environment")
        return claim

    def _queued(self, given: RunDetails, expected_version: int | None = None) -> bool:
        """Queue the run; a guard that says no ends it, unless others must approve first or it cannot be queued at all."""
        try:
            self._fire(RunEvent.QUEUE, given, expected_version=expected_version)
        except GuardRefusedError as error:
            reason = record.BLOCKED_BY.get(error.guard or "")
            if reason is None:
                raise
            self._end_blocked(reason, error.because)
            return False
        return True

    def _end_blocked(self, reason: EndReason, because: str) -> None:
        self._fire(RunEvent.BLOCK, RunDetails(end_reason=reason), note=record.note_of(because))
        self.watcher.blocked(reason, because)

    def _execute(self, plan: Plan, target_fingerprint: str | None) -> None:
        """Restore, say how it ended, and look at the target, unless it is as untouched as before."""
        self._is_started = True
        try:
            with self.stop.heard(Heard.IF_IGNORED):
                execution = self.driver.execute(
                    plan,
                    target_fingerprint=target_fingerprint,
                    report=self._report,
                    progress=self.watcher.working("execute", plan.bytes_total),
                    should_stop=self._should_stop,
                )
        except (TargetChangedError, SourceChangedError) as error:
            given = RunDetails(end_reason=record.reason_of(error), nothing_written=True)
            self._fire(RunEvent.FAIL, given, note=record.note_of(error))
            raise
        except FencedError:
            raise
        except BaseException:
            self._end_torn()
            raise
        try:
            outcome = self._end(execution, plan.source_completeness)
        except FencedError:
            raise
        except ProofgapError:
            self._unreported.clear()
            self._end_torn()
            raise
        if not (execution.nothing_written and outcome.status in {RunStatus.FAILED, RunStatus.CANCELLED}):
            self._collect(plan)

    def _end_torn(self) -> None:
        """End a run whose driver died or was interrupted: what it reported is a lower bound, the rest is not known."""
        try:
            self._flush()
        except FencedError:
            raise
        except ProofgapError as error:  # an item that is refused must not keep the run from its end
            _LOG.warning("restore.items_not_recorded", run=self.run_id, error=str(error))
        outcome = outcome_of(ExecutionFacts(cancel_requested=self._stop_is_wanted(), reached_end=False))
        given = RunDetails(outcome_rule=outcome.rule, end_reason=outcome.end_reason, counts_are_lower_bounds=True)
        self._fire(outcome.event, given)

    def _end(self, execution: Execution, source: Completeness) -> Outcome:
        """Fire what the outcome rule says."""
        self._flush()
        outcome = outcome_of(execution.facts(cancel_requested=self._stop_is_wanted()))
        self._fire(outcome.event, record.ended(execution, outcome, source), note=record.said_of(execution))
        return outcome

    def _stop_is_wanted(self) -> bool:
        """Tell whether anybody asked to stop; who asked here is put on record."""
        asked = self.stop.asked
        if asked:
            self._fire(RunEvent.REQUEST_CANCEL)
        return asked or self._cancel_is_requested()

    def _collect(self, plan: Plan) -> None:
        """Read the target and compare it with the backup; a snapshot that cannot be produced fails, the run does not."""
        plan = dataclasses.replace(plan, in_place=frozenset(self._in_place))

        def look() -> EvidenceReport:
            with self.stop.heard(Heard.IF_REPEATED):
                return self.driver.collect(plan, progress=self.watcher.working("collect", plan.bytes_total))

        begin = partial(self.ledger.begin_evidence, self.run_id, self.actor)
        gather(lambda: self._write(begin), self._fire_evidence, look, plan)

    def _should_stop(self) -> bool:
        """Tell whether to stop: asked here, or, as the last beat said, by somebody else; or the run was taken away."""
        return self.stop.asked or (self._grip is not None and self._grip.should_stop())

    def _cancel_is_requested(self) -> bool:
        with self.stop.heard(Heard.NEVER):
            return self._stands().details.cancel_requested_by is not None
