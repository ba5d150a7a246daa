"""What may be done to a log verifies as what it is: kept, erased, pruned and declared; and the same acts forged do not."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from proofgap.access import Role
from proofgap.audit import ACTOR_NAME, NOTE
from proofgap.facts import RunEvent
from proofgap.findings import Verdict
from proofgap_store import Erasure, Ledger, PruneOrder, Query
from tests.conformance.lives import ADA, HOME, OLGA, live, log, prove
from tests.conformance.pruning import hold, prune
from tests.store.tampering import URL, codes, make, unguarded, verified

NAMED = replace(ADA, name="Ada L.")
WHY = "the database team asked for another night"


@pytest.fixture
def path(tmp_path):
    """A ledger in which everything happened, closed, with names and a note."""
    file = make(tmp_path / "ledger.db").path
    with opened(file) as ledger:
        ledger.access.grant("sam", Role.VIEWER, HOME, NAMED)
        run = live(ledger, "queued", actor=NAMED)
        ledger.fire(run, RunEvent.CANCEL, NAMED, note=WHY)
        prove(ledger, live(ledger, actor=NAMED), actor=NAMED)
        ledger.list_runs(ADA.id, NAMED, Query(limit=2))
        ledger.audit.checkpoint()
    return file


def opened(path):
    return Ledger.open(URL(path), create=False, synchronous="OFF")


def noted(ledger):
    """Give the event that a note came with."""
    return next(found.event_id for found in log(ledger) if NOTE in found.entry.get("commit", {}))


def test_commitments_with_their_openings_are_in_order(path):
    assert verified(path).verdict is Verdict.OK


def test_a_redaction_is_in_order(path):
    with opened(path) as ledger:
        event = str(noted(ledger))
        for erased in (NOTE, ACTOR_NAME):
            ledger.audit.redact(Erasure(event=event, path=erased, reason="gdpr-17"), NAMED)
        ledger.audit.checkpoint()
    assert verified(path).verdict is Verdict.OK


def test_an_opening_that_is_gone_without_an_event_or_says_something_else_is_found(path):
    with unguarded(path) as connection:
        connection.execute("DELETE FROM audit_private WHERE path = 'data.note'")
    assert codes(path) == {"OPENING_MISSING"}
    with unguarded(path) as connection:
        connection.execute("UPDATE audit_private SET value = 'x' WHERE path = 'actor.name'")
    assert codes(path) == {"OPENING_MISSING", "OPENING_INVALID"}


def test_what_was_redacted_and_is_still_there_is_found(path):
    with opened(path) as ledger:
        event = noted(ledger)
        salt = ledger.audit.get(event, ADA).openings[NOTE].salt
        ledger.audit.redact(Erasure(event=str(event), path=NOTE, reason="gdpr-17"), ADA)
        ledger.audit.checkpoint()
    with unguarded(path) as connection:
        connection.execute("INSERT INTO audit_private VALUES (?, 'data.note', ?, ?)", (event, salt, WHY))
    assert codes(path) == {"OPENING_INVALID"}


@pytest.mark.parametrize("events", [1, 5, 20, 40, 60, 80, None])
def test_a_pruning_of_any_length_is_in_order_and_so_is_all_that_comes_after(path, tmp_path, events):
    with opened(path) as ledger:
        pinned = ledger.audit.checkpoint().note
        done = prune(ledger, tmp_path / "export.jsonl", events=events)
        run = live(ledger, actor=NAMED)
        ledger.show(run, OLGA.id, OLGA)
        ledger.audit.checkpoint()
    found = verified(path, pin=pinned)
    assert (found.verdict, found.pruned_before) == (Verdict.OK, done.last + 1)
    assert {finding.code for finding in found.findings} == {"PRUNED"}


def test_two_prunings_with_runs_across_each_border_are_in_order(path, tmp_path):
    with opened(path) as ledger:
        run = live(ledger, "running")
        ledger.audit.checkpoint()
        prune(ledger, tmp_path / "first.jsonl", events=30)
        prune(ledger, tmp_path / "second.jsonl")
        ledger.fire(run, RunEvent.COMPLETE, NAMED, note="done")
        prove(ledger, run)
        ledger.audit.checkpoint()
        prune(ledger, tmp_path / "third.jsonl", events=4)
        ledger.audit.checkpoint()
    assert verified(path).verdict is Verdict.OK


def test_a_pruning_that_stopped_at_a_hold_and_one_after_its_release_are_in_order(path, tmp_path):
    with opened(path) as ledger:
        held = hold(ledger, run=live(ledger))
        live(ledger)
        ledger.audit.checkpoint()
        assert prune(ledger, tmp_path / "first.jsonl").stopped is not None
        ledger.audit.release(held.id, NAMED)
        ledger.audit.checkpoint()
        assert prune(ledger, tmp_path / "second.jsonl").stopped is None
        ledger.audit.checkpoint()
    assert verified(path).verdict is Verdict.OK


def test_a_payload_that_was_pruned_without_leave_is_found(path, tmp_path):
    with opened(path) as ledger:
        prune(ledger, tmp_path / "export.jsonl", events=20)
        ledger.audit.checkpoint()
    with unguarded(path) as connection:
        connection.execute(
            "UPDATE audit_event SET payload = json_object('actor', json_object('id', 'pruned'), 'at_us', at_us, 'env', "
            "env, 'id', id, 'pruned', event_id, 'rec_us', json_extract(payload, '$.rec_us'), 'run', run, 'seq', seq, "
            "'stream', stream, 'type', type, 'v', json_extract(payload, '$.v'), 'ws', ws) "
            "WHERE event_id = (SELECT event_id FROM audit_leaf WHERE idx = 25)"
        )
    assert verified(path).verdict is Verdict.TAMPERED


def test_a_declared_gap_is_a_warning_for_ever(path):
    with opened(path) as ledger:
        connection = ledger._gate.engine.raw_connection()
        connection.execute("DROP TRIGGER receipt_is_never_deleted")
        connection.close()
        ledger.audit.declare_gap("cause unknown", NAMED)
        ledger.audit.checkpoint()
    found = verified(path)
    assert (found.verdict, {finding.code for finding in found.findings}) == (Verdict.WARN, {"GAP_DECLARED"})


def test_a_declared_restore_is_a_warning_for_ever_and_a_roll_back_for_whoever_pinned_what_is_gone(path, tmp_path):
    copy = Path(shutil.copy(path, tmp_path / "copy.db"))
    with opened(path) as ledger:
        live(ledger)
        pinned = ledger.audit.checkpoint().note
    shutil.copy(copy, path)
    assert codes(path, head=pinned) == {"ROLLBACK"}
    with opened(path) as ledger:
        ledger.audit.declare_restore("disk failure", NAMED)
        kept = ledger.audit.checkpoint().note
    assert codes(path, head=kept) == {"RESTORE_DECLARED"}
    assert codes(path, pin=pinned) == {"RESTORE_DECLARED", "ROLLBACK"}


def test_the_export_of_a_pruning_proves_itself_with_the_standard_library(path, tmp_path):
    file = tmp_path / "export.jsonl"
    with opened(path) as ledger:
        size = ledger.audit.checkpoint().size
        done = ledger.audit.prune(PruneOrder(file=str(file), events=size), ADA)
    leaves = []
    for line in file.read_bytes().splitlines():
        row = json.loads(line)
        leaves.append(sha256(b"\x00" + row["payload"].encode()).digest())
        assert (leaves[-1].hex(), row["idx"]) == (row["leaf"], len(leaves) - 1)
    assert (len(leaves), root(leaves).hex()) == (done.size, done.root)


def root(leaves):
    """Give the root of a tree as RFC 6962 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()
