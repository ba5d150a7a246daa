"""What an event takes along: the operation run, the plan and its approvals; and what a machine must never do."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from proofgap import lifecycle
from proofgap.errors import BadInputError, NotAllowedError, RefusedError
from proofgap.facts import Counts, EndReason, RunEvent, SnapshotEvent
from proofgap.moves import begin, begin_snapshot, move, move_snapshot
from proofgap.records import Machine, PreviewFacts, RunDetails, SnapshotDetails
from tests.core.run_records import (
    ENDED,
    PLAN,
    Broken,
    BrokenHookError,
    Told,
    approved_by,
    moment,
    operation,
    run_in,
    snapshot_in,
)

NOTHING = RunDetails()
BLOCKED = RunDetails(end_reason=EndReason.SOURCE_INCOMPLETE)


def fire(record, event, given=NOTHING, actor="worker"):
    """Fire an event with hooks that remember."""
    return move(record, RunEvent(event), given, moment=moment(actor=actor), hooks=Told())


def told(step):
    """List the moves of a step: machine, event, status before, status after."""
    return [(change.machine.value, change.event, change.source, change.target) for change in step.moves]


FOLLOWS = {
    ("queued", "start"): ("start", "queued", "running", None),
    ("queued", "cancel"): ("cancel", "queued", "completed", "cancelled"),
    ("queued", "block"): ("block", "queued", "completed", "blocked"),
    ("running", "complete"): ("succeed", "running", "completed", "succeeded"),
    ("running", "complete_with_errors"): ("partially_succeed", "running", "completed", "partially_succeeded"),
    ("running", "complete_partially"): ("partially_succeed", "running", "completed", "partially_succeeded"),
    ("running", "fail"): ("fail", "running", "completed", "failed"),
    ("running", "cancel"): ("cancel", "running", "completed", "cancelled"),
    ("running", "report"): None,
    ("running", "request_cancel"): None,
}


@pytest.mark.parametrize(("pair", "expected"), [*FOLLOWS.items()], ids=map("-".join, FOLLOWS))
def test_the_operation_run_follows_its_run_in_the_same_step_and_before_it(pair, expected):
    status, event = pair
    record = run_in(status)
    step = fire(record, event, BLOCKED if event == "block" else RunDetails())
    if expected is None:
        assert [change.machine for change in step.moves] == [Machine.RUN]
        assert step.record.operation == record.operation
        return
    followed, source, target, outcome = expected
    assert told(step)[0] == ("operation", followed, source, target)
    assert len(step.moves) == 2
    assert step.record.operation == step.moves[0].record
    assert (step.record.operation.outcome, step.record.operation.version) == (outcome, 3)


@pytest.mark.parametrize("event", ["scope", "check", "preview", "cancel"])
def test_before_it_is_queued_a_run_has_no_operation_run(event):
    step = fire(run_in("checked"), event)
    assert [change.machine for change in step.moves] == [Machine.RUN]
    assert (step.record.operation, step.record.operation_run_id) == (None, None)


def test_queueing_gives_birth_to_the_operation_run_with_the_id_that_was_handed_in():
    step = fire(run_in("previewed"), "queue")
    assert told(step) == [("operation", None, None, "queued"), ("run", "queue", "previewed", "queued")]
    born = step.moves[0].record
    assert (born.id, born.workspace, born.environment, born.version) == ("op_new", "w1", "e1", 1)
    assert (step.record.operation_run_id, step.record.operation) == ("op_new", born)


@pytest.mark.parametrize("status", ["checked", "previewed"])
def test_a_block_before_queueing_creates_the_operation_run_and_blocks_it_in_one_step(status):
    step = fire(run_in(status), "block", BLOCKED)
    assert told(step) == [
        ("operation", None, None, "queued"),
        ("operation", "block", "queued", "completed"),
        ("run", "block", status, "cancelled"),
    ]
    assert [change.version for change in step.moves] == [1, 2, 8]
    assert (step.record.operation.outcome, step.record.operation_run_id) == ("blocked", "op_new")
    assert step.record.details.end_reason == EndReason.SOURCE_INCOMPLETE


@pytest.mark.parametrize("event", ["complete", "complete_partially", "fail", "cancel"])
def test_an_imported_operation_run_that_has_ended_stays_as_it_is_and_the_run_moves_alone(event):
    ended = operation("completed", "succeeded")
    step = fire(run_in("running", operation=ended), event)
    assert [change.machine for change in step.moves] == [Machine.RUN]
    assert step.record.operation == ended


def test_an_imported_run_without_an_operation_run_ends_without_one():
    step = fire(run_in("running", operation=None, operation_run_id=None), "complete")
    assert told(step) == [("run", "complete", "running", "completed")]
    assert step.record.operation is None


FULL = {
    "source_completeness": "complete",
    "approvals": approved_by("bob"),
    "expects_nothing": True,
    "manifest": "SUMS",
    "select": ("etc/*",),
    "overwrite": True,
}


@pytest.mark.parametrize("status", ["checked", "previewed"])
def test_editing_the_scope_discards_check_preview_and_approvals(status):
    details = fire(run_in(status, details=FULL), "scope", RunDetails(target="elsewhere")).record.details
    assert (details.plan_digest, details.target_fingerprint, details.preview) == (None, None, None)
    assert details.approvals == ()
    assert (details.selected, details.expects_nothing, details.source_completeness) == (None, False, None)
    assert (details.manifest, details.select, details.overwrite) == (None, (), False)
    assert (details.backup, details.target, details.requested_by) == ("b1", "elsewhere", "ada")


def test_checking_again_discards_preview_and_approvals_and_keeps_the_selection():
    details = fire(run_in("previewed", details=FULL), "check", RunDetails(plan_digest="c" * 64)).record.details
    assert (details.preview, details.approvals, details.target_fingerprint) == (None, (), None)
    assert (details.plan_digest, details.selected, details.expects_nothing) == ("c" * 64, 3, True)


def test_a_preview_is_bound_to_the_checked_plan_and_target_where_it_names_none():
    shown = fire(run_in("checked"), "preview", RunDetails(preview=PreviewFacts(depth="data"))).record.details.preview
    assert (shown.plan_digest, shown.target_fingerprint, shown.depth, shown.expires_at_us) == (PLAN, "t1", "data", None)


def test_a_preview_without_any_facts_is_a_preview_of_the_checked_plan():
    assert fire(run_in("checked"), "preview").record.details.preview.plan_digest == PLAN


def test_an_approval_names_who_gave_it_and_the_plan_it_was_given_to():
    assert fire(run_in("previewed"), "approve", actor="bob").record.details.approvals == approved_by("bob")


def test_asking_for_a_cancellation_names_who_asked_and_the_run_goes_on():
    step = fire(run_in("running"), "request_cancel", actor="bob")
    assert (step.record.status, step.record.details.cancel_requested_by) == ("running", "bob")


@pytest.mark.parametrize(("status", "event"), [("draft", "scope"), ("queued", "start"), ("running", "complete")])
def test_a_hook_that_fails_leaves_no_step_and_its_own_error_comes_out(status, event):
    with pytest.raises(BrokenHookError):
        move(run_in(status), RunEvent(event), RunDetails(), moment=moment(), hooks=Broken())
    assert fire(run_in(status), event).record.version == 8


def test_failing_hooks_leave_no_step_at_births_and_of_evidence_either():
    with pytest.raises(BrokenHookError):
        begin(run_in("draft"), hooks=Broken())
    with pytest.raises(BrokenHookError):
        begin_snapshot(run_in("completed"), snapshot_in("queued"), hooks=Broken())
    record = run_in("completed", evidence=(snapshot_in("queued"),))
    with pytest.raises(BrokenHookError):
        move_snapshot(record, "s1", SnapshotEvent.GENERATE, SnapshotDetails(), hooks=Broken())


@pytest.mark.parametrize("status", [None, "", "Draft", "unknown", "superseded", 0])
def test_a_null_or_unknown_status_is_refused_and_never_taken_for_the_first_one(status):
    record, hooks = replace(run_in("draft"), status=status), Told()
    for event in (RunEvent.SCOPE, RunEvent.CANCEL, RunEvent.COMPLETE):
        with pytest.raises(BadInputError, match="is no status of the run machine"):
            move(record, event, RunDetails(), moment=moment(), hooks=hooks)
    assert hooks.records == []


def test_a_null_status_of_the_operation_run_or_the_evidence_is_refused():
    lost = replace(operation("running"), status=None)
    with pytest.raises(BadInputError, match="is no status of the operation machine"):
        fire(run_in("running", operation=lost), "complete")
    record = run_in("completed", evidence=(replace(snapshot_in("queued"), status=None),))
    with pytest.raises(BadInputError, match="is no status of the evidence machine"):
        move_snapshot(record, "s1", SnapshotEvent.GENERATE, SnapshotDetails(), hooks=Told())


@pytest.mark.parametrize("event", ["bogus", "", "run", "SCOPE"])
def test_an_unknown_event_is_refused_and_never_ignored(event):
    with pytest.raises(NotAllowedError) as caught:
        move(run_in("draft"), event, RunDetails(), moment=moment(), hooks=Told())
    assert (caught.value.event, caught.value.allowed) == (event, ("scope", "cancel"))


def test_loading_a_status_enters_nothing_only_the_event_does(monkeypatch):
    monkeypatch.setattr(lifecycle, "_IDLE", {machine: [] for machine in Machine})
    monkeypatch.setattr(lifecycle, "_ROUTES", {})
    for status in ("draft", "queued", "completed"):
        hooks = Told()
        with pytest.raises(NotAllowedError):
            move(run_in(status), RunEvent.REPORT, RunDetails(), moment=moment(), hooks=hooks)
        assert hooks.records == []
    hooks = Told()
    move(run_in("queued"), RunEvent.START, RunDetails(), moment=moment(), hooks=hooks)
    assert [record.status for record in hooks.records] == ["running"]


@pytest.mark.parametrize("status", ENDED)
def test_a_machine_that_reached_an_end_serves_the_next_run_and_seals_the_ended_one(status):
    assert fire(run_in("running"), "complete").record.status == "completed"
    assert fire(run_in("draft"), "scope").record.status == "scoped"
    for event in RunEvent:
        with pytest.raises(NotAllowedError):
            move(run_in(status), event, RunDetails(), moment=moment(), hooks=Told())
    assert fire(run_in("queued"), "start").record.status == "running"


def outcome_of(seed):
    """Fire one random event on one random run; say what came of it."""
    dice = random.Random(seed)  # noqa: S311 - a seed, not a secret
    status = dice.choice(["draft", "checked", "previewed", "queued", "running", "failed"])
    event = dice.choice([*RunEvent])
    hooks = Broken() if dice.random() < 0.1 else Told()
    record = replace(run_in(status), id=f"r{seed}", version=seed)
    try:
        step = move(record, event, RunDetails(), moment=moment(), hooks=hooks)
    except (RefusedError, BrokenHookError) as error:
        return type(error).__name__, str(error)
    return step.record.id, step.record.version, step.record.status, told(step), step.projection


@pytest.fixture
def hasty_threads():
    """Let threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_eight_threads_get_exactly_what_one_gets_refusals_and_failing_hooks_included():
    alone = [outcome_of(seed) for seed in range(400)]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(outcome_of, range(400)))
    assert together == alone


def test_a_run_whose_counts_disagree_says_so_and_item_rows_win():
    record = run_in("running", details={"item_counts": Counts(total=2, succeeded=2), "items": 2})
    ended = fire(record, "complete_partially", RunDetails(counts=Counts(total=3, succeeded=3))).record
    assert ended.details.counts_conflict
    assert ended.facts().run.counts == Counts(total=2, succeeded=2)
