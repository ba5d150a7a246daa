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

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from proofgap.audit import Actor
from proofgap.errors import GuardRefusedError, ProofgapError
from proofgap.facts import EndReason, RunEvent, RunStatus, SnapshotEvent
from proofgap.outcome import ExecutionFacts, Outcome, outcome_of
from proofgap.records import Item, PreviewFacts, RunDetails, SnapshotDetails
from proofgap_app.drivers.base import (
    Driver,
    EvidenceReport,
    Execution,
    Plan,
    Preview,
    Progress,
    Request,
    SourceChangedError,
    TargetChangedError,
)
from proofgap_store import Ledger, NewRun, Receipt

PREVIEW_VALID_US = 3_600_000_000
"""How long a preview may be acted on: one hour, in microseconds."""

_BATCH_ITEMS = 1000
_ASK_LEDGER_US = 1_000_000
_BLOCKED_BY = {
    "selection_is_not_empty": EndReason.EMPTY_SELECTION,
    "target_is_unchanged": EndReason.TARGET_CHANGED,
    "plan_is_unchanged": EndReason.TARGET_CHANGED,
    "preview_is_current": EndReason.PREVIEW_EXPIRED,
}


class Watcher(Protocol):
    """Who watches a restore: is told of each step, and may say no before anything is written."""

    def moved(self, receipt: Receipt) -> None:
        """Hear of an event that was recorded."""
        ...

    def previewed(self, plan: Plan, preview: Preview) -> None:
        """Hear what the plan would do."""
        ...

    def agrees(self, plan: Plan, preview: Preview) -> bool:
        """Say whether to go on after the preview."""
        ...

    def working(self, step: str, total_bytes: int | None) -> Progress:
        """Give somewhere to report progress of a step: ``preview``, ``execute`` or ``collect``."""
        ...


class Heard(Enum):
    """When a wish to stop interrupts what goes on."""

    NEVER = auto()  # something is put on record
    AT_ONCE = auto()  # nothing is written yet
    IF_IGNORED = auto()  # it asks itself, and ends as soon as it safely can: an interruption could leave scraps
    IF_REPEATED = auto()  # nothing is written any more


class Stop:
    """Whether somebody asked to stop; a wish that comes at a bad moment is heard at the next good one."""

    def __init__(self, patience_s: float = 2) -> None:
        """Begin with nobody having asked; say after how many seconds a wish that is repeated was ignored."""
        self.asked = False
        self._patience_s, self._since_s = patience_s, 0.0
        self._grounds = {Heard.NEVER: False, Heard.AT_ONCE: False, Heard.IF_IGNORED: False, Heard.IF_REPEATED: False}
        self._heard = Heard.NEVER

    def ask(self, *_signal: object) -> None:
        """Note that somebody asked, and interrupt what may be interrupted now."""
        now_s = time.monotonic()
        if not self.asked:
            self.asked, self._since_s = True, now_s
            self._grounds[Heard.AT_ONCE] = True
        else:
            self._grounds[Heard.IF_REPEATED] = True
            self._grounds[Heard.IF_IGNORED] = now_s - self._since_s >= self._patience_s
        self._hear()

    @contextmanager
    def heard(self, when: Heard) -> Iterator[None]:
        """Say when a wish interrupts what goes on in here; one that is waiting is heard at once."""
        before, self._heard = self._heard, when
        try:
            self._hear()
            yield
        finally:
            self._heard = before
        self._hear()

    def _hear(self) -> None:
        if self._grounds[self._heard]:
            self._heard = Heard.NEVER  # what cleans up after the interruption is not interrupted again
            raise KeyboardInterrupt


