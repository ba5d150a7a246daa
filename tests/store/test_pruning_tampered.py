"""Prunings against whoever owns the file: what was edited, taken away or forged behind a pruning is found and named."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from proofgap.access import Role
from proofgap.audit import canonical, leaf_hash
from proofgap.facts import ItemResult, RunEvent
from proofgap.findings import Code, Verdict
from proofgap.records import Item
from proofgap_store import Ledger, NewRun
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import ADA, HOME, PATHS, fire, live, make_room, prove
from tests.conformance.pruning import hold, prune
from tests.store.raw import APPEND, new_event_id, row_of
from tests.store.tampering import URL, codes, unguarded, verified

ITEMS = [Item(key=key, result=ItemResult.FAILED) for key in "ab"]
LEAVE = """UPDATE audit_event SET payload = json_object('actor', json_object('id', 'pruned'), 'at_us', at_us, 'env', env, 'id', id, 'pruned', event_id,
 'rec_us', json_extract(payload, '$.rec_us'), 'run', run, 'seq', seq, 'stream', stream, 'type', type,
 'v', json_extract(payload, '$.v'), 'ws', ws) WHERE """
"""What turns events into tombstones, past every guard."""
SAY = "UPDATE audit_event SET payload = json_set(payload, ?, ?) WHERE event_id = "
GONE = "SELECT event_id FROM audit_event WHERE payload ->> '$.pruned' > 0"


@pytest.fixture
def path(tmp_path):
    """A ledger with a run that failed with items and evidence, and one that runs; covered by a checkpoint, closed."""
    file = tmp_path / "ledger.db"
    with opened(file, owner=ADA.id) as ledger:
        for revoke in (False, True):
            ledger.access.grant("mallory", Role.ADMIN, HOME, ADA, revoke=revoke)
        run = ledger.create(NewRun(), ADA, key="k1").run_id
        fire(ledger, run, *PATHS["queued"])
        fire(ledger, run, "start")
        ledger.fire(run, RunEvent.REPORT, ADA, items=ITEMS)
        fire(ledger, run, "complete_partially")
        prove(ledger, run)
        ledger.show(run, ADA.id, ADA)
        ledger.list_runs(ADA.id, ADA)
        live(ledger, "running")
        ledger.audit.checkpoint()
    return file


def opened(path, **options: Any) -> Ledger:
    return Ledger.open(URL(path), synchronous="OFF", **options)


def pruned(path, events=None):
    """Prune, and cover that by a checkpoint too; give the signed note."""
    with opened(path) as ledger:
        prune(ledger, path.parent / f"{time.monotonic_ns()}.jsonl", events=events)
        note: str = ledger.audit.checkpoint().note
    assert verified(path, pin=note).verdict is Verdict.OK
    return note


def edit(path, statement, *parameters) -> None:
    """Change rows behind the guards; something has to change."""
    with unguarded(path) as connection:
        assert connection.execute(statement, parameters).rowcount > 0


EDITS = {
    "the status of a run": ("restore_run SET status = 'completed' WHERE status = 'partial'", "ROW_MISMATCH"),
    "the details of a run": ("restore_run SET details = '{}'", "ROW_MISMATCH"),
    "the version of a run": ("restore_run SET version = 99", "ROW_MISMATCH"),
    "when a run began": ("restore_run SET created_at_us = 1", "ROW_MISMATCH"),
    "where a run came from": ("restore_run SET imported = 1", "ROW_MISMATCH"),
    "whether it was a dry run": ("restore_run SET is_dry_run = 1 - is_dry_run", "ROW_MISMATCH"),
    "the outcome of an operation run": ("operation_run SET outcome = 'succeeded'", "ROW_MISMATCH"),
    "when evidence was captured": ("evidence_snapshot SET captured_at_us = 1", "ROW_MISMATCH"),
    "an item": (
        "result_item SET document = replace(document, 'failed', 'succeeded'), result = 'succeeded'", "ROWS_DIGEST",
    ),
    "a check": ("evidence_check SET document = replace(document, 'passed', 'failed')", "ROWS_DIGEST"),
    "a receipt": ("receipt SET body = json_set(body, '$.status', 'completed')", "RECEIPT_MISMATCH"),
}  # fmt: skip


@pytest.mark.parametrize("events", [30, None], ids=["a part", "everything"])
@pytest.mark.parametrize(("statement", "code"), EDITS.values(), ids=EDITS)
def test_what_is_edited_after_a_pruning_is_found(path, events, statement, code):
    note = pruned(path, events)
    edit(path, f"UPDATE {statement}")
    assert code in codes(path, pin=note)


def test_items_and_checks_that_came_after_the_first_event_was_pruned_are_still_held_against_their_digests(path):
    with opened(path) as ledger:
        begun = ledger.create(NewRun(), ADA).run_id
        ledger.audit.checkpoint()
    pruned(path)
    with opened(path) as ledger:
        fire(ledger, begun, *PATHS["queued"])
        make_room(ledger)
        fire(ledger, begun, "start")
        ledger.fire(begun, RunEvent.REPORT, ADA, items=ITEMS)
        note = ledger.audit.checkpoint().note
    edit(path, "UPDATE result_item SET document = replace(document, 'failed', 'skipped') WHERE run = ?", begun)
    assert codes(path, pin=note) == {"ROWS_DIGEST", "PRUNED"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("at_us", 1), ("rec_us", 2), ("type", "restore.run.created"), ("ws", "elsewhere"), ("run", "rr_x"), ("v", 2)],
)
def test_what_a_pruning_left_is_held_against_its_digest(path, name, value):
    note = pruned(path)
    last = "(SELECT max(event_id) FROM audit_event WHERE payload ->> '$.pruned' > 0)"
    edit(path, SAY + last, f"$.{name}", value)
    assert "PRUNE_INVALID" in codes(path, pin=note)


def test_events_of_the_ledgers_own_affairs_are_never_tombstones(path):
    note = pruned(path)
    edit(path, LEAVE + "type = 'access.revoked'")
    edit(path, "UPDATE access_grant SET active = 1, last_event_id = (SELECT max(event_id) FROM audit_event "
         "WHERE type = 'access.granted' AND payload ->> '$.data.principal' = 'mallory') WHERE principal = 'mallory'")  # fmt: skip
    assert {"LEAF_MISMATCH", "FORM_INVALID"} <= codes(path, pin=note)


@pytest.mark.parametrize("kept", ["restore.run.transitioned", "restore.evidence.created", "restore.decision.projected"])
def test_an_event_that_pruning_left_whole_or_never_came_to_is_no_tombstone_afterwards(path, kept):
    note = pruned(path, None if kept != "restore.decision.projected" else 30)
    last = "(SELECT max(event_id) FROM audit_event WHERE type = ? AND payload ->> '$.pruned' IS NULL)"
    edit(path, f"{LEAVE} event_id = {last}", kept)
    assert codes(path, pin=note) & {"PRUNE_INVALID", "LEAF_MISMATCH"}


# prunings that nobody ordered


def forge(path, where="stream NOT GLOB 'system/*'", **said: Any) -> None:
    """Write tombstones and an event ``audit.pruned`` behind the guards, so that everything else follows."""
    with unguarded(path) as connection:
        connection.execute(LEAVE + where)
        left = connection.execute("SELECT payload FROM audit_event WHERE payload ->> '$.pruned' > 0 ORDER BY event_id")
        lines = [f"{payload}\n" for (payload,) in left.fetchall()]
        connection.execute(f"DELETE FROM audit_private WHERE event_id IN ({GONE})")  # noqa: S608 - our own text only
        size, root = connection.execute("SELECT size, root FROM audit_checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        data = {"first": 0, "last": size - 1, "size": size, "root": root, "export_sha256": "0" * 64, "kept_as": "x"}
        append(
            connection,
            data | {"tombstones": len(lines), "tombstones_sha256": sha256("".join(lines).encode()).hexdigest()} | said,
        )


def append(connection, data) -> None:
    payload, leaf = row_of(follow(connection, data))
    connection.execute(APPEND, (payload, leaf))
    number, seq = connection.execute("SELECT event_id, seq FROM audit_event ORDER BY event_id DESC LIMIT 1").fetchone()
    head = "UPDATE audit_stream SET seq = ?, head = ?, last_event_id = ? WHERE stream = 'system/audit'"
    connection.execute(head, (seq, leaf, number))
    connection.execute("INSERT INTO audit_unsequenced VALUES (?)", (number,))


def follow(connection, data) -> dict[str, Any]:
    """Give an event ``audit.pruned`` that follows the last one of its stream."""
    found = connection.execute(
        "SELECT payload FROM audit_event WHERE stream = 'system/audit' ORDER BY seq DESC LIMIT 1"
    )
    last = found.fetchone()[0].encode()
    event: dict[str, Any] = msgspec.json.decode(last)
    assert canonical(event) == last
    now = time.time_ns() // 1000
    linked = {"seq": event["seq"] + 1, "prev": leaf_hash(last), "rec_us": now, "at_us": now, "id": new_event_id()}
    return event | linked | {"type": "audit.pruned", "data": data, "commit": {}}


def signed(path) -> str:
    """Let the ledger itself sign what is there."""
    with opened(path) as ledger:
        return str(ledger.audit.checkpoint().note)


STOOD_ON = "type = 'restore.run.transitioned' AND run = (SELECT id FROM restore_run WHERE status = 'partial')"
FORGED = {
    "another root": {"root": "0" * 64},
    "another size": {"size": 3},
    "a size that was never signed": {"size": 999},
    "not from the beginning": {"first": 7},
    "to before its beginning": {"last": -1},
    "another count": {"tombstones": 99},
    "another digest": {"tombstones_sha256": "0" * 64},
    "words for numbers": {"last": "all"},
    "no end": {"last": None},
}


@pytest.mark.parametrize("said", FORGED.values(), ids=FORGED)
def test_a_pruning_that_the_rules_do_not_allow_is_found(path, said):
    where = "type = 'restore.decision.listed'"
    forge(path, where, **said)
    assert Code.PRUNE_INVALID in verified(path, pin=signed(path)).counts


def test_a_forged_pruning_of_what_a_record_stands_on_is_found(path):
    forge(path, STOOD_ON)
    edit(path, "UPDATE restore_run SET status = 'completed' WHERE status = 'partial'")
    assert {"PRUNE_INVALID"} <= codes(path, pin=signed(path))


def test_a_forged_pruning_of_everything_is_found(path):
    forge(path)
    assert "PRUNE_INVALID" in codes(path, pin=signed(path))


def test_a_forged_pruning_of_the_ledgers_own_affairs_is_found(path):
    forge(path, "type = 'access.revoked'")
    assert {"LEAF_MISMATCH", "FORM_INVALID", "PRUNE_INVALID"} <= codes(path, pin=signed(path))


@pytest.mark.parametrize("is_released", [False, True])
def test_a_pruning_under_a_hold_is_found_even_if_the_hold_is_released_later(path, is_released):
    with opened(path) as ledger:
        run = ledger.list_runs(ADA.id, ADA).rows[0].record.id
        held = hold(ledger, run=run)
        ledger.audit.checkpoint()
    forge(path, f"type = 'restore.decision.projected' AND run = '{run}'")
    if is_released:
        with opened(path) as ledger:
            ledger.audit.release(held.id, ADA)
    details = [found.detail for found in verified(path, pin=signed(path)).findings if found.code is Code.PRUNE_INVALID]
    assert details
    assert all(f"was under the hold {held.id}" in detail for detail in details)


def test_the_database_refuses_an_event_that_says_something_else_than_a_pruning_does(path):
    connection = sqlite.connect(str(path), isolation_level=None)
    size, root = connection.execute("SELECT size, root FROM audit_checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    count = connection.execute("SELECT count(*) FROM audit_tombstone WHERE idx < ?", (size,)).fetchone()[0]
    right = {
        "first": 0,
        "last": size - 1,
        "size": size,
        "root": root,
        "tombstones": count,
        "tombstones_sha256": "0" * 64,
    }
    before = connection.execute("SELECT payload FROM audit_event").fetchall()
    for wrong in (
        *({"root": "0" * 64}, {"root": None}, {"size": None, "root": None}, {"size": size - 1}, {"first": 1}),
        *({"last": size}, {"last": None}, {"tombstones": count - 1}, {"tombstones": None}, {"tombstones_sha256": None}),
    ):
        with pytest.raises(sqlite.Error, match="proofgap: "):
            connection.execute(APPEND, row_of(follow(connection, right | wrong)))
    assert connection.execute("SELECT payload FROM audit_event").fetchall() == before
    connection.execute(APPEND, row_of(follow(connection, right)))
    connection.close()
