"""Every status against every event on the three machines, from tables typed by hand: what moves, and what is refused."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from proofgap.errors import GuardRefusedError, NotAllowedError, NotFoundError
from proofgap.facts import EndReason, OperationStatus, RunEvent, RunStatus, SnapshotEvent, SnapshotStatus
from proofgap.lifecycle import allowed_events, edges
from proofgap.moves import begin, begin_snapshot, move, move_snapshot, retry
from proofgap.records import Machine, RunDetails, SnapshotDetails
from tests.core.run_records import ENDED, Told, moment, operation, run_in, snapshot_in

RUN = {
    "draft": {"scope": "scoped", "cancel": "cancelled"},
    "scoped": {"scope": "scoped", "check": "checked", "cancel": "cancelled"},
    "checked": {
        "scope": "scoped",
        "check": "checked",
        "preview": "previewed",
        "cancel": "cancelled",
        "block": "cancelled",
    },
    "previewed": {
        "scope": "scoped",
        "check": "checked",
        "preview": "previewed",
        "approve": "previewed",
        "queue": "queued",
        "cancel": "cancelled",
        "block": "cancelled",
    },
    "queued": {"start": "running", "cancel": "cancelled", "block": "cancelled"},
    "running": {
        "report": "running",
        "request_cancel": "running",
        "complete": "completed",
        "complete_with_errors": "completed_with_errors",
        "complete_partially": "partial",
        "fail": "failed",
        "cancel": "partial",
    },
    **{status: {} for status in ENDED},
}
OPERATION = {
    "queued": {"start": "running", "cancel": "completed", "block": "completed"},
    "running": {
        "succeed": "completed",
        "partially_succeed": "completed",
        "fail": "completed",
        "cancel": "completed",
    },
    "completed": {},
}
EVIDENCE = {
    "queued": {"generate": "generating", "fail": "failed"},
    "generating": {"activate": "active", "fail": "failed"},
    "active": {"supersede": "superseded", "expire": "expired"},
    "superseded": {},
    "expired": {},
    "failed": {},
}
TABLES = {Machine.RUN: RUN, Machine.OPERATION: OPERATION, Machine.EVIDENCE: EVIDENCE}

RUN_PAIRS = list(itertools.product(RUN, [event.value for event in RunEvent]))
LEGAL_RUN = [(status, event, RUN[status][event]) for status, event in RUN_PAIRS if event in RUN[status]]
ILLEGAL_RUN = [pair for pair in RUN_PAIRS if pair[1] not in RUN[pair[0]]]
EVIDENCE_PAIRS = list(itertools.product(EVIDENCE, [event.value for event in SnapshotEvent]))
LEGAL_EVIDENCE = [(status, event) for status, event in EVIDENCE_PAIRS if event in EVIDENCE[status]]
ILLEGAL_EVIDENCE = [pair for pair in EVIDENCE_PAIRS if pair[1] not in EVIDENCE[pair[0]]]

NOTHING = RunDetails()
BLOCKED = RunDetails(end_reason=EndReason.TARGET_BUSY)
CHECKED = SnapshotDetails(subjects_checked=2)
STATED = {"rto_us_stated": 1, "rpo_us_stated": 2, "recovery_point_us": 3, "recovery_point_basis": "stated"}


def found_by(event):
    """Give what comes with an event of evidence: findings come when it is finished."""
    return CHECKED if event in {"activate", "fail"} else SnapshotDetails()


RUN_EVENT_OF = {
    "start": "start",
    "succeed": "complete",
    "partially_succeed": "complete_partially",
    "fail": "fail",
    "cancel": "cancel",
    "block": "block",
}
RUN_STATUS_FOR = {"start": "queued", "block": "checked"}
OUTCOMES = {
    "start": None,
    "succeed": "succeeded",
    "partially_succeed": "partially_succeeded",
    "fail": "failed",
    "cancel": "cancelled",
    "block": "blocked",
}


def fire(record, event, given=NOTHING, **when):
    """Fire an event on a run with hooks that remember."""
    return move(record, RunEvent(event), given, moment=moment(**when), hooks=Told())


def given_for(event):
    """Give what an event cannot do without."""
    return BLOCKED if event == "block" else RunDetails()


def actor_for(event):
    """Give somebody who may approve."""
    return "bob" if event == "approve" else "worker"


def bytes_of(*values):
    """Give the bytes of values, to tell later whether anything in them changed."""
    return [msgspec.json.encode(value) for value in values]


def words(allowed):
    """Say what is allowed, as the message does."""
    return ", ".join(allowed)


def test_the_tables_of_this_test_name_every_status_of_every_machine():
    assert set(RUN) == {status.value for status in RunStatus}
    assert set(OPERATION) == {status.value for status in OperationStatus}
    assert set(EVIDENCE) == {status.value for status in SnapshotStatus}


@pytest.mark.parametrize("machine", Machine)
def test_the_machine_allows_in_each_status_exactly_what_its_table_says(machine):
    for status, row in TABLES[machine].items():
        assert allowed_events(machine, status) == tuple(row), status


@pytest.mark.parametrize("machine", Machine)
def test_the_machine_has_no_edge_that_its_table_does_not_have(machine):
    drawn = {(source, event) for source, event, _, _ in edges(machine)}
    assert drawn == {(status, event) for status, row in TABLES[machine].items() for event in row}


def test_only_cancelling_while_running_has_two_ends():
    ends = {}
    for source, event, target, _ in edges(Machine.RUN):
        ends.setdefault((source, event), []).append(target)
    assert {pair: found for pair, found in ends.items() if len(found) > 1} == {
        ("running", "cancel"): ["cancelled", "partial"]
    }


@pytest.mark.parametrize(("status", "event", "target"), LEGAL_RUN)
def test_a_legal_event_moves_the_run_by_one_version_and_tells_the_hooks_once(status, event, target):
    record, hooks = run_in(status), Told()
    step = move(record, RunEvent(event), given_for(event), moment=moment(actor=actor_for(event)), hooks=hooks)
    last = step.moves[-1]
    assert (step.record.status, step.record.version) == (target, 8)
    assert (last.machine, last.subject, last.event, last.source, last.target, last.version) == (
        *("run", "r1", event, status, target, 8),
    )
    assert last.record == step.record
    assert hooks.records == [step.record]
    assert step.projection == f"projected {target}"


@pytest.mark.parametrize(("status", "event", "target"), LEGAL_RUN)
def test_a_move_is_pure_equal_inputs_give_equal_steps_and_stay_as_they_were(status, event, target):
    record, given, when = run_in(status), given_for(event), moment(actor=actor_for(event))
    before = bytes_of(record, given, when)
    steps = [move(record, RunEvent(event), given, moment=when, hooks=Told()) for _ in range(3)]
    assert steps[0] == steps[1] == steps[2]
    assert steps[0].record.status == target
    assert bytes_of(record, given, when) == before


@pytest.mark.parametrize(("status", "event"), ILLEGAL_RUN)
def test_an_illegal_event_is_refused_with_all_fields_and_changes_nothing(status, event):
    record, hooks, given = run_in(status), Told(), given_for(event)
    before = bytes_of(record, given)
    with pytest.raises(NotAllowedError) as caught:
        move(record, RunEvent(event), given, moment=moment(actor=actor_for(event)), hooks=hooks)
    error, allowed = caught.value, tuple(RUN[status])
    now = words(allowed) or f"nothing; {status} is final"
    assert (error.machine, error.event, error.status, error.allowed, error.guard) == (
        *("run", event, status, allowed, None),
    )
    assert error.remedy == f"Allowed now: {now}."
    assert str(error) == f'cannot "{event}" a {status} run. Allowed now: {now}.'
    assert hooks.records == []
    assert bytes_of(record, given) == before


@pytest.mark.parametrize(("status", "event"), [*itertools.product(["queued", "running"], OUTCOMES)])
def test_the_operation_run_moves_along_as_its_table_says_or_refuses_for_both(status, event):
    run_status = RUN_STATUS_FOR.get(event, "running")
    record = run_in(run_status, operation=operation(status), operation_run_id="op1")
    before, fired = bytes_of(record), RUN_EVENT_OF[event]
    if event in OPERATION[status]:
        step = fire(record, fired, given_for(fired))
        first = step.moves[0]
        assert (first.machine, first.event, first.source, first.target) == (
            *("operation", event, status, OPERATION[status][event]),
        )
        assert step.record.operation.outcome == OUTCOMES[event]
        return
    with pytest.raises(NotAllowedError) as caught:
        fire(record, fired, given_for(fired))
    error, allowed = caught.value, tuple(OPERATION[status])
    assert (error.machine, error.event, error.status, error.allowed) == ("operation", event, status, allowed)
    assert str(error) == f'cannot "{event}" a {status} operation. Allowed now: {words(allowed)}.'
    assert bytes_of(record) == before


@pytest.mark.parametrize(("status", "event"), LEGAL_EVIDENCE)
def test_a_legal_event_moves_the_evidence_by_one_version_and_tells_the_hooks_once(status, event):
    record, hooks = run_in("completed", evidence=(snapshot_in(status),)), Told()
    before = bytes_of(record)
    step = move_snapshot(record, "s1", SnapshotEvent(event), found_by(event), hooks=hooks)
    (change,) = step.moves
    assert (change.machine, change.subject, change.event, change.source, change.target, change.version) == (
        *("evidence", "s1", event, status, EVIDENCE[status][event], 4),
    )
    assert step.record.evidence == (change.record,)
    assert (step.record.status, step.record.version) == ("completed", 7)
    assert hooks.records == [step.record]
    assert bytes_of(record) == before
    assert move_snapshot(record, "s1", SnapshotEvent(event), found_by(event), hooks=Told()) == step


@pytest.mark.parametrize(("status", "event"), ILLEGAL_EVIDENCE)
def test_an_illegal_event_on_evidence_is_refused_with_all_fields_and_changes_nothing(status, event):
    record, hooks = run_in("completed", evidence=(snapshot_in(status),)), Told()
    before, allowed = bytes_of(record), tuple(EVIDENCE[status])
    with pytest.raises(NotAllowedError) as caught:
        move_snapshot(record, "s1", SnapshotEvent(event), found_by(event), hooks=hooks)
    error = caught.value
    now = words(allowed) or f"nothing; {status} is final"
    assert (error.machine, error.event, error.status, error.allowed, error.guard) == (
        *("evidence", event, status, allowed, None),
    )
    assert str(error) == f'cannot "{event}" a {status} evidence. Allowed now: {now}.'
    assert hooks.records == []
    assert bytes_of(record) == before


def test_an_event_on_a_snapshot_that_the_run_does_not_have_is_refused_by_its_id():
    record = run_in("completed", evidence=(snapshot_in("queued"),))
    with pytest.raises(NotFoundError) as caught:
        move_snapshot(record, "s9", SnapshotEvent.GENERATE, SnapshotDetails(), hooks=Told())
    assert (caught.value.kind, caught.value.subject) == ("evidence snapshot", "s9")


def test_a_run_is_born_as_it_is_and_its_birth_is_projected():
    record, hooks = run_in("draft", version=1), Told()
    step = begin(record, hooks=hooks)
    (born,) = step.moves
    assert (born.machine, born.event, born.source, born.target, born.version) == ("run", None, None, "draft", 1)
    assert (step.record, hooks.records, step.projection) == (record, [record], "projected draft")


def test_evidence_can_be_begun_once_the_execution_has_ended_and_the_decision_is_projected_again():
    record, snapshot, hooks = run_in("failed"), snapshot_in("queued"), Told()
    step = begin_snapshot(record, snapshot, hooks=hooks)
    (born,) = step.moves
    assert (born.machine, born.subject, born.event, born.target) == ("evidence", "s1", None, "queued")
    assert step.record.evidence == (snapshot,)
    assert hooks.records == [step.record]


@pytest.mark.parametrize("status", ["draft", "scoped", "checked", "previewed", "queued", "running"])
def test_evidence_cannot_be_begun_before_the_execution_has_ended(status):
    record, hooks = run_in(status), Told()
    with pytest.raises(GuardRefusedError) as caught:
        begin_snapshot(record, snapshot_in("queued"), hooks=hooks)
    error = caught.value
    assert (error.event, error.status, error.guard) == ("begin_evidence", status, "execution_has_ended")
    assert error.allowed == tuple(RUN[status])
    assert "evidence is captured after the execution has ended" in str(error)
    assert hooks.records == []


@pytest.mark.parametrize("status", ENDED)
def test_a_retry_takes_over_what_was_wanted_and_nothing_of_what_came_of_it(status):
    found = retry(
        run_in(status, details={"attempt": 2, "exit_code": 1, "target": "t", "driver": "d", "purpose": "p", **STATED})
    )
    assert found == RunDetails(backup="b1", target="t", driver="d", purpose="p", retry_of="r1", attempt=3, **STATED)


def test_a_retry_restores_what_was_chosen_and_no_more():
    chosen = {
        "manifest": "/m",
        "select": ("etc/*",),
        "overwrite": True,
        "expects_nothing": True,
        "options": ("program=copy",),
        "password_file": "/etc/pw",
    }
    assert retry(run_in("failed", details=chosen)) == RunDetails(backup="b1", retry_of="r1", attempt=2, **chosen)


def test_the_first_retry_is_the_second_attempt():
    assert retry(run_in("failed")).attempt == 2


@pytest.mark.parametrize("status", [status for status in RUN if status not in ENDED])
def test_a_run_that_has_not_ended_cannot_be_retried(status):
    with pytest.raises(NotAllowedError) as caught:
        retry(run_in(status))
    assert (caught.value.event, caught.value.status, caught.value.allowed) == ("retry", status, tuple(RUN[status]))
