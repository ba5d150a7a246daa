"""Many processes on one file: the race ends in one success and in refusals that are recorded, and the chain is whole."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.children import begin_at_once, live_alone, opened, together, try_event, try_key
from tests.conformance.lives import ADA, chain_faults, live, log


@pytest.fixture
def ledger(place):
    """The ledger that others open too."""
    with place.open() as made:
        yield made


def test_eight_processes_fire_the_same_event_and_exactly_one_succeeds(place, ledger):
    run_id = live(ledger, "running")
    assert Counter(together(try_event, place, run_id, "complete")) == {"completed": 1, "NotAllowedError": 7}
    events = [event for event in log(ledger) if event.entry["run"] == run_id]
    assert [event.data["event"] for event in events if event.type == "restore.run.transitioned"].count("complete") == 1
    refused = [event.data for event in events if event.type == "restore.run.transition_refused"]
    assert [(data["event"], data["source"], data["guard"]) for data in refused] == [("complete", "completed", None)] * 7
    assert chain_faults(log(ledger)) == []
    assert ledger.show(run_id, ADA.id, ADA).record.version == 7


def test_eight_processes_with_the_same_key_get_the_same_receipt(place, ledger):
    run_id = live(ledger, "running")
    (event_id,) = set(together(try_key, place, run_id))
    assert event_id.isdecimal()
    assert [event.type for event in log(ledger)].count("restore.run.transition_refused") == 0
    assert ledger.show(run_id, ADA.id, ADA).record.status == "completed"


def test_eight_processes_report_on_one_run_and_every_report_counts(place, ledger):
    run_id = live(ledger, "running")
    assert together(try_event, place, run_id, "request_cancel") == ["running"] * 8
    assert ledger.show(run_id, ADA.id, ADA).record.version == 6 + 8
    assert chain_faults(log(ledger)) == []


def test_eight_processes_with_runs_of_their_own_all_come_to_their_end(place, ledger):
    for number in range(8):
        ledger.access.declare_environment(("default", f"e{number}"), ADA)
    assert together(live_alone, place) == ["completed"] * 8
    assert chain_faults(log(ledger)) == []
    assert len(ledger.list_runs(ADA.id, ADA).rows) == 8


def test_eight_processes_create_the_same_ledger_at_once_and_it_begins_once(nowhere):
    assert together(begin_at_once, nowhere) == ["draft"] * 8
    with opened(nowhere) as ledger:
        assert chain_faults(log(ledger)) == []
        kinds = Counter(event.type for event in log(ledger))
        assert (kinds["machine.defined"], kinds["environment.declared"], kinds["restore.run.created"]) == (3, 1, 8)
        assert ledger.diagnose().missing_guards == ()
