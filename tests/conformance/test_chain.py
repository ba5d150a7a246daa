"""The log: gapless, linked, canonical, and the only source of what the tables say."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from proofgap.errors import ForbiddenError, GuardRefusedError, NotAllowedError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap_store import NewRun
from tests.conformance.lives import (
    ADA,
    OLGA,
    PATHS,
    TERMINAL,
    UDO,
    VERA,
    WIM,
    chain_faults,
    facts,
    fire,
    lines,
    live,
    log,
    open_scope,
    operation,
    prove,
    snapshot,
    tables,
)


@pytest.fixture
def eventful(ledger):
    """A ledger in which everything happened that can happen."""
    for status in PATHS:
        run_id = live(ledger, status)
        ledger.show(run_id, VERA.id, VERA)
        if status in TERMINAL and status != "cancelled":
            prove(ledger, run_id, captured_at_us=1_000)
            ledger.fire_evidence(prove(ledger, run_id, captured_at_us=2_000), SnapshotEvent.EXPIRE, WIM)
        with pytest.raises((NotAllowedError, GuardRefusedError)):
            ledger.fire(run_id, RunEvent.APPROVE, ADA)
    fire(ledger, live(ledger, "checked"), "block")
    ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot(), snapshot("s2", "o9"))), ADA)
    open_scope(ledger, ("w2", "e2"), OLGA)
    ledger.access.declare_environment(("default", "local"), ADA, approvals_required=1)
    ledger.access.grant("vera", "auditor", ("default", "local"), ADA, revoke=True)
    ledger.list_runs(UDO.id, UDO)
    with pytest.raises(ForbiddenError):
        ledger.create(NewRun(), UDO)
    return ledger


def test_a_ledger_in_which_everything_happened_has_an_unbroken_chain_on_every_stream(eventful):
    events = log(eventful)
    assert {event.type for event in events} == {
        *("machine.defined", "environment.declared", "access.granted", "access.revoked", "audit.key_rotated"),
        "access.denied",
        *("restore.run.created", "restore.run.imported", "restore.run.transitioned"),
        *("restore.run.transition_refused", "restore.operation.created", "restore.operation.imported"),
        *("restore.operation.transitioned", "restore.evidence.created", "restore.evidence.imported"),
        *("restore.evidence.transitioned", "restore.link.conflicted"),
        *("restore.decision.projected", "restore.decision.listed"),
    }
    assert chain_faults(events) == []


def test_event_ids_rise_in_the_order_of_each_stream_and_no_id_comes_twice(eventful):
    events = log(eventful)
    assert len({event.entry["id"] for event in events}) == len(events)
    streams = Counter(event.entry["stream"] for event in events)
    for stream, count in streams.items():
        assert [event.entry["seq"] for event in events if event.entry["stream"] == stream] == list(range(count))


def test_the_head_of_each_stream_is_the_leaf_of_its_last_event(eventful):
    heads = {row["stream"]: (row["seq"], row["head"], row["last_event_id"]) for row in tables(eventful)["audit_stream"]}
    ends = {event.entry["stream"]: (event.entry["seq"], event.leaf, event.event_id) for event in log(eventful)}
    assert heads == ends


def test_the_tables_say_what_the_last_event_of_each_record_says(eventful):
    found = tables(eventful)
    logged = {event.event_id: event.data for event in log(eventful)}
    for table in ("restore_run", "operation_run", "evidence_snapshot"):
        for row in found[table]:
            data = logged[row["last_event_id"]]
            assert (row["id"], row["status"], row["version"]) == (
                *(data["subject"], data["target"], data.get("version", 1)),
            )


def test_the_history_of_a_run_is_every_event_that_names_it_oldest_first(eventful):
    run_id = live(eventful, "previewed")
    eventful.show(run_id, UDO.id, ADA)
    history = eventful.history(run_id, UDO.id)
    assert [event.event_id for event in history] == [
        event.event_id for event in log(eventful) if event.entry["run"] == run_id
    ]
    assert [(event.leaf, event.entry) for event in history] == [
        (event.leaf, event.entry) for event in log(eventful) if event.entry["run"] == run_id
    ]
    assert history[0].entry["type"] == "restore.run.created"


def test_the_machines_in_force_are_defined_in_the_log_with_every_edge(ledger):
    defined = [event.data for event in log(ledger) if event.type == "machine.defined"]
    assert {data["machine"] for data in defined} == {"run", "operation", "evidence"}
    edges = {(row["definition"], row["source"], row["event"], row["target"]) for row in tables(ledger)["machine_edge"]}
    assert edges == {(data["definition"], *edge) for data in defined for edge in data["edges"]}


def test_every_transition_names_the_definition_of_its_machine_that_was_in_force(eventful):
    machines = {
        event.data["definition"]: event.data["machine"] for event in log(eventful) if event.type == "machine.defined"
    }
    for event in log(eventful):
        if event.type.endswith(".transitioned"):
            assert machines[event.data["definition"]] == event.type.split(".")[1]


def test_one_changed_byte_in_a_payload_would_be_found(eventful):
    events = log(eventful)
    changed = events[2]._replace(payload=events[2].payload.replace("ada", "eve"))
    assert chain_faults([*events[:2], changed, *events[3:]]) != []
    assert chain_faults([*events[:2], *events[3:]]) != []
    assert msgspec.json.decode(events[2].payload) == events[2].entry
