"""Preparing a run where its backup can be read: scope, check and preview, and nothing more. Nothing is written.

For whoever asked for a run without a terminal: what the preview shows is looked at later, by whoever queues the run.
Owns the order of the steps. Refuses to release or execute anything (`restore`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from proofgap.audit import Actor
from proofgap.errors import ProofgapError
from proofgap.facts import RunEvent, RunStatus
from proofgap.records import RunDetails
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Driver, Plan, Preview, Request, no_progress
from proofgap_app.worker import record
from proofgap_app.worker.restore import PREVIEW_VALID_US
from proofgap_store import Ledger, Receipt


class Prepared(NamedTuple):
    """What a run was prepared with: the plan, what it would do, and the event that says so."""

    plan: Plan
    preview: Preview
    receipt: Receipt


def prepare(
    ledger: Ledger, run_id: str, actor: Actor, clock: Callable[[], int], *, overwrite: bool | None = None
) -> Prepared:
    """Lead a run to its preview, as its record says what is wanted: what a retry took over counts as well.

    Args:
        ledger: the ledger.
        run_id: the run; it is being prepared still.
        actor: who prepares it.
        clock: gives the time, in microseconds since 1970-01-01 UTC.
        overwrite: whether what exists in the target and differs is to be replaced; ``None``: as the record says.

    Raises:
        NotFoundError, ForbiddenError, RefusedError: the actor may not, or the run is not to be prepared any more. Recorded.
        BadInputError: the run does not say which backup goes where, or no driver understands it. It stays as it is.
        ProofgapError, OSError: backup or target cannot be worked with. The run is blocked.

    """
    name, wanted = record.requested(ledger.peek(run_id, actor).details)
    if overwrite is not None:
        wanted = replace(wanted, overwrite=overwrite)
    driver, request = chosen(name, wanted)
    named = RunDetails(backup=request.backup, target=request.target, driver=driver.name)
    ledger.fire(run_id, RunEvent.SCOPE, actor, given=record.scoped(named, request))
    try:
        return _look(ledger, run_id, actor, (driver, request), clock)
    except (ProofgapError, OSError) as error:
        _block(ledger, run_id, actor, error)
        raise


def _look(
    ledger: Ledger, run_id: str, actor: Actor, what: tuple[Driver, Request], clock: Callable[[], int]
) -> Prepared:
    driver, request = what
    plan = driver.plan(request)
    checked = record.checked(plan, driver.fingerprint(plan), ledger.peek(run_id, actor).details)
    ledger.fire(run_id, RunEvent.CHECK, actor, given=checked)
    preview = driver.preview(plan, progress=no_progress)
    shown = record.previewed(plan, preview, clock() + PREVIEW_VALID_US)
    receipt = ledger.fire(run_id, RunEvent.PREVIEW, actor, given=RunDetails(preview=shown))
    return Prepared(plan, preview, receipt)


def _block(ledger: Ledger, run_id: str, actor: Actor, error: Exception) -> None:
    """End a run whose source or target cannot be worked with: it was looked at, and that is what was found."""
    if ledger.peek(run_id, actor).status is RunStatus.SCOPED:
        ledger.fire(run_id, RunEvent.CHECK, actor)
    given = RunDetails(end_reason=record.reason_of(error))
    ledger.fire(run_id, RunEvent.BLOCK, actor, given=given, note=record.note_of(error))
