"""The fields of a decision, one test per field rule: what an operator is told in each state."""

from __future__ import annotations

import pytest

from tests.core.fact_lines import (
    ALL_SIX,
    ENDED,
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


def allowed(line: Row) -> list[str]:
    """Give what may be claimed."""
    claims: list[str] = decided(line)["claims"]["allowed"]
    return claims


def summary(line: Row) -> Row:
    """Give the result summary."""
    shown: Row = decided(line)["result_summary"]
    return shown


@pytest.mark.parametrize(
    ("status", "proof"),
    [
        *((status, ("unavailable", None)) for status in PREPARING),
        *((status, ("in_progress", "o1")) for status in ("queued", "running")),
        *((status, ("available", "o1")) for status in ENDED),
    ],
)
def test_operation_proof_follows_the_state(status: str, proof: tuple[str, str | None]) -> None:
    """Never before execution, in progress while it lasts, afterwards exactly if the proof is available."""
    shown = decided(usual_line(status=status))["operation_proof"]
    assert (shown["state"], shown["operation_run_id"]) == proof


@pytest.mark.parametrize("status", ["queued", *ENDED])
def test_operation_proof_names_no_operation_run_that_the_viewer_may_not_see(status: str) -> None:
    """In progress is said to everyone; the id only to those who are authorised."""
    shown = decided(usual_line(status=status, hidden=("o1",)))["operation_proof"]
    assert (shown["state"], shown["operation_run_id"]) == ("in_progress" if status == "queued" else "unavailable", None)


@pytest.mark.parametrize(
    ("snapshot", "shown"), [("active", "available"), ("queued", "in_progress"), ("generating", "in_progress")]
)
@pytest.mark.parametrize("status", EVERY_STATUS)
def test_post_run_evidence_follows_the_state(status: str, snapshot: str, shown: str) -> None:
    """As computed where the run ended with an effect; unavailable before, meanwhile, and when nothing was executed."""
    computed = (shown, "s1") if status in ENDED and status != "cancelled" else ("unavailable", None)
    evidence = decided(usual_line(snapshot_row(status=snapshot), status=status))["evidence"]
    assert (evidence["state"], evidence["snapshot_id"]) == computed


@pytest.mark.parametrize(("snapshot", "shown"), [("active", "available"), ("generating", "unavailable")])
@pytest.mark.parametrize("status", [*PREPARING, "queued", "running"])
def test_evidence_is_in_progress_only_once_the_run_has_ended(status: str, snapshot: str, shown: str) -> None:
    """A failed operation run makes the state failed before the run ends: active evidence shows, unfinished does not."""
    line = line_of(run_row(status=status), operation_row(outcome="failed"), snapshot_row(status=snapshot))
    assert (decided(line)["state"], decided(line)["evidence"]["state"]) == (FAILED, shown)


@pytest.mark.parametrize(
    ("run", "exists"),
    [
        *(({"status": status}, status == "previewed") for status in PREPARING),
        *(({"status": status, "is_dry_run": True}, True) for status in EVERY_STATUS),
    ],
)
def test_a_preview_is_reviewed_and_claimed_only_if_it_exists(run: Row, exists: bool) -> None:
    """It exists once the run is previewed, and for a dry run."""
    line = usual_line(**run)
    assert decided(line)["primary_next_action"] == ("Review preview" if exists else "Continue preparation")
    assert allowed(line) == (["Preview evidence exists"] if exists else [])


@pytest.mark.parametrize(
    ("hidden", "action", "claims"),
    [((), "Open operation proof", ["Execution proof available"]), (("o1",), "Review proof gap", [])],
)
def test_incomplete_proof_opens_or_claims_only_the_proof_there_is(
    hidden: tuple[str, ...], action: str, claims: list[str]
) -> None:
    """Without authorised proof the next action is the gap itself, and nothing may be claimed."""
    line = usual_line(hidden=hidden)
    assert decided(line)["primary_next_action"] == action
    assert allowed(line) == claims


@pytest.mark.parametrize(
    ("state", "claims"),
    [
        (IN_PROGRESS, ["Execution in progress"]),
        (WITH_EVIDENCE, ["Evidence snapshot available"]),
        (NEEDS_REVIEW, ["Follow-up required"]),
        (FAILED, ["Execution failed"]),
        (BLOCKED, []),
    ],
)
def test_each_state_claims_no_more_than_its_own_sentence(state: str, claims: list[str]) -> None:
    """Nothing is added to what the contract allows."""
    assert allowed(ONE_OF_EACH[state]) == claims


@pytest.mark.parametrize(
    ("counts", "said"),
    [(None, False), ({}, False), ({"total": 3}, False), ({"skipped": 0}, False), ({"skipped": 1}, True)],
)
def test_skipped_items_are_claimed_only_if_some_are_known(counts: Row | None, said: bool) -> None:
    """Not known and zero are both no skipped items."""
    claims = allowed(usual_line(status="partial", counts=counts))
    assert claims == ["Follow-up required", *(["Skipped items exist"] if said else [])]


@pytest.mark.parametrize("state", ONE_OF_EACH)
def test_the_forbidden_claims_are_listed_in_every_state(state: str) -> None:
    """All four, in the contract's order."""
    forbidden = decided(ONE_OF_EACH[state])["claims"]["forbidden"]
    assert forbidden == ["Recovery verified", "Healthy", "Compliant", "Customer-safe"]


@pytest.mark.parametrize("unknown", [None, {}, {"total": None}])
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (NOT_EXECUTED, "Result summary unavailable"),
        (IN_PROGRESS, "In progress"),
        (PROOF_INCOMPLETE, "Result summary unavailable"),
        (WITH_EVIDENCE, "Result summary unavailable"),
        (NEEDS_REVIEW, "Result summary unavailable"),
        (FAILED, "Failure details required"),
        (BLOCKED, "Unavailable"),
    ],
)
def test_a_summary_without_counts_is_words_and_no_number(state: str, words: str, unknown: Row | None) -> None:
    """No fake zeros: counts of which none is known are no counts."""
    line = ONE_OF_EACH[state]
    shown = summary(line | {"run": line["run"] | {"counts": unknown}})
    assert shown == {"text": words, "counts": None, "items": None, "metadata_only": False, "qualifier": None}


