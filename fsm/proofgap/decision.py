"""What a set of facts means to the person who looks: the only place that decides it.

Owns the nine rules, in their order of precedence, and the fields that follow from the state. Refuses to know
how facts came to be (`lifecycle`), where they are stored, and what time it is: the same facts and the same
viewer give the same decision for ever.

One property holds over the whole fact space: taking away authorisation or evidence never makes the state
rosier. Authorisation removes positive claims, never warnings.

Source: ``docs/decision-rules.md`` (sections 1 to 3), which closes the gaps of the restore result state contract.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from proofgap.claims import Claim, Claims
from proofgap.facts import (
    LIVE_SNAPSHOT_STATUSES,
    TERMINAL_RUN_STATUSES,
    Attention,
    Count,
    Counts,
    Facts,
    OperationFacts,
    OperationOutcome,
    OperationStatus,
    RunStatus,
    SnapshotFacts,
    SnapshotStatus,
    Struct,
    Viewer,
)
from proofgap.wording import AT_LEAST, AVAILABILITY_LABELS, COLLAPSED, SO_FAR, WORDING, Availability, DecisionState

RULES_VERSION = "1"
"""Version of the rules below; it is part of every decision and of every projection event."""

RULES = MappingProxyType(
    {
        1: "the run is a dry run",
        2: "the operation run is queued or running",
        3: "the run is failed, or the outcome of the operation run is failed",
        4: "the run is partial or completed_with_errors",
        5: "the run is cancelled, or the outcome of the operation run is blocked",
        6: "the run is queued or running",
        7: "the run is completed, and evidence is available",
        8: "the run is completed",
        9: "the run is draft, scoped, checked or previewed",
    }
)
"""The conditions of the nine rules in words, in their order: for whoever asks why. `decide` does not read them."""

_PREPARING = frozenset({RunStatus.DRAFT, RunStatus.SCOPED, RunStatus.CHECKED, RunStatus.PREVIEWED})
_WITHOUT_EVIDENCE = frozenset(
    {DecisionState.NOT_EXECUTED, DecisionState.IN_PROGRESS, DecisionState.BLOCKED_OR_CANCELLED}
)


class OperationProof(Struct):
    """Whether it can be shown that something was executed, and by which operation run."""

    state: Availability
    label: str
    operation_run_id: str | None


class Evidence(Struct):
    """Whether the restored target was looked at afterwards, and in which snapshot."""

    state: Availability
    label: str
    snapshot_id: str | None


class ResultSummary(Struct):
    """What is recorded of the items: counts exactly as stored, or the words that say there are none.

    ``items`` is the number of item rows; ``None`` when there are none, so that it never reads as "0 items".
    """

    text: str | None
    counts: Counts | None
    items: Count | None
    metadata_only: bool
    qualifier: str | None


class Decision(Struct):
    """What one viewer is told about one run, field by field; the same object everywhere."""

    state: DecisionState
    rule: int
    rules_version: str
    status: str
    reason: str
    impact: str
    primary_next_action: str
    operation_proof: OperationProof
    evidence: Evidence
    result_summary: ResultSummary
    attention: Attention | None
    claims: Claims
    diagnostics_default: str = COLLAPSED


class _Seen(NamedTuple):
    """The linked operation run, and what of proof and evidence this viewer may see."""

    operation: OperationFacts | None
    proof: OperationFacts | None
    snapshot: SnapshotFacts | None
    evidence: Availability


def decide(facts: Facts, viewer: Viewer) -> Decision:
    """Project facts into the decision that this viewer is shown.

    Total: every combination of valid facts has exactly one decision. Pure: reads nothing but its arguments.
    """
    seen = _look(facts, viewer)
    rule, state = _resolve(facts, seen)
    wording = WORDING[state]
    return Decision(
        state=state,
        rule=rule,
        rules_version=RULES_VERSION,
        status=wording.status,
        reason=wording.reason,
        impact=wording.impact,
        primary_next_action=_next_action(state, facts, seen),
        operation_proof=_operation_proof(state, seen),
        evidence=_evidence(state, seen),
        result_summary=_result_summary(state, facts),
        attention=facts.run.attention,
        claims=Claims(allowed=tuple(_claims(state, facts, seen))),
    )


def everyone(facts: Facts) -> Viewer:
    """Give the viewer of the record: everything in scope counts as authorised."""
    ids = {snapshot.id for snapshot in facts.evidence}
    if facts.operation is not None:
        ids.add(facts.operation.id)
    return Viewer(id="record", may_view=frozenset(ids))


def linked_operation(facts: Facts) -> OperationFacts | None:
    """Return the operation run that the run names, if it is in scope; out of scope counts as no link at all."""
    operation = facts.operation
    if operation is None or operation.id != facts.run.operation_run_id:
        return None
    return operation if _in_scope(operation, facts) else None


def _in_scope(row: OperationFacts | SnapshotFacts, facts: Facts) -> bool:
    """Tell whether a row has the run's workspace and environment; unknown never matches unknown."""
    run = facts.run
    return None not in (run.workspace, run.environment) and (row.workspace, row.environment) == (
        run.workspace,
        run.environment,
    )


def _look(facts: Facts, viewer: Viewer) -> _Seen:
    operation = linked_operation(facts)
    proof = operation if operation is not None and operation.id in viewer.may_view else None
    if proof is None:
        return _Seen(operation, None, None, Availability.UNAVAILABLE)
    ours = [row for row in facts.evidence if _counts_as_evidence(row, proof, facts, viewer)]
    active = [row for row in ours if row.status is SnapshotStatus.ACTIVE]
    if active:
        return _Seen(operation, proof, _latest(active), Availability.AVAILABLE)
    live = [row for row in ours if row.status in LIVE_SNAPSHOT_STATUSES]
    if live and facts.run.status in TERMINAL_RUN_STATUSES:
        return _Seen(operation, proof, _latest(live), Availability.IN_PROGRESS)
    return _Seen(operation, proof, None, Availability.UNAVAILABLE)


