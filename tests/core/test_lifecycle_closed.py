"""What stands still: dry runs, imported runs, captures older than the end, targets and completions that do not fit."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.errors import GuardRefusedError
from proofgap.facts import Counts, EndReason, RunEvent
from proofgap.moves import begin_snapshot, move
from proofgap.records import PreviewFacts, RunDetails
from tests.core.run_records import ENDED, PLAN, Told, approved_by, moment, operation, run_in, snapshot_in
from tests.core.test_lifecycle_guards import preview, try_to


def refusal_of_evidence(record, at):
    """Begin evidence that must be refused; give the guard, and what is allowed instead."""
    hooks = Told()
    with pytest.raises(GuardRefusedError) as caught:
        begin_snapshot(record, snapshot_in("queued", at=at), hooks=hooks)
    assert hooks.records == []
    assert (caught.value.machine, caught.value.event) == ("run", "begin_evidence")
    return caught.value.guard, caught.value.allowed


@pytest.mark.parametrize(("ended", "captured"), [(100, 100), (100, 101), (None, 0), (100, None), (0, 0)])
@pytest.mark.parametrize("status", [status for status in ENDED if status != "cancelled"])
def test_evidence_captured_at_the_end_or_after_it_can_be_begun(status, ended, captured):
    step = begin_snapshot(run_in(status, moved_at_us=ended), snapshot_in("queued", at=captured), hooks=Told())
    assert [snapshot.id for snapshot in step.record.evidence] == ["s1"]


@pytest.mark.parametrize(("ended", "captured"), [(100, 99), (100, 0), (1, 0)])
def test_evidence_captured_before_the_end_is_refused(ended, captured):
    assert refusal_of_evidence(run_in("completed", moved_at_us=ended), captured) == ("captured_after_the_end", ())


@pytest.mark.parametrize("outcome", ["cancelled", "blocked"])
def test_a_run_that_was_cancelled_or_blocked_has_nothing_to_prove(outcome):
    record = run_in("cancelled", operation=operation("completed", outcome), moved_at_us=1)
    assert refusal_of_evidence(record, 100) == ("execution_has_ended", ())


@pytest.mark.parametrize("status", ["running", *ENDED])
def test_an_imported_run_takes_no_evidence_whatever_else_speaks_against_it(status):
    assert refusal_of_evidence(run_in(status, imported=True, moved_at_us=500), 100) == ("is_native", ())


@pytest.mark.parametrize("event", RunEvent)
def test_no_event_moves_an_imported_run_wherever_it_stands_and_none_is_offered(event):
    for status in ("draft", "previewed", "queued", "running", "completed"):
        hooks, given = Told(), RunDetails(end_reason=EndReason.VALIDATION) if event == "block" else RunDetails()
        with pytest.raises(GuardRefusedError) as caught:
            move(run_in(status, imported=True), event, given, moment=moment(), hooks=hooks)
        assert (caught.value.guard, caught.value.event, caught.value.allowed) == ("is_native", event, ())
        assert (caught.value.status, hooks.records) == (status, [])


@pytest.mark.parametrize("details", [{}, {"selected": 0}, {"target_fingerprint": "t2"}, preview(expires_at_us=0)])
def test_a_dry_run_is_never_queued_and_that_is_the_first_thing_said_of_it(details):
    record = replace(run_in("previewed", approvals_required=1, details=details), is_dry_run=True)
    assert try_to("queue", record) == "is_not_a_dry_run"
    assert try_to("preview", record) == "previewed"
    assert try_to("cancel", record) == "cancelled"


TARGETS = {
    "found and shown the same": ("t1", "t1", None, "queued"),
    "found, shown and met the same": ("t1", "t1", "t1", "queued"),
    "only shown": (None, "t1", None, "queued"),
    "never looked at": (None, None, None, "queued"),
    "found another than shown": ("t2", "t1", None, "target_is_unchanged"),
    "found another than shown, and met as shown": ("t2", "t1", "t1", "target_is_unchanged"),
    "found, and not shown": ("t1", None, None, "target_is_unchanged"),
    "met another": ("t1", "t1", "t2", "target_is_unchanged"),
}


@pytest.mark.parametrize(("found", "shown", "met", "expected"), TARGETS.values(), ids=TARGETS)
def test_the_target_is_the_same_at_check_at_preview_and_at_release(found, shown, met, expected):
    record = run_in("previewed", details={"target_fingerprint": found} | preview(target_fingerprint=shown))
    assert try_to("queue", record, RunDetails(target_fingerprint=met)) == expected


@pytest.mark.parametrize("shown", [None, PreviewFacts(plan_digest=PLAN), PreviewFacts(depth="data")])
def test_a_new_preview_discards_approvals_even_of_the_same_plan(shown):
    record = run_in("previewed", details={"approvals": approved_by("bob")})
    step = move(record, RunEvent.PREVIEW, RunDetails(preview=shown), moment=moment(), hooks=Told())
    assert (step.record.details.approvals, step.record.details.preview.plan_digest) == ((), PLAN)


def test_somebody_who_approved_the_preview_before_may_approve_the_new_one():
    record = run_in("previewed", details={"approvals": approved_by("bob")})
    again = move(record, RunEvent.PREVIEW, RunDetails(), moment=moment(), hooks=Told()).record
    assert try_to("approve", record, actor="bob") == "approver_is_somebody_else"
    assert try_to("approve", again, actor="bob") == "previewed"


CONTRADICTED = {
    "an exit code": RunDetails(exit_code=1),
    "the exit code of a signal": RunDetails(exit_code=-9),
    "an end reason": RunDetails(end_reason=EndReason.WORKER_LOST),
    "nothing applied of something": RunDetails(counts=Counts(succeeded=0)),
    "nothing applied, all skipped": RunDetails(counts=Counts(total=3, succeeded=0, skipped=3)),
    "fewer than selected": RunDetails(counts=Counts(total=2, succeeded=2)),
    "more than selected": RunDetails(counts=Counts(total=4, succeeded=4)),
}


@pytest.mark.parametrize("given", CONTRADICTED.values(), ids=CONTRADICTED)
def test_what_contradicts_a_completion_contradicts_no_other_end(given):
    """Three items are selected; each of these facts alone stands against having completed, and against nothing else."""
    record = run_in("running")
    assert try_to("complete", record, given) == "nothing_contradicts_completion"
    ends = [try_to(event, record, given) for event in ("complete_with_errors", "complete_partially", "fail")]
    assert ends == ["completed_with_errors", "partial", "failed"]


@pytest.mark.parametrize(
    ("selected", "given"),
    [
        (3, RunDetails(exit_code=0, counts=Counts(total=3, succeeded=1, skipped=2))),
        (3, RunDetails(counts=Counts(succeeded=2))),
        (3, RunDetails(counts=Counts(total=3))),
        (None, RunDetails(counts=Counts(total=4, succeeded=4))),
        (None, RunDetails(counts=Counts(succeeded=0))),
        (0, RunDetails(counts=Counts(total=0, succeeded=0))),
    ],
)
def test_what_is_not_known_contradicts_no_completion(selected, given):
    assert try_to("complete", run_in("running", details={"selected": selected}), given) == "completed"


@pytest.mark.parametrize("total", [1, 3])
def test_without_a_known_selection_the_total_is_what_was_wanted(total):
    record = run_in("running", details={"selected": None})
    none_of_them = RunDetails(counts=Counts(total=total, succeeded=0))
    assert try_to("complete", record, none_of_them) == "nothing_contradicts_completion"


def test_item_rows_speak_for_the_completion_where_the_counts_say_something_else():
    by_rows = run_in("running", details={"item_counts": Counts(total=3, succeeded=3)})
    assert try_to("complete", by_rows, RunDetails(counts=Counts(total=9, succeeded=9))) == "completed"
    nothing = run_in("running", details={"item_counts": Counts(total=3, succeeded=0, skipped=3)})
    assert try_to("complete", nothing, RunDetails(counts=Counts(total=3, succeeded=3))) == (
        "nothing_contradicts_completion"
    )


@pytest.mark.parametrize("counts", [None, Counts(), Counts(succeeded=0), Counts(failed=3), Counts(skipped=3)])
def test_items_that_were_not_applied_do_not_disprove_that_nothing_was_written(counts):
    record = run_in("running", details={"item_counts": counts})
    assert try_to("cancel", record, RunDetails(nothing_written=True, counts=counts)) == "cancelled"
