"""What a run carries through its life, and what one move of it consists of: values, no behaviour.

Owns the shapes of stored facts (`RunDetails`, `OperationRecord`, `SnapshotRecord`), the whole that a transition
looks at (`RunRecord`), and its result (`Step`). Refuses to know which moves are legal (`lifecycle`) and how
records are stored. Times are whole microseconds since 1970-01-01 UTC (``..._us``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from proofgap.facts import (
    Attention,
    Count,
    Counts,
    CountsSource,
    EndReason,
    Facts,
    Instant,
    ItemResult,
    OperationFacts,
    OperationOutcome,
    OperationStatus,
    RunFacts,
    RunStatus,
    SnapshotFacts,
    SnapshotStatus,
    Struct,
    utc_text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


ExitCode = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**32)]
"""What a tool ended with; negative where a signal ended it."""


Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256, in hex."""

Priority = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""Which waiting run comes first: the higher one; of equal ones, the one that was queued first. Not said is 0."""


class Machine(StrEnum):
    """The three things that have a lifecycle."""

    RUN = "run"
    OPERATION = "operation"
    EVIDENCE = "evidence"


class Completeness(StrEnum):
    """Whether the backup itself is known to hold everything it was meant to hold."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class RecoveryPointBasis(StrEnum):
    """Where the time of a recovery point comes from."""

    STATED = "stated"  # whoever asked for the run says so
    BACKUP_TIME = "backup_time"  # when the backup was taken, as it says itself; nobody attested it
    FILE_TIME = "file_time"  # when the file of the backup last changed; nobody attested it


class CheckResult(StrEnum):
    """How one comparison ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # not compared; never counts as checked


class Verdict(StrEnum):
    """What a comparison of target and backup found; never a claim."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Level(StrEnum):
    """How deep a check looked."""

    L0 = "L0"  # exit status
    L1 = "L1"  # the tool's own verification
    L2 = "L2"  # it starts
    L3 = "L3"  # structure
    L4 = "L4"  # completeness: counts, scope
    L5 = "L5"  # digest of the content
    L6 = "L6"  # application query, or a person's sign-off


class PreviewFacts(Struct, omit_defaults=True):
    """What a preview showed, and until when it may be acted on."""

    plan_digest: str | None = None
    expires_at_us: Count | None = None
    depth: str | None = None  # "metadata": listings were read; "data": every byte of the backup was read
    created: Count | None = None
    overwritten: Count | None = None
    skipped: Count | None = None
    target_fingerprint: str | None = None


class Approval(Struct, omit_defaults=True):
    """One person's yes to exactly one plan."""

    by: str
    plan_digest: str | None = None


