"""Every guard of the machines, both ways and at its boundary; the first guard that says no is the one that is named."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.errors import GuardRefusedError
from proofgap.facts import Counts, EndReason, RunEvent, SnapshotEvent
from proofgap.lifecycle import EvidenceSnapshotMachine, RestoreRunMachine, edges
from proofgap.moves import move, move_snapshot
from proofgap.records import Machine, PreviewFacts, RunDetails, SnapshotDetails
from tests.core.run_records import PLAN, Told, approved_by, moment, operation, run_in, snapshot_in

OTHER = "b" * 64
NOTHING = RunDetails()
REASONS = RestoreRunMachine.guard_reasons | EvidenceSnapshotMachine.guard_reasons
ONE_SUBJECT = SnapshotDetails(subjects_checked=1)


def try_to(event, record, given=NOTHING, **when):
    """Fire an event; give the status it led to, or the name of the guard that said no."""
    hooks = Told()
    try:
        return move(record, RunEvent(event), given, moment=moment(**when), hooks=hooks).record.status
    except GuardRefusedError as error:
        return guard_of(error, hooks, "run", event, record.status)


def guard_of(error, hooks, *expected):
    """Give the guard that said no, once machine, event, status, allowed events and message are as they should be."""
    assert (error.machine, error.event, error.status) == expected
    assert error.event not in error.allowed
    assert error.because == REASONS[error.guard]
    assert error.because in str(error)
    assert hooks.records == []
    return error.guard


def preview(**changes):
    """Give a preview of the usual plan, changed."""
    usual = {"plan_digest": PLAN, "expires_at_us": 2_000, "target_fingerprint": "t1"}
    return {"preview": PreviewFacts(**(usual | changes))}


QUEUEING = {
    "one microsecond before the preview expires": ({}, RunDetails(), {"at_us": 1_999}, "queued"),
    "at exactly the instant the preview expires": ({}, RunDetails(), {"at_us": 2_000}, "preview_is_current"),
    "one microsecond after the preview expired": ({}, RunDetails(), {"at_us": 2_001}, "preview_is_current"),
    "a preview that expires at the beginning of time": (
        preview(expires_at_us=0), RunDetails(), {"at_us": 0}, "preview_is_current",
    ),
    "a preview without an expiry": (preview(expires_at_us=None), RunDetails(), {"at_us": 10**15}, "queued"),
    "the plan that was previewed": ({}, RunDetails(plan_digest=PLAN), {}, "queued"),
    "another plan than the previewed one": ({}, RunDetails(plan_digest=OTHER), {}, "plan_is_unchanged"),
    "a preview of another plan than the checked one": (
        preview(plan_digest=OTHER), RunDetails(), {}, "plan_is_unchanged",
    ),
    "no plan at all, and none previewed": (
        {"plan_digest": None} | preview(plan_digest=None), RunDetails(), {}, "queued",
    ),
    "the target that was previewed": ({}, RunDetails(target_fingerprint="t1"), {}, "queued"),
    "a target that changed since the preview": (
        {}, RunDetails(target_fingerprint="t2"), {}, "target_is_unchanged",
    ),
    "a target that the preview did not look at": (
        preview(target_fingerprint=None), RunDetails(target_fingerprint="t1"), {}, "target_is_unchanged",
    ),
    "one item selected": ({"selected": 1}, RunDetails(), {}, "queued"),
    "nothing selected": ({"selected": 0}, RunDetails(), {}, "selection_is_not_empty"),
    "nothing selected, and nothing expected": (
        {"selected": 0, "expects_nothing": True}, RunDetails(), {}, "queued",
    ),
    "an unknown selection": ({"selected": None}, RunDetails(), {}, "queued"),
    "everything wrong at once: the first guard is named": (
        {"selected": 0}, RunDetails(plan_digest=OTHER, target_fingerprint="t2"), {"at_us": 2_000}, "preview_is_current",
    ),
    "plan and target wrong: the plan is named": (
        {"selected": 0}, RunDetails(plan_digest=OTHER, target_fingerprint="t2"), {}, "plan_is_unchanged",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("details", "given", "when", "expected"), QUEUEING.values(), ids=QUEUEING)
def test_a_previewed_run_is_queued_only_as_it_was_previewed(details, given, when, expected):
    assert try_to("queue", run_in("previewed", details=details), given, **when) == expected


APPROVALS = {
    "none needed, none given": (0, (), "queued"),
    "one needed, none given": (1, (), "is_approved"),
    "one needed, one given": (1, approved_by("bob"), "queued"),
    "two needed, one given": (2, approved_by("bob"), "is_approved"),
    "two needed, two given": (2, approved_by("bob", "eve"), "queued"),
    "one needed, two given": (1, approved_by("bob", "eve"), "queued"),
    "one needed, given to another plan": (1, approved_by("bob", plan=OTHER), "is_approved"),
    "one needed, given to no plan": (1, approved_by("bob", plan=None), "is_approved"),
    "two needed, one of them to another plan": (
        2, approved_by("bob") + approved_by("eve", plan=OTHER), "is_approved",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("needed", "given", "expected"), APPROVALS.values(), ids=APPROVALS)
def test_as_many_people_must_have_approved_this_plan_as_the_environment_asks_for(needed, given, expected):
    record = run_in("previewed", approvals_required=needed, details={"approvals": given})
    assert try_to("queue", record) == expected


@pytest.mark.parametrize(
    ("actor", "before", "expected"),
    [
        ("bob", (), "previewed"),
        ("ada", (), "approver_is_somebody_else"),
        ("bob", approved_by("bob"), "approver_is_somebody_else"),
        ("bob", approved_by("eve"), "previewed"),
        ("eve", approved_by("bob", "eve"), "approver_is_somebody_else"),
    ],
)
def test_whoever_asked_cannot_approve_and_nobody_approves_twice(actor, before, expected):
    record = run_in("previewed", details={"approvals": before})
    assert try_to("approve", record, actor=actor) == expected


def test_whoever_made_the_token_that_asked_cannot_approve_either():
    by_token = {"requested_by": "tk_ci_1", "requested_for": "eve"}
    record = run_in("previewed", details=by_token)
    assert ["approver_is_somebody_else", "previewed"] == [
        try_to("approve", record, actor=who) for who in ("eve", "bob")
    ]


def test_whoever_prepared_the_plan_cannot_approve_it_alone():
    """Else one operator could turn anybody's draft into a plan of their own, and be the second person to it as well."""
    record = run_in("previewed", details={"prepared_by": ("bob",)})
    assert ["approver_is_somebody_else", "previewed"] == [
        try_to("approve", record, actor=who) for who in ("bob", "eve")
    ]


