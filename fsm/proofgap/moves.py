"""What an event does: from a record as it stands to the moves to write. Pure: writes nothing, reads no clock.

Owns what one event brings about beside its own move: the operation run that moves along, the older evidence that
steps down, the projection. Refuses to know which moves are legal (`lifecycle`), storage, clocks and ids.

Source: ``docs/decision-rules.md``, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from proofgap.effects import new_operation, refuse_foreign_facts, refuse_foreign_findings
from proofgap.errors import GuardRefusedError, NotAllowedError, NotFoundError
from proofgap.facts import (
    TERMINAL_RUN_STATUSES,
    OperationEvent,
    OperationStatus,
    RunEvent,
    RunStatus,
    SnapshotEvent,
    SnapshotStatus,
)
from proofgap.lifecycle import Hooks, Projection_co, allowed_events, send
from proofgap.records import (
    Machine,
    Moment,
    Move,
    RunDetails,
    RunRecord,
    SnapshotDetails,
    SnapshotRecord,
    Step,
    moved,
    second_try,
)

OPERATION_FOLLOWS = MappingProxyType(
    {
        RunEvent.START: OperationEvent.START,
        RunEvent.COMPLETE: OperationEvent.SUCCEED,
        RunEvent.COMPLETE_WITH_ERRORS: OperationEvent.PARTIALLY_SUCCEED,
        RunEvent.COMPLETE_PARTIALLY: OperationEvent.PARTIALLY_SUCCEED,
        RunEvent.FAIL: OperationEvent.FAIL,
        RunEvent.CANCEL: OperationEvent.CANCEL,
        RunEvent.BLOCK: OperationEvent.BLOCK,
    }
)
"""What a run's event means for its operation run."""

_IS_IMPORTED = "it was imported, and imported records never move"


def move(
    record: RunRecord, event: RunEvent, given: RunDetails, *, moment: Moment, hooks: Hooks[Projection_co]
) -> Step[Projection_co]:
    """Compute what one event does to a run. Pure: writes nothing, reads no clock.

    Raises:
        NotAllowedError: the run's status has no such move.
        GuardRefusedError: it has, but a guard said no; names the guard.
        BadInputError: a fact was handed in that does not belong to the event.

    """
    refuse_foreign_facts(event, given)
    _refuse_imported(record, event)
    attempt = send(Machine.RUN, record, event, given=given, moment=moment, hooks=hooks, follow=_operation_moves)
    return Step(moves=attempt.moves, record=attempt.record, projection=attempt.projection)


def begin(record: RunRecord, *, hooks: Hooks[Projection_co]) -> Step[Projection_co]:
    """Compute the birth of a run: a draft, and the decision that goes with it."""
    return Step(moves=(moved(Machine.RUN, None, None, record),), record=record, projection=hooks.entered(record))


def begin_snapshot(record: RunRecord, snapshot: SnapshotRecord, *, hooks: Hooks[Projection_co]) -> Step[Projection_co]:
    """Compute the birth of an evidence snapshot, which can already change what the run's decision says.

    Raises:
        GuardRefusedError: nothing was executed, or it has not ended, or the capture is older than the end, or the run
            was imported.

    """
    _refuse_imported(record, "begin_evidence")
    executed = record.operation is not None and record.operation.status is OperationStatus.COMPLETED
    if not executed or record.status is RunStatus.CANCELLED:
        raise _refused(
            record, "begin_evidence", "execution_has_ended", "evidence is captured after the execution has ended"
        )
    captured, ended = snapshot.captured_at_us, record.moved_at_us
    if captured is not None and ended is not None and captured < ended:
        because = "evidence is captured after the execution; this capture is older than the run's end"
        raise _refused(record, "begin_evidence", "captured_after_the_end", because)
    born = moved(Machine.EVIDENCE, None, None, snapshot)
    after = replace(record, evidence=(*record.evidence, snapshot))
    return Step(moves=(born,), record=after, projection=hooks.entered(after))


def move_snapshot(
    record: RunRecord, snapshot_id: str, event: SnapshotEvent, given: SnapshotDetails, *, hooks: Hooks[Projection_co]
) -> Step[Projection_co]:
    """Compute what one event does to a run's evidence; an activated snapshot supersedes the one before it.

    Raises:
        NotFoundError: the run has no such snapshot.
        NotAllowedError, GuardRefusedError: as for `move`, or the run was imported.

    """
    snapshot = next((row for row in record.evidence if row.id == snapshot_id), None)
    if snapshot is None:
        raise NotFoundError("evidence snapshot", snapshot_id)
    if record.imported:
        raise GuardRefusedError(Machine.EVIDENCE, event, snapshot.status, (), guard="is_native", because=_IS_IMPORTED)
    active = [row for row in record.evidence if row.status is SnapshotStatus.ACTIVE and row.id != snapshot_id]
    refuse_foreign_findings(event, given)
    moves = [_snapshot_move(record, snapshot, event, given, active)]
    if event is SnapshotEvent.ACTIVATE:  # the old one steps down first: two are never active at once
        moves[:0] = [_snapshot_move(record, row, SnapshotEvent.SUPERSEDE, SnapshotDetails(), ()) for row in active]
    changed: dict[str, Any] = {change.subject: change.record for change in moves}
    after = replace(record, evidence=tuple(changed.get(row.id, row) for row in record.evidence))
    return Step(moves=tuple(moves), record=after, projection=hooks.entered(after))


def retry(record: RunRecord) -> RunDetails:
    """Give what a retry of a run begins with. A run that has ended never moves again: a retry is a new run.

    Raises:
        NotAllowedError: the run has not ended yet.

    """
    if record.status not in TERMINAL_RUN_STATUSES:
        raise NotAllowedError(Machine.RUN, "retry", record.status, allowed_events(Machine.RUN, record.status))
    return second_try(record)


def _refuse_imported(record: RunRecord, event: str) -> None:
    """Keep records of other systems as they came: what is executed here leaves proof of its own."""
    if record.imported:
        raise _refused(record, event, "is_native", f"{_IS_IMPORTED}; retry it instead")


def _refused(record: RunRecord, event: str, guard: str, because: str) -> GuardRefusedError:
    allowed = () if record.imported else allowed_events(Machine.RUN, record.status)
    return GuardRefusedError(Machine.RUN, event, record.status, allowed, guard=guard, because=because)


def _snapshot_move(
    run: RunRecord,
    snapshot: SnapshotRecord,
    event: SnapshotEvent,
    given: SnapshotDetails,
    siblings: Iterable[SnapshotRecord],
) -> Move:
    attempt = send(Machine.EVIDENCE, snapshot, event, given=given, siblings=siblings, run=run)
    return moved(Machine.EVIDENCE, event, snapshot.status, attempt.record)


def _operation_moves(record: RunRecord, event: RunEvent) -> tuple[Move, ...]:
    """Move the operation run along with its run; one that has ended already (an imported one) stays as it is."""
    moves = []
    operation = record.operation
    born = new_operation(record)
    if born is not None:
        moves.append(moved(Machine.OPERATION, None, None, born))
        operation = born
    follows = OPERATION_FOLLOWS.get(event)
    if operation is not None and follows is not None and operation.status is not OperationStatus.COMPLETED:
        attempt = send(Machine.OPERATION, operation, follows)
        moves.append(moved(Machine.OPERATION, follows, operation.status, attempt.record))
    return tuple(moves)