class RunDetails(Struct, omit_defaults=True):
    """Everything stored of a run beside its status. What is not known is ``None`` and is left out."""

    backup: str | None = None
    target: str | None = None
    driver: str | None = None
    purpose: str | None = None
    manifest: str | None = None
    select: tuple[str, ...] = ()  # patterns over items; none selects everything
    overwrite: bool = False  # replace what exists and differs
    options: tuple[str, ...] = ()  # KEY=VALUE, for the driver; never a secret
    password_file: str | None = None  # where the executing machine has the password, never what it is
    rto_us_stated: Count | None = None  # within which time the restore was to be done
    rpo_us_stated: Count | None = None  # how old the recovery point may be
    recovery_point_us: Count | None = None  # the moment whose data the backup holds
    recovery_point_basis: RecoveryPointBasis | None = None
    requested_by: str | None = None
    requested_for: str | None = None  # who made the token that asked: they know its secret, and could have asked by it
    prepared_by: tuple[str, ...] = ()  # who else scoped, checked or previewed what is to be approved now
    prepared_for: tuple[str, ...] = ()  # who else made the tokens that did: they know their secrets
    priority: Priority | None = None
    deadline_us: Count | None = (
        None  # when it must have ended: a waiting run is blocked then, a running one asked to stop
    )
    worker: str | None = None  # the registered worker that it is kept for, or that claimed it
    claim: Digest | None = None  # SHA-256 of the fencing token; without one, whoever may execute runs can go on with it
    retry_of: str | None = None
    attempt: Count | None = None
    selected: Count | None = None  # items that the plan selects
    expects_nothing: bool = False  # the plan says that an empty selection is right
    source_completeness: Completeness | None = None
    tool: str | None = None  # what restores, with its version
    unit: str | None = None  # what is counted: file, table, toc_entry, item
    marker: str | None = None  # of the target when the plan was made: evidence tells by it what was written since
    plan_digest: str | None = None
    target_fingerprint: str | None = None  # of the target as it was found last
    preview: PreviewFacts | None = None
    approvals: tuple[Approval, ...] = ()
    cancel_requested_by: str | None = None
    counts: Counts | None = None  # as reported for the whole run
    counts_are_lower_bounds: bool = False
    counts_source: CountsSource | None = None
    item_counts: Counts | None = None  # added up from item rows; wins over ``counts``
    items: Count | None = None  # number of item rows
    attention: Attention | None = None
    end_reason: EndReason | None = None
    outcome_rule: Count | None = None
    exit_code: ExitCode | None = None
    nothing_written: bool | None = None  # True only when proven
    holds_environment: bool = False  # it ended, and its tool may still be at work: nothing else starts there

    @property
    def counts_conflict(self) -> bool:
        """Whether reported counts and item rows are both known and disagree."""
        return None not in (self.counts, self.item_counts) and self.counts != self.item_counts


class SnapshotDetails(Struct, omit_defaults=True):
    """Everything stored of an evidence snapshot beside its status and its time of capture."""

    verdict: Verdict | None = None
    level: Level | None = None  # the deepest check
    subjects_checked: Count | None = None
    expected_empty: bool = False
    checks_total: Count | None = None
    checks_passed: Count | None = None
    checks_failed: Count | None = None
    checks_skipped: Count | None = None
    producer: str | None = None
    method: str | None = None
    expires_at_us: Count | None = None
    content_sha256: str | None = None


class Item(Struct, omit_defaults=True):
    """What became of one selected item, as a worker reports it."""

    key: str
    result: ItemResult
    action: str | None = None  # created, overwritten, unchanged
    reason_code: str | None = None
    message: str | None = None
    bytes: Count | None = None
    expected_digest: str | None = None
    observed_digest: str | None = None


class Check(Struct, omit_defaults=True):
    """One comparison of the restored target with what the backup holds."""

    subject: str
    method: str
    level: Level
    result: CheckResult
    expected: str | None = None
    observed: str | None = None


class OperationRecord(Struct):
    """An operation run as stored."""

    id: str
    workspace: str
    environment: str
    status: OperationStatus
    version: int
    outcome: OperationOutcome | None = None


class SnapshotRecord(Struct):
    """An evidence snapshot as stored."""

    id: str
    operation_run_id: str | None
    workspace: str
    environment: str
    status: SnapshotStatus
    version: int
    captured_at_us: Count | None = None
    details: SnapshotDetails = SnapshotDetails()


class RunRecord(Struct):
    """A run as stored, with its linked operation run and that operation run's evidence."""

    id: str
    workspace: str
    environment: str
    status: RunStatus
    version: int
    is_dry_run: bool
    imported: bool = False  # a record of another system: it never moves here
    moved_at_us: int | None = None  # when it was recorded that it came to its status: no caller names this time
    operation_run_id: str | None = None
    approvals_required: int = 0
    details: RunDetails = RunDetails()
    operation: OperationRecord | None = None
    evidence: tuple[SnapshotRecord, ...] = ()

    def facts(self) -> Facts:
        """Give the facts that a decision is made from; item rows win over reported counts."""
        operation = self.operation
        return Facts(
            run=RunFacts(
                id=self.id,
                workspace=self.workspace,
                environment=self.environment,
                status=self.status,
                is_dry_run=self.is_dry_run,
                operation_run_id=self.operation_run_id,
                counts=self.details.item_counts or self.details.counts,
                items=self.details.items,
                attention=self.details.attention,
            ),
            operation=None
            if operation is None
            else OperationFacts(
                id=operation.id,
                workspace=operation.workspace,
                environment=operation.environment,
                status=operation.status,
                outcome=operation.outcome,
            ),
            evidence=tuple(map(snapshot_facts, self.evidence)),
            counts_are_lower_bounds=self.details.counts_are_lower_bounds,
        )