def test_whoever_made_the_token_that_prepared_the_plan_cannot_approve_it_either():
    """They know its secret; a record that was written before this was kept names no maker, and still stands."""
    record = run_in("previewed", details={"prepared_by": ("tk_ci_1",), "prepared_for": ("bob",)})
    assert ["approver_is_somebody_else", "previewed"] == [
        try_to("approve", record, actor=who) for who in ("bob", "eve")
    ]
    assert try_to("approve", run_in("previewed", details={"prepared_by": ("tk_ci_1",)}), actor="bob") == "previewed"


THEIRS = {"backup": "/b", "target": "/t", "driver": "files"}


@pytest.mark.parametrize("left_out", [*THEIRS, None])
def test_a_new_scope_frees_whoever_prepared_before_only_where_it_names_all_that_would_stay(left_out):
    """Else somebody's own choice of a target is made anybody's by the next change of the selection, and they say yes to it."""
    record = run_in("scoped", details=THEIRS | {"prepared_by": ("bob", "tk_ci_1"), "prepared_for": ("ada",)})
    given = RunDetails(**{name: value for name, value in THEIRS.items() if name != left_out}, select=("a/*",))
    details = move(record, RunEvent.SCOPE, given, moment=moment(actor="eve"), hooks=Told()).record.details
    kept = (("bob", "eve", "tk_ci_1"), ("ada",)) if left_out else (("eve",), ())
    assert (details.prepared_by, details.prepared_for) == kept


@pytest.mark.parametrize("details", [preview(plan_digest=None), {"preview": None}])
def test_a_preview_that_names_no_plan_cannot_be_approved(details):
    assert try_to("approve", run_in("previewed", details=details), actor="bob") == "preview_names_a_plan"


def test_approvals_of_no_plan_release_nothing_where_approvals_are_needed():
    nameless = {"plan_digest": None, "approvals": approved_by("bob", plan=None)} | preview(plan_digest=None)
    assert try_to("queue", run_in("previewed", approvals_required=1, details=nameless)) == "is_approved"
    assert try_to("queue", run_in("previewed", approvals_required=0, details=nameless)) == "queued"


ALL_APPLIED = Counts(total=3, succeeded=2, failed=0, skipped=1, partial=0, non_applied=0)
UNAPPLIED = [Counts(failed=1), Counts(partial=1), Counts(non_applied=1), Counts(total=9, succeeded=8, failed=1)]


