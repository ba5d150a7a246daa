"""Evidence: begun after the execution has ended, active only if something was checked, one at a time, and not for ever."""

from __future__ import annotations

import json

import pytest

from proofgap.errors import BadInputError, GuardRefusedError, NotAllowedError, NotFoundError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap.records import Check, CheckResult, RunDetails, SnapshotDetails
from proofgap_store import Query
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    PASSED,
    TERMINAL,
    WIM,
    after_the_end,
    chain_faults,
    fire,
    last,
    live,
    log,
    log_since,
    prove,
    tables,
)


def evidence_of(ledger, run_id):
    """Give the statuses of a run's snapshots by id."""
    return {row.id: row.status.value for row in ledger.show(run_id, ADA.id, ADA).record.evidence}


def decided(ledger, run_id):
    """Give what an operator is told: state, evidence, snapshot."""
    decision = ledger.show(run_id, OLGA.id, OLGA).decision
    return decision.state.value, decision.evidence.state.value, decision.evidence.snapshot_id


def generating(ledger, run_id, at):
    """Begin a snapshot and let it generate; give its id."""
    snapshot = ledger.begin_evidence(run_id, WIM, captured_at_us=after_the_end(ledger, run_id, at)).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, WIM)
    return snapshot


def test_evidence_changes_the_decision_step_by_step(ledger):
    run_id = live(ledger)
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "unavailable", None)
    snapshot = ledger.begin_evidence(run_id, WIM).subject
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "in_progress", snapshot)
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, WIM)
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "in_progress", snapshot)
    receipt = ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, checks=PASSED)
    assert (receipt.subject, receipt.run_id, receipt.status) == (snapshot, run_id, "active")
    assert decided(ledger, run_id) == ("completed_with_evidence", "available", snapshot)
    ledger.fire_evidence(snapshot, SnapshotEvent.EXPIRE, WIM)
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "unavailable", None)


def test_a_later_snapshot_supersedes_the_active_one_in_the_same_write(ledger):
    run_id = live(ledger)
    old = prove(ledger, run_id, captured_at_us=1_000)
    new, before = generating(ledger, run_id, 2_000), last(ledger)
    ledger.fire_evidence(new, SnapshotEvent.ACTIVATE, WIM, checks=PASSED)
    assert [(event.data["subject"], event.data["event"]) for event in log_since(ledger, before)[:2]] == [
        *((old, "supersede"), (new, "activate")),
    ]
    assert evidence_of(ledger, run_id) == {old: "superseded", new: "active"}
    assert decided(ledger, run_id) == ("completed_with_evidence", "available", new)


def test_an_earlier_snapshot_never_takes_the_place_of_a_later_one_and_the_refusal_is_recorded(ledger):
    run_id = live(ledger)
    early = generating(ledger, run_id, 1_000)
    late = prove(ledger, run_id, captured_at_us=2_000)
    before = last(ledger)
    with pytest.raises(GuardRefusedError) as caught:
        ledger.fire_evidence(early, SnapshotEvent.ACTIVATE, WIM, checks=PASSED)
    assert caught.value.guard == "is_the_latest"
    (refusal,) = log_since(ledger, before)
    assert (refusal.data["guard"], refusal.data["subject"], refusal.data["machine"], refusal.data["source"]) == (
        *("is_the_latest", early, "evidence", "generating"),
    )
    assert evidence_of(ledger, run_id) == {early: "generating", late: "active"}


def test_at_most_one_snapshot_is_active_however_many_there_are(ledger):
    run_id = live(ledger, "partial")
    ids = [prove(ledger, run_id, captured_at_us=at) for at in (1, 2, 2, 3, 10)]
    assert evidence_of(ledger, run_id) == dict.fromkeys(ids, "superseded") | {ids[-1]: "active"}


SKIPPED = (Check(subject="a", method="m", level="L2", result=CheckResult.SKIPPED),)
FAILED = (Check(subject="a", method="m", level="L2", result=CheckResult.FAILED),)


@pytest.mark.parametrize("checks", [(), SKIPPED])
def test_evidence_without_a_checked_subject_cannot_become_active(ledger, checks):
    run_id = live(ledger)
    snapshot = generating(ledger, run_id, 1)
    with pytest.raises(GuardRefusedError) as caught:
        ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, checks=checks)
    assert caught.value.guard == "subjects_were_checked"
    assert ledger.checks(snapshot, ADA.id) == []
    assert evidence_of(ledger, run_id) == {snapshot: "generating"}


