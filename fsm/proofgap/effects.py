"""What each event does to the facts of a run: pure functions from record to record.

Owns which facts may come with which event, and what an event throws away. Refuses to know whether the event is
legal (`lifecycle`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from proofgap.errors import BadInputError
from proofgap.facts import Counts, EndReason, ItemResult, OperationStatus, RunEvent, RunStatus, SnapshotEvent
from proofgap.records import (
    Approval,
    Check,
    CheckResult,
    Item,
    Level,
    Moment,
    OperationRecord,
    PreviewFacts,
    RecoveryPointBasis,
    RunDetails,
    RunRecord,
    SnapshotDetails,
    Verdict,
)
from proofgap.secret import refuse_secrets

_ENDING = frozenset(
    {
        *("counts", "counts_are_lower_bounds", "counts_source", "attention", "end_reason"),
        *("outcome_rule", "exit_code", "nothing_written", "source_completeness"),
    }
)
_RECOVERY_POINT = frozenset({"recovery_point_us", "recovery_point_basis"})
_PLACE_IN_LINE = frozenset({"priority", "deadline_us"})
_WANTED = (
    frozenset({"backup", "target", "driver", "purpose", "rto_us_stated", "rpo_us_stated"})
    | _RECOVERY_POINT
    | _PLACE_IN_LINE
)
CHOSEN = frozenset({"manifest", "select", "overwrite", "options", "password_file", "expects_nothing"})
"""The facts that say what of a backup is restored, and how: each choice replaces all of them."""

_STAYS = ("backup", "target", "driver")
"""The facts that decide on the plan and stay where a scope does not name them."""

_FOUND = _RECOVERY_POINT | {
    *("plan_digest", "selected", "expects_nothing", "source_completeness", "target_fingerprint"),
    *("backup", "marker", "tool", "unit"),
}
ACCEPTED: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        RunEvent.SCOPE: _WANTED | {"selected"} | CHOSEN,
        RunEvent.CHECK: _FOUND,
        RunEvent.PREVIEW: frozenset({"preview"}),
        RunEvent.APPROVE: frozenset(),
        RunEvent.QUEUE: frozenset({"plan_digest", "target_fingerprint", "worker"}) | _PLACE_IN_LINE,
        RunEvent.START: frozenset({"worker", "claim"}),
        RunEvent.REPORT: frozenset({"item_counts", "items"}),
        RunEvent.REQUEST_CANCEL: frozenset(),
        RunEvent.COMPLETE: _ENDING,
        RunEvent.COMPLETE_WITH_ERRORS: _ENDING,
        RunEvent.COMPLETE_PARTIALLY: _ENDING,
        RunEvent.FAIL: _ENDING | {"holds_environment"},
        RunEvent.CANCEL: _ENDING,
        RunEvent.BLOCK: frozenset({"end_reason", "source_completeness", "attention"}),
    }
)
"""The facts that may come with each event of a run."""

ACCEPTED_AT_BIRTH = _WANTED | CHOSEN
"""The facts that a new run may begin with: what is wanted, and nothing of what could come of it."""

_FINDINGS = frozenset(SnapshotDetails.__struct_fields__)
_FOUND_BY = MappingProxyType(
    {
        SnapshotEvent.GENERATE: frozenset({"method", "producer"}),
        SnapshotEvent.ACTIVATE: _FINDINGS,
        SnapshotEvent.FAIL: _FINDINGS,
    }
)

_NEEDS_OPERATION = frozenset({RunEvent.QUEUE, RunEvent.BLOCK})


def given_fields(given: msgspec.Struct) -> dict[str, Any]:
    """List the fields that were handed in, that is, those that differ from "not known"."""
    fields = zip(given.__struct_fields__, astuple(given), given.__struct_defaults__, strict=True)
    return {name: value for name, value, not_known in fields if value != not_known}


def refuse_foreign_facts(event: RunEvent, given: RunDetails) -> None:
    """Refuse facts that are no part of the event: nothing is stored silently, and nothing is dropped silently.

    Raises:
        BadInputError: names the first such field, and those that the event takes; or what holds a secret.

    """
    refuse_secrets(given)
    _refuse_others(given, ACCEPTED.get(event, frozenset()), f'the event "{event}"')


def refuse_results_at_birth(given: RunDetails) -> None:
    """Refuse a new run that claims to know what only its life can show.

    Raises:
        BadInputError: names the first such fact, and those that a new run takes; or what holds a secret.

    """
    refuse_secrets(given)
    _refuse_others(given, ACCEPTED_AT_BIRTH, "a new run")


def refuse_foreign_findings(event: SnapshotEvent, given: SnapshotDetails) -> None:
    """Refuse findings that are no part of the event: what a snapshot found is said once, when it is finished.

    Raises:
        BadInputError: names the first such field, and those that the event takes.

    """
    accepted = _FOUND_BY.get(event, frozenset())
    _refuse_others(given, accepted, f'the event "{event}"')


def _refuse_others(given: RunDetails | SnapshotDetails, accepted: frozenset[str], to: str) -> None:
    for name in given_fields(given):
        if name not in accepted:
            takes = ", ".join(sorted(accepted)) or "no facts"
            raise BadInputError(name, f"does not belong to {to}", f"It takes: {takes}.")


def arrive(record: RunRecord, event: RunEvent, target: RunStatus, given: RunDetails, moment: Moment) -> RunRecord:
    """Give the record as it is after the event, except for its operation run's own status."""
    arrived = replace(record, status=target, version=record.version + 1, details=_details(record, event, given, moment))
    if event in _NEEDS_OPERATION and record.operation is None:
        return replace(arrived, operation_run_id=moment.new_id)
    return arrived


