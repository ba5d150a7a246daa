"""Every decision is logged: at every transition, at every showing, with all that went in and all that came out."""

from __future__ import annotations

import msgspec
import pytest

from proofgap.audit import digest
from proofgap.decision import RULES_VERSION, decide
from proofgap.errors import GuardRefusedError
from proofgap.facts import Attention, Counts, Facts, ItemResult, RunEvent, Viewer
from proofgap.records import Item, RunDetails
from proofgap_store import NewRun
from tests.conformance.lives import (
    ADA,
    OLGA,
    PATHS,
    TERMINAL,
    UDO,
    VERA,
    WIM,
    facts,
    fire,
    last,
    lines,
    live,
    log,
    log_since,
    operation,
    prove,
    snapshot,
)

PROJECTED = "restore.decision.projected"
FIELDS = {
    *("state", "rule", "rules_version", "status", "reason", "impact", "primary_next_action", "operation_proof"),
    *("evidence", "result_summary", "attention", "claims", "diagnostics_default"),
}


def projections(events):
    """Pick the projections."""
    return [event for event in events if event.type == PROJECTED]


def replayed(data):
    """Decide again from what was logged: the facts that went in and the viewer they were for."""
    known = msgspec.convert(data["facts"], Facts)
    return msgspec.json.decode(msgspec.json.encode(decide(known, msgspec.convert(data["viewer"], Viewer))))


def faults(events):
    """Find projections that do not follow from what they say went in."""
    found = []
    for event in projections(events):
        data = event.data
        same = replayed(data) == data["decision"] and set(data["decision"]) == FIELDS
        said = (data["rule"], data["rules_version"]) == (data["decision"]["rule"], RULES_VERSION)
        if not (same and said and digest(data["facts"]) == data["facts_digest"]):
            found.append(event)
    return found


@pytest.mark.parametrize("status", PATHS)
def test_every_event_of_a_run_is_followed_by_one_projection_for_the_record(ledger, status):
    before = last(ledger)
    run_id = live(ledger, status)
    own = [event for event in log_since(ledger, before) if event.entry["stream"] == f"run/{run_id}"]
    moved = [event for event in own if event.type in {"restore.run.created", "restore.run.transitioned"}]
    assert len(moved) == len(projections(own)) == len(PATHS[status]) + 1
    for event, projection in zip(moved, projections(own), strict=True):
        assert event.event_id < projection.event_id
        assert projection.data["facts"]["run"]["status"] == event.data["target"]
        assert (projection.data["trigger"], projection.data["viewer"]["id"]) == ("hook", "record")
    assert faults(own) == []


def test_for_the_record_everything_in_scope_counts_as_authorised(ledger):
    run_id = live(ledger)
    snapshot_id = prove(ledger, run_id)
    data = projections(log(ledger))[-1].data
    operation_id = data["facts"]["operation"]["id"]
    assert data["viewer"] == {"id": "record", "may_view": sorted([operation_id, snapshot_id])}
    assert (data["decision"]["state"], data["withheld"]) == ("completed_with_evidence", [])


def test_the_projection_of_a_terminal_status_already_sees_the_proof_it_leaves_behind(ledger):
    for status in TERMINAL:
        run_id = live(ledger, status)
        data = [event for event in projections(log(ledger)) if event.entry["run"] == run_id][-1].data
        assert data["facts"]["operation"]["status"] == "completed"
        assert data["decision"]["operation_proof"]["state"] == "available"


SHOWN = {
    "admin": (ADA, "completed_with_evidence", 7, []),
    "operator": (OLGA, "completed_with_evidence", 7, []),
    "auditor": (UDO, "completed_with_evidence", 7, []),
    "worker": (WIM, "completed_proof_incomplete", 8, ["evidence"]),
    "viewer": (VERA, "completed_proof_incomplete", 8, ["operation", "evidence"]),
}


@pytest.mark.parametrize(("actor", "state", "rule", "withheld"), SHOWN.values(), ids=SHOWN)
def test_every_showing_is_logged_for_its_viewer_with_what_was_withheld(ledger, actor, state, rule, withheld):
    run_id = live(ledger)
    ids = {"evidence": prove(ledger, run_id)}
    ids["operation"] = ledger.show(run_id, ADA.id, ADA).record.operation_run_id
    before = last(ledger)
    shown = ledger.show(run_id, actor.id, actor)
    (event,) = log_since(ledger, before)
    assert (shown.event_id, shown.decision.state, shown.decision.rule) == (event.event_id, state, rule)
    assert event.data["decision"] == msgspec.json.decode(msgspec.json.encode(shown.decision))
    assert event.data["withheld"] == [ids[name] for name in withheld]
    assert (event.data["viewer"]["id"], event.data["trigger"]) == (actor.id, "show")
    assert (event.entry["stream"], event.entry["run"]) == (f"view/{run_id}/{actor.id}", run_id)
    assert event.data["facts_digest"] == digest(ledger.peek(run_id, ADA).facts())
    assert shown.facts_digest == (None if "evidence" in withheld else event.data["facts_digest"])
    assert faults([event]) == []


