"""What the ledger shows in every decision state and variant, with ids and times that never change: for golden sheets.

The same facts a ledger would hold, decided by the product's own rules; only ids and times are chosen here.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from proofgap.access import Role, as_seen, viewer_of
from proofgap.audit import EventType, digest
from proofgap.decision import decide
from proofgap.facts import Attention, Counts, EndReason, OperationOutcome, OperationStatus, RunStatus, SnapshotStatus
from proofgap.records import OperationRecord, RunDetails, RunRecord, SnapshotDetails, SnapshotRecord, Verdict
from proofgap_store import HistoryEvent, Opening, Shown

RUN_ID = "rr_01KB2M95QF7T3ZC8HD0VXN4WEA"
OPERATION_ID, SNAPSHOT_ID = "op_01KB2M9V7F3K20G5M8S1DCQ4TZ", "ev_01KB2MG62Q81M4XW7RTN5A0YKB"
SCOPE = {"workspace": "acme-core", "environment": "contoso-staging"}
ENDED_US = 1_795_227_587_000_000  # 21 Nov 2026, 02:19:47 UTC
SHOWN_US = ENDED_US + 258_000_000
CAPTURED_US = ENDED_US + 240_000_000

_DETAILS = RunDetails(
    backup="nightly-2026-11-21", target="contoso-staging", driver="restic", requested_by="amira.k", selected=48
)
_OPERATION = OperationRecord(
    id=OPERATION_ID, **SCOPE, status=OperationStatus.COMPLETED, version=3, outcome=OperationOutcome.SUCCEEDED
)
_CLEAN = Counts(total=48, succeeded=44, skipped=4, failed=0, partial=0, non_applied=0)
_MIXED = Counts(total=48, succeeded=38, skipped=5, failed=3, partial=2, non_applied=0)


def evidence(verdict: Verdict = Verdict.MATCH, failed: int = 0, status: str = "active") -> SnapshotRecord:
    """Give a snapshot that compared 48 items."""
    found = SnapshotDetails(
        verdict=verdict, level="L5", subjects_checked=48, checks_total=48, checks_passed=48 - failed,
        checks_failed=failed, checks_skipped=0,
    )  # fmt: skip
    return SnapshotRecord(
        id=SNAPSHOT_ID, operation_run_id=OPERATION_ID, **SCOPE, status=SnapshotStatus(status), version=3,
        captured_at_us=CAPTURED_US, details=found if status == "active" else SnapshotDetails(),
    )  # fmt: skip


def record(status: str = "completed", *, counted: Counts | None = _CLEAN, rows: bool = True, **given: Any) -> RunRecord:
    """Give a run in a status, executed as its status says, with items of its own unless told otherwise."""
    details = given.pop("details", _DETAILS)
    if counted is not None:
        kind = {"item_counts": counted, "items": counted.total} if rows else {"counts": counted}
        details = replace(details, **kind)
    return RunRecord(
        id=RUN_ID, **SCOPE, status=RunStatus(status), version=given.pop("version", 7), is_dry_run=given.pop("dry", False),
        moved_at_us=ENDED_US, details=details, **given,
    )  # fmt: skip


def executed(status: str, outcome: str | None, *snapshots: SnapshotRecord, **given: Any) -> RunRecord:
    """Give a run with its operation run; one without an outcome executes still."""
    known = None if outcome is None else OperationOutcome(outcome)
    state = OperationStatus.RUNNING if outcome is None else OperationStatus.COMPLETED
    operation = replace(_OPERATION, status=state, outcome=known)
    return record(status, operation_run_id=OPERATION_ID, operation=operation, evidence=snapshots, **given)


def shown(run: RunRecord, role: Role = Role.AUDITOR, **given: Any) -> Shown:
    """Give what the ledger shows of a run to somebody in a role."""
    facts = run.facts()
    viewer = viewer_of("d.weber", {role}, facts)
    return Shown(
        record=as_seen(run, viewer), decision=decide(facts, viewer), viewer=viewer, facts_digest=digest(facts),
        event_id=4205, at_us=SHOWN_US, **given,
    )  # fmt: skip


def _event(
    event_id: int, before_us: int, type_: EventType, actor: str, data: dict[str, Any], **openings: str
) -> HistoryEvent:
    at_us = ENDED_US - before_us * 1_000_000
    entry = {
        "type": type_,
        "at_us": at_us,
        "rec_us": at_us,
        "actor": {"id": actor, "kind": "user", "via": "cli"},
        "data": data,
    }
    opened = {path: Opening(salt="00" * 16, value=value) for path, value in openings.items()}
    return HistoryEvent(event_id=event_id, leaf="", entry=entry, openings=opened)


def _moved(event_id: int, before_us: int, actor: str, move: tuple[str, str, str], **details: Any) -> HistoryEvent:
    event, source, target = move
    data = {"subject": RUN_ID, "event": event, "source": source, "target": target, "details": details}
    return _event(event_id, before_us, EventType.RUN_TRANSITIONED, actor, data)


def log(shown_: Shown) -> list[HistoryEvent]:
    """Give the last events of a run that came to its status the usual way, newest first."""
    status = str(shown_.record.status)
    projected = {"decision": {"state": shown_.decision.state}, "viewer": {"id": "record"}, "trigger": "hook"}
    way = [
        _moved(4198, 936, "amira.k", ("scope", "draft", "scoped"), selected=48),
        _moved(4199, 847, "amira.k", ("check", "scoped", "checked"), selected=48, source_completeness="complete"),
        _moved(4200, 825, "amira.k", ("preview", "checked", "previewed"), preview={"created": 44, "overwritten": 4}),
        _moved(4201, 529, "amira.k", ("queue", "previewed", "queued")),
        _moved(4202, 524, "worker-3", ("start", "queued", "running")),
    ]
    steps = ("draft", "scoped", "checked", "previewed", "queued", "running")
    if status in steps:
        way = way[: steps.index(status)]
    else:
        way.append(_moved(4203, 0, "worker-3", ("end", "running", status), exit_code=0))
    return [_event(4204, 0, EventType.DECISION_PROJECTED, "worker-3", projected), *reversed(way)]


_CANCELLED = {
    "details": replace(_DETAILS, end_reason=EndReason.CANCEL_REQUESTED, nothing_written=True),
    "counted": None,
}
_BLOCKED = {"details": replace(_DETAILS, end_reason=EndReason.TARGET_BUSY), "counted": None}
_UNDER_WAY = {"counted": Counts(total=18, succeeded=17, skipped=1, failed=0, partial=0, non_applied=0)}
_FAILED = {"details": replace(_DETAILS, end_reason=EndReason.TOOL_ABORTED, exit_code=3), "counted": None}

STATES: dict[str, Shown] = {
    "not_executed": shown(record("previewed", counted=None, version=4)),
    "in_progress": shown(executed("running", None, **_UNDER_WAY)),
    "completed_proof_incomplete": shown(executed("completed", "succeeded")),
    "completed_with_evidence": shown(executed("completed", "succeeded", evidence())),
    "needs_review": shown(executed("partial", "partially_succeeded", evidence(Verdict.MISMATCH, 10), counted=_MIXED)),
    "failed": shown(
        executed("failed", "failed", **_FAILED), note="the repository lock could not be taken: another client holds it"
    ),
    "blocked_or_cancelled": shown(executed("cancelled", "blocked", **_BLOCKED)),
}
"""The seven decision states, each as it most often looks."""

VARIANTS: dict[str, Shown] = {
    "draft": shown(record("draft", counted=None, version=1, details=RunDetails(backup="nightly-2026-11-21"))),
    "dry_run": shown(record("previewed", counted=None, dry=True, version=4)),
    "dry_run_counted": shown(record("completed", counted=Counts(total=48, succeeded=44, failed=4), rows=False, dry=True, imported=True, version=1)),
    "queued": shown(record("queued", counted=None, version=5, operation_run_id=OPERATION_ID,
                           operation=replace(_OPERATION, status=OperationStatus.QUEUED, outcome=None))),
    "stop_requested": shown(executed("running", None, details=replace(_DETAILS, cancel_requested_by="amira.k"), **_UNDER_WAY)),
    "metadata_only": shown(executed("completed", "succeeded", counted=Counts(total=48, succeeded=44), rows=False)),
    "no_counts": shown(executed("completed", "succeeded", evidence(), counted=None)),
    "evidence_under_way": shown(executed("completed", "succeeded", evidence(status="generating"))),
    "mismatch": shown(executed("completed", "succeeded", evidence(Verdict.MISMATCH, 3))),
    "for_a_viewer": shown(executed("completed", "succeeded", evidence()), Role.VIEWER),
    "legacy": shown(record("completed", imported=True, counted=Counts(succeeded=44), rows=False, version=1)),
    "attention": shown(executed("completed", "succeeded", details=replace(_DETAILS, attention=Attention.COMPLETED_WITH_FOLLOW_UP))),
    "with_errors": shown(executed("completed_with_errors", "partially_succeeded", counted=_MIXED, rows=False)),
    "conflict": shown(executed("partial", "partially_succeeded", counted=_MIXED, details=replace(_DETAILS, counts=_CLEAN)), unchanged=7),
    "at_least": shown(executed("failed", "failed", counted=_MIXED, details=replace(_DETAILS, counts_are_lower_bounds=True, end_reason=EndReason.WORKER_LOST))),
    "still_held": shown(executed("failed", "failed", counted=_MIXED, details=replace(_DETAILS, end_reason=EndReason.WORKER_LOST)), holds_environment=True),
    "cancelled": shown(executed("cancelled", "cancelled", **_CANCELLED), note="the database team asked for another night"),
}  # fmt: skip
"""What looks different within a state."""

SHEETS = STATES | VARIANTS
