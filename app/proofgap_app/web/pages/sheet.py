"""The decision sheet: what one person is told of one run, field by field, as the template prints it.

A pure function from what the ledger shows. Every word of the decision is the decision's own. Refuses to know how a
decision came about and what a page looks like.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from proofgap.facts import TERMINAL_RUN_STATUSES, EndReason, OperationOutcome, RunStatus
from proofgap.records import RunRecord, Verdict
from proofgap.secret import redacted
from proofgap.wording import DecisionState
from proofgap_app.held import STILL_HELD, how_to_release
from proofgap_app.web.pages import addresses, facts, words
from proofgap_store import Shown

PAGE_OF_ACTION = MappingProxyType(
    {
        "Review preview": "preview",
        "Continue preparation": "preparation",
        "View operation progress": "operation",
        "Open operation proof": "operation",
        "Review proof gap": "proof-gap",
        "Open evidence": "evidence",
        "Review item outcomes": "items",
        "Review failure details": "failure",
        "Review blocker": "blocker",
    }
)
"""Where each primary action leads: a page of the run that does what the action says."""

_NOT_BLOCKING = {None, EndReason.CANCEL_REQUESTED}
_NOTE_SHOWN_MAX = 100
_STEPS = ("draft", "scoped", "checked", "previewed", "queued", "running")
_OUTCOMES = {
    RunStatus.COMPLETED: "Completed",
    RunStatus.PARTIAL: "Partial",
    RunStatus.COMPLETED_WITH_ERRORS: "With errors",
    RunStatus.FAILED: "Failed",
    RunStatus.CANCELLED: "Cancelled",
}


class Step(NamedTuple):
    """A step of a run's life: ``passed``, ``current``, ``ahead``, or ``unknown`` where the record does not say."""

    label: str
    state: str


class Rail(NamedTuple):
    """How far a run came: the steps before execution ends, and the outcomes of which one is reached."""

    steps: tuple[Step, ...]
    outcomes: tuple[Step, ...]
    end: str  # the line from the last step to the outcomes: ``passed`` or ``ahead``


class Sheet(NamedTuple):
    """One decision, one reason, one impact, one primary action, and what may not be claimed."""

    state: DecisionState
    status: str
    reason: str
    impact: str
    action: str
    action_page: str
    hint: str | None
    note: str | None
    attention: str | None
    held: facts.Line | None  # what is said of its environment, where it still holds that
    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]
    proof: facts.Fact
    evidence: facts.Fact
    result: facts.Result
    rail: Rail
    as_of: str
    clock: str
    viewer: str
    event_id: int
    event_page: str


def sheet(shown: Shown, came_from: str | None, *, is_past: bool = False) -> Sheet:
    """Give the sheet of what was shown.

    Args:
        shown: what one person was shown of one run.
        came_from: the status that the run was in before this one; ``None`` where this person may not know, or nobody does.
        is_past: whether it is read from the log, which does not hold why a run ended and what a comparison found.

    """
    decision, record = shown.decision, shown.record
    return Sheet(
        state=decision.state,
        status=decision.status,
        reason=decision.reason,
        impact=decision.impact,
        action=decision.primary_next_action,
        action_page=addresses.run(record.id, PAGE_OF_ACTION[decision.primary_next_action]),
        hint=None if is_past else hint(shown),
        note=_note(shown),
        attention=None if decision.attention is None else words.plain(decision.attention),
        held=facts.Line(STILL_HELD, how_to_release(f"{record.workspace}/{record.environment}"))
        if shown.holds_environment
        else None,
        allowed=tuple(decision.claims.allowed),
        forbidden=decision.claims.forbidden,
        proof=facts.operation_proof(shown),
        evidence=facts.evidence(shown, with_finding=not is_past),
        result=facts.result(shown),
        rail=rail(record, came_from),
        as_of=words.moment(shown.at_us),
        clock=f"{words.clock(shown.at_us)} UTC",
        viewer=shown.viewer.id,
        event_id=shown.event_id,
        event_page=addresses.decision(record.id, shown.event_id),
    )


def _note(shown: Shown) -> str | None:
    """Give the words of whoever ended the run as far as the first screen has room; the whole is in its log."""
    if shown.note is None or shown.holds_environment:
        return None
    return words.short(redacted(shown.note), _NOTE_SHOWN_MAX)


