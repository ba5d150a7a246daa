"""The vocabulary: every status, event, outcome and fact that proofgap knows, and nothing it does with them.

Owns the closed sets (each value with its meaning) and the immutable shapes of facts. Refuses to know
which moves are legal (`lifecycle`), what a set of facts means to an operator (`decision`), where facts
are stored, and what time it is. ``None`` always means *not known*; it never means zero or false.

Source of the words: the restore result state contract; fields and their limits: ``docs/decision-rules.md``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, dataclass_transform

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A number of items: a whole number from 0 to 2**53 - 1 (the largest that every JSON reader keeps exact)."""

Instant = str
"""A moment as text: RFC 3339 in UTC with microseconds, so that the order of the texts is the order of the times."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def instant_text(text: str) -> Instant:
    """Bring an RFC 3339 time into its one form.

    Raises ``ValueError`` for anything that is no RFC 3339 time with an offset, or finer than a microsecond.
    """
    if not _RFC_3339.fullmatch(text):
        msg = f"{text!r} is no RFC 3339 time with an offset, such as 2026-11-21T02:24:05.000000Z"
        raise ValueError(msg)
    try:
        return utc_text(datetime.fromisoformat(text.upper()))
    except OverflowError:
        msg = f"{text!r} is not between the years 1 and 9999 in UTC"
        raise ValueError(msg) from None


def utc_text(moment: datetime) -> Instant:
    """Write a moment as RFC 3339 text in UTC with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class RunStatus(StrEnum):
    """Where a restore run stands. The last five are terminal: a run never leaves them."""

    DRAFT = "draft"  # created; nothing is decided yet
    SCOPED = "scoped"  # what to restore, and into what, is chosen
    CHECKED = "checked"  # source and target were looked at; a plan exists
    PREVIEWED = "previewed"  # what the plan would do was shown; nothing was written
    QUEUED = "queued"  # released for execution; waits for a worker
    RUNNING = "running"  # a worker executes it
    COMPLETED = "completed"  # the tool reached its end and nothing contradicts it; says nothing about recovery
    PARTIAL = "partial"  # some selected items were not applied, or that could not be excluded
    COMPLETED_WITH_ERRORS = "completed_with_errors"  # all items applied, yet errors were reported
    FAILED = "failed"  # the restore did not do what it was for
    CANCELLED = "cancelled"  # ended before anything was written: cancelled or blocked


class RunEvent(StrEnum):
    """What can happen to a restore run."""

    SCOPE = "scope"  # choose, or change, what to restore; an earlier check or preview no longer counts
    CHECK = "check"  # source and target were checked, a plan was made
    PREVIEW = "preview"  # the plan was previewed
    APPROVE = "approve"  # a second person approves exactly this plan
    QUEUE = "queue"  # release the previewed plan for execution
    START = "start"  # a worker begins to execute
    REPORT = "report"  # a worker reports item outcomes while it executes
    REQUEST_CANCEL = "request_cancel"  # somebody asks the worker to stop; the run goes on until the worker answers
    COMPLETE = "complete"  # outcome rule 8 or 9
    COMPLETE_WITH_ERRORS = "complete_with_errors"  # outcome rule 7
    COMPLETE_PARTIALLY = "complete_partially"  # outcome rule 6 or 10
    FAIL = "fail"  # outcome rule 1, 3, 4 or 5
    CANCEL = "cancel"  # before execution, or outcome rule 2 while executing
    BLOCK = "block"  # a preflight or guard ends the run before execution