def test_what_an_auditor_looks_up_for_somebody_is_logged_for_that_person_and_names_the_auditor(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    shown = ledger.show(run_id, VERA.id, UDO)
    event = log(ledger)[-1]
    assert shown.decision.state == "completed_proof_incomplete"
    assert (event.entry["actor"]["id"], event.data["viewer"]["id"]) == ("udo", "vera")
    assert shown.decision == ledger.show(run_id, VERA.id, VERA).decision


def test_two_showings_are_two_events_on_the_same_stream(ledger):
    run_id = live(ledger, "draft")
    first, second = ledger.show(run_id, ADA.id, ADA), ledger.project(run_id, ADA.id, ADA)
    assert first.event_id < second.event_id
    seqs = [event.entry["seq"] for event in log(ledger) if event.entry["stream"] == f"view/{run_id}/ada"]
    assert seqs == [0, 1]


def test_deciding_again_on_the_logged_facts_gives_every_logged_decision(ledger):
    for status in PATHS:
        run_id = live(ledger, status)
        if status in TERMINAL and status != "cancelled":
            prove(ledger, run_id)
        for actor in (ADA, WIM, VERA):
            ledger.show(run_id, actor.id, actor)
    links = (operation("o7"), snapshot("s7", "o7"), snapshot("s8", "o7", scope=("other", "local")))
    ledger.import_facts(lines(facts("x1", "completed", *links), facts("x2", "failed", is_dry_run=True)), ADA)
    events = log(ledger)
    assert len(projections(events)) > 80
    assert faults(events) == []


def test_the_receipt_carries_the_decision_that_was_logged_for_the_record(ledger):
    run_id = live(ledger, "running")
    given = RunDetails(counts=Counts(total=4, succeeded=3, skipped=1), attention=Attention.PARTIAL)
    receipt = ledger.fire(run_id, RunEvent.COMPLETE, ADA, given=given)
    logged = projections(log(ledger))[-1].data["decision"]
    assert msgspec.json.decode(msgspec.json.encode(receipt.decision)) == logged
    assert logged["result_summary"]["counts"] == {"total": 4, "succeeded": 3, "skipped": 1}
    assert (logged["state"], logged["attention"]) == ("completed_proof_incomplete", "partial")


def test_reported_items_are_kept_and_win_over_the_counts_that_the_worker_adds_up(ledger):
    run_id = live(ledger, "running")
    for key, result in [("b", "succeeded"), ("a", "succeeded"), ("c", "skipped")]:
        ledger.fire(run_id, RunEvent.REPORT, WIM, items=[Item(key=key, result=ItemResult(result))])
    decision = ledger.fire(run_id, RunEvent.COMPLETE, WIM, given=RunDetails(counts=Counts(total=9))).decision
    assert (decision.result_summary.counts.total, decision.result_summary.items) == (3, 3)
    assert not decision.result_summary.metadata_only
    assert [(item.key, item.result) for item in ledger.items(run_id, VERA.id)] == [
        *(("a", "succeeded"), ("b", "succeeded"), ("c", "skipped")),
    ]


def test_a_retry_is_a_new_run_that_names_the_old_one_which_stays_as_it_is(ledger):
    old = live(ledger, "failed", details=RunDetails(backup="b1", target="t1"))
    before = ledger.show(old, ADA.id, ADA).record
    new = ledger.show(ledger.retry(old, OLGA).run_id, ADA.id, ADA).record
    assert (new.status, new.details.retry_of, new.details.attempt) == ("draft", old, 2)
    assert (new.details.backup, new.details.target, new.details.requested_by) == ("b1", "t1", "olga")
    assert new.operation_run_id is None
    assert ledger.show(old, ADA.id, ADA).record == before
    fire(ledger, new.id, *PATHS["failed"])
    assert ledger.show(ledger.retry(new.id, ADA).run_id, ADA.id, ADA).record.details.attempt == 3


def test_a_dry_run_stays_one_to_its_end_and_nothing_was_executed_by_it(ledger):
    run_id = live(ledger, "previewed", is_dry_run=True)
    with pytest.raises(GuardRefusedError, match="a dry run is never executed"):
        ledger.fire(run_id, RunEvent.QUEUE, ADA)
    shown = ledger.show(run_id, ADA.id, ADA)
    assert (shown.record.is_dry_run, shown.decision.state, shown.decision.rule) == (True, "not_executed", 1)
    assert ledger.show(ledger.create(NewRun(), ADA).run_id, ADA.id, ADA).record.is_dry_run is False
