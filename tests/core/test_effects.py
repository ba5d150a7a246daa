"""Which facts may come with which event, what an event throws away, and how reports and checks add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proofgap.effects import (
    ACCEPTED,
    arrive,
    given_fields,
    merge,
    new_operation,
    refuse_foreign_facts,
    summary,
    tally,
)
from proofgap.errors import BadInputError
from proofgap.facts import Attention, Counts, CountsSource, EndReason, ItemResult, OperationStatus, RunEvent, RunStatus
from proofgap.records import (
    Approval,
    Check,
    CheckResult,
    Completeness,
    Item,
    PreviewFacts,
    RecoveryPointBasis,
    RunDetails,
    SnapshotDetails,
    Verdict,
)
from tests.core.run_records import PREVIEWED, moment, operation, run_in

SAMPLES = {
    "backup": "b2",
    "target": "t2",
    "driver": "tar",
    "purpose": "drill",
    "manifest": "SUMS",
    "select": ("etc/*",),
    "overwrite": True,
    "options": ("strip=1",),
    "password_file": "/etc/p",
    "rto_us_stated": 1,
    "rpo_us_stated": 1,
    "recovery_point_us": 1,
    "recovery_point_basis": RecoveryPointBasis.STATED,
    "requested_by": "eve",
    "requested_for": "eve",
    "prepared_by": ("eve",),
    "prepared_for": ("eve",),
    "priority": 7,
    "deadline_us": 1,
    "worker": "wk_1",
    "claim": "c" * 64,
    "retry_of": "r0",
    "attempt": 2,
    "selected": 5,
    "expects_nothing": True,
    "source_completeness": Completeness.COMPLETE,
    "tool": "tar 1.34",
    "unit": "file",
    "marker": "4711",
    "plan_digest": "d" * 64,
    "target_fingerprint": "t9",
    "preview": PreviewFacts(depth="data"),
    "approvals": (Approval(by="eve"),),
    "cancel_requested_by": "eve",
    "counts": Counts(total=1),
    "counts_are_lower_bounds": True,
    "counts_source": CountsSource.ITEMS,
    "item_counts": Counts(total=1),
    "items": 1,
    "attention": Attention.PARTIAL,
    "end_reason": EndReason.VALIDATION,
    "outcome_rule": 8,
    "exit_code": 0,
    "nothing_written": False,
    "holds_environment": True,
}
POINT = {"recovery_point_us", "recovery_point_basis"}
IN_LINE = {"priority", "deadline_us"}
CHOSEN = {"expects_nothing", "manifest", "select", "overwrite", "options", "password_file"}
WANTED = {"backup", "target", "driver", "purpose", "rto_us_stated", "rpo_us_stated", *POINT, *IN_LINE}
ENDING = {
    *("counts", "counts_are_lower_bounds", "counts_source", "attention", "end_reason"),
    *("outcome_rule", "exit_code", "nothing_written", "source_completeness"),
}
TAKES = {
    "scope": WANTED | CHOSEN | {"selected"},
    "check": POINT
    | {
        "plan_digest",
        "selected",
        "expects_nothing",
        "source_completeness",
        "target_fingerprint",
        "tool",
        "unit",
        "backup",
        "marker",
    },
    "preview": {"preview"},
    "approve": set(),
    "queue": {"plan_digest", "target_fingerprint", "worker", *IN_LINE},
    "start": {"worker", "claim"},
    "report": {"item_counts", "items"},
    "request_cancel": set(),
    "complete": ENDING,
    "complete_with_errors": ENDING,
    "complete_partially": ENDING,
    "fail": ENDING | {"holds_environment"},
    "cancel": ENDING,
    "block": {"end_reason", "source_completeness", "attention"},
}
NOBODY_HANDS_IN = {
    *("requested_by", "requested_for", "prepared_by", "prepared_for"),
    *("retry_of", "attempt", "approvals", "cancel_requested_by"),
}


def test_the_samples_of_this_test_cover_every_field_and_differ_from_not_known():
    assert set(SAMPLES) == set(RunDetails.__struct_fields__)
    assert given_fields(RunDetails(**SAMPLES)) == SAMPLES


@pytest.mark.parametrize("event", RunEvent)
def test_an_event_takes_the_facts_of_its_table_and_refuses_every_other_one_by_name(event):
    for name, value in SAMPLES.items():
        facts = RunDetails(**{name: value})
        if name in TAKES[event]:
            refuse_foreign_facts(event, facts)
            continue
        with pytest.raises(BadInputError) as caught:
            refuse_foreign_facts(event, facts)
        takes = ", ".join(sorted(TAKES[event])) or "no facts"
        assert (caught.value.field, caught.value.remedy) == (name, f"It takes: {takes}.")
        assert caught.value.problem == f'does not belong to the event "{event}"'


@pytest.mark.parametrize("event", RunEvent)
def test_an_event_takes_no_facts_at_all_as_well(event):
    refuse_foreign_facts(event, RunDetails())


def test_what_the_ledger_itself_writes_down_is_taken_from_nobody():
    assert not NOBODY_HANDS_IN & {name for names in TAKES.values() for name in names}
    assert {event.value: set(names) for event, names in ACCEPTED.items()} == TAKES


def test_merging_replaces_what_was_handed_in_and_leaves_the_rest():
    merged = merge(RunDetails(backup="b", selected=3), RunDetails(selected=0, target="t"))
    assert merged == RunDetails(backup="b", selected=0, target="t")


def test_zero_and_false_are_facts_and_not_the_same_as_not_known():
    assert given_fields(RunDetails(selected=0, exit_code=0, nothing_written=False)) == {
        "selected": 0,
        "exit_code": 0,
        "nothing_written": False,
    }


RESULTS = st.lists(st.sampled_from(ItemResult), max_size=30)


def items_of(results):
    """Give one item per result, each with its own key."""
    return [Item(key=str(number), result=result) for number, result in enumerate(results)]


@given(RESULTS, RESULTS)
def test_reports_add_up_in_whichever_portions_they_come(first, second):
    portions = tally(tally(RunDetails(), items_of(first)), items_of(second))
    assert portions == tally(RunDetails(), items_of(first + second))
    counts = portions.item_counts
    assert counts.total == portions.items == len(first) + len(second)
    assert [getattr(counts, result) for result in ItemResult] == [
        (first + second).count(result) for result in ItemResult
    ]


def test_a_report_says_nothing_but_its_items():
    assert given_fields(tally(PREVIEWED, items_of([ItemResult.FAILED]))).keys() == {"item_counts", "items"}


def check(subject, result):
    """Give one check of a subject."""
    return Check(subject=subject, method="sha256", level="L4", result=CheckResult(result))


def test_checks_are_added_up_by_result_and_by_subject_and_a_skipped_one_checks_nothing():
    checks = [check("a", "passed"), check("a", "failed"), check("b", "passed"), check("c", "skipped")]
    found = summary(SnapshotDetails(verdict="mismatch", level="L4"), checks)
    assert (found.checks_total, found.checks_passed, found.checks_failed, found.checks_skipped) == (4, 2, 1, 1)
    assert (found.subjects_checked, found.verdict, found.level) == (2, "mismatch", "L4")


def test_checks_that_were_all_skipped_checked_no_subject_whatever_is_said_of_them():
    found = summary(SnapshotDetails(subjects_checked=9), [check("a", "skipped"), check("b", "skipped")])
    assert (found.subjects_checked, found.checks_total) == (0, 2)


def test_without_checks_a_snapshot_is_left_as_it_was_said():
    said = SnapshotDetails(subjects_checked=4, verdict=Verdict.MATCH)
    assert summary(said, []) == said


@pytest.mark.parametrize("event", [RunEvent.QUEUE, RunEvent.BLOCK])
def test_queueing_and_blocking_name_a_new_operation_run_where_there_is_none(event):
    arrived = arrive(run_in("previewed"), event, RunStatus.QUEUED, RunDetails(), moment())
    assert arrived.operation_run_id == "op_new"
    born = new_operation(arrived)
    assert (born.id, born.status, born.version, born.outcome) == ("op_new", OperationStatus.QUEUED, 1, None)
    assert (born.workspace, born.environment) == ("w1", "e1")


def test_an_operation_run_that_is_there_is_never_replaced():
    record = run_in("queued")
    arrived = arrive(record, RunEvent.BLOCK, RunStatus.CANCELLED, RunDetails(), moment())
    assert (arrived.operation_run_id, arrived.operation) == ("op1", operation("queued"))
    assert new_operation(arrived) is None


@pytest.mark.parametrize("event", [event for event in RunEvent if event not in {RunEvent.QUEUE, RunEvent.BLOCK}])
def test_no_other_event_names_an_operation_run(event):
    arrived = arrive(run_in("checked"), event, RunStatus.CHECKED, RunDetails(), moment())
    assert (arrived.operation_run_id, new_operation(arrived)) == (None, None)


@pytest.mark.parametrize("event", RunEvent)
def test_every_event_counts_the_version_up_by_one_and_keeps_who_asked(event):
    record = run_in("previewed")
    arrived = arrive(record, event, RunStatus.PREVIEWED, RunDetails(), moment(actor="bob"))
    assert arrived.version == record.version + 1
    assert (arrived.details.requested_by, arrived.details.backup) == ("ada", "b1")
    assert replace(arrived, details=record.details, version=7, status=record.status, operation_run_id=None) == record


def test_a_cancellation_names_its_reason_unless_another_one_is_handed_in():
    for given_reason, stored in [(None, EndReason.CANCEL_REQUESTED), (EndReason.WORKER_LOST, EndReason.WORKER_LOST)]:
        facts = RunDetails(end_reason=given_reason)
        arrived = arrive(run_in("queued"), RunEvent.CANCEL, RunStatus.CANCELLED, facts, moment())
        assert arrived.details.end_reason == stored


@pytest.mark.parametrize(
    ("basis", "backup", "kept"),
    [
        (RecoveryPointBasis.STATED, None, True),
        (RecoveryPointBasis.STATED, "b1", True),
        (RecoveryPointBasis.STATED, "b2", False),
        (RecoveryPointBasis.FILE_TIME, None, False),
        (RecoveryPointBasis.FILE_TIME, "b1", False),
        (None, None, True),
    ],
)
def test_a_recovery_point_is_forgotten_with_the_backup_that_it_was_stated_of_and_one_read_off_a_file_always(
    basis, backup, kept
):
    record = run_in("scoped", details={"recovery_point_us": 9, "recovery_point_basis": basis, "rto_us_stated": 5})
    arrived = arrive(record, RunEvent.SCOPE, RunStatus.SCOPED, RunDetails(backup=backup), moment())
    assert (arrived.details.recovery_point_us, arrived.details.rto_us_stated) == (9 if kept else None, 5)
    assert arrived.details.recovery_point_basis == (basis if kept else None)