def new_operation(record: RunRecord) -> OperationRecord | None:
    """Give the operation run that must come into being for this record, if it names one that is not there yet."""
    if record.operation is not None or record.operation_run_id is None:
        return None
    return OperationRecord(
        id=record.operation_run_id,
        workspace=record.workspace,
        environment=record.environment,
        status=OperationStatus.QUEUED,
        version=1,
    )


def merge(details: msgspec.Struct, given: msgspec.Struct) -> Any:  # noqa: ANN401 - same struct in, same struct out
    """Give the details with every handed-in field replaced."""
    return replace(details, **given_fields(given))


def tally(details: RunDetails, items: Sequence[Item]) -> RunDetails:
    """Add reported items to those reported before: the counts that item rows give, and their number."""
    before = details.item_counts or Counts()
    parts = {result: getattr(before, result) or 0 for result in ItemResult}
    for item in items:
        parts[item.result] += 1
    counts = Counts(total=sum(parts.values()), **{str(result): count for result, count in parts.items()})
    return RunDetails(item_counts=counts, items=counts.total)


def summary(given: SnapshotDetails, checks: Sequence[Check]) -> SnapshotDetails:
    """Complete what is said of a snapshot by what its checks say.

    Raises:
        BadInputError: numbers of checks were handed in without the checks, or what is said contradicts them.

    """
    for name in ("checks_total", "checks_passed", "checks_failed", "checks_skipped"):
        if getattr(given, name) is not None:
            raise BadInputError(name, "is counted from the checks, and not handed in", "Hand in the checks.")
    if not checks:
        return given
    ended = Counter(check.result for check in checks)
    compared = len({check.subject for check in checks if check.result is not CheckResult.SKIPPED})
    levels = [check.level for check in checks if check.result is not CheckResult.SKIPPED]
    if given.verdict is Verdict.MATCH and ended[CheckResult.FAILED]:
        raise BadInputError("verdict", "is match, but checks failed", "Say mismatch.")
    if given.level is not None and given.level > max(levels, default=Level.L0):
        raise BadInputError("level", f"is {given.level}, but no check looked so deep", "Leave it out.")
    return replace(
        given,
        verdict=given.verdict or _verdict(ended),
        level=given.level or max(levels, default=None),
        subjects_checked=compared if given.subjects_checked is None else min(given.subjects_checked, compared),
        checks_total=len(checks),
        checks_passed=ended[CheckResult.PASSED],
        checks_failed=ended[CheckResult.FAILED],
        checks_skipped=ended[CheckResult.SKIPPED],
    )


