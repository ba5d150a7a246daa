"""What each step of a restore leaves on record: from what a driver found to the facts that the ledger takes.

Owns the translation. Refuses to know when a step is taken (`restore`) and how anything was found (`drivers`).
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from proofgap.errors import BadInputError
from proofgap.facts import Attention, EndReason, RunStatus
from proofgap.outcome import Outcome
from proofgap.records import Completeness, PreviewFacts, RunDetails
from proofgap.text import TEXT_LENGTH_MAX, safe
from proofgap_app.drivers.base import Execution, Plan, Preview, Request, TargetChangedError
from proofgap_app.worker.target_lock import BusyError
from proofgap_store import Drill

_PROBLEMS_NOTED_MAX = 3

BLOCKED_BY = {
    "selection_is_not_empty": EndReason.EMPTY_SELECTION,
    "target_is_unchanged": EndReason.TARGET_CHANGED,
    "plan_is_unchanged": EndReason.VALIDATION,
    "preview_is_current": EndReason.PREVIEW_EXPIRED,
}
"""The reasons with which a run ends that a guard keeps from being queued; every other guard leaves it where it is."""


def scoped(wanted: RunDetails, request: Request) -> RunDetails:
    """Say what decides on the plan, so that whoever approves or resumes the run finds it on record."""
    manifest = None if request.manifest is None else str(request.manifest.resolve())
    options = tuple(sorted(f"{key}={value}" for key, value in request.options.items()))
    password_file = None if request.password_file is None else str(request.password_file.resolve())
    return replace(
        wanted,
        manifest=manifest,
        select=request.select,
        overwrite=request.overwrite,
        expects_nothing=request.expects_nothing,
        options=options,
        password_file=password_file,
    )


def options_of(details: RunDetails) -> dict[str, str]:
    """Give the options of a run by their names; what is on record without a value is one that is empty."""
    return {key: value for key, _, value in (option.partition("=") for option in details.options)}


def requested(details: RunDetails) -> tuple[str | None, Request]:
    """Give the driver's name and the request that a run has on record, so that any worker can go on with it.

    Without a name the backup's content says which driver it needs.

    Raises:
        BadInputError: the run does not say it; no restore was asked for with it.

    """
    if details.backup is None or details.target is None:
        raise BadInputError(
            "run",
            "does not say which backup goes where",
            "Say both: proofgap run scope RUN --backup BACKUP --into TARGET.",
        )
    return details.driver, Request(
        backup=details.backup,
        target=details.target,
        manifest=None if details.manifest is None else Path(details.manifest),
        overwrite=details.overwrite,
        select=details.select,
        expects_nothing=details.expects_nothing,
        options=options_of(details),
        password_file=None if details.password_file is None else Path(details.password_file),
    )


def checked(plan: Plan, target_fingerprint: str, known: RunDetails) -> RunDetails:
    """Say what the plan is, and what the target was when it was made."""
    return RunDetails(
        plan_digest=plan.digest,
        selected=plan.selected,
        expects_nothing=plan.expects_nothing,
        source_completeness=plan.source_completeness,
        target_fingerprint=target_fingerprint,
        backup=None if plan.request.backup == known.backup else plan.request.backup,
        marker=plan.marker,
        tool=plan.tool_version,
        unit=plan.unit,
        **plan.identity.recovery_point(known),
    )


def previewed(plan: Plan, preview: Preview, expires_at_us: int) -> PreviewFacts:
    """Say what was shown, and until when it may be acted on (microseconds since 1970-01-01 UTC)."""
    return PreviewFacts(
        plan_digest=plan.digest,
        expires_at_us=expires_at_us,
        depth=preview.depth,
        created=preview.created,
        overwritten=preview.overwritten,
        skipped=preview.skipped + preview.unchanged + preview.unavailable,
        target_fingerprint=preview.target_fingerprint,
    )


def reason_of(error: Exception) -> EndReason:
    """Give the reason why a run ends that cannot go on; a backup that changed is no valid source any more."""
    if isinstance(error, BusyError):
        return EndReason.TARGET_BUSY
    return EndReason.TARGET_CHANGED if isinstance(error, TargetChangedError) else EndReason.VALIDATION


def note_of(why: Exception | str) -> str:
    """Say why a run ends, for the note of its last event: it names files, so it is kept where it can be erased."""
    if isinstance(why, OSError) and why.filename is not None:
        why = f"{why.filename}: {why.strerror}"
    return safe(" ".join(str(why).split()) or type(why).__name__)[:TEXT_LENGTH_MAX]


def said_of(execution: Execution) -> str | None:
    """Say what went wrong in an execution, for the note of its run's last event: the first problems, and how many more there are."""
    if not execution.problems:
        return None
    rest = len(execution.problems) - _PROBLEMS_NOTED_MAX
    more = (f"and {rest} more",) if rest > 0 else ()
    return note_of("; ".join((*execution.problems[:_PROBLEMS_NOTED_MAX], *more)))


def holds_nothing(plan: Plan) -> bool:
    """Tell whether the backup is known to lack something, and nothing of what it has can be restored."""
    is_incomplete = plan.source_completeness is Completeness.INCOMPLETE
    return is_incomplete and all(item.refused is not None for item in plan.items)


def ended(execution: Execution, outcome: Outcome, source: Completeness) -> RunDetails:
    """Say how the run ended. That the backup lacked something, or that items were left as they were, stays in sight: no status says it."""
    is_completed = outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}
    is_lacking = is_completed and (source is Completeness.INCOMPLETE or bool(execution.counts.skipped))
    return RunDetails(
        attention=Attention.COMPLETED_WITH_FOLLOW_UP if is_lacking else None,
        counts=execution.counts,
        counts_source=execution.counts_source,
        counts_are_lower_bounds=execution.counts_are_lower_bounds,
        outcome_rule=outcome.rule,
        end_reason=outcome.end_reason,
        exit_code=execution.exit_code,
        nothing_written=execution.nothing_written,
    )


def wanted_of(drill: Drill, born: RunDetails) -> RunDetails:
    """Give what a run of a drill is scoped with: what the drill wants, where the run was born to restore."""
    new = drill.wanted
    return replace(
        new.details,
        target=born.target,
        manifest=new.manifest,
        select=new.select,
        overwrite=new.overwrite,
        options=new.options,
        password_file=new.password_file,
        purpose=new.details.purpose or "test",
    )
