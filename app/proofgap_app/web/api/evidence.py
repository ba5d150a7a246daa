"""The operation run of a run, and the evidence about what it left: read, and evidence added.

Operation runs are not put here: one comes into being when its run is queued, and moves with it (decision record 0003).
A snapshot is put under a name that its producer chooses; the same name with the same content is the same snapshot, so
putting it again changes nothing. The ledger gives it the id by which others know it.

Owns these routes. Refuses to know what evidence proves.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import Response

from proofgap.access import Action
from proofgap.audit import digest
from proofgap.errors import BadInputError, KeyReusedError, NotFoundError, RefusedError
from proofgap.facts import (
    Instant,
    OperationOutcome,
    OperationStatus,
    SnapshotEvent,
    SnapshotStatus,
    Struct,
    instant_text,
    utc_text,
)
from proofgap.records import Check, RunRecord, SnapshotDetails, SnapshotRecord, instant, microseconds
from proofgap.text import shown
from proofgap_app.web.api import receipts
from proofgap_app.web.api.runs import ONE, looked_up
from proofgap_app.web.calls import Call, facts_at
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.replies import path_of, reply
from proofgap_app.web.table import Route, Scope
from proofgap_store import Receipt
from proofgap_store.evidencing import sound

_CHECKS_MAX = 10_000


class Operation(Struct):
    """An operation run: the proof that something was executed."""

    id: str
    status: OperationStatus
    outcome: OperationOutcome | None
    version: int


class EvidenceWanted(Struct):
    """A finished comparison of the restored target with the backup; ``captured_at`` is now, unless given."""

    captured_at: Instant | None = None
    details: SnapshotDetails = SnapshotDetails()
    checks: tuple[Check, ...] = ()


class Put(Struct):
    """What became of a snapshot that was put."""

    snapshot_id: str
    status: SnapshotStatus
    event_id: int


class Snapshot(Struct):
    """An evidence snapshot, and every comparison that it was made of."""

    id: str
    operation_run_id: str | None
    status: SnapshotStatus
    captured_at: str | None
    details: SnapshotDetails
    checks: tuple[Check, ...]


class Snapshots(Struct):
    """The snapshots of a run that the caller may view."""

    items: tuple[Snapshot, ...]


def operation(call: Call) -> Response:
    """Read the operation run of a run."""
    found = looked_up(call).record
    if found.operation is None:
        raise NotFoundError("operation run of", found.id)
    row = found.operation
    return reply(Operation(id=row.id, status=row.status, outcome=row.outcome, version=row.version))


def list_evidence(call: Call) -> Response:
    """List the snapshots of a run that the caller may view; who may view none finds none."""
    return reply(Snapshots(items=tuple(_snapshot(row, ()) for row in visible(looked_up(call).record))))


def get_evidence(call: Call) -> Response:
    """Read one snapshot, with its comparisons."""
    wanted = call.named("snapshot")
    found = next((row for row in visible(looked_up(call).record) if row.id == wanted), None)
    if found is None:  # also for whoever may not view it: withheld evidence reads exactly like absent evidence
        raise NotFoundError("evidence snapshot", wanted)
    return reply(_snapshot(found, tuple(call.ledger.checks(wanted, call.actor.id))))


def put_evidence(call: Call, body: EvidenceWanted) -> Response:
    """Add a finished comparison, under a name that the caller chooses; one that proves nothing is closed as failed."""
    if len(body.checks) > _CHECKS_MAX:
        raise BadInputError("checks", f"holds {len(body.checks)} comparisons", f"Send at most {_CHECKS_MAX}.")
    name = call.named("snapshot")
    record = looked_up(call).record
    try:
        with facts_at("details", SnapshotDetails):
            begun, last = _added(call, (record.id, name), body)
    except KeyReusedError:  # the keys are ours: nobody sent one
        raise HttpError(Code.CONFLICT, f"There is another comparison under the name '{shown(name)}'.") from None
    found = Put(snapshot_id=begun.subject, status=SnapshotStatus(last.status), event_id=last.event_id)
    place = f"{path_of(ONE, ws=call.workspace, run=record.id)}/evidence/{begun.subject}"
    status = HTTPStatus.OK if last.replayed else HTTPStatus.CREATED
    return reply(found, status, {"location": place})


def _added(call: Call, place: tuple[str, str], body: EvidenceWanted) -> tuple[Receipt, Receipt]:
    """Walk a snapshot through its life; each step has the snapshot's name for its key, so that a retry goes on with it."""
    (run, name), ledger, actor, token = place, call.ledger, call.actor, receipts.fence_of(call)
    sound(body.details, body.checks)  # before anything is begun: what is refused changes nothing

    named = digest([run, name])  # a name may be as long as any id, and a key no longer

    def key(step: str) -> str:
        return f"{named}/{step}"

    captured_at_us = microseconds(_moment(body.captured_at))
    begun = ledger.begin_evidence(run, actor, captured_at_us=captured_at_us, key=key("begin"), token=token)
    ledger.fire_evidence(begun.subject, SnapshotEvent.GENERATE, actor, key=key("generate"), token=token)
    try:
        last = ledger.fire_evidence(
            begun.subject,
            SnapshotEvent.ACTIVATE,
            actor,
            given=body.details,
            checks=body.checks,
            key=key("activate"),
            token=token,
        )
    except (RefusedError, BadInputError):
        ledger.fire_evidence(begun.subject, SnapshotEvent.FAIL, actor, key=key("fail"), token=token)
        raise
    return begun, last


def _moment(text: Instant | None) -> Instant | None:
    try:
        return None if text is None else instant_text(text)
    except ValueError as error:
        raise BadInputError("captured_at", shown(str(error)), "Use RFC 3339 in UTC.") from None


def visible(record: RunRecord) -> tuple[SnapshotRecord, ...]:
    """Give the snapshots of a run as somebody sees it: those of the operation run that they may view as well."""
    if record.operation is None:
        return ()
    return tuple(row for row in record.evidence if row.operation_run_id == record.operation.id)


def _snapshot(row: SnapshotRecord, checks: tuple[Check, ...]) -> Snapshot:
    captured = row.captured_at_us
    return Snapshot(
        id=row.id,
        operation_run_id=row.operation_run_id,
        status=row.status,
        captured_at=None if captured is None else utc_text(instant(captured)),
        details=row.details,
        checks=checks,
    )


ROUTES = (
    Route(
        method="GET",
        path=ONE + "/operation",
        handler=operation,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Read the operation run of a run",
        gives=Operation,
        problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path=ONE + "/evidence",
        handler=list_evidence,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="List the evidence snapshots of a run",
        gives=Snapshots,
        problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path=ONE + "/evidence/{snapshot}",
        handler=get_evidence,
        scope=Scope.RUN,
        asks=(Action.READ_EVIDENCE,),
        summary="Read an evidence snapshot, with its comparisons",
        gives=Snapshot,
        problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="PUT",
        path=ONE + "/evidence/{snapshot}",
        handler=put_evidence,
        scope=Scope.RUN,
        asks=(Action.ADD_EVIDENCE,),
        summary="Add a finished comparison under a name of the caller's",
        gives=Put,
        status=HTTPStatus.CREATED,
        headers=(f"{receipts.FENCE}?",),
        brings=("Location",),
        problems=(Code.GUARD_FAILED, Code.TRANSITION_NOT_ALLOWED, Code.CONFLICT, Code.FORBIDDEN, Code.NOT_FOUND),
    ),
)