def _verdict(ended: Counter[CheckResult]) -> Verdict:
    """Say what checks found, where nobody said it."""
    if ended[CheckResult.FAILED]:
        return Verdict.MISMATCH
    return Verdict.INCONCLUSIVE if ended[CheckResult.SKIPPED] else Verdict.MATCH


def _details(record: RunRecord, event: RunEvent, given: RunDetails, moment: Moment) -> RunDetails:
    before = record.details
    match event:
        case RunEvent.SCOPE:
            before = _prepared(_without_foreign_point(_anew(before, given), given), moment)
        case RunEvent.CHECK:
            before = _prepared(_unseen(before), moment)
        case RunEvent.PREVIEW:
            given = replace(given, preview=_preview(before, given.preview or PreviewFacts()))
            before = _prepared(
                replace(before, approvals=()), moment
            )  # they were for what the preview before this one showed
        case RunEvent.APPROVE:
            approval = Approval(by=moment.actor, plan_digest=(before.preview or PreviewFacts()).plan_digest)
            return replace(before, approvals=(*before.approvals, approval))
        case RunEvent.REQUEST_CANCEL:
            return replace(before, cancel_requested_by=moment.actor)
        case RunEvent.CANCEL:
            before = replace(before, end_reason=EndReason.CANCEL_REQUESTED)
        case _:
            pass
    merged: RunDetails = merge(before, given)
    return merged


def _anew(details: RunDetails, given: RunDetails) -> RunDetails:
    """Forget what was chosen and prepared; but nobody whose choice of backup, target or driver stays, as it is not named anew."""
    is_taken_over = all(getattr(given, name) or not getattr(details, name) for name in _STAYS)
    return replace(
        _unseen(details),
        selected=None,
        expects_nothing=False,
        source_completeness=None,
        manifest=None,
        select=(),
        overwrite=False,
        options=(),
        password_file=None,
        prepared_by=() if is_taken_over else details.prepared_by,
        prepared_for=() if is_taken_over else details.prepared_for,
    )


def _prepared(details: RunDetails, moment: Moment) -> RunDetails:
    """Keep who prepared the plan, beside whoever asked for it: it is theirs as well, and not for them to approve."""
    others = {*details.prepared_by, moment.actor} - {details.requested_by}
    makers = {*details.prepared_for, *([moment.maker] if moment.maker else [])} - {details.requested_for}
    return replace(details, prepared_by=tuple(sorted(others)), prepared_for=tuple(sorted(makers)))


def _without_foreign_point(details: RunDetails, given: RunDetails) -> RunDetails:
    """Forget a recovery point that was read off a backup, or that was stated of another backup."""
    is_other = given.backup not in {None, details.backup}
    if not is_other and details.recovery_point_basis in {None, RecoveryPointBasis.STATED}:
        return details
    return replace(details, recovery_point_us=None, recovery_point_basis=None)


def _unseen(details: RunDetails) -> RunDetails:
    """Forget the plan, the preview and the approvals: they were for something else."""
    return replace(
        details,
        tool=None,
        unit=None,
        marker=None,
        plan_digest=None,
        target_fingerprint=None,
        preview=None,
        approvals=(),
    )


def _preview(details: RunDetails, shown: PreviewFacts) -> PreviewFacts:
    """Bind a preview to the checked plan and target, where it does not name its own."""
    return replace(
        shown,
        plan_digest=shown.plan_digest or details.plan_digest,
        target_fingerprint=shown.target_fingerprint or details.target_fingerprint,
    )
