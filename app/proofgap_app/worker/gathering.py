"""Evidence of a run that has ended: read from the target by whoever asks for it, and put on record whatever comes of it.

Theory. The worker that executed a run looks at the target itself, at once. Anybody else who may work on the environment can look
again, at any time and from any machine that reaches backup and target: `collect` makes the plan anew from what the run has on
record, and refuses to compare with a backup that is another one by now. A large target can be looked at by a sample: which
items are in it follows from its size and a seed, so anybody can draw the same one again.

Owns the order of the events of a snapshot, and the sample. Refuses to know how anything is compared (`drivers`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from proofgap.audit import Actor
from proofgap.errors import BadInputError, ProofgapError
from proofgap.facts import ItemResult, SnapshotEvent
from proofgap.records import Check, CheckResult, Level, RunDetails, SnapshotDetails
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import (
    Driver,
    EvidenceReport,
    Plan,
    PlannedItem,
    Progress,
    SourceChangedError,
    Unit,
    no_progress,
)
from proofgap_app.drivers.leftovers import left_alone
from proofgap_app.drivers.traced import traced
from proofgap_app.worker.record import requested
from proofgap_store import Ledger, Receipt
from proofgap_store.views import Page

_NOTHING = EvidenceReport(SnapshotDetails(), ())

Begin = Callable[[], Receipt]
"""Asks for a snapshot of the run."""

Fire = Callable[[str, SnapshotEvent, EvidenceReport], Receipt]
"""Fires an event on that snapshot."""


class Sample(NamedTuple):
    """How many items to look at, and the seed that says which."""

    size: int
    seed: int


def gather(begin: Begin, fire: Fire, look: Callable[[], EvidenceReport], plan: Plan) -> Receipt:
    """Look at the target, and say what was found; a snapshot that cannot be produced fails, the run does not.

    Raises:
        SourceChangedError: the backup is not the planned one any more; the snapshot says so.
        ProofgapError, OSError, KeyboardInterrupt: it could not be looked at, or not be recorded; the snapshot has failed.

    """
    snapshot = begin().subject
    fire(snapshot, SnapshotEvent.GENERATE, _NOTHING)
    try:
        report = look()
    except SourceChangedError:
        fire(snapshot, SnapshotEvent.FAIL, no_expectation(plan.identity.sha256))
        raise
    except BaseException:
        fire(snapshot, SnapshotEvent.FAIL, _NOTHING)
        raise
    if not report.can_activate:
        return fire(snapshot, SnapshotEvent.FAIL, report)
    try:
        return fire(snapshot, SnapshotEvent.ACTIVATE, report)
    except ProofgapError:
        fire(snapshot, SnapshotEvent.FAIL, _NOTHING)
        raise


def collect(
    ledger: Ledger, run_id: str, actor: Actor, *, sample: Sample | None = None, progress: Progress = no_progress
) -> Receipt:
    """Look at the target of a run that has ended, once more and by oneself; ``subject`` of the answer is the snapshot.

    Raises:
        NotFoundError, ForbiddenError: there is no such run to see, or the actor may not add evidence to it.
        GuardRefusedError: nothing was executed, or it has not ended.
        BadInputError: the run does not say what was restored, or its items cannot be sampled.
        SourceChangedError: the backup is another one by now; the snapshot has failed, and says so.
        ProofgapError, OSError: backup or target cannot be read; the snapshot has failed.

    """
    details = ledger.peek(run_id, actor).details
    driver, plan = _planned(details)
    plan = replace(plan, marker=details.marker, in_place=frozenset(_left_alone(ledger, run_id, actor)))
    looked_at = plan if sample is None else drawn(plan, sample)

    def look() -> EvidenceReport:
        if plan.digest != details.plan_digest:
            raise SourceChangedError(plan.request.backup)
        report = driver.collect(looked_at, progress=progress)
        return report if sample is None else _sampled(report, sample, (looked_at.selected, plan.selected))

    def fire(snapshot: str, event: SnapshotEvent, report: EvidenceReport) -> Receipt:
        return ledger.fire_evidence(snapshot, event, actor, given=report.found, checks=report.checks)

    return gather(lambda: ledger.begin_evidence(run_id, actor), fire, look, plan)


def _left_alone(ledger: Ledger, run_id: str, actor: Actor) -> Iterator[str]:
    """Give the keys of the items of which the run says that they were there already."""
    page = Page(result=ItemResult.SUCCEEDED)
    while items := ledger.items(run_id, actor.id, page):
        yield from (item.key for item in items if left_alone(item))
        page = structs.replace(page, after=items[-1].key)


def drawn(plan: Plan, sample: Sample) -> Plan:
    """Give the plan with the items of a sample: those whose keys have the smallest digests under the seed.

    Raises:
        BadInputError: what it restores is one thing, of which no part says anything.

    """
    if plan.unit is Unit.TABLE:  # a database file, which is restored and looked at whole
        raise BadInputError("sample", f"{plan.driver} looks at the target as a whole", "Leave it out.")

    def place(item: PlannedItem) -> bytes:
        return hashlib.sha256(f"{sample.seed}\0{item.key}".encode()).digest()

    chosen = {item.key for item in sorted(plan.items, key=place)[: sample.size]}
    return replace(plan, items=tuple(item for item in plan.items if item.key in chosen))


def _planned(details: RunDetails) -> tuple[Driver, Plan]:
    name, request = requested(details)
    driver = traced(driver_for(name, request.backup_path))
    return driver, driver.plan(request)


def _sampled(report: EvidenceReport, sample: Sample, numbers: tuple[int, int]) -> EvidenceReport:
    drawn_from = f"a sample of {numbers[0]} of {numbers[1]} items by seed {sample.seed}, no difference tolerated"
    return report._replace(found=structs.replace(report.found, method=f"{report.found.method}; {drawn_from}"))


def no_expectation(identity: str) -> EvidenceReport:
    """Say why nothing could be compared: the backup that was restored is not there any more."""
    check = Check(
        subject="(backup)",
        method="SHA-256 of the backup, as planned and after the comparison",
        level=Level.L0,
        result=CheckResult.SKIPPED,
        expected=identity,
        observed="source_changed",
    )
    return EvidenceReport(SnapshotDetails(subjects_checked=0), (check,))