def snapshot_facts(snapshot: SnapshotRecord) -> SnapshotFacts:
    """Give the facts of one snapshot that a decision is made from."""
    captured = snapshot.captured_at_us
    return SnapshotFacts(
        id=snapshot.id,
        operation_run_id=snapshot.operation_run_id,
        workspace=snapshot.workspace,
        environment=snapshot.environment,
        status=snapshot.status,
        captured_at=None if captured is None else utc_text(instant(captured)),
    )


def instant(microseconds: int) -> datetime:
    """Turn microseconds since 1970-01-01 UTC into a moment."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(text: Instant | None) -> int | None:
    """Turn a moment as text into microseconds since 1970-01-01 UTC, exactly; not known stays not known."""
    return None if text is None else (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


class Moment(Struct):
    """When something happens, who does it, and the id for whatever comes into being by it."""

    at_us: int
    actor: str
    new_id: str
    maker: str | None = None  # who made the token that the actor is


class Move(Struct):
    """One status change of one record, or its creation (``event`` and ``source`` are ``None``)."""

    machine: Machine
    subject: str
    event: str | None
    source: str | None
    target: str
    version: int
    record: RunRecord | OperationRecord | SnapshotRecord


def moved(
    machine: Machine, event: str | None, source: str | None, after: RunRecord | OperationRecord | SnapshotRecord
) -> Move:
    """Give the move that left a record as it is now."""
    return Move(
        machine=machine,
        subject=after.id,
        event=event,
        source=source,
        target=after.status,
        version=after.version,
        record=after,
    )


_Projection = TypeVar("_Projection")


class Step(msgspec.Struct, Generic[_Projection], frozen=True, kw_only=True):
    """Everything one event changes, in the order in which it is written, and the decision it leads to."""

    moves: tuple[Move, ...]
    record: RunRecord
    projection: _Projection


def draft(
    run_id: str, scope: tuple[str, str], details: RunDetails, requested_by: str, *, is_dry_run: bool
) -> RunRecord:
    """Give a run as it begins, in a scope of workspace and environment."""
    return RunRecord(
        id=run_id,
        workspace=scope[0],
        environment=scope[1],
        status=RunStatus.DRAFT,
        version=1,
        is_dry_run=is_dry_run,
        details=replace(details, requested_by=requested_by),
    )


_TAKEN_OVER = (
    *("backup", "target", "driver", "purpose", "manifest", "select", "overwrite", "expects_nothing", "options"),
    *("password_file", "rto_us_stated", "rpo_us_stated", "recovery_point_us", "recovery_point_basis", "priority"),
)
"""What a retry wants as well: less than all of it, such as without the selection, would restore something else."""


def second_try(record: RunRecord) -> RunDetails:
    """Give what a retry takes over from the run that ended: what was wanted, nothing of what came of it."""
    wanted = {name: getattr(record.details, name) for name in _TAKEN_OVER}
    return RunDetails(**wanted, retry_of=record.id, attempt=(record.details.attempt or 1) + 1)


def queued_snapshot(record: RunRecord, snapshot_id: str, captured_at_us: int) -> SnapshotRecord:
    """Give an evidence snapshot as it begins, bound to the run's operation run."""
    return SnapshotRecord(
        id=snapshot_id,
        operation_run_id=record.operation_run_id,
        workspace=record.workspace,
        environment=record.environment,
        status=SnapshotStatus.QUEUED,
        version=1,
        captured_at_us=captured_at_us,
    )
