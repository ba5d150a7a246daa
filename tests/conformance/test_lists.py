"""Lists: newest first, no run twice and none left out, one event for all that was on the page."""

from __future__ import annotations

import pytest

from proofgap.audit import digest
from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item
from proofgap.wording import DecisionState
from proofgap_store import NewRun, Page, Query
from tests.conformance.lives import ADA, PATHS, TWICE, UDO, VERA, facts, last, lines, live, log_since, operation, prove


def pages(ledger, limit, **query):
    """Read a list page by page; give the ids of each page."""
    found, after = [], None
    while True:
        listing = ledger.list_runs(ADA.id, ADA, Query(limit=limit, after=after, **query))
        found.append([row.record.id for row in listing.rows])
        after = listing.next
        if after is None:
            return found


def make(ledger, count, at_us=None):
    """Create runs, all at the same moment if one is given; give their ids, newest first."""
    made = [ledger.create(NewRun(), ADA, at_us=at_us or 1_000 + number).run_id for number in range(count)]
    return sorted(made, reverse=True) if at_us else made[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("at_us", [None, 5_000])
def test_pages_together_hold_every_run_once_newest_first_even_when_all_began_at_once(ledger, limit, at_us):
    expected = make(ledger, 7, at_us)
    found = pages(ledger, limit)
    assert [run_id for page in found for run_id in page] == expected
    assert all(len(page) == limit for page in found[:-1])


def test_a_run_created_between_two_pages_moves_no_other_run_between_them(ledger):
    expected = make(ledger, 4)
    first = ledger.list_runs(ADA.id, ADA, Query(limit=2))
    make(ledger, 1, at_us=9_000)
    second = ledger.list_runs(ADA.id, ADA, Query(limit=2, after=first.next))
    assert [row.record.id for row in (*first.rows, *second.rows)] == expected
    assert second.next is None


def test_a_list_longer_than_one_batch_has_no_gap_and_no_run_twice(ledger):
    ledger.import_facts(lines(*(facts(f"x{number:03}", "draft") for number in range(405))), ADA)
    found = pages(ledger, 150)
    assert [len(page) for page in found] == [150, 150, 105]
    assert len({run_id for page in found for run_id in page}) == 405


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_narrowed_to_a_state_a_list_holds_all_runs_of_that_state_and_no_other(ledger, limit):
    by_state = {}
    for status in TWICE:
        run_id = live(ledger, status)
        by_state.setdefault(ledger.show(run_id, ADA.id, ADA).decision.state, []).append(run_id)
    for state in DecisionState:
        found = [run_id for page in pages(ledger, limit, state=state) for run_id in page]
        assert sorted(found) == sorted(by_state.get(state, [])), state


def test_narrowed_to_a_state_the_viewer_finds_what_the_viewer_is_told(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    for actor, state in [(ADA, "completed_with_evidence"), (VERA, "completed_proof_incomplete")]:
        listing = ledger.list_runs(actor.id, actor, Query(state=DecisionState(state)))
        assert [row.record.id for row in listing.rows] == [run_id]
    assert ledger.list_runs(VERA.id, VERA, Query(state=DecisionState.COMPLETED_WITH_EVIDENCE)).rows == ()


def test_narrowed_to_a_workspace_or_environment_a_list_holds_nothing_else(ledger):
    scopes = [("default", "local"), ("default", "second"), ("w2", "local")]
    ledger.import_facts(lines(*(facts(f"x{n}", "draft", scope=scope) for n, scope in enumerate(scopes))), ADA)
    assert sorted(*pages(ledger, 50, workspace="default")) == ["x0", "x1"]
    assert sorted(*pages(ledger, 50, environment="local")) == ["x0", "x2"]
    assert pages(ledger, 50, workspace="w2", environment="local") == [["x2"]]
    assert pages(ledger, 50, workspace="w2", environment="second") == [[]]


def test_a_list_is_one_event_that_names_run_state_and_facts_of_every_row(ledger):
    runs = [live(ledger, status) for status in ("draft", "completed", "failed")]
    prove(ledger, runs[1])
    before = last(ledger)
    query = Query(limit=2)
    listing = ledger.list_runs(VERA.id, UDO, query)
    (event,) = log_since(ledger, before)
    assert (event.event_id, event.type) == (listing.event_id, "restore.decision.listed")
    assert event.data["rows"] == [
        [row.record.id, row.decision.state, digest(ledger.peek(row.record.id, ADA).facts())] for row in listing.rows
    ]
    assert [row[:2] for row in event.data["rows"]] == [
        *([runs[2], "failed"], [runs[1], "completed_proof_incomplete"]),
    ]
    assert (event.data["viewer"], event.data["trigger"], event.entry["actor"]["id"]) == ("vera", "list", "udo")
    assert (event.entry["stream"], event.data["query"]["limit"]) == ("view/runs/vera", 2)
    assert [row.facts_digest for row in listing.rows] == [row[2] for row in event.data["rows"]]


def test_a_row_of_a_list_says_what_showing_the_run_says(ledger):
    for status in PATHS:
        live(ledger, status)
    ledger.import_facts(lines(facts("x1", "completed", operation())), ADA)
    for actor in (ADA, VERA):
        for row in ledger.list_runs(actor.id, actor).rows:
            shown = ledger.show(row.record.id, actor.id, actor)
            assert (row.record, row.decision) == (shown.record, shown.decision)
            assert shown.facts_digest == (None if actor is VERA else row.facts_digest)


def test_an_empty_list_showed_nothing_so_nothing_is_logged(ledger):
    before = last(ledger)
    listing = ledger.list_runs(ADA.id, ADA)
    assert (listing.rows, listing.next, listing.event_id) == ((), None, None)
    assert last(ledger) == before


@pytest.mark.parametrize("limit", [-1, 0, 201, 10**9])
def test_a_page_size_out_of_range_is_refused(ledger, limit):
    with pytest.raises(BadInputError) as caught:
        ledger.list_runs(ADA.id, ADA, Query(limit=limit))
    assert (caught.value.field, caught.value.remedy) == ("limit", "Use 1 to 200.")


@pytest.mark.parametrize("after", ["", "x", "12", "12:", ":r1", "-1:r1", "1.5:r1", "\u0661:r1"])
def test_a_place_in_a_list_that_is_none_is_refused(ledger, after):
    with pytest.raises(BadInputError) as caught:
        ledger.list_runs(ADA.id, ADA, Query(after=after))
    assert caught.value.field == "after"


def test_items_are_read_by_key_page_by_page_and_by_result(ledger):
    run_id = live(ledger, "running")
    items = [Item(key=f"k{n:02}", result=[*ItemResult][n % 5]) for n in range(23)]
    for item in items:
        ledger.fire(run_id, RunEvent.REPORT, ADA, items=[item])
    found, after = [], ""
    while page := ledger.items(run_id, VERA.id, Page(after=after, limit=5)):
        found, after = [*found, *page], page[-1].key
    assert found == items
    failed = ledger.items(run_id, VERA.id, Page(result=ItemResult.FAILED))
    assert failed == [item for item in items if item.result is ItemResult.FAILED]
