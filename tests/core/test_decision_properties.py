"""What holds over all facts: taking something away never makes a decision rosier, and order means nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core import oracle
from tests.core.fact_lines import EVERY_STATUS, Row, decided, line_of, operation_row, run_row, snapshot_row

CHECKED = settings(max_examples=100)  # every value of each field is in the exhaustive space already
OUTCOMES = ("succeeded", "partially_succeeded", "failed", "blocked", "cancelled", None)
OPERATIONS = [("queued", None), ("running", None), *(("completed", outcome) for outcome in OUTCOMES)]
SNAPSHOTS = (
    snapshot_row("a", at="2026-11-21T02:24:05Z"),
    snapshot_row("b", at="2026-11-21T02:24:06Z"),
    snapshot_row("g", status="generating"),
)
RANK = {"unavailable": 0, "in_progress": 1, "available": 2}


def subsets(pool: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Give every subset, the empty one too."""
    return itertools.chain.from_iterable(itertools.combinations(pool, size) for size in range(len(pool) + 1))


def worlds() -> Iterator[tuple[Row, Row]]:
    """Give every run with every end of its operation run."""
    for status, dry, (at, outcome) in itertools.product(EVERY_STATUS, (False, True), OPERATIONS):
        yield run_row(status=status, is_dry_run=dry), operation_row(status=at, outcome=outcome)


def lattice(run: Row, operation: Row) -> dict[frozenset[str], Row]:
    """Decide every choice of what may be viewed ("view:id") and of which snapshots exist ("have:id")."""
    decisions = {}
    for rows, may_view in itertools.product(subsets(SNAPSHOTS), subsets(("o1", "a", "b", "g"))):
        line = line_of(run, operation, *rows) | {"viewer": {"id": "v", "may_view": list(may_view)}}
        choice = {f"have:{row['id']}" for row in rows} | {f"view:{id_}" for id_ in may_view}
        decisions[frozenset(choice)] = decided(line)
    return decisions


def losses(decisions: dict[frozenset[str], Row]) -> Iterator[tuple[Row, Row]]:
    """Give every decision before and after one thing is taken away."""
    for choice, decision in decisions.items():
        yield from ((decision, decisions[choice - {thing}]) for thing in choice)


def assert_no_rosier(before: Row, after: Row) -> None:
    """Hold a decision against the one with more authorisation or evidence."""
    assert after["rule"] == before["rule"] or (before["rule"], after["rule"]) == (7, 8)
    for field in ("operation_proof", "evidence"):
        assert RANK[after[field]["state"]] <= RANK[before[field]["state"]]
    gained = set(after["claims"]["allowed"]) - set(before["claims"]["allowed"])
    assert gained <= ({"Execution proof available"} if before["rule"] == 7 else set())


def test_taking_away_authorisation_or_evidence_never_makes_the_state_rosier() -> None:
    """Over every run, every end of its operation run, and every loss: only rule 7 changes, and only into 8."""
    changes: Counter[tuple[int, int]] = Counter()
    for run, operation in worlds():
        for before, after in losses(lattice(run, operation)):
            assert_no_rosier(before, after)
            changes[before["rule"], after["rule"]] += 1
    assert {change for change in changes if len(set(change)) > 1} == {(7, 8)}
    assert changes.total() == 11 * 2 * 8 * 448
    assert {before for before, _ in changes} == set(range(1, 10))


few = st.sampled_from
scopes = st.fixed_dictionaries(
    {"workspace": few(["w1", "w1", "w2", None]), "environment": few(["e1", "e1", "e2", None])}
)
numbers = st.none() | st.integers(0, 2**53 - 1)
five = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["succeeded", "failed", "skipped", "partial", "non_applied"], numbers)
)
counts = st.none() | five | st.fixed_dictionaries({"total": numbers, "skipped": numbers})
times = st.none() | st.integers(0, 3).map(lambda n: f"2026-11-21T02:24:0{n}.000000Z")
run_rows = st.builds(
    lambda scope, **fields: run_row(**scope, **fields),
    scopes,
    status=few(EVERY_STATUS),
    is_dry_run=few([False, False, True]),
    operation_run_id=few(["o1", "o1", "o2", None]),
    counts=counts,
    items=numbers,
    attention=few([None, "partial", "completed_with_follow_up"]),
)
operation_rows = st.none() | st.builds(
    lambda scope, at: operation_row(**scope, status=at[0], outcome=at[1]), scopes, few(OPERATIONS)
)
snapshot_rows = st.builds(
    lambda scope, id_, at, **fields: snapshot_row(id_, at=at, **scope, **fields),
    scopes,
    few("abcdefgh"),
    times,
    status=few(["queued", "generating", "active", "active", "superseded", "expired", "failed"]),
    operation_run_id=few(["o1", "o1", "o2", None]),
)
lines = st.builds(
    lambda run, operation, evidence, hidden: line_of(run, operation, *evidence, hidden=tuple(hidden)),
    run_rows,
    operation_rows,
    st.lists(snapshot_rows, max_size=6, unique_by=lambda row: row["id"]),
    st.sets(few(["o1", "a", "c", "e"]), max_size=2),
)


@CHECKED
@given(lines)
def test_any_facts_give_what_the_second_reading_gives(line: Row) -> None:
    """Random runs, links, evidence and counts, also with several snapshots in mixed scopes."""
    assert decided(line) == oracle.decide(line)


@CHECKED
@given(lines, st.randoms(use_true_random=False))
def test_the_order_of_snapshots_and_of_permissions_means_nothing(line: Row, random: Any) -> None:
    """The same facts in another order give the same decision."""
    evidence, may_view = list(line["evidence"]), list(line["viewer"]["may_view"])
    random.shuffle(evidence)
    random.shuffle(may_view)
    shuffled = line | {"evidence": evidence, "viewer": line["viewer"] | {"may_view": may_view}}
    assert decided(shuffled) == decided(line)


@CHECKED
@given(lines)
def test_the_loss_of_any_snapshot_or_permission_never_makes_any_facts_rosier(line: Row) -> None:
    """The exhaustive property, on facts it does not reach."""
    before, viewer = decided(line), line["viewer"]
    for row in line["evidence"]:
        assert_no_rosier(before, decided(line | {"evidence": [one for one in line["evidence"] if one is not row]}))
    for lost in viewer["may_view"]:
        fewer = [id_ for id_ in viewer["may_view"] if id_ != lost]
        assert_no_rosier(before, decided(line | {"viewer": viewer | {"may_view": fewer}}))


@CHECKED
@given(lines, lines)
def test_results_never_change_the_state(line: Row, other: Row) -> None:
    """Counts, items and attention of another run change the summary and the claim of skipped items, nothing else."""
    results = {key: other["run"][key] for key in ("counts", "items", "attention")}
    one, two = decided(line), decided(line | {"run": line["run"] | results})
    for field in one.keys() - {"result_summary", "attention", "claims"}:
        assert one[field] == two[field]
    assert set(one["claims"]["allowed"]) ^ set(two["claims"]["allowed"]) <= {"Skipped items exist"}


@pytest.mark.parametrize("allowed", [(), ("o1",), ("s1",), ("o1", "s1", "elsewhere")])
def test_permission_for_ids_that_are_not_there_means_nothing(allowed: tuple[str, ...]) -> None:
    """Only the rows of the line count."""
    line = line_of(run_row(), operation_row(), snapshot_row()) | {"viewer": {"id": "v", "may_view": list(allowed)}}
    assert decided(line)["rule"] == (7 if {"o1", "s1"} <= set(allowed) else 8)
