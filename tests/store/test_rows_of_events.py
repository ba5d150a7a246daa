"""Rows that belong to an event: items, checks and receipts come with it, as it says, and with no other."""

from __future__ import annotations

from typing import Any

import pytest

from proofgap.facts import ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item
from proofgap_store import NewRun
from tests.conformance.lives import ADA, after_the_end, live, prove
from tests.store.raw import APPEND, SETTINGS, connect, forged, refused, row_of

ITEM = "INSERT INTO result_item VALUES (?, ?, 'failed', '{}', ?)"
CHECK = "INSERT INTO evidence_check VALUES (?, ?, 'failed', '{}', ?)"
RECEIPT = "INSERT INTO receipt VALUES (?, ?, ?, '{}', ?)"
TOO_LATE = "proofgap: item rows are written with their report only"
NOT_ITS_OWN = "proofgap: checks are written with their snapshot only"
NOT_ASKED = "proofgap: receipts are written with their request only"


@pytest.fixture(params=SETTINGS)
def connection(ledger, path, request):
    """A connection of somebody else to the file of the ledger."""
    opened = connect(path, request.param)
    yield opened
    opened.close()


def appended(connection: Any, entry: dict[str, Any]) -> int:
    """Put a forged event into the log, and keep it; give its number."""
    connection.execute(APPEND, row_of(entry))
    return int(connection.execute("SELECT max(event_id) FROM audit_event").fetchone()[0])


def last_event(connection: Any, table: str, id_: str) -> int:
    """Read the last event of a record."""
    select = f"SELECT last_event_id FROM {table} WHERE id = ?"  # noqa: S608 - names of this test only
    return int(connection.execute(select, (id_,)).fetchone()[0])


def test_an_item_comes_with_its_report_and_not_once_something_else_happened(ledger, connection):
    run_id = live(ledger, "running")
    report = ledger.fire(run_id, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.SUCCEEDED)]).event_id
    assert refused(connection, ITEM, run_id, "b", report) is None
    ledger.fire(run_id, RunEvent.REQUEST_CANCEL, ADA)
    assert refused(connection, ITEM, run_id, "b", report) == TOO_LATE
    assert refused(connection, ITEM, run_id, "b", last_event(connection, "restore_run", run_id)) == TOO_LATE


def test_an_item_is_not_added_to_a_report_of_a_run_that_is_over_nor_to_that_of_another_run(ledger, connection):
    ledger.access.declare_environment(("default", "annex"), ADA)
    over, other = live(ledger, "running"), live(ledger, "running", environment="annex")
    ledger.fire(over, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.SUCCEEDED)])
    report = last_event(connection, "restore_run", over)
    assert refused(connection, ITEM, other, "b", report) == TOO_LATE
    ledger.fire(over, RunEvent.COMPLETE, ADA)
    assert refused(connection, ITEM, over, "b", report) == TOO_LATE


def generating(ledger: Any, run_id: str, offset_us: int = 1_000) -> str:
    """Begin a snapshot that is being produced."""
    snapshot = ledger.begin_evidence(run_id, ADA, captured_at_us=after_the_end(ledger, run_id, offset_us)).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    return str(snapshot)


def test_a_check_comes_with_the_end_of_its_snapshot_and_not_once_that_has_expired(ledger, connection):
    snapshot = generating(ledger, live(ledger))
    entry = forged(connection, snapshot, "activate", "active", data={"details": {"checks_total": 2}})
    activated = appended(connection, entry)
    assert refused(connection, CHECK, snapshot, 1, activated) is None
    assert refused(connection, CHECK, snapshot, 2, activated) == NOT_ITS_OWN  # more than it counted
    ledger.fire_evidence(snapshot, SnapshotEvent.EXPIRE, ADA)
    for number in (activated, last_event(connection, "evidence_snapshot", snapshot)):
        assert refused(connection, CHECK, snapshot, 1, number) == NOT_ITS_OWN


def test_a_check_is_not_added_to_a_snapshot_that_was_superseded_nor_to_one_that_is_not_finished(ledger, connection):
    run_id = live(ledger)
    first = prove(ledger, run_id)
    activated = last_event(connection, "evidence_snapshot", first)
    assert refused(connection, CHECK, first, 1, activated) == NOT_ITS_OWN
    second = prove(ledger, run_id, captured_at_us=2_000)
    for number in (activated, last_event(connection, "evidence_snapshot", second)):
        assert refused(connection, CHECK, first, 1, number) == NOT_ITS_OWN
    third = generating(ledger, run_id, 3_000)
    assert refused(connection, CHECK, third, 0, last_event(connection, "evidence_snapshot", third)) == NOT_ITS_OWN


def test_a_receipt_is_bound_to_actor_key_and_request_of_its_event(ledger, connection):
    run_id = live(ledger, "running")
    entry = forged(connection, run_id, "request_cancel", "running", data={"key": "k9", "request": "a" * 64})
    number = appended(connection, entry)
    assert refused(connection, RECEIPT, "ada", "k9", "a" * 64, number) is None
    for actor, key, request in (("ada", "k9", "b" * 64), ("ada", "k8", "a" * 64), ("eve", "k9", "a" * 64)):
        assert refused(connection, RECEIPT, actor, key, request, number) == NOT_ASKED


def test_a_receipt_is_not_made_for_an_event_that_was_asked_for_without_a_key(ledger, connection):
    number = ledger.fire(live(ledger, "running"), RunEvent.REQUEST_CANCEL, ADA).event_id
    assert refused(connection, RECEIPT, "ada", "k9", "a" * 64, number) == NOT_ASKED
    assert refused(connection, RECEIPT, "ada", "k9", "a" * 64, number + 99) == NOT_ASKED


def test_a_receipt_is_not_copied_to_another_key(ledger, connection):
    ledger.create(NewRun(), ADA, key="k1")
    copy = "INSERT INTO receipt SELECT actor, 'k2', fingerprint, body, event_id FROM receipt"
    assert refused(connection, copy) == NOT_ASKED


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "REPLACE"])
def test_another_active_snapshot_is_refused_by_its_name_and_the_first_one_stays(ledger, connection, verb):
    run_id = live(ledger)
    first = prove(ledger, run_id)
    entry = forged(connection, generating(ledger, run_id, 2_000), "activate", "active")
    answer = refused(connection, APPEND.replace("INSERT", verb), *row_of(entry))
    assert answer == "proofgap: another snapshot of the operation run is active"
    found = connection.execute("SELECT id FROM evidence_snapshot WHERE status = 'active'").fetchall()
    assert found == [(first,)]
