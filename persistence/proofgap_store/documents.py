"""How records become audit events, and how rows become records again: shapes, no transactions.

Owns the mapping between the core's values and the stored documents. Refuses to know when anything is read or
written (`ledger`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from proofgap.audit import EventType, digest
from proofgap.errors import ProofgapError, RefusedError
from proofgap.facts import OperationOutcome, OperationStatus, RunStatus, SnapshotStatus
from proofgap.hooks import Projection
from proofgap.lifecycle import edges
from proofgap.records import (
    Machine,
    Move,
    OperationRecord,
    RunDetails,
    RunRecord,
    SnapshotDetails,
    SnapshotRecord,
)
from proofgap_store.audit_log import Draft
from proofgap_store.engine import Row

_RUN_DETAILS = msgspec.json.Decoder(RunDetails)
_SNAPSHOT_DETAILS = msgspec.json.Decoder(SnapshotDetails)
_CREATED = {
    Machine.RUN: EventType.RUN_CREATED,
    Machine.OPERATION: EventType.OPERATION_CREATED,
    Machine.EVIDENCE: EventType.EVIDENCE_CREATED,
}
_TRANSITIONED = {
    Machine.RUN: EventType.RUN_TRANSITIONED,
    Machine.OPERATION: EventType.OPERATION_TRANSITIONED,
    Machine.EVIDENCE: EventType.EVIDENCE_TRANSITIONED,
}


@cache
def definition(machine: Machine) -> str:
    """Give the digest of a machine's definition: its edges with their guards. It names the law in force."""
    return digest({"machine": machine, "edges": edges(machine)})


def definition_draft(machine: Machine) -> Draft:
    """Give the event that puts a machine's definition in force."""
    data = {
        "machine": machine,
        "definition": definition(machine),
        "edges": [(source, event, target) for source, event, target, _ in edges(machine)],
        "guards": [(source, event, target, guards) for source, event, target, guards in edges(machine) if guards],
    }
    return Draft(EventType.MACHINE_DEFINED, None, None, None, None, data)


def move_draft(change: Move, run: RunRecord) -> Draft:
    """Give the event of one move; a birth has no event name and no source."""
    data: dict[str, Any] = {
        "subject": change.subject,
        "event": change.event,
        "source": change.source,
        "target": change.target,
        "version": change.version,
        "definition": definition(change.machine),
        **_facts_of(change.record),
    }
    kind = _CREATED if change.event is None else _TRANSITIONED
    return Draft(kind[change.machine], run.workspace, run.environment, run.id, run.operation_run_id, data)


def _facts_of(record: RunRecord | OperationRecord | SnapshotRecord) -> dict[str, Any]:
    match record:
        case RunRecord():
            return {"details": record.details, "is_dry_run": record.is_dry_run}
        case OperationRecord():
            return {"outcome": record.outcome}
        case SnapshotRecord():
            return {"details": record.details, "captured_at_us": record.captured_at_us}


def projection_draft(projection: Projection, run: RunRecord) -> Draft:
    """Give the event of one projection."""
    data = projection_data(projection)
    return Draft(EventType.DECISION_PROJECTED, run.workspace, run.environment, run.id, run.operation_run_id, data)


def projection_data(projection: Projection) -> dict[str, Any]:
    """Say everything of a projection: viewer, trigger, rules, the facts that went in, every field that came out."""
    shown = projection.viewer.may_view
    linked = [projection.facts.operation, *projection.facts.evidence]
    return {
        "viewer": projection.viewer,
        "trigger": projection.trigger,
        "rules_version": projection.decision.rules_version,
        "rule": projection.decision.rule,
        "facts": projection.facts,
        "facts_digest": projection.facts_digest,
        "decision": projection.decision,
        "withheld": [row.id for row in linked if row is not None and row.id not in shown],
    }


def refusal_draft(error: RefusedError, subject: str, run: RunRecord) -> Draft:
    """Give the event of a refused attempt: who tried what, what it met, and what said no."""
    data = {
        "subject": subject,
        "machine": error.machine,
        "event": error.event,
        "source": error.status,
        "guard": error.guard,
        "allowed": error.allowed,
        "version": run.version,
    }
    return Draft(EventType.RUN_TRANSITION_REFUSED, run.workspace, run.environment, run.id, run.operation_run_id, data)


class DamagedError(ProofgapError):
    """A stored record holds what no version of proofgap wrote; nothing is made of it."""

    def __init__(self, subject: str, problem: str) -> None:
        """Name the record, and what is wrong with it."""
        self.subject, self.problem = subject, problem
        self.remedy = "Look at the ledger with: proofgap doctor."
        super().__init__(f"the stored record {subject!r} is damaged: {problem}. {self.remedy}")


def run_record(row: Row, snapshots: list[Row]) -> RunRecord:
    """Turn the joined row of a run, and the rows of its evidence, into a record.

    Raises:
        DamagedError: a status or a document is not one that was ever written.

    """
    try:
        return _run_record(row, snapshots)
    except ValueError as error:  # an unknown member of a closed set, or a document of another shape
        raise DamagedError(row["id"], str(error)) from error


def _run_record(row: Row, snapshots: list[Row]) -> RunRecord:
    return RunRecord(
        id=row["id"],
        workspace=row["workspace"],
        environment=row["environment"],
        status=RunStatus(row["status"]),
        version=row["version"],
        is_dry_run=bool(row["is_dry_run"]),
        imported=bool(row["imported"]),
        moved_at_us=row["moved_at_us"],
        operation_run_id=row["operation_run_id"],
        approvals_required=row["approvals_required"],
        details=_RUN_DETAILS.decode(row["details"]),
        operation=_operation_record(row),
        evidence=tuple(map(snapshot_record, snapshots)),
    )


def _operation_record(row: Row) -> OperationRecord | None:
    if row["operation_status"] is None:
        return None
    outcome = row["operation_outcome"]
    return OperationRecord(
        id=row["operation_run_id"],
        workspace=row["workspace"],
        environment=row["environment"],
        status=OperationStatus(row["operation_status"]),
        version=row["operation_version"],
        outcome=None if outcome is None else OperationOutcome(outcome),
    )


def snapshot_record(row: Row) -> SnapshotRecord:
    """Turn the row of an evidence snapshot into a record."""
    return SnapshotRecord(
        id=row["id"],
        operation_run_id=row["operation_run_id"],
        workspace=row["workspace"],
        environment=row["environment"],
        status=SnapshotStatus(row["status"]),
        version=row["version"],
        captured_at_us=row["captured_at_us"],
        details=_SNAPSHOT_DETAILS.decode(row["details"]),
    )
