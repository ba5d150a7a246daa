"""A process that is killed at any statement of a write leaves all of it or nothing, and the same key finds out which."""

from __future__ import annotations

import pytest

from proofgap.facts import SnapshotEvent
from proofgap_store import Ledger
from tests.conformance.lives import ADA, chain_faults, live, log, tables
from tests.store.children import KEYED, killed
from tests.store.faults import count, expose
from tests.store.raw import connect

MOVED = ("queue", "report", "complete", "activate")
BEFORE = {"queue": "previewed", "report": "running", "complete": "running"}


def subject_of(ledger, write):
    """Give a record that the write can be done to."""
    if write != "activate":
        return live(ledger, BEFORE[write])
    snapshot = ledger.begin_evidence(live(ledger), ADA).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    return snapshot


def wholly(before, after):
    """Tell whether a write happened: True, False, or None if it did in part."""
    added = {name: len(after[name]) - len(before[name]) for name in before}
    if after == before:
        return False
    return True if added["receipt"] == 1 and added["audit_event"] > 1 else None


def reopened(path):
    """Open the ledger again, as the next process does."""
    return Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL")


@pytest.mark.parametrize("write", MOVED)
def test_killed_at_every_statement_a_write_is_there_wholly_or_not_at_all_and_its_key_gives_one_result(
    path, ledger, write
):
    statements = len(statements_of(expose(ledger), write))
    ledger.close()
    found = [outcome(path, write, number, side) for number in range(statements) for side in ("before", "after")]
    assert found == [False] * (2 * statements - 1) + [True]


def statements_of(ledger, write):
    """List the statements of one such write and of nothing else."""
    subject = subject_of(ledger, write)
    verbs = count(lambda: KEYED[write](ledger, subject))
    assert verbs[-1] == "COMMIT"
    return verbs


def outcome(path, write, number, side):
    """Kill a process at one statement; tell whether its write happened; then ask again under its key."""
    with reopened(path) as ledger:
        subject = subject_of(ledger, write)
        before = tables(ledger)
    assert killed(str(path), write, subject, number, side)
    with reopened(path) as ledger:
        happened = wholly(before, tables(ledger))
        assert happened is not None
        receipts = [KEYED[write](ledger, subject) for _ in range(2)]
        assert [receipt.replayed for receipt in receipts] == [happened, True]
        added = [event for event in log(ledger)[len(before["audit_event"]) :] if event.type.endswith(".transitioned")]
        assert [event.data["subject"] for event in added].count(subject) == 1
        assert receipts[0].event_id == receipts[1].event_id
        assert chain_faults(log(ledger)) == []
    return happened


def test_after_a_crash_the_chain_is_whole_and_the_file_is_sound(path, ledger):
    subject = live(ledger, "running")
    for number in (6, 7, 8):
        assert killed(str(path), "complete", subject, number, "before")
    assert chain_faults(log(ledger)) == []
    connection = connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    assert KEYED["complete"](ledger, subject).status == "completed"