@pytest.mark.parametrize(
    ("event", "target"), [("complete", "completed"), ("complete_with_errors", "completed_with_errors")]
)
@pytest.mark.parametrize("counts", [None, Counts(), ALL_APPLIED, Counts(skipped=4), Counts(failed=0)])
def test_a_run_completes_when_nothing_is_known_to_be_unapplied(event, target, counts):
    assert try_to(event, run_in("running"), RunDetails(counts=counts)) == target
    assert try_to(event, run_in("running", details={"item_counts": counts})) == target


@pytest.mark.parametrize("event", ["complete", "complete_with_errors"])
@pytest.mark.parametrize("counts", UNAPPLIED)
def test_a_run_does_not_complete_when_an_item_is_known_to_be_unapplied(event, counts):
    guard = "nothing_is_known_to_be_unapplied"
    assert try_to(event, run_in("running"), RunDetails(counts=counts)) == guard
    assert try_to(event, run_in("running", details={"item_counts": counts}), RunDetails(counts=ALL_APPLIED)) == guard


@pytest.mark.parametrize("counts", [None, ALL_APPLIED, *UNAPPLIED])
def test_a_run_may_always_end_partially_or_failed(counts):
    record = run_in("running", details={"item_counts": counts})
    assert try_to("complete_partially", record, RunDetails(counts=counts)) == "partial"
    assert try_to("fail", record, RunDetails(counts=counts)) == "failed"


@pytest.mark.parametrize(
    ("proof", "status", "moved"),
    [(True, "cancelled", "cancel"), (False, "partial", "cancel"), (None, "partial", "cancel")],
)
def test_cancelling_while_running_is_cancelled_only_with_proof_that_nothing_was_written(proof, status, moved):
    step = move(run_in("running"), RunEvent.CANCEL, RunDetails(nothing_written=proof), moment=moment(), hooks=Told())
    assert step.record.status == status
    assert (step.moves[0].event, step.record.operation.outcome) == (moved, "cancelled")
    assert step.record.details.end_reason == EndReason.CANCEL_REQUESTED


def test_proof_stored_before_does_not_count_as_proof_that_comes_with_the_cancellation():
    assert try_to("cancel", run_in("running", details={"nothing_written": True})) == "partial"


def test_both_ways_of_cancelling_are_told_apart_however_often_they_alternate():
    record = run_in("running")
    found = [try_to("cancel", record, RunDetails(nothing_written=proof)) for proof in (True, None) * 3]
    assert found == ["cancelled", "partial"] * 3


@pytest.mark.parametrize("status", ["checked", "previewed", "queued"])
@pytest.mark.parametrize(("reason", "blocks"), [(None, False), *((reason, True) for reason in EndReason)])
def test_a_block_needs_its_reason(status, reason, blocks):
    expected = "cancelled" if blocks else "reason_is_given"
    assert try_to("block", run_in(status), RunDetails(end_reason=reason)) == expected


def activate(*evidence, given=ONE_SUBJECT, plan=None):
    """Activate snapshot s1; give the statuses it leads to, or the guard that said no."""
    hooks = Told()
    try:
        record = run_in("completed", evidence=evidence, details=plan)
        step = move_snapshot(record, "s1", SnapshotEvent.ACTIVATE, given, hooks=hooks)
    except GuardRefusedError as error:
        return guard_of(error, hooks, "evidence", "activate", "generating")
    return {snapshot.id: snapshot.status.value for snapshot in step.record.evidence}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SnapshotDetails(subjects_checked=1), {"s1": "active"}),
        (SnapshotDetails(subjects_checked=0), "subjects_were_checked"),
        (SnapshotDetails(), "subjects_were_checked"),
        (SnapshotDetails(checks_total=5), "subjects_were_checked"),
        (SnapshotDetails(expected_empty=True), "subjects_were_checked"),  # its word alone is not enough
    ],
)
def test_evidence_becomes_active_only_if_a_subject_was_checked_or_emptiness_was_expected(given, expected):
    assert activate(snapshot_in("generating"), given=given) == expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (99, {"s1": "active", "s2": "superseded"}),
        (100, {"s1": "active", "s2": "superseded"}),
        (101, "is_the_latest"),
        (None, {"s1": "active", "s2": "superseded"}),
    ],
)
def test_a_snapshot_supersedes_an_active_one_unless_that_was_captured_later(other, expected):
    assert activate(snapshot_in("generating"), snapshot_in("active", "s2", at=other)) == expected