def hint(shown: Shown) -> str | None:
    """Say beside the action what it is about, where the record knows: the blocker, why it ended so, evidence that is no match."""
    match shown.decision.state:
        case DecisionState.BLOCKED_OR_CANCELLED | DecisionState.FAILED | DecisionState.NEEDS_REVIEW as state:
            return _reason_hint(shown.record, state)
        case DecisionState.IN_PROGRESS:
            return _progress_hint(shown.record)
        case DecisionState.COMPLETED_WITH_EVIDENCE:
            return _evidence_hint(shown)
        case DecisionState.NOT_EXECUTED:
            return _preparation_hint(shown.record)
        case _:
            return None


def _reason_hint(record: RunRecord, state: DecisionState) -> str | None:
    """Say why a run ended as it did; of one whose items tell that, only what was stated."""
    stated = record.details.end_reason
    if stated is None and state is DecisionState.NEEDS_REVIEW:
        return None
    kind = "Reason"
    if state is DecisionState.BLOCKED_OR_CANCELLED:
        kind = "Blocked" if is_blocked(record) else "Cancelled"
    return f"{kind}: {words.NOT_REPORTED if stated is None else words.plain(stated)}"


def _evidence_hint(shown: Shown) -> str | None:
    """Say what was found, unless it is a match: available evidence is not to be taken for a good finding."""
    snapshot = facts.seen_snapshot(shown)
    verdict = None if snapshot is None else snapshot.details.verdict
    return None if verdict is Verdict.MATCH else f"Found: {verdict or words.NOT_REPORTED}"


def _preparation_hint(record: RunRecord) -> str | None:
    """Say what is special about a run that is not executed: that it never is, or that it waits for other people."""
    if record.is_dry_run:
        is_early = record.status in {RunStatus.DRAFT, RunStatus.SCOPED, RunStatus.CHECKED}
        return f"Dry run: {'no preview is recorded yet' if is_early else 'nothing is ever written'}"
    missing = approvals_missing(record)
    return (
        f"Waits for {words.amount(missing, 'approval')}" if missing and record.status is RunStatus.PREVIEWED else None
    )


def approvals_missing(record: RunRecord) -> int:
    """Tell how many other people must still approve a plan."""
    return max(record.approvals_required - len(record.details.approvals), 0)


def is_blocked(record: RunRecord) -> bool:
    """Tell whether a run that did not execute was blocked, not cancelled: by its operation run, else by its reason.

    One that ended otherwise and is told as blocked is so by an operation run, which not everybody may view.
    """
    operation = record.operation
    return (
        record.status is not RunStatus.CANCELLED
        or (operation is not None and operation.outcome is OperationOutcome.BLOCKED)
        or record.details.end_reason not in _NOT_BLOCKING
    )


def _progress_hint(record: RunRecord) -> str | None:
    asked = record.details.cancel_requested_by
    if asked is not None:
        return f"Stop requested by {asked}"
    return "Waits for a worker" if record.status is RunStatus.QUEUED else None


def rail(record: RunRecord, came_from: str | None) -> Rail:
    """Say which steps a run passed, which it stands at, and which it never reached; what is not recorded is not guessed."""
    outcomes = tuple(
        Step(label, "current" if record.status is status else "ahead") for status, label in _OUTCOMES.items()
    )
    if record.imported:
        steps = tuple(Step(name.capitalize(), "current" if name == record.status else "unknown") for name in _STEPS)
        return Rail(steps, outcomes, "ahead")
    ended = record.status in TERMINAL_RUN_STATUSES
    last = _last_step(record.status, came_from)
    reached = _STEPS.index(last)
    beyond = "unknown" if record.status is RunStatus.CANCELLED and came_from is None else "ahead"
    steps = tuple(Step(name.capitalize(), _state(n, reached, beyond, ended=ended)) for n, name in enumerate(_STEPS))
    return Rail(steps, outcomes, "passed" if ended and reached == len(_STEPS) - 1 else "ahead")


def _last_step(status: RunStatus, came_from: str | None) -> str:
    """Give the last step that is known to be reached: only a cancelled run can have ended before it was executed."""
    if status not in TERMINAL_RUN_STATUSES:
        return status
    if status is not RunStatus.CANCELLED:
        return _STEPS[-1]
    return came_from if came_from in _STEPS else _STEPS[0]


def _state(number: int, reached: int, beyond: str, *, ended: bool) -> str:
    if number == reached and not ended:
        return "current"
    return "passed" if number <= reached else beyond