@dataclass(slots=True, kw_only=True)
class Restore:
    """One restore under way."""

    ledger: Ledger
    driver: Driver
    request: Request
    actor: Actor
    watcher: Watcher
    stop: Stop
    clock: Callable[[], int]
    run_id: str = ""
    _asked_ledger_us: int = 0
    _cancelled: bool = False
    _unreported: list[Item] = field(default_factory=list)

    def run(self, new: NewRun) -> str:
        """Take a new run as far as it goes; gives its id. Look at the ledger for how it ended.

        Raises:
            ProofgapError, OSError: there is no plan or no preview: the run is blocked. Or backup or target changed at the
                last moment: it failed. Or approvals are missing: it waits. Or there is no evidence.
            KeyboardInterrupt: somebody asked to stop before anything was written: the run is cancelled. Or asked twice.

        """
        self.run_id = self._moved(self.ledger.create(new, self.actor)).run_id
        prepared = self._prepare(new)
        if prepared is not None and self._release(prepared[0]):
            self._execute(*prepared)
        return self.run_id

    def _prepare(self, new: NewRun) -> tuple[Plan, Preview] | None:
        """Scope, check and preview; nothing is written. ``None``: there is nothing to go on with."""
        self._fire(RunEvent.SCOPE, new.details)
        with self._looking():
            plan = self.driver.plan(self.request)
            checked = self._checked(plan)
        self._fire(RunEvent.CHECK, checked)
        with self._looking():
            preview = self.driver.preview(plan, progress=self.watcher.working("preview", plan.bytes_total))
        self._fire(RunEvent.PREVIEW, RunDetails(preview=self._previewed(plan, preview)))
        self.watcher.previewed(plan, preview)
        return None if new.is_dry_run or not self._agreed(plan, preview) else (plan, preview)

    def _agreed(self, plan: Plan, preview: Preview) -> bool:
        with self._looking():
            agreed = self.watcher.agrees(plan, preview)
        if not agreed:
            self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
        return agreed

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Look at source and target before anything is written: who interrupts it cancels the run, what prevents it blocks it."""
        try:
            with self.stop.heard(Heard.AT_ONCE):
                yield
        except KeyboardInterrupt:
            self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
            raise
        except (ProofgapError, OSError) as error:
            self._block(error)
            raise

    def _checked(self, plan: Plan) -> RunDetails:
        return RunDetails(
            plan_digest=plan.digest,
            selected=plan.selected,
            expects_nothing=plan.expects_nothing,
            source_completeness=plan.source_completeness,
            target_fingerprint=self.driver.fingerprint(plan),
        )

    def _previewed(self, plan: Plan, preview: Preview) -> PreviewFacts:
        return PreviewFacts(
            plan_digest=plan.digest,
            expires_at_us=self.clock() + PREVIEW_VALID_US,
            depth=preview.depth,
            created=preview.created,
            overwritten=preview.overwritten,
            skipped=preview.skipped + preview.unchanged + preview.unavailable,
            target_fingerprint=preview.target_fingerprint,
        )

    def _block(self, error: Exception) -> None:
        """End a run whose source or target cannot be worked with: it was looked at, and that is what was found."""
        if self.ledger.peek(self.run_id, self.actor).status is RunStatus.SCOPED:
            self._fire(RunEvent.CHECK)
        self._fire(RunEvent.BLOCK, RunDetails(end_reason=_reason_of(error)))

    def _release(self, plan: Plan) -> bool:
        """Queue the plan that was previewed; a guard that says no ends the run, unless others must approve first."""
        with self._looking():
            found = self.driver.fingerprint(plan)
        given = RunDetails(plan_digest=plan.digest, target_fingerprint=found)
        try:
            self._fire(RunEvent.QUEUE, given)
        except GuardRefusedError as error:
            reason = _BLOCKED_BY.get(error.guard or "")
            if reason is None:
                raise
            self._fire(RunEvent.BLOCK, RunDetails(end_reason=reason))
            return False
        try:
            self._fire(RunEvent.START)
        except ProofgapError:  # nobody else will start what was released here
            self._fire(RunEvent.CANCEL, RunDetails(nothing_written=True))
            raise
        return True

    def _execute(self, plan: Plan, preview: Preview) -> None:
        """Restore, say how it ended, and look at the target, unless it is as untouched as before."""
        try:
            with self.stop.heard(Heard.IF_IGNORED):
                execution = self.driver.execute(
                    plan,
                    target_fingerprint=preview.target_fingerprint,
                    report=self._report,
                    progress=self.watcher.working("execute", plan.bytes_total),
                    should_stop=self._should_stop,
                )
        except (TargetChangedError, SourceChangedError) as error:
            self._fire(RunEvent.FAIL, RunDetails(end_reason=_reason_of(error), nothing_written=True))
            raise
        except BaseException:
            self._end_torn()
            raise
        try:
            outcome = self._end(execution)
        except ProofgapError:
            self._unreported.clear()
            self._end_torn()
            raise
        if not (execution.nothing_written and outcome.status in {RunStatus.FAILED, RunStatus.CANCELLED}):
            self._collect(plan)

    def _end_torn(self) -> None:
        """End a run whose driver died or was interrupted: what it reported is a lower bound, the rest is not known."""
        self._flush()
        outcome = outcome_of(ExecutionFacts(cancel_requested=self._stop_is_wanted(), reached_end=False))
        given = RunDetails(outcome_rule=outcome.rule, end_reason=outcome.end_reason, counts_are_lower_bounds=True)
        self._fire(outcome.event, given)

    def _end(self, execution: Execution) -> Outcome:
        """Fire what the outcome rule says."""
        self._flush()
        outcome = outcome_of(execution.facts(cancel_requested=self._stop_is_wanted()))
        given = RunDetails(
            counts=execution.counts,
            outcome_rule=outcome.rule,
            end_reason=outcome.end_reason,
            exit_code=execution.exit_code,
            nothing_written=execution.nothing_written,
        )
        self._fire(outcome.event, given)
        return outcome

    def _stop_is_wanted(self) -> bool:
        """Tell whether anybody asked to stop; who asked here is put on record."""
        asked = self.stop.asked
        if asked:
            self._fire(RunEvent.REQUEST_CANCEL)
        return asked or self._cancel_is_requested()

    def _collect(self, plan: Plan) -> None:
        """Read the target and compare it with the backup; a snapshot that cannot be produced fails, the run does not."""
        snapshot = self._moved(self.ledger.begin_evidence(self.run_id, self.actor)).subject
        self._fire_evidence(snapshot, SnapshotEvent.GENERATE)
        try:
            with self.stop.heard(Heard.IF_REPEATED):
                report = self.driver.collect(plan, progress=self.watcher.working("collect", plan.bytes_total))
        except BaseException:
            self._fire_evidence(snapshot, SnapshotEvent.FAIL)
            raise
        event = SnapshotEvent.ACTIVATE if report.can_activate else SnapshotEvent.FAIL
        try:
            self._fire_evidence(snapshot, event, report)
        except ProofgapError:
            self._fire_evidence(snapshot, SnapshotEvent.FAIL)
            raise

    def _should_stop(self) -> bool:
        """Tell whether to stop: asked here, or, looked up once a second, by somebody else in the ledger."""
        if not self.stop.asked and self.clock() - self._asked_ledger_us > _ASK_LEDGER_US:
            self._asked_ledger_us = self.clock()
            self._cancelled = self._cancel_is_requested()
        return self.stop.asked or self._cancelled

    def _cancel_is_requested(self) -> bool:
        with self.stop.heard(Heard.NEVER):
            return self.ledger.peek(self.run_id, self.actor).details.cancel_requested_by is not None

    def _report(self, item: Item) -> None:
        self._unreported.append(item)
        if len(self._unreported) >= _BATCH_ITEMS:
            self._flush()

    def _flush(self) -> None:
        """Report the items that were not reported yet."""
        if self._unreported:
            with self.stop.heard(Heard.NEVER):
                items, self._unreported = self._unreported, []
                self._moved(self.ledger.fire(self.run_id, RunEvent.REPORT, self.actor, items=items))

    def _fire(self, event: RunEvent, given: RunDetails | None = None) -> None:
        self._moved(self.ledger.fire(self.run_id, event, self.actor, given=given or RunDetails()))

    def _fire_evidence(self, snapshot: str, event: SnapshotEvent, report: EvidenceReport | None = None) -> None:
        found, checks = report or EvidenceReport(SnapshotDetails(), ())
        self._moved(self.ledger.fire_evidence(snapshot, event, self.actor, given=found, checks=checks))

    def _moved(self, receipt: Receipt) -> Receipt:
        self.watcher.moved(receipt)
        return receipt


def _reason_of(error: Exception) -> EndReason:
    """Give the reason why a run ends that cannot go on; a backup that changed is no valid source any more."""
    return EndReason.TARGET_CHANGED if isinstance(error, TargetChangedError) else EndReason.VALIDATION