@pytest.mark.parametrize("status", ["queued", "generating", "superseded", "expired", "failed"])
def test_a_later_snapshot_that_is_not_active_stands_in_nobodys_way(status):
    assert activate(snapshot_in("generating"), snapshot_in(status, "s2", at=999)) == {"s1": "active", "s2": status}


def test_the_old_snapshot_steps_down_before_the_new_one_becomes_active():
    evidence = (snapshot_in("generating"), snapshot_in("active", "s2", at=1))
    given = SnapshotDetails(subjects_checked=1)
    step = move_snapshot(run_in("completed", evidence=evidence), "s1", SnapshotEvent.ACTIVATE, given, hooks=Told())
    assert [(change.subject, change.event) for change in step.moves] == [("s2", "supersede"), ("s1", "activate")]
    assert step.moves[0].record.details == evidence[1].details


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"expects_nothing": True, "selected": 0}, "active"),
        ({"expects_nothing": True, "selected": None}, "active"),
        ({"expects_nothing": True, "selected": 3}, "subjects_were_checked"),
        ({"selected": 0}, "subjects_were_checked"),
    ],
)
def test_emptiness_counts_as_checked_only_where_the_plan_expected_it(plan, expected):
    found = activate(snapshot_in("generating"), given=SnapshotDetails(expected_empty=True), plan=plan)
    assert found == ({"s1": "active"} if expected == "active" else expected)


@pytest.mark.parametrize(
    ("details", "given", "allowed"),
    [
        ({}, {}, True),
        ({"selected": None}, {"counts": Counts(total=7, succeeded=7)}, True),
        ({}, {"exit_code": 0}, True),
        ({}, {"exit_code": 137}, False),
        ({}, {"end_reason": EndReason.WORKER_LOST}, False),
        ({"selected": 48}, {"counts": Counts(total=48, succeeded=44, skipped=4)}, True),
        ({"selected": 48}, {"counts": Counts(total=1, succeeded=1)}, False),
        ({"selected": 48}, {"counts": Counts(total=48, succeeded=0, skipped=48)}, False),
        ({"selected": 48, "items": 1, "item_counts": Counts(total=1, succeeded=1)}, {}, False),
        ({"selected": 0, "expects_nothing": True}, {"counts": Counts(total=0, succeeded=0)}, True),
    ],
)
def test_a_completion_that_its_own_facts_contradict_is_refused(details, given, allowed):
    record = run_in("running", details=details, operation=operation("running"))
    assert try_to("complete", record, given=RunDetails(**given)) == (
        "completed" if allowed else "nothing_contradicts_completion"
    )


@pytest.mark.parametrize("counts", [Counts(succeeded=1), Counts(partial=1)])
def test_a_run_with_applied_items_is_never_cancelled_whatever_is_said(counts):
    given = RunDetails(nothing_written=True)
    by_rows = run_in("running", details={"item_counts": counts}, operation=operation("running"))
    assert try_to("cancel", by_rows, given=given) == "partial"
    by_counts = RunDetails(nothing_written=True, counts=counts)
    assert try_to("cancel", run_in("running", operation=operation("running")), given=by_counts) == "partial"
    assert try_to("cancel", run_in("running", operation=operation("running")), given=given) == "cancelled"


def test_a_dry_run_is_never_queued():
    assert try_to("queue", replace(run_in("previewed", details={"preview": PreviewFacts()}), is_dry_run=True)) == (
        "is_not_a_dry_run"
    )


def test_an_imported_run_never_moves_and_takes_no_evidence():
    for status, event in (("draft", "scope"), ("running", "complete"), ("queued", "start")):
        record = replace(run_in(status), imported=True)
        with pytest.raises(GuardRefusedError, match="imported records never move") as caught:
            move(record, RunEvent(event), NOTHING, moment=moment(), hooks=Told())
        assert (caught.value.guard, caught.value.allowed) == ("is_native", ())


def test_every_guard_of_every_machine_is_named_in_these_tests():
    named = {
        *(
            "approver_is_somebody_else",
            "preview_names_a_plan",
            "preview_is_current",
            "plan_is_unchanged",
            "target_is_unchanged",
        ),
        *("selection_is_not_empty", "is_approved", "nothing_is_known_to_be_unapplied", "nothing_was_written"),
        *("reason_is_given", "subjects_were_checked", "is_the_latest"),
        *("is_not_a_dry_run", "nothing_contradicts_completion"),
    }
    assert {guard for machine in Machine for *_, guards in edges(machine) for guard in guards} == named


def test_an_operation_run_that_has_ended_does_not_hold_its_run_back():
    record = run_in("running", operation=operation("completed", "succeeded"))
    assert try_to("fail", record) == "failed"
