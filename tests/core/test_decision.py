"""The nine rules of the decision in their order, and what counts as a link, as proof and as evidence."""

from __future__ import annotations

import pytest

from tests.core.fact_lines import (
    EVERY_STATUS,
    ONE_OF_EACH,
    PREPARING,
    Row,
    decided,
    line_of,
    operation_row,
    run_row,
    snapshot_row,
    usual_line,
)

NOT_EXECUTED, IN_PROGRESS, PROOF_INCOMPLETE, WITH_EVIDENCE, NEEDS_REVIEW, FAILED, BLOCKED = ONE_OF_EACH


def ruled(line: Row) -> tuple[int, str]:
    """Give the rule that decided and the state it gave."""
    decision = decided(line)
    return decision["rule"], decision["state"]


def with_operation(status: str, operation_status: str, outcome: str | None) -> Row:
    """Give a run of one status whose operation run has another."""
    return line_of(run_row(status=status), operation_row(status=operation_status, outcome=outcome))


# The nine rules, in order of precedence


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_rule_1_a_dry_run_was_not_executed_whatever_else_is_recorded(status: str) -> None:
    """A dry run can prove nothing about the environment, not even with an operation run and evidence."""
    assert ruled(usual_line(snapshot_row(), status=status, is_dry_run=True)) == (1, NOT_EXECUTED)


@pytest.mark.parametrize("live", ["queued", "running"])
@pytest.mark.parametrize("status", EVERY_STATUS)
def test_rule_2_a_live_operation_run_is_in_progress_whatever_the_run_says(status: str, live: str) -> None:
    """While the operation run is live, "not final yet" is the only true sentence."""
    assert ruled(with_operation(status, live, None)) == (2, IN_PROGRESS)


def test_rule_3_a_failed_run_has_failed() -> None:
    """The run's own status is enough."""
    assert ruled(with_operation("failed", "completed", "succeeded")) == (3, FAILED)


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_rule_3_a_failed_operation_run_has_failed_whatever_the_run_says(status: str) -> None:
    """A failed execution stands above every status, also above completed."""
    assert ruled(with_operation(status, "completed", "failed")) == (3, FAILED)


@pytest.mark.parametrize("outcome", ["succeeded", "blocked", None])
@pytest.mark.parametrize("status", ["partial", "completed_with_errors"])
def test_rule_4_a_partial_run_needs_review_even_if_its_operation_run_was_blocked(status: str, outcome: str) -> None:
    """Nobody may say "did not execute" of a run that says items were touched."""
    assert ruled(with_operation(status, "completed", outcome)) == (4, NEEDS_REVIEW)


def test_rule_5_a_cancelled_run_is_cancelled() -> None:
    """The run's own status is enough."""
    assert ruled(with_operation("cancelled", "completed", "succeeded")) == (5, BLOCKED)


@pytest.mark.parametrize("status", [*PREPARING, "queued", "running", "completed"])
def test_rule_5_a_blocked_operation_run_is_blocked(status: str) -> None:
    """A blocked execution stands above completed, above a live run and above every status before execution."""
    assert ruled(with_operation(status, "completed", "blocked")) == (5, BLOCKED)


@pytest.mark.parametrize("operation", [None, operation_row()])
@pytest.mark.parametrize("status", ["queued", "running"])
def test_rule_6_a_live_run_is_in_progress(status: str, operation: Row | None) -> None:
    """A run is in progress until it says otherwise, with an operation run that ended or with none."""
    assert ruled(line_of(run_row(status=status), operation, snapshot_row())) == (6, IN_PROGRESS)


def test_rule_7_a_completed_run_with_evidence_says_so() -> None:
    """Proof and one active snapshot, both in scope and authorised."""
    assert ruled(usual_line(snapshot_row())) == (7, WITH_EVIDENCE)


@pytest.mark.parametrize("outcome", ["succeeded", "partially_succeeded", "cancelled", None])
def test_rule_8_a_completed_run_without_evidence_has_incomplete_proof(outcome: str | None) -> None:
    """No outcome of the operation run stands in for evidence."""
    assert ruled(with_operation("completed", "completed", outcome)) == (8, PROOF_INCOMPLETE)


@pytest.mark.parametrize("outcome", ["succeeded", "partially_succeeded", "cancelled", None])
@pytest.mark.parametrize("status", PREPARING)
def test_rule_9_a_run_in_preparation_was_not_executed(status: str, outcome: str | None) -> None:
    """A pre-execution status stands, even beside an operation run that ended."""
    assert ruled(with_operation(status, "completed", outcome)) == (9, NOT_EXECUTED)