def _counts_as_evidence(row: SnapshotFacts, proof: OperationFacts, facts: Facts, viewer: Viewer) -> bool:
    return row.operation_run_id == proof.id and _in_scope(row, facts) and row.id in viewer.may_view


def _latest(rows: list[SnapshotFacts]) -> SnapshotFacts:
    """Pick the latest by time of capture, then by id; a row without a time is the oldest."""
    return max(rows, key=lambda row: (row.captured_at or "", row.id))


def _resolve(facts: Facts, seen: _Seen) -> tuple[int, DecisionState]:  # noqa: C901, PLR0911 - nine rules, nine answers
    """Apply the nine rules: the first that matches decides (decision rules, section 2)."""
    status = facts.run.status
    operation_status = seen.operation.status if seen.operation else None
    outcome = seen.operation.outcome if seen.operation else None
    if facts.run.is_dry_run:
        return 1, DecisionState.NOT_EXECUTED
    if operation_status in {OperationStatus.QUEUED, OperationStatus.RUNNING}:
        return 2, DecisionState.IN_PROGRESS
    if status is RunStatus.FAILED or outcome is OperationOutcome.FAILED:
        return 3, DecisionState.FAILED
    if status in {RunStatus.PARTIAL, RunStatus.COMPLETED_WITH_ERRORS}:
        return 4, DecisionState.NEEDS_REVIEW
    if status is RunStatus.CANCELLED or outcome is OperationOutcome.BLOCKED:
        return 5, DecisionState.BLOCKED_OR_CANCELLED
    if status in {RunStatus.QUEUED, RunStatus.RUNNING}:
        return 6, DecisionState.IN_PROGRESS
    if status in _PREPARING:
        return 9, DecisionState.NOT_EXECUTED
    if seen.evidence is Availability.AVAILABLE:
        return 7, DecisionState.COMPLETED_WITH_EVIDENCE
    return 8, DecisionState.COMPLETED_PROOF_INCOMPLETE


def _preview_exists(facts: Facts) -> bool:
    return facts.run.is_dry_run or facts.run.status is RunStatus.PREVIEWED


def _next_action(state: DecisionState, facts: Facts, seen: _Seen) -> str:
    wording = WORDING[state]
    match state:
        case DecisionState.NOT_EXECUTED:
            usual = _preview_exists(facts)
        case DecisionState.COMPLETED_PROOF_INCOMPLETE:
            usual = seen.proof is not None
        case _:
            usual = True
    return wording.next_action if usual else wording.next_action_otherwise


def _operation_proof(state: DecisionState, seen: _Seen) -> OperationProof:
    proof_id = seen.proof.id if seen.proof else None
    match state:
        case DecisionState.NOT_EXECUTED:
            availability, proof_id = Availability.UNAVAILABLE, None
        case DecisionState.IN_PROGRESS:
            availability = Availability.IN_PROGRESS
        case _:
            availability = Availability.AVAILABLE if proof_id is not None else Availability.UNAVAILABLE
    return OperationProof(state=availability, label=AVAILABILITY_LABELS[availability], operation_run_id=proof_id)


def _evidence(state: DecisionState, seen: _Seen) -> Evidence:
    hidden = state in _WITHOUT_EVIDENCE or seen.snapshot is None
    availability = Availability.UNAVAILABLE if hidden else seen.evidence
    snapshot_id = None if hidden or seen.snapshot is None else seen.snapshot.id
    return Evidence(state=availability, label=AVAILABILITY_LABELS[availability], snapshot_id=snapshot_id)


def _result_summary(state: DecisionState, facts: Facts) -> ResultSummary:
    counts = facts.run.counts if facts.run.counts is not None and facts.run.counts.any_known else None
    return ResultSummary(
        text=WORDING[state].without_counts if counts is None else None,
        counts=counts,
        items=facts.run.items or None,
        metadata_only=counts is not None and not facts.run.items,
        qualifier=None if counts is None else _qualifier(state, facts),
    )


def _qualifier(state: DecisionState, facts: Facts) -> str | None:
    if state is DecisionState.IN_PROGRESS:
        return SO_FAR
    return AT_LEAST if facts.counts_are_lower_bounds else None


def _claims(state: DecisionState, facts: Facts, seen: _Seen) -> list[Claim]:  # noqa: PLR0911 - seven states
    counts = facts.run.counts
    match state:
        case DecisionState.NOT_EXECUTED:
            return [Claim.PREVIEW_EVIDENCE_EXISTS] if _preview_exists(facts) else []
        case DecisionState.IN_PROGRESS:
            return [Claim.EXECUTION_IN_PROGRESS]
        case DecisionState.COMPLETED_PROOF_INCOMPLETE:
            return [Claim.EXECUTION_PROOF_AVAILABLE] if seen.proof else []
        case DecisionState.COMPLETED_WITH_EVIDENCE:
            return [Claim.EVIDENCE_SNAPSHOT_AVAILABLE]
        case DecisionState.NEEDS_REVIEW:
            skipped = [Claim.SKIPPED_ITEMS_EXIST] if counts is not None and counts.skipped else []
            return [Claim.FOLLOW_UP_REQUIRED, *skipped]
        case DecisionState.FAILED:
            return [Claim.EXECUTION_FAILED]
        case DecisionState.BLOCKED_OR_CANCELLED:
            return []