@pytest.mark.parametrize("stored", [{"failed": 0}, {"total": 48, "succeeded": 44, "skipped": 4}, ALL_SIX])
@pytest.mark.parametrize("state", ONE_OF_EACH)
def test_a_summary_shows_exactly_the_stored_counts(state: str, stored: Row) -> None:
    """No key is added, none filled with zero, and zero is shown where zero is stored."""
    line = ONE_OF_EACH[state]
    shown = summary(line | {"run": line["run"] | {"counts": stored}})
    assert (shown["text"], shown["counts"]) == (None, stored)


@pytest.mark.parametrize(("items", "rows", "metadata_only"), [(None, None, True), (0, None, True), (4, 4, False)])
def test_counts_without_item_rows_are_metadata_only_and_never_0_items(
    items: int | None,
    rows: int | None,
    metadata_only: bool,
) -> None:
    """No item rows read as not known, so that nobody can show "0 items" beside counts."""
    shown = summary(usual_line(counts={"total": 4}, items=items))
    assert (shown["items"], shown["metadata_only"]) == (rows, metadata_only)


@pytest.mark.parametrize(
    ("status", "lower_bounds", "qualifier"),
    [("running", False, "so far"), ("running", True, "so far"), ("failed", True, "at least"), ("failed", False, None)],
)
def test_counts_that_are_not_final_say_so(status: str, lower_bounds: bool, qualifier: str | None) -> None:
    """Partial counts are "so far"; the last report of a lost worker is "at least"."""
    line = usual_line(status=status, counts={"succeeded": 1}) | {"counts_are_lower_bounds": lower_bounds}
    assert summary(line)["qualifier"] == qualifier


@pytest.mark.parametrize("attention", ["partial", "completed_with_follow_up"])
@pytest.mark.parametrize("state", ONE_OF_EACH)
def test_attention_is_always_visible_and_changes_nothing_else(state: str, attention: str) -> None:
    """It never overrides the decision: take it away and the rest is equal."""
    line = ONE_OF_EACH[state]
    shown = decided(line | {"run": line["run"] | {"attention": attention}})
    assert shown == decided(line) | {"attention": attention}


@pytest.mark.parametrize("state", ONE_OF_EACH)
def test_diagnostics_are_collapsed_in_every_state(state: str) -> None:
    """And each example is of the state it stands for."""
    decision = decided(ONE_OF_EACH[state])
    assert (decision["state"], decision["diagnostics_default"]) == (state, "collapsed")
