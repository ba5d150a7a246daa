"""A remembered route is the route that python-statemachine takes."""

from __future__ import annotations

import pytest

from proofgap import lifecycle, moves
from proofgap.errors import GuardRefusedError
from proofgap.facts import Counts, EndReason, OperationStatus, RunEvent, RunStatus
from proofgap.hooks import ProjectForRecord
from proofgap.records import Machine, Moment, OperationRecord, PreviewFacts, RunDetails, RunRecord

EDGES = [edge for edge in lifecycle.edges(Machine.RUN) if edge[0] != "draft" or edge[1] != ""]
MOMENT = Moment(at_us=10, actor="second", new_id="op_1")


def record(status: str) -> RunRecord:
    """Give a run that stands on a status, with everything that lets its guards pass."""
    operation = OperationRecord(id="op_1", workspace="w", environment="e", status=OperationStatus.QUEUED, version=1)
    linked = operation if status in {"queued", "running"} else None
    return RunRecord(
        id="r",
        workspace="w",
        environment="e",
        status=RunStatus(status),
        version=3,
        is_dry_run=False,
        operation_run_id=linked and linked.id,
        operation=linked
        if status != "running"
        else OperationRecord(id="op_1", workspace="w", environment="e", status=OperationStatus.RUNNING, version=2),
        details=RunDetails(requested_by="first", plan_digest="p", preview=PreviewFacts(plan_digest="p")),
    )


def given(event: str, target: str) -> RunDetails:
    """Give the facts that lead an event to a target."""
    if event == "block":
        return RunDetails(end_reason=EndReason.VALIDATION)
    return RunDetails(nothing_written=True) if (event, target) == ("cancel", "cancelled") else RunDetails()


@pytest.mark.parametrize(("source", "event", "target"), [edge[:3] for edge in EDGES])
def test_every_edge_gives_the_same_step_fresh_and_remembered(source, event, target):
    facts = given(event, target) if source not in {"draft", "scoped"} or event != "cancel" else RunDetails()

    def step():
        return moves.move(record(source), RunEvent(event), facts, moment=MOMENT, hooks=ProjectForRecord())

    lifecycle._ROUTES.clear()
    fresh = step()
    assert any(route[1:3] == (source, event) for route in lifecycle._ROUTES)
    remembered = step()
    assert fresh == remembered
    assert target == fresh.record.status


def test_other_verdicts_of_the_guards_take_another_route():
    lifecycle._ROUTES.clear()
    ends = [
        moves.move(record("running"), RunEvent.CANCEL, facts, moment=MOMENT, hooks=ProjectForRecord()).record.status
        for facts in (RunDetails(nothing_written=True), RunDetails(), RunDetails(nothing_written=True))
    ]
    assert ["cancelled", "partial", "cancelled"] == ends


def test_a_refusal_is_never_remembered():
    lifecycle._ROUTES.clear()
    failed = RunDetails(counts=Counts(failed=1))
    for _ in range(2):
        with pytest.raises(GuardRefusedError):
            moves.move(record("running"), RunEvent.COMPLETE, failed, moment=MOMENT, hooks=ProjectForRecord())
    assert {} == lifecycle._ROUTES
