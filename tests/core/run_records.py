"""Records for the tests of the lifecycle: one run per status, as it would stand there, changed field by field."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from proofgap.facts import OperationOutcome, OperationStatus, RunStatus, SnapshotStatus
from proofgap.records import (
    Approval,
    Moment,
    OperationRecord,
    PreviewFacts,
    RunDetails,
    RunRecord,
    SnapshotDetails,
    SnapshotRecord,
)

SCOPE = {"workspace": "w1", "environment": "e1"}
ENDED = ("completed", "partial", "completed_with_errors", "failed", "cancelled")
PLAN = "a" * 64
PREVIEWED = RunDetails(
    backup="b1", requested_by="ada", selected=3, plan_digest=PLAN, target_fingerprint="t1",
    preview=PreviewFacts(plan_digest=PLAN, expires_at_us=2_000, target_fingerprint="t1"),
)  # fmt: skip
_OUTCOMES = {
    "completed": "succeeded",
    "partial": "partially_succeeded",
    "completed_with_errors": "partially_succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


def moment(at_us: int = 1_000, actor: str = "worker") -> Moment:
    """Give a moment before the usual preview expires."""
    return Moment(at_us=at_us, actor=actor, new_id="op_new")


def operation(status: str, outcome: str | None = None, id_: str = "op1") -> OperationRecord:
    """Give an operation run in the scope of the run."""
    known = None if outcome is None else OperationOutcome(outcome)
    return OperationRecord(id=id_, **SCOPE, status=OperationStatus(status), version=2, outcome=known)


def operation_of(status: str) -> OperationRecord | None:
    """Give the operation run that a run in this status has, if any."""
    if status in _OUTCOMES:
        return operation("completed", _OUTCOMES[status])
    return operation(status) if status in {"queued", "running"} else None


def run_in(status: str, *, details: dict[str, Any] | None = None, **changes: Any) -> RunRecord:
    """Give a run in a status, with everything that brought it there."""
    linked = operation_of(status)
    known = replace(PREVIEWED, **(details or {}))
    linked_id = None if linked is None else linked.id
    usual: dict[str, Any] = {"operation": linked, "operation_run_id": linked_id, "details": known, "version": 7}
    return RunRecord(id="r1", **SCOPE, status=RunStatus(status), is_dry_run=False, **(usual | changes))


def snapshot_in(status: str, id_: str = "s1", *, at: int | None = 100, operation_run_id: str = "op1") -> SnapshotRecord:
    """Give an evidence snapshot of operation run op1."""
    return SnapshotRecord(
        id=id_, operation_run_id=operation_run_id, **SCOPE, status=SnapshotStatus(status), version=3,
        captured_at_us=at, details=SnapshotDetails(level="L2"),
    )  # fmt: skip


def approved_by(*people: str, plan: str | None = PLAN) -> tuple[Approval, ...]:
    """Give approvals of one plan."""
    return tuple(Approval(by=person, plan_digest=plan) for person in people)


class Told:
    """Hooks that remember what they were told, and answer with a word of their own."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.records: list[RunRecord] = []

    def entered(self, record: RunRecord) -> str:
        """Remember the record."""
        self.records.append(record)
        return f"projected {record.status}"


class BrokenHookError(Exception):
    """What a broken hook raises."""


class Broken:
    """Hooks that fail."""

    def entered(self, record: RunRecord) -> str:
        """Fail."""
        raise BrokenHookError(record.id)
