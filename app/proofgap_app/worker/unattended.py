"""Restores that nobody watches: what a worker does with a claimed run, and with the drills that are due.

Owns how a run's record becomes a restore, and what is said of it in the log lines. Refuses to know the loop (`serve`)
and the steps (`restore`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from proofgap.audit import Actor
from proofgap.errors import ProofgapError, RefusedError, StaleError
from proofgap.facts import EndReason, RunEvent, RunStatus
from proofgap.records import PreviewFacts, RunDetails
from proofgap_app import tracing
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Driver, Plan, Preview, Progress, Request, no_progress
from proofgap_app.worker import record
from proofgap_app.worker.asides import Asides
from proofgap_app.worker.lease import Lease
from proofgap_app.worker.restore import Restore
from proofgap_app.worker.serve import Job
from proofgap_app.worker.stop import Stop
from proofgap_store import Drill, Ledger, NewRun, Receipt, UnavailableError
from proofgap_store.clock import now_us
from proofgap_store.drills import Served

_LOG = structlog.get_logger("proofgap.worker")
_UNSEEN = (RunStatus.DRAFT, RunStatus.SCOPED, RunStatus.CHECKED)
_LEADS_TO = {RunStatus.SCOPED: RunEvent.SCOPE, RunStatus.CHECKED: RunEvent.CHECK}
_NO_FACTS = RunDetails()
_ABANDONED_SECONDS = 600.0  # a preview reads every byte of a backup; nobody is thought gone while that may go on


class Unattended:
    """Watches for nobody: agrees to what was queued, and leaves the telling to the log."""

    def moved(self, receipt: Receipt) -> None:
        """Hear of an event; its log line says it already."""

    def previewed(self, plan: Plan, preview: Preview) -> None:
        """Hear of a preview; it is on record."""

    def resumed(self, plan: Plan, shown: PreviewFacts) -> None:
        """Hear of an earlier preview; as above."""

    def blocked(self, reason: EndReason, because: str) -> None:
        """Say why a run ended before anything was written."""
        _LOG.warning("worker.blocked", reason=reason.value, because=because)

    def agrees(self, plan: Plan, shown: PreviewFacts) -> bool:  # noqa: ARG002 - whoever declared the drill knows no more
        """Agree: whoever queued the run, or declared its drill, did."""
        return True

    def working(self, step: str, total_bytes: int | None) -> Progress:  # noqa: ARG002 - nobody looks
        """Draw nothing."""
        return no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What a worker does its work with."""

    ledger: Ledger
    actor: Actor
    patience_s: float
    clock: Callable[[], int] = now_us

    def execute(self, job: Job) -> None:
        """Execute a claimed run as its record says it was wanted. Raises as `Restore.execute`."""
        try:
            what = _what(job.claim.run.details)
        except (ProofgapError, OSError) as error:
            given = RunDetails(end_reason=EndReason.VALIDATION, nothing_written=True)
            note = record.note_of(error)
            self.ledger.fire(job.claim.run.id, RunEvent.FAIL, self.actor, given=given, note=note, token=job.grip.token)
            raise
        with tracing.span("restore", {"proofgap.run.id": job.claim.run.id}):
            self._restore(what, job.stop).execute(job.claim, job.grip)

    def look_after(self, lease: Lease, asides: Asides) -> None:
        """Let drills fire that are due, and evidence expire; begin to prepare their runs, and others' once they are abandoned."""
        here = Served(lease.worker.wanted.environments, lease.worker.wanted.drivers, busy=asides.names)
        decided = self.ledger.fleet.fire_due_drills(self.actor, here)
        known = {drill.id: drill for drill in self.ledger.fleet.drills(self.actor)} if decided else {}
        for ticked in decided:
            if ticked.run is None:
                _LOG.warning("drill.missed", drill=ticked.drill, ticks=ticked.ticks)
            else:
                asides.begin(ticked.drill, partial(self._prepare, ticked.run, known[ticked.drill], lease))
        for left in self.ledger.fleet.unprepared_drills(self.actor, _ABANDONED_SECONDS, here):
            asides.begin(left.drill.id, partial(self._prepare, left.run, left.drill, lease))
        self.ledger.expire_evidence()

    def _prepare(self, run_id: str, drill: Drill, lease: Lease) -> None:
        """Take the run of a drill to the queue; what keeps it from getting there is on record, and belongs to that run only."""
        wanted = drill.wanted
        details = record.wanted_of(drill, self.ledger.peek(run_id, self.actor).details)
        try:
            new = NewRun(workspace=wanted.workspace, environment=wanted.environment, details=details)
            with tracing.span("prepare", {"proofgap.run.id": run_id}):
                self._restore(_what(details), Stop()).prepare(run_id, new)
            _LOG.info("drill.queued", drill=drill.id, run=run_id, worker=lease.worker.id)
        except (
            UnavailableError,
            StaleError,
            RefusedError,
        ) as error:  # it is taken up later, or by somebody else, or waits
            _LOG.warning("drill.not_queued", drill=drill.id, run=run_id, error=str(error))
        except (ProofgapError, OSError) as error:
            _LOG.warning("drill.not_queued", drill=drill.id, run=run_id, error=str(error))
            self._give_up(run_id, details, record.note_of(error))
        except Exception as error:  # noqa: BLE001 - a driver that breaks must not end the worker, nor the next one that looks
            _LOG.exception("drill.not_queued", drill=drill.id, run=run_id)
            self._give_up(run_id, details, f"the driver broke: {type(error).__name__}")

    def _give_up(self, run_id: str, details: RunDetails, because: str) -> None:
        """Block the run of a drill of which there is no preview, unless that was done; somebody else may be at it."""
        with suppress(ProofgapError):
            status = self.ledger.peek(run_id, self.actor).status
            if status not in _UNSEEN:
                return
            for event in _UNSEEN[_UNSEEN.index(status) + 1 :]:
                given = details if event is RunStatus.SCOPED else _NO_FACTS
                self.ledger.fire(run_id, _LEADS_TO[event], self.actor, given=given)
            given = RunDetails(end_reason=EndReason.VALIDATION)
            self.ledger.fire(run_id, RunEvent.BLOCK, self.actor, given=given, note=because)

    def _restore(self, what: tuple[Driver, Request], stop: Stop) -> Restore:
        return Restore(
            ledger=self.ledger,
            driver=what[0],
            request=what[1],
            actor=self.actor,
            watcher=Unattended(),
            stop=stop,
            clock=self.clock,
            patience_s=self.patience_s,
        )


def _what(details: RunDetails) -> tuple[Driver, Request]:
    """Give driver and request as a run has them on record.

    Raises:
        BadInputError: it does not say which backup goes where, or its driver is not installed here.
        SourceError: the backup cannot be read.

    """
    name, request = record.requested(details)
    return driver_for(name, request.backup_path), request