class OperationStatus(StrEnum):
    """Where the execution of a run stands: the operation run is the proof that something was executed."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # executes
    COMPLETED = "completed"  # ended; its outcome says how


class OperationOutcome(StrEnum):
    """How an operation run ended. None yet is ``None``."""

    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class OperationEvent(StrEnum):
    """What can happen to an operation run."""

    START = "start"
    SUCCEED = "succeed"
    PARTIALLY_SUCCEED = "partially_succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    BLOCK = "block"


OUTCOME_OF_EVENT = MappingProxyType(
    {
        OperationEvent.SUCCEED: OperationOutcome.SUCCEEDED,
        OperationEvent.PARTIALLY_SUCCEED: OperationOutcome.PARTIALLY_SUCCEEDED,
        OperationEvent.FAIL: OperationOutcome.FAILED,
        OperationEvent.CANCEL: OperationOutcome.CANCELLED,
        OperationEvent.BLOCK: OperationOutcome.BLOCKED,
    }
)
"""The outcome that an ending event stands for."""


class SnapshotStatus(StrEnum):
    """Where an evidence snapshot stands. Only an active one can be shown as evidence."""

    QUEUED = "queued"  # asked for
    GENERATING = "generating"  # the target is being read
    ACTIVE = "active"  # complete and current
    SUPERSEDED = "superseded"  # a later snapshot of the same operation run took its place
    EXPIRED = "expired"  # too old to count
    FAILED = "failed"  # could not be produced


class SnapshotEvent(StrEnum):
    """What can happen to an evidence snapshot."""

    GENERATE = "generate"
    ACTIVATE = "activate"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"
    FAIL = "fail"


class Attention(StrEnum):
    """Secondary copy that stays visible beside a decision and never changes it."""

    PARTIAL = "partial"
    COMPLETED_WITH_FOLLOW_UP = "completed_with_follow_up"


class EndReason(StrEnum):
    """Why a run ended as it did, where its status alone does not say."""

    VALIDATION = "validation"  # block: the request or the source is not valid
    EMPTY_SELECTION = "empty_selection"  # block: nothing was selected
    APPROVAL_REJECTED = "approval_rejected"  # block: a second person said no
    PREVIEW_EXPIRED = "preview_expired"  # block: the preview is too old to act on
    TARGET_BUSY = "target_busy"  # block: another restore holds the target
    TARGET_CHANGED = "target_changed"  # block: the target is not what the preview showed
    DEADLINE_PASSED = "deadline_passed"  # block: no worker started it in time
    SOURCE_INCOMPLETE = "source_incomplete"  # block: the backup itself is known to be incomplete
    NOTHING_APPLIED = "nothing_applied"  # fail: nothing was selected, or nothing was written
    TOOL_ABORTED = "tool_aborted"  # fail: the tool stopped before its end
    WORKER_LOST = "worker_lost"  # fail: the worker vanished, or a signal nobody asked for
    CANCEL_REQUESTED = "cancel_requested"  # cancel: somebody asked for it


class ItemResult(StrEnum):
    """What became of one selected item."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    PARTIAL = "partial"
    NON_APPLIED = "non_applied"


TERMINAL_RUN_STATUSES = frozenset(
    {RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.COMPLETED_WITH_ERRORS, RunStatus.FAILED, RunStatus.CANCELLED}
)
LIVE_SNAPSHOT_STATUSES = frozenset({SnapshotStatus.QUEUED, SnapshotStatus.GENERATING})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _Frozen(msgspec.StructMeta):
    """Tells type checkers that every `Struct` is immutable and takes keywords only."""


class Struct(msgspec.Struct, metaclass=_Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An immutable record whose unknown fields are refused, never ignored."""


class CountsSource(StrEnum):
    """Where the counts of an execution come from. A tool's own summary is none of them: it is no fact about the target."""

    ITEMS = "items"  # added up from what was reported of each item
    TOOL_ERRORS = "tool_errors"  # what the plan selects, less what the tool's error messages name
    METADATA = "metadata"  # what the target was seen to hold, by name and size


class Counts(Struct, omit_defaults=True):
    """How many items ended how; a count that is not known is ``None`` and is left out when written.

    Raises ``ValueError`` when all six are known and the five parts do not add up to the total
    (decision rules, section 3).
    """

    total: Count | None = None
    succeeded: Count | None = None
    failed: Count | None = None
    skipped: Count | None = None
    partial: Count | None = None
    non_applied: Count | None = None

    def __post_init__(self) -> None:
        """Refuse counts that contradict themselves."""
        parts = [self.succeeded, self.failed, self.skipped, self.partial, self.non_applied]
        known = [part for part in parts if part is not None]
        if self.total is not None and len(known) == len(parts) and sum(known) != self.total:
            msg = f"the five parts add up to {sum(known)}, but total is {self.total}"
            raise ValueError(msg)

    @property
    def any_known(self) -> bool:
        """Whether at least one count is known."""
        return self != UNKNOWN_COUNTS


UNKNOWN_COUNTS = Counts()


class RunFacts(Struct):
    """What is known of a restore run when a decision is made."""

    id: str
    workspace: str | None
    environment: str | None
    status: RunStatus
    is_dry_run: bool
    operation_run_id: str | None = None
    counts: Counts | None = None
    items: Count | None = None
    attention: Attention | None = None


class OperationFacts(Struct):
    """What is known of the operation run that the restore run names."""

    id: str
    workspace: str | None
    environment: str | None
    status: OperationStatus
    outcome: OperationOutcome | None = None


class SnapshotFacts(Struct):
    """What is known of one evidence snapshot."""

    id: str
    operation_run_id: str | None
    workspace: str | None
    environment: str | None
    status: SnapshotStatus
    captured_at: Instant | None = None

    def __post_init__(self) -> None:
        """Bring the time of capture into its one form, so that equal times are equal texts."""
        if self.captured_at is not None:
            msgspec.structs.force_setattr(self, "captured_at", instant_text(self.captured_at))


class Viewer(Struct):
    """Who looks, and the ids of the operation runs and evidence snapshots that they are authorised for."""

    id: str
    may_view: frozenset[str]


class Facts(Struct):
    """Everything a decision is made from, except who looks.

    ``counts_are_lower_bounds`` is true when a worker was lost and its last report is only a lower bound.
    """

    run: RunFacts
    operation: OperationFacts | None
    evidence: tuple[SnapshotFacts, ...]
    counts_are_lower_bounds: bool = False