def test_only_a_plan_that_expected_emptiness_may_have_checked_nothing(ledger):
    given = SnapshotDetails(expected_empty=True)
    run_id = live(ledger, "draft")
    ledger.fire(run_id, RunEvent.SCOPE, ADA, given=RunDetails(selected=0, expects_nothing=True))
    ledger.fire(run_id, RunEvent.CHECK, ADA, given=RunDetails(selected=0, expects_nothing=True))
    for event in ("preview", "queue", "start", "complete"):
        ledger.fire(run_id, RunEvent(event), ADA)
    snapshot = generating(ledger, run_id, 1)
    assert ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, given=given).status == "active"
    other = generating(ledger, live(ledger), 1)
    with pytest.raises(GuardRefusedError):
        ledger.fire_evidence(other, SnapshotEvent.ACTIVATE, WIM, given=given)


def test_a_run_that_never_executed_takes_no_evidence_and_no_capture_is_older_than_the_end(ledger):
    with pytest.raises(GuardRefusedError):
        ledger.begin_evidence(live(ledger, "cancelled"), WIM)
    run_id = live(ledger)
    with pytest.raises(GuardRefusedError) as caught:
        ledger.begin_evidence(run_id, WIM, captured_at_us=after_the_end(ledger, run_id, -1))
    assert caught.value.guard == "captured_after_the_end"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (SnapshotDetails(checks_passed=9), "checks_passed"),
        (SnapshotDetails(verdict="match"), "verdict"),
        (SnapshotDetails(level="L6"), "level"),
    ],
)
def test_what_is_said_of_evidence_never_exceeds_its_checks(ledger, given, field):
    snapshot = generating(ledger, live(ledger), 1)
    with pytest.raises(BadInputError) as caught:
        ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, given=given, checks=FAILED)
    assert caught.value.field == field


def test_a_failed_comparison_is_evidence_too_and_its_checks_are_kept_in_their_order(ledger):
    run_id = live(ledger)
    snapshot = generating(ledger, run_id, 1)
    ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, checks=(*FAILED, *PASSED, *SKIPPED))
    assert ledger.checks(snapshot, OLGA.id) == [*FAILED, *PASSED, *SKIPPED]
    (record,) = ledger.show(run_id, ADA.id, ADA).record.evidence
    counted = (record.details.checks_total, record.details.checks_failed, record.details.subjects_checked)
    assert counted == (3, 1, 2)


@pytest.mark.parametrize("status", ["draft", "previewed", "queued", "running"])
def test_evidence_of_a_run_that_is_not_over_is_refused_and_the_refusal_is_recorded(ledger, status):
    run_id = live(ledger, status)
    before = last(ledger)
    with pytest.raises(GuardRefusedError):
        ledger.begin_evidence(run_id, WIM)
    assert [event.data["guard"] for event in log_since(ledger, before)] == ["execution_has_ended"]


@pytest.mark.parametrize("status", [status for status in TERMINAL if status != "cancelled"])
def test_evidence_moves_on_after_its_run_has_ended_and_never_moves_the_run(ledger, status):
    run_id = live(ledger, status)
    before = ledger.show(run_id, ADA.id, ADA).record
    prove(ledger, run_id)
    after = ledger.show(run_id, ADA.id, ADA).record
    assert (after.status, after.version, after.details, after.operation) == (
        *(before.status, before.version, before.details, before.operation),
    )


@pytest.mark.parametrize("ending", [SnapshotEvent.EXPIRE, SnapshotEvent.SUPERSEDE])
def test_evidence_that_has_ended_never_moves_again(ledger, ending):
    run_id = live(ledger)
    snapshot = prove(ledger, run_id)
    ledger.fire_evidence(snapshot, ending, WIM)
    for event in SnapshotEvent:
        with pytest.raises(NotAllowedError) as caught:
            ledger.fire_evidence(snapshot, event, WIM)
        assert caught.value.allowed == ()
    assert chain_faults(log(ledger)) == []


def test_evidence_that_could_not_be_produced_says_so_and_another_can_be_begun(ledger):
    run_id = live(ledger)
    broken = ledger.begin_evidence(run_id, WIM).subject
    ledger.fire_evidence(broken, SnapshotEvent.FAIL, WIM)
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "unavailable", None)
    good = prove(ledger, run_id, captured_at_us=5)
    assert evidence_of(ledger, run_id) == {broken: "failed", good: "active"}


