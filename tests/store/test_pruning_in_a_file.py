"""Pruning and erasing in a file: tried by raw SQL, and looked for in the bytes."""

from __future__ import annotations

import pytest

from proofgap.facts import RunEvent
from proofgap_store import Erasure, Ledger
from tests.conformance.lives import ADA, chain_faults, live, log
from tests.conformance.pruning import prune
from tests.store.raw import SETTINGS, connect, refused

SAID = "the neighbour of Mrs Quandt phoned"


@pytest.fixture
def covered(ledger, path):
    """A ledger with two runs under a checkpoint, closed; its file."""
    live(ledger)
    live(ledger, "running")
    ledger.audit.checkpoint()
    ledger.close()
    return path


def opened(path):
    return Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL")


TOMBSTONE = """
UPDATE audit_event SET payload = json_object(
  'actor', json_object('id', 'pruned'), 'at_us', at_us, 'env', env, 'id', id, 'pruned', event_id,
  'rec_us', json_extract(payload, '$.rec_us'), 'run', run, 'seq', seq, 'stream', stream, 'type', type,
  'v', json_extract(payload, '$.v'), 'ws', ws)
"""


@pytest.mark.parametrize("settings", SETTINGS)
def test_no_statement_prunes_past_the_log(covered, tmp_path, settings):
    connection = connect(covered, settings)
    assert "append-only" in refused(connection, TOMBSTONE)
    connection.close()
    with opened(covered) as ledger:
        prune(ledger, tmp_path / "export.jsonl", events=12)
    connection = connect(covered, settings)
    for beyond in (
        "> (SELECT event_id FROM audit_leaf WHERE idx = 11)",
        "= 1",
    ):  # the rest, and the ledger's own affairs
        assert "append-only" in refused(connection, f"{TOMBSTONE} WHERE event_id {beyond}")
    told = "UPDATE audit_event SET payload = json_set(payload, '$.actor.id', 'ada') WHERE payload ->> '$.pruned' > 0"
    assert "append-only" in refused(connection, told)
    connection.close()


def test_after_a_pruning_the_file_is_sound_and_the_links_of_what_is_left_are_whole(covered, tmp_path):
    with opened(covered) as ledger:
        prune(ledger, tmp_path / "export.jsonl", events=12)
        whole = [found for found in log(ledger) if found.entry["stream"].startswith("system/")]
        assert chain_faults(whole) == []
    connection = connect(covered)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.mark.parametrize("length", [1, 80], ids=["short", "over several pages"])
def test_what_was_erased_is_in_no_byte_of_the_file(ledger, path, length):
    note = " ".join([SAID] * length)
    event = ledger.fire(live(ledger, "queued"), RunEvent.CANCEL, ADA, note=note).event_id
    ledger.close()
    assert SAID.encode() in path.read_bytes()
    with opened(path) as again:
        again.audit.redact(Erasure(event=str(event), path="data.note", reason="gdpr-17"), ADA)
    assert [file.name for file in path.parent.iterdir() if SAID.encode() in file.read_bytes()] == []
