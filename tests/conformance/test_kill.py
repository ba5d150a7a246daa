"""A process that is killed at any statement of a write leaves all of it or nothing, and the same key finds out which."""

from __future__ import annotations

import pytest

from proofgap.facts import SnapshotEvent
from tests.conformance.children import KEYED, killed
from tests.conformance.faults import count, expose
from tests.conformance.lives import ADA, chain_faults, live, log, tables

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


def places(place, verbs):
    """List where a process is killed: around every statement; on a server, where somebody else ends what it began.

    There the death of a process is a connection that is cut, which `test_broken_writes` does around every statement.
    """
    last = len(verbs) - 1
    if place.is_on_server:
        return [(verbs.index("INSERT"), "after"), (last, "before"), (last, "after")]
    return [(number, side) for number in range(len(verbs)) for side in ("before", "after")]


@pytest.mark.parametrize("write", MOVED)
def test_killed_anywhere_a_write_is_there_wholly_or_not_at_all_and_its_key_gives_one_result(place, write):
    with place.open() as ledger:
        deadly = places(place, statements_of(expose(ledger), write))
    found = [outcome(place, write, number, side) for number, side in deadly]
    assert found == [False] * (len(deadly) - 1) + [True]


def statements_of(ledger, write):
    """List the statements of one such write and of nothing else."""
    subject = subject_of(ledger, write)
    verbs = count(lambda: KEYED[write](ledger, subject))
    assert verbs[-1] == "COMMIT"
    return verbs


def outcome(place, write, number, side):
    """Kill a process at one statement; tell whether its write happened; then ask again under its key."""
    with place.open() as ledger:
        subject = subject_of(ledger, write)
        before = tables(ledger)
    assert killed(place, number, side, "write", write, subject)
    with place.open() as ledger:
        happened = wholly(before, tables(ledger))
        assert happened is not None
        receipts = [KEYED[write](ledger, subject) for _ in range(2)]
        assert [receipt.replayed for receipt in receipts] == [happened, True]
        added = [event for event in log(ledger)[len(before["audit_event"]) :] if event.type.endswith(".transitioned")]
        assert [event.data["subject"] for event in added].count(subject) == 1
        assert receipts[0].event_id == receipts[1].event_id
        assert chain_faults(log(ledger)) == []
    return happened


def test_after_crashes_the_log_is_whole_and_the_database_is_sound(place):
    with place.open() as ledger:
        subject = live(ledger, "running")
        for number in (6, 7, 8):
            assert killed(place, number, "before", "write", "complete", subject)
        assert chain_faults(log(ledger)) == []
        assert ledger.database.check().damage == ()
        assert ledger.verify().counts == {}
        assert KEYED["complete"](ledger, subject).status == "completed"