def test_a_blocked_run_has_an_operation_run_of_its_own_that_says_so(ledger):
    run_id = live(ledger, "checked")
    fire(ledger, run_id, "block")
    record = ledger.show(run_id, ADA.id, ADA).record
    assert (record.status, record.operation.status, record.operation.outcome) == ("cancelled", "completed", "blocked")
    assert decided(ledger, run_id)[0] == "blocked_or_cancelled"


def test_an_unknown_snapshot_is_refused_and_nothing_is_written(ledger):
    before = tables(ledger)
    with pytest.raises(NotFoundError) as caught:
        ledger.fire_evidence("ev_NONE", SnapshotEvent.GENERATE, ADA)
    assert (caught.value.kind, caught.value.subject) == ("evidence snapshot", "ev_NONE")
    with pytest.raises(NotFoundError):
        ledger.checks("ev_NONE", ADA.id)
    assert tables(ledger) == before


DAY_US = 86_400_000_000


def later(ledger, *, days):
    """Let the ledger's clock be so many days ahead."""
    clock = ledger._clock
    ledger._clock = lambda: clock() + days * DAY_US


def test_evidence_stops_counting_when_its_environment_says_so_and_the_log_says_who_let_it_expire(ledger):
    ledger.access.declare_environment(HOME, ADA, evidence_valid_us=30 * DAY_US)
    run_id = live(ledger)
    snapshot = prove(ledger, run_id)
    assert decided(ledger, run_id) == ("completed_with_evidence", "available", snapshot)
    later(ledger, days=31)
    assert decided(ledger, run_id) == ("completed_proof_incomplete", "unavailable", None)
    expired = [row for row in log(ledger) if json.loads(row.payload)["data"].get("event") == "expire"]
    assert [json.loads(row.payload)["actor"]["id"] for row in expired] == ["system:expiry"]
    assert evidence_of(ledger, run_id) == {snapshot: "expired"}
    assert not chain_faults(log(ledger))


@pytest.mark.parametrize("state", [None, "completed_with_evidence", "completed_proof_incomplete"])
def test_no_list_shows_a_decision_that_rests_on_evidence_whose_time_is_over(ledger, state):
    ledger.access.declare_environment(HOME, ADA, evidence_valid_us=DAY_US)
    run_id = live(ledger)
    prove(ledger, run_id)
    later(ledger, days=2)
    listed = ledger.list_runs(OLGA.id, OLGA, Query(state=state))
    wanted = [] if state == "completed_with_evidence" else [(run_id, "completed_proof_incomplete")]
    assert [(row.record.id, row.decision.state.value) for row in listed.rows] == wanted


def test_the_earlier_of_what_a_snapshot_and_what_its_environment_says_counts(ledger):
    ledger.access.declare_environment(HOME, ADA, evidence_valid_us=30 * DAY_US)
    run_id = live(ledger)
    snapshot = generating(ledger, run_id, 0)
    soon = ledger._clock() + DAY_US
    given = SnapshotDetails(expires_at_us=soon)
    ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, given=given, checks=PASSED)
    assert ledger.show(run_id, ADA.id, ADA).record.evidence[0].details.expires_at_us == soon
    later(ledger, days=2)
    assert ledger.expire_evidence() == 1
    assert ledger.expire_evidence() == 0
    assert evidence_of(ledger, run_id) == {snapshot: "expired"}


def test_evidence_whose_time_is_over_never_becomes_active(ledger):
    run_id = live(ledger)
    snapshot = generating(ledger, run_id, 0)
    before = tables(ledger)
    given = SnapshotDetails(expires_at_us=ledger._clock() - 1)
    with pytest.raises(BadInputError, match="expires_at_us"):
        ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, WIM, given=given, checks=PASSED)
    assert tables(ledger) == before


def test_what_a_declaration_does_not_say_stays_as_it_was(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1, evidence_valid_us=DAY_US)
    ledger.access.declare_environment(HOME, ADA, approvals_required=2)
    ledger.access.declare_environment(HOME, ADA, evidence_valid_us=2 * DAY_US)
    declared = [json.loads(row.payload)["data"] for row in log(ledger) if '"environment.declared"' in row.payload]
    assert declared[-1] == {"approvals_required": 2, "evidence_valid_us": 2 * DAY_US}


@pytest.mark.parametrize("valid_us", [0, -1, True, 1.5, "30d", 36_501 * DAY_US])
def test_a_rule_that_is_no_duration_is_refused(ledger, valid_us):
    before = tables(ledger)
    with pytest.raises(BadInputError, match="evidence_valid_us"):
        ledger.access.declare_environment(HOME, ADA, evidence_valid_us=valid_us)
    assert tables(ledger) == before
