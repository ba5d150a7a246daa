"""The sequencer: what it signs is the tree of the log by its definition, whatever happens to it on the way."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from proofgap.audit import leaf_hash
from proofgap_store import CustodyError, GuardsError, Ledger, NewRun, UnavailableError, UnsignedError, sequencer, tree
from proofgap_store.documents import DamagedError
from proofgap_store.sequencer import Sequencer
from tests.conformance.lives import ADA, live, log
from tests.store.raw import behind_the_guards, connect
from tests.store.trees import beside, hold, prove_all, read, shape_of, tree_of


def reopened(path):
    """Open the ledger again, as the next process does."""
    return Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL")


def test_every_checkpoint_signs_the_tree_of_the_definition_and_everything_in_it_can_be_proved(ledger):
    assert hold(ledger) == 0
    for status in ("draft", "completed", "failed", "queued"):
        live(ledger, status)
        ledger.audit.checkpoint()
    assert hold(ledger) == 4
    prove_all(ledger)


def test_without_new_events_there_is_no_new_checkpoint(ledger):
    first = ledger.audit.checkpoint()
    before = tree_of(ledger)
    assert ledger.audit.checkpoint() == first
    assert tree_of(ledger) == before


@pytest.mark.parametrize("limit", [1, 4, 5, 7, 1_000])
def test_more_events_than_one_batch_takes_become_several_checkpoints_of_one_tree(ledger, monkeypatch, limit):
    monkeypatch.setattr(sequencer, "BATCH_MAX", limit)
    live(ledger, "completed")
    events = len(log(ledger))
    assert ledger.audit.checkpoint().size == events
    assert hold(ledger) == -(-events // limit)
    prove_all(ledger)


def test_a_checkpoint_is_made_and_done_with_while_others_keep_writing(ledger, path, monkeypatch):
    """What comes while it is made waits for the next one: else the writers would keep it from ever ending."""
    with reopened(path) as other:
        left_out = tree.left_out

        def outpaced(connection, upto):
            other.create(NewRun(), ADA)
            return left_out(connection, upto)

        monkeypatch.setattr(tree, "left_out", outpaced)
        events = len(log(ledger))
        assert ledger.audit.checkpoint().size == events
        assert ledger.audit.checkpoint().size == events + 2
    assert (hold(ledger), ledger.audit.waiting()) == (2, 2)


def test_the_tree_is_the_same_however_it_was_cut_into_batches(ledger, path, tmp_path):
    live(ledger, "completed")
    ledger.database.backup(tmp_path / "copy.db")
    ledger.audit.checkpoint()
    beside(tmp_path / "copy.db", ".key").write_bytes(beside(path, ".key").read_bytes())
    beside(tmp_path / "copy.db", ".key").chmod(0o600)
    with reopened(tmp_path / "copy.db") as copy:
        while copy.audit._sequencer.step(limit=1):
            assert hold(copy)
        assert shape_of(copy) == shape_of(ledger)


def test_a_head_that_another_sequencer_moves_on_meanwhile_is_no_false_alarm(ledger, path, monkeypatch):
    live(ledger, "draft")
    ledger.audit.checkpoint()
    live(ledger, "draft")
    with reopened(path) as other:
        last = tree.last_checkpoint
        meanwhile = iter([other.audit.checkpoint])

        def overtaken(connection):
            found = last(connection)
            next(meanwhile, lambda: None)()
            return found

        monkeypatch.setattr(tree, "last_checkpoint", overtaken)
        assert ledger.audit.checkpoint().size == len(log(ledger))
    assert hold(ledger) == 2


def test_a_sequencer_that_lost_every_race_says_that_nothing_is_wrong(ledger, path, monkeypatch):
    live(ledger, "draft")
    with reopened(path) as other:
        waiting = tree.waiting

        def overtaken(connection, upto, limit):
            found = waiting(connection, upto, limit)
            if limit != 1:
                other.audit._sequencer.step(limit=1)
                other.create(NewRun(), ADA)
            return found

        monkeypatch.setattr(tree, "waiting", overtaken)
        with pytest.raises(UnsignedError, match="Nothing is wrong"):
            ledger.audit.checkpoint()
    monkeypatch.undo()
    assert hold(ledger) == 50
    ledger.audit.checkpoint()
    assert hold(ledger) == 51


def test_a_full_disk_undoes_the_whole_batch_and_with_room_it_is_signed(ledger):
    for _ in range(12):
        live(ledger, "completed")

    @event.listens_for(ledger._gate.engine, "connect")
    def _fill(connection, _record):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    ledger._gate.engine.dispose()
    before = tree_of(ledger)
    with pytest.raises(UnavailableError, match="database or disk is full"):
        ledger.audit.checkpoint()
    assert tree_of(ledger) == before
    with Ledger.open(str(ledger._gate.engine.url), create=False) as roomy:
        assert roomy.audit.checkpoint().size == len(log(roomy))
        assert hold(roomy) == 1


FORGED = {
    "the last leaf of the tree": (
        "UPDATE audit_leaf SET hash = printf('%064d', 7) WHERE idx = (SELECT max(idx) FROM audit_leaf)",
        "does not lead to the root that was signed",
    ),
    "every node": (
        "UPDATE audit_node SET hash = printf('%064d', 7)",
        "does not lead to the root that was signed",
    ),
    "a node, into what is no hash": (
        "UPDATE audit_node SET hash = printf('%064s', 'x')",
        "the hash of node 0 of level 3 is missing",
    ),
    "the nodes, away": ("DELETE FROM audit_node", "node 0 of level 3 is missing"),
    "the last leaf, away": (
        "DELETE FROM audit_leaf WHERE idx = (SELECT max(idx) FROM audit_leaf)",
        "there are leaves that no checkpoint covers, or fewer than one does",
    ),
    "the last checkpoint, away": (
        "DELETE FROM audit_checkpoint",
        "there are leaves that no checkpoint covers, or fewer than one does",
    ),
    "the root of the checkpoint": (
        "UPDATE audit_checkpoint SET root = printf('%064d', 7)",
        "does not lead to the root that was signed",
    ),
    "the time of the checkpoint": (
        "UPDATE audit_checkpoint SET at_us = at_us - 9000000",
        "does not lead to the root that was signed",
    ),
    "the note of the checkpoint": (
        "UPDATE audit_checkpoint SET note = replace(note, char(10) || size || char(10), char(10) || '9' || char(10))",
        "events is not as it was signed",
    ),
    "the note, into none": ("UPDATE audit_checkpoint SET note = 'x'", "events is not as it was signed"),
    "a waiting event": (
        "UPDATE audit_event SET payload = replace(payload, 'draft', 'craft') WHERE event_id = 12",
        "the bytes of event 12 do not give its hash",
    ),
    "a waiting event, away": (
        "DELETE FROM audit_event WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)",
        "event 12 is gone from the log",
    ),
    "a place in the queue, away": (
        "DELETE FROM audit_unsequenced WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)",
        "event 12 was taken out of the queue without a leaf",
    ),
    "the key that is in force": (
        "UPDATE audit_event SET payload = replace(payload, 'proofgap/log_', 'proofgap/dog_') WHERE type = 'audit.key_rotated'",
        "is damaged",
    ),
}


@pytest.fixture
def waiting(ledger, path):
    """A ledger with a checkpoint over eleven events, and two events that wait."""
    ledger.audit.checkpoint()
    live(ledger, "draft")
    assert len(read(ledger, "SELECT * FROM audit_leaf")) == 11
    return ledger


@pytest.mark.parametrize(("statement", "says"), FORGED.values(), ids=FORGED)
def test_what_was_changed_behind_the_guards_is_not_signed_over(waiting, path, statement, says):
    behind_the_guards(path, statement)
    before, head = tree_of(waiting), beside(path, ".head").read_bytes()
    with pytest.raises((UnsignedError, DamagedError), match=says):
        waiting.audit.checkpoint()
    assert (tree_of(waiting), beside(path, ".head").read_bytes()) == (before, head)


def test_nothing_is_signed_while_a_guard_is_missing(waiting, path):
    connection = connect(path)
    connection.execute("DROP TRIGGER audit_leaf_is_never_deleted")
    before = tree_of(waiting)
    with pytest.raises(GuardsError, match="audit_leaf_is_never_deleted"):
        waiting.audit.checkpoint()
    assert tree_of(waiting) == before
    connection.close()


@pytest.mark.parametrize("back_us", [0, 1, 3_600_000_000])
def test_a_clock_that_did_not_advance_is_not_signed(waiting, back_us):
    last = waiting.audit.checkpoint()
    live(waiting, "draft")
    before = tree_of(waiting)
    late = Sequencer(gate=waiting._gate, custody=waiting._custody, clock=lambda: last.at_us - back_us)
    with pytest.raises(UnsignedError, match="the clock is not past the last checkpoint"):
        late.run()
    assert tree_of(waiting) == before
    assert waiting.audit.checkpoint().size > last.size


def test_a_ledger_that_was_rolled_back_behind_its_head_file_is_not_signed(waiting, path, tmp_path):
    waiting.database.backup(tmp_path / "copy.db")
    waiting.audit.checkpoint()
    waiting.close()
    path.write_bytes((tmp_path / "copy.db").read_bytes())
    with reopened(path) as older:
        before = tree_of(older)
        with pytest.raises(UnsignedError, match=r"the head file saw 13 events.*audit declare-restore"):
            older.audit.checkpoint()
        assert tree_of(older) == before
        assert older.create(NewRun(), ADA).status == "draft"
        assert older.diagnose().signing.head_conflict.startswith("the head file saw 13 events")


def test_a_ledger_that_went_another_way_since_its_head_file_is_not_signed(waiting, path, tmp_path):
    """The copy signs its own way up to the same number of events; then the two are told apart."""
    waiting.database.backup(tmp_path / "copy.db")
    beside(tmp_path / "copy.db", ".key").write_bytes(beside(path, ".key").read_bytes())
    beside(tmp_path / "copy.db", ".key").chmod(0o600)
    with reopened(tmp_path / "copy.db") as copy:
        live(copy, "draft")
        copy.audit.checkpoint()
        live(waiting, "draft")
        waiting.audit.checkpoint()
        live(waiting, "draft")
        before = tree_of(waiting)
        beside(path, ".head").write_bytes(beside(tmp_path / "copy.db", ".head").read_bytes())
        with pytest.raises(UnsignedError, match="the head file saw other events among the first 15"):
            waiting.audit.checkpoint()
        assert tree_of(waiting) == before


HEADS = {
    "of another log": (lambda other: other, "was signed by no key of this log"),
    "that is none": (lambda _: b"dear diary\n", "is not as it was signed"),
    "that is empty": (lambda _: b"", "is not as it was signed"),
    "that is no text": (lambda _: b"\xff\xfe", "holds no text"),
}


@pytest.mark.parametrize(("head", "says"), HEADS.values(), ids=HEADS)
def test_a_head_file_that_holds_no_checkpoint_of_this_log_stops_the_signing(waiting, path, tmp_path, head, says):
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", owner=ADA.id) as other:
        other.audit.checkpoint()
    content = head(beside(tmp_path / "other.db", ".head").read_bytes())
    beside(path, ".head").write_bytes(content)
    before = tree_of(waiting)
    with pytest.raises((UnsignedError, CustodyError), match=says):
        waiting.audit.checkpoint()
    assert (tree_of(waiting), beside(path, ".head").read_bytes()) == (before, content)


def test_a_head_file_that_is_behind_after_a_crash_is_moved_on(waiting, path):
    behind = beside(path, ".head").read_bytes()
    made = waiting.audit.checkpoint()
    beside(path, ".head").write_bytes(behind)
    assert waiting.audit.checkpoint() == made
    assert beside(path, ".head").read_text("utf-8") == made.note


def test_a_head_file_never_goes_back_to_a_smaller_tree(waiting, path):
    older = beside(path, ".head").read_text("utf-8")
    made = waiting.audit.checkpoint()
    waiting._custody.head.advance(older)
    assert beside(path, ".head").read_text("utf-8") == made.note


KEYS = {
    "missing": (lambda file: file.unlink(), r"is not at .*\.key"),
    "open to others": (lambda file: file.chmod(0o644), "is open to others.*chmod 600"),
    "garbage": (lambda file: file.write_text("dear diary"), "holds no key"),
    "cut off": (lambda file: file.write_text(file.read_text()[:-9]), "holds no key"),
    "no text": (lambda file: file.write_bytes(b"\xff"), "holds no text"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "cannot be read"),
}


@pytest.mark.parametrize(("damage", "says"), KEYS.values(), ids=KEYS)
def test_without_its_key_nothing_is_signed_and_everything_else_goes_on(waiting, path, damage, says):
    secret = beside(path, ".key").read_text().split("+", 4)[4].strip()
    damage(beside(path, ".key"))
    before = tree_of(waiting)
    with pytest.raises(CustodyError, match=says) as caught:
        waiting.audit.checkpoint()
    assert secret not in str(caught.value)
    assert tree_of(waiting) == before
    assert waiting.show(live(waiting), ADA.id, ADA).decision.state
    assert says.split(".*")[0].replace("\\", "") in (waiting.diagnose().signing.key_problem or "")
    with reopened(path) as again:
        assert live(again)


def test_the_key_of_another_log_does_not_sign(waiting, path, tmp_path):
    Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", owner=ADA.id).close()
    beside(path, ".key").write_bytes(beside(tmp_path / "other.db", ".key").read_bytes())
    before = tree_of(waiting)
    with pytest.raises(CustodyError, match="is not at"):
        waiting.audit.checkpoint()
    assert tree_of(waiting) == before


def test_the_leaf_of_an_event_is_the_hash_of_its_bytes(ledger):
    ledger.audit.checkpoint()
    hashes = [row["hash"] for row in read(ledger, "SELECT hash FROM audit_leaf ORDER BY idx")]
    assert hashes == [leaf_hash(event.payload.encode()) for event in log(ledger)]
