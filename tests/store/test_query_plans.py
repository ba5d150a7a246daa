"""A ledger of a million runs is not read from end to end for a page about one of them, nor for those few that wait."""

from __future__ import annotations

from proofgap.audit import EventType
from proofgap_store import LogQuery
from proofgap_store import engine as store_engine
from proofgap_store.questions import selection
from tests.conformance.lives import UDO, live, prove
from tests.store.raw import connect


def steps(path, statement, parameters):
    """Give the steps by which SQLite finds the events or runs of a statement."""
    connection = connect(path)
    found = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()]
    connection.close()
    return [step for step in found if " e USING " in step or " restore_run USING " in step]


def test_who_reviewed_evidence_of_a_run_is_found_by_the_run(ledger, path, monkeypatch):
    run_id = live(ledger)
    snapshot = prove(ledger, run_id)
    asked, execute = [], store_engine.execute
    monkeypatch.setattr(store_engine, "execute", lambda *given: asked.append(given[1:]) or execute(*given))
    ledger.desk.reviews(run_id, snapshot, UDO)
    (reviews,) = [one for one in asked if EventType.EVIDENCE_REVIEWED in one[0]]
    assert steps(path, *reviews) == ["SEARCH e USING INDEX audit_event_run (run=?)"]


def test_events_of_one_type_of_a_run_are_found_by_the_run(ledger, path):
    chosen = selection(LogQuery(run=live(ledger), types=(EventType.EVIDENCE_REVIEWED,)), [("default", "*")])
    statement = f"SELECT * FROM audit_event AS e WHERE {chosen.condition} ORDER BY e.event_id DESC LIMIT 9"  # noqa: S608 - our own text
    assert steps(path, statement, chosen.parameters) == ["SEARCH e USING INDEX audit_event_run (run=?)"]


def test_how_many_runs_wait_is_counted_without_a_look_at_those_that_do_not(ledger, path, monkeypatch):
    """A monitoring system asks every few seconds."""
    asked, execute = [], store_engine.execute
    monkeypatch.setattr(store_engine, "execute", lambda *given: asked.append(given[1:]) or execute(*given))
    ledger.feed.backlog()
    (queued,) = [one for one in asked if "status = 'queued'" in one[0]]
    assert steps(path, *queued) == ["SCAN restore_run USING INDEX restore_run_waiting"]