# What counts as a link, as proof, as evidence


@pytest.mark.parametrize(("status", "outcome"), [("running", None), ("completed", "failed"), ("completed", "blocked")])
def test_warnings_reach_viewers_who_may_not_see_the_operation_run(status: str, outcome: str | None) -> None:
    """Authorisation removes positive claims, never warnings: the state stays, the operation run goes unnamed."""
    seen = with_operation("completed", status, outcome)
    unseen = line_of(seen["run"], seen["operation"], hidden=("o1",))
    assert ruled(unseen) == ruled(seen)
    assert decided(seen)["operation_proof"]["operation_run_id"] == "o1"
    assert decided(unseen)["operation_proof"]["operation_run_id"] is None


@pytest.mark.parametrize(
    ("run", "operation"),
    [
        pytest.param({}, {"workspace": "w2"}, id="another workspace"),
        pytest.param({}, {"environment": "e2"}, id="another environment"),
        pytest.param({"workspace": None}, {"workspace": None}, id="null never matches null"),
        pytest.param({"environment": None}, {"environment": None}, id="null environments never match"),
        pytest.param({}, {"id": "o2"}, id="another operation run than the one named"),
        pytest.param({"operation_run_id": None}, {}, id="no link"),
    ],
)
@pytest.mark.parametrize("outcome", ["succeeded", "failed", "blocked"])
def test_a_link_out_of_scope_is_no_link_in_every_field(run: Row, operation: Row, outcome: str) -> None:
    """It drives no rule, proves nothing and brings no evidence: the decision is that of a run without a link."""
    linked = operation_row(outcome=outcome, **operation) if "id" not in operation else operation_row() | operation
    stray = line_of(run_row(**run), linked, snapshot_row(operation_run_id=linked["id"]))
    assert decided(stray) == decided(line_of(run_row(operation_run_id=None)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"operation_run_id": "o2"}, id="of another operation run"),
        pytest.param({"operation_run_id": None}, id="of no operation run"),
        pytest.param({"workspace": "w2"}, id="another workspace"),
        pytest.param({"environment": "e2"}, id="another environment"),
        pytest.param({"workspace": None, "environment": None}, id="scope not known"),
        *(pytest.param({"status": status}, id=status) for status in ("superseded", "expired", "failed")),
    ],
)
def test_a_snapshot_that_is_not_exactly_this_runs_active_one_is_no_evidence(change: Row) -> None:
    """The decision is that of a run without any snapshot."""
    assert decided(usual_line(snapshot_row(**change))) == decided(usual_line())


def test_an_unauthorised_snapshot_is_no_evidence() -> None:
    """Absent and unauthorised read the same."""
    assert decided(usual_line(snapshot_row(), hidden=("s1",))) == decided(usual_line())


def test_evidence_needs_proof() -> None:
    """A snapshot that the viewer may see is no evidence while its operation run is hidden."""
    assert decided(usual_line(snapshot_row(), hidden=("o1",))) == decided(usual_line(hidden=("o1",)))


@pytest.mark.parametrize(
    ("times", "latest"),
    [
        (("2026-11-21T02:24:05Z", "2026-11-21T02:24:04Z"), "a"),
        (("2026-11-21T02:24:05.000000Z", "2026-11-21T02:24:05.000001Z"), "b"),
        (("2026-11-21T02:24:05Z", "2026-11-21T02:24:05.000000Z"), "b"),  # a tie: the id decides
        (("2026-11-21T02:24:05Z", "2026-11-21T03:24:04+01:00"), "a"),  # moments are compared, not texts
        ((None, "2026-11-21T02:24:05Z"), "b"),
        (("2026-11-21T02:24:05Z", None), "a"),
        ((None, None), "b"),
    ],
)
def test_the_latest_active_snapshot_is_the_one_to_open(times: tuple[str | None, ...], latest: str) -> None:
    """Latest by time of capture, then by id; a time that is not known is the oldest; the order of rows is nothing."""
    rows = [snapshot_row(id_, at=at) for id_, at in zip("ab", times, strict=True)]
    for order in (rows, rows[::-1]):
        assert decided(usual_line(*order))["evidence"] == {
            "state": "available",
            "label": "Available",
            "snapshot_id": latest,
        }


def test_an_older_active_snapshot_stays_evidence_while_a_newer_one_is_generated() -> None:
    """Active wins over in progress, whatever the times."""
    newer = snapshot_row("s2", at="2027-01-01T00:00:00Z", status="generating")
    assert decided(usual_line(snapshot_row(), newer))["evidence"]["snapshot_id"] == "s1"
