"""The decision against a second, independent reading of the contract, on every point of the fact space."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec
import pytest

from proofgap.decision import Decision, decide
from proofgap.facts import Attention, OperationOutcome, OperationStatus, RunStatus, SnapshotStatus
from tests.core import oracle
from tests.core.fact_lines import ALL_SIX, SCOPE, Row, facts_of, line_of, operation_row, run_row, snapshot_row

RUN_STATUSES = sorted(oracle.PREPARING | oracle.LIVE | oracle.TERMINAL)
OPERATION_STATUSES = ("queued", "running", "completed")
OUTCOMES = ("succeeded", "partially_succeeded", "failed", "blocked", "cancelled", None)
SNAPSHOT_STATUSES = ("queued", "generating", "active", "superseded", "expired", "failed")
ATTENTION = (None, "partial", "completed_with_follow_up")

NOWHERE: Row = {"workspace": None, "environment": None}
NO_SCOPE: tuple[Row, ...] = (NOWHERE, SCOPE | {"workspace": None}, SCOPE | {"environment": None})
OTHER_SCOPE: tuple[Row, ...] = (SCOPE | {"workspace": "w2"}, SCOPE | {"environment": "e2"})
DRIVING = (("running", None), ("completed", "failed"), ("completed", "blocked"), ("completed", "succeeded"))
HIDDEN = "hidden"  # a snapshot of this name is never in may_view
BESIDE = ((None, False), (None, True), ("partial", True), ("completed_with_follow_up", False))  # attention, lower

EARLY, LATE = "2026-11-21T02:24:05.000000Z", "2026-11-21T02:24:05.000001Z"


def linked() -> Iterator[tuple[Row, Row | None]]:
    """Give every operation run that counts as a link: changes to the run, and the operation row."""
    for status, outcome in itertools.product(OPERATION_STATUSES, OUTCOMES):
        yield {}, operation_row(status=status, outcome=outcome)


def unlinked() -> Iterator[tuple[Row, Row | None]]:
    """Give every way to have no link: none, dangling, another row than the one named, every kind out of scope."""
    yield {"operation_run_id": None}, None
    yield {}, None
    for status, outcome in DRIVING:
        row = operation_row(status=status, outcome=outcome)
        yield {"operation_run_id": None}, row
        yield {"operation_run_id": "o2"}, row
        for scope in (*OTHER_SCOPE, NOWHERE):
            yield {}, row | scope
        for scope in NO_SCOPE:
            yield scope, row | scope


def evidence() -> Iterator[list[Row]]:
    """Give every kind of evidence: none, one snapshot, and several that compete."""
    yield from plain_evidence()
    yield from ([row] for status in ("active", "generating") for row in foreign(status))
    for status in ("active", "queued"):
        for older, newer in itertools.pairwise(competing(status)):
            yield from ([older, newer], [newer, older])
    for latest in SNAPSHOT_STATUSES:
        yield [snapshot_row("s1", at=EARLY), snapshot_row("s2", at=LATE, status=latest)]
    yield [snapshot_row("s1", at=EARLY), *foreign("active")]
    yield [snapshot_row("s1", status="queued"), snapshot_row("s2", status="generating"), snapshot_row(HIDDEN, at=LATE)]


def plain_evidence() -> Iterator[list[Row]]:
    """Give no evidence, and one snapshot of each status."""
    yield []
    yield from ([snapshot_row(status=status)] for status in SNAPSHOT_STATUSES)


def foreign(status: str) -> list[Row]:
    """Give snapshots that are no evidence for this run and viewer: of others, out of scope, unauthorised."""
    strays: list[Row] = [{"operation_run_id": "o2"}, {"operation_run_id": None}, *OTHER_SCOPE, NOWHERE]
    rows = [snapshot_row(f"x{n}", at=LATE, status=status, **stray) for n, stray in enumerate(strays)]
    return [*rows, snapshot_row(HIDDEN, at=LATE, status=status)]


def competing(status: str) -> list[Row]:
    """Give snapshots, oldest first: without a time, then a tie that the id decides, then the latest."""
    times = {"d": None, "b": EARLY, "c": EARLY, "a": LATE}
    return [snapshot_row(id_, at=at, status=status) for id_, at in times.items()]


def counts() -> Iterator[Row | None]:
    """Give every kind of counts: unknown, none known, each one alone, some, and all six."""
    yield None
    yield {}
    yield dict.fromkeys(ALL_SIX)
    yield from ({key: value} for key, value in ALL_SIX.items())
    yield {"total": 7, "failed": 0, "skipped": None}
    yield {"skipped": 0}
    yield dict.fromkeys(ALL_SIX, 0)
    yield ALL_SIX


def lines_about_links() -> Iterator[Row]:
    """Cross everything that decides state, proof and evidence: status, dry run, link, evidence, authorisation."""
    proofs = [*itertools.product(linked(), evidence()), *itertools.product(unlinked(), plain_evidence())]
    runs = itertools.product(RUN_STATUSES, (False, True), proofs, ((HIDDEN,), (HIDDEN, "o1")))
    for status, dry, ((link, operation), rows), hidden in runs:
        yield line_of(run_row(status=status, is_dry_run=dry, **link), operation, *rows, hidden=hidden)


def lines_about_results() -> Iterator[Row]:
    """Cross everything that decides the result summary with every state: counts, items, attention, lower bounds."""
    operations = [None, *(operation_row(status=status, outcome=outcome) for status, outcome in DRIVING)]
    states = itertools.product(RUN_STATUSES, (False, True), operations)
    results = itertools.product(counts(), (None, 0, 2), BESIDE)
    for (status, dry, operation), (known, items, (attention, lower)) in itertools.product(states, results):
        run = run_row(status=status, is_dry_run=dry, counts=known, items=items, attention=attention)
        yield line_of(run, operation, snapshot_row()) | {"counts_are_lower_bounds": lower}


@pytest.mark.parametrize(
    ("written", "enum"),
    [
        (RUN_STATUSES, RunStatus),
        (OPERATION_STATUSES, OperationStatus),
        (OUTCOMES[:-1], OperationOutcome),
        (SNAPSHOT_STATUSES, SnapshotStatus),
        (ATTENTION[1:], Attention),
    ],
)
def test_the_fact_space_has_every_value_of_the_vocabulary(written: Sequence[str], enum: type[StrEnum]) -> None:
    """A value that is added to the vocabulary must be added to the space and to the second reading."""
    assert sorted(written) == sorted(enum)


class Survey:
    """Both readings of every point of a space: where they differ, and everything that was ever said."""

    def __init__(self, lines: Iterator[Row]) -> None:
        """Decide every line twice."""
        self.differences: list[tuple[Row, Row, Row]] = []
        self.rules: Counter[int] = Counter()
        self.outputs: set[bytes] = set()
        for line in lines:
            self.compare(line)

    def compare(self, line: Row) -> None:
        """Decide one line twice and keep what was said."""
        output = msgspec.json.encode(decide(*facts_of(line)))
        decision, expected = msgspec.json.decode(output), oracle.decide(line)
        self.rules[decision["rule"]] += 1
        self.outputs.add(output)
        if decision != expected:
            self.differences.append((line, decision, expected))


@pytest.fixture(scope="module")
def links() -> Survey:
    """Both readings of the space of links."""
    return Survey(lines_about_links())


@pytest.fixture(scope="module")
def results() -> Survey:
    """Both readings of the space of results."""
    return Survey(lines_about_results())


def test_both_readings_agree_wherever_proof_and_evidence_differ(links: Survey) -> None:
    """State, proof, evidence, actions and claims equal the second reading at every point."""
    assert links.differences[:1] == []
    assert links.rules.total() == 11 * 2 * 2 * (18 * 39 + 34 * 7)


def test_both_readings_agree_wherever_results_differ(results: Survey) -> None:
    """The result summary equals the second reading for all counts, items and attention in every state."""
    assert results.differences[:1] == []
    assert results.rules.total() == 11 * 2 * 5 * 13 * 3 * 4


def test_every_rule_decides_somewhere_in_both_spaces(links: Survey, results: Survey) -> None:
    """No rule is dead, and none was left out of the comparison."""
    assert set(links.rules) == set(results.rules) == set(range(1, 10))


def test_nothing_that_is_ever_said_contains_a_forbidden_phrase(links: Survey, results: Survey) -> None:
    """Apart from the list that says they are forbidden, the four phrases appear in no decision at all."""
    for output in links.outputs | results.outputs:
        text = json.dumps(without_the_list(json.loads(output))).lower()
        assert not [phrase for phrase in oracle.FORBIDDEN if phrase.lower() in text]


def without_the_list(decision: Row) -> Row:
    """Take out the one place where the phrases belong."""
    assert decision["claims"].pop("forbidden") == oracle.FORBIDDEN
    return decision


def test_every_decision_reads_back_as_itself(links: Survey, results: Survey) -> None:
    """The JSON form loses nothing: decoded strictly and written again it is the same bytes."""
    for output in links.outputs | results.outputs:
        assert msgspec.json.encode(msgspec.json.decode(output, type=Decision, strict=True)) == output
