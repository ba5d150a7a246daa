"""What is declared of the ledger itself: guards that were missing, and a ledger that was itself restored."""

from __future__ import annotations

import shutil

import pytest

from proofgap.audit import Actor
from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import BadInputError, ForbiddenError
from proofgap.notes import parse_note
from proofgap_store import Ledger, NewRun, UnavailableError
from proofgap_store.schema import GuardsError
from proofgap_store.sequencer import UnsignedError
from tests.conformance.lives import ADA, OLGA, SAM, UDO, VERA, WIM, chain_faults, live, log, log_since, tables
from tests.conformance.pruning import everything, read
from tests.store.raw import connect

WHY = "a trigger was dropped during the repair of 21 November"
FOREIGN = 'CREATE TRIGGER "zz \'odd"" name" AFTER INSERT ON receipt BEGIN SELECT 1; END'


def run_sql(path, *statements):
    connection = connect(path, "as SQLite comes")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def reopened(path):
    return Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL")


DAMAGE = {
    "a guard is gone": (["DROP TRIGGER receipt_is_never_deleted"], ["receipt_is_never_deleted"], []),
    "a guard is foreign": ([FOREIGN], [], ["zz 'odd\" name"]),
    "an index is gone": (["DROP INDEX audit_event_run"], ["audit_event_run"], []),
    "a guard was weakened": (
        [
            "DROP TRIGGER audit_event_is_never_deleted",
            "CREATE TRIGGER audit_event_is_never_deleted BEFORE DELETE ON audit_event BEGIN SELECT 1; END",
        ],
        ["audit_event_is_never_deleted"],
        [],
    ),
    "the events no longer move anything": (
        ["DROP TRIGGER audit_event_waits_for_its_leaf", "DROP TRIGGER audit_event_links", FOREIGN],
        ["audit_event_links", "audit_event_waits_for_its_leaf"],
        ["zz 'odd\" name"],
    ),
}


@pytest.mark.parametrize(("damage", "missing", "foreign"), DAMAGE.values(), ids=DAMAGE)
def test_a_declared_gap_puts_the_guards_right_and_is_the_only_way_on(ledger, path, damage, missing, foreign):
    run = live(ledger)
    run_sql(path, *damage)
    before = tables(ledger)
    with pytest.raises(GuardsError):
        ledger.create(NewRun(), ADA)
    assert tables(ledger) == before
    done = ledger.audit.declare_gap(WHY, ADA)
    (recorded,) = log_since(ledger, before["audit_event"][-1]["event_id"])
    assert (recorded.type, recorded.entry["stream"]) == ("audit.gap_declared", "system/audit")
    assert recorded.data == {"missing": missing, "foreign": foreign, "reason": WHY}
    assert (list(done.missing), list(done.foreign), done.event_id) == (missing, foreign, recorded.event_id)
    found = ledger.diagnose()
    assert (found.missing_guards, found.foreign_guards) == ((), ())
    assert ledger.retry(run, ADA).status == "draft"
    assert ledger.audit.checkpoint().size == len(log(ledger))
    assert chain_faults(log(ledger)) == []


def test_the_gap_is_declared_by_whoever_opens_the_ledger_next(ledger, path):
    ledger.close()
    run_sql(path, "DROP TRIGGER restore_run_moves_in_the_log")
    with reopened(path) as again:
        again.audit.declare_gap(WHY, ADA)
        assert live(again)
    with reopened(path) as once_more:
        assert once_more.diagnose().missing_guards == ()


@pytest.mark.parametrize("actor", [OLGA, WIM, VERA, UDO, SAM])
def test_only_an_admin_declares_a_gap_or_a_restore(ledger, path, actor):
    run_sql(path, "DROP TRIGGER receipt_is_never_deleted")
    before = everything(ledger)
    for declare in (ledger.audit.declare_gap, ledger.audit.declare_restore):
        with pytest.raises(ForbiddenError):
            declare(WHY, actor)
    assert everything(ledger) == before
    assert ledger.diagnose().missing_guards == ("receipt_is_never_deleted",)


def test_without_a_gap_there_is_nothing_to_declare(ledger):
    before = everything(ledger)
    with pytest.raises(BadInputError, match="guards of the ledger are as they were made"):
        ledger.audit.declare_gap(WHY, ADA)
    assert everything(ledger) == before


@pytest.mark.parametrize("reason", ["", "  ", "a\nb"])
def test_a_declaration_without_a_reason_is_refused(ledger, path, reason):
    run_sql(path, "DROP TRIGGER receipt_is_never_deleted")
    before = everything(ledger)
    for declare in (ledger.audit.declare_gap, ledger.audit.declare_restore):
        with pytest.raises(BadInputError, match=r"^reason: "):
            declare(reason, ADA)
    assert everything(ledger) == before


@pytest.mark.parametrize(
    "damage",
    [
        ["CREATE TABLE extra (a)"],
        ["DROP TRIGGER receipt_is_never_deleted", "ALTER TABLE receipt ADD COLUMN extra TEXT"],
        ["CREATE VIEW extra AS SELECT 1"],
    ],
)
def test_a_table_that_differs_cannot_be_declared_away(ledger, path, damage):
    run_sql(path, *damage)
    before = everything(ledger), ledger.diagnose()
    with pytest.raises(UnavailableError, match=r"its tables are not those that were made.*a copy of it that verifies"):
        ledger.audit.declare_gap(WHY, ADA)
    assert (everything(ledger), ledger.diagnose()) == before


def test_a_trigger_that_makes_the_event_vanish_is_gone_before_the_event_comes(ledger, path):
    run_sql(path, "CREATE TRIGGER zz BEFORE INSERT ON audit_event BEGIN SELECT RAISE(IGNORE); END")
    done = ledger.audit.declare_gap(WHY, ADA)
    assert log(ledger)[-1].event_id == done.event_id


# a ledger that was itself restored


@pytest.fixture
def restored(ledger, path, tmp_path):
    """A ledger whose file was put back from a copy, while its head file saw what came later."""
    live(ledger)
    ledger.audit.checkpoint()
    ledger.close()
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with reopened(path) as later:
        live(later, "failed")
        later.audit.checkpoint()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    shutil.copy(copy, path)
    return path


def head(path):
    return parse_checkpoint(parse_note(path.with_name("ledger.db.head").read_text("utf-8")).text)


def test_a_restored_ledger_is_not_signed_until_that_is_declared(restored):
    seen = head(restored)
    with reopened(restored) as ledger:
        live(ledger)
        before = everything(ledger)
        with pytest.raises(UnsignedError, match=r"declare-restore"):
            ledger.audit.checkpoint()
        assert everything(ledger) == before
        assert head(restored) == seen


def test_a_declared_restore_names_both_sides_and_the_head_file_begins_anew(restored):
    seen = head(restored)
    with reopened(restored) as ledger:
        signed = read(ledger, "SELECT size, root FROM audit_checkpoint")[-1]
        run = live(ledger)
        done = ledger.audit.declare_restore(WHY, ADA)
        recorded = next(found for found in log(ledger) if found.event_id == done.event_id)
        assert (recorded.type, recorded.entry["stream"]) == ("audit.restore_declared", "system/audit")
        assert recorded.data == {
            "head_size": seen.size, "head_root": seen.root.hex(), "size": signed["size"], "root": signed["root"],
            "reason": WHY,
        }  # fmt: skip
        assert done.size < done.head_size
        assert head(restored).size == len(log(ledger))
        ledger.retry(run, ADA)
        assert ledger.audit.checkpoint().size == head(restored).size == len(log(ledger))


def test_a_restored_ledger_that_grew_past_its_head_file_is_found_as_well(restored):
    with reopened(restored) as ledger:
        for _ in range(4):
            live(ledger)
        assert len(log(ledger)) > head(restored).size
        with pytest.raises(UnsignedError, match="declare-restore"):
            ledger.audit.checkpoint()
        ledger.audit.declare_restore(WHY, ADA)
        assert ledger.audit.checkpoint().size == len(log(ledger))


def test_a_restore_onto_a_machine_without_a_head_file_is_declared_as_such(restored):
    restored.with_name("ledger.db.head").unlink()
    with reopened(restored) as ledger:
        done = ledger.audit.declare_restore(WHY, ADA)
        assert (done.head_size, done.head_root) == (None, None)
        assert head(restored).size == len(log(ledger))


def test_a_crash_between_the_declaration_and_the_head_file_leaves_a_ledger_that_still_refuses(restored, monkeypatch):
    def crash(_head, _note):
        raise KeyboardInterrupt

    with reopened(restored) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr("proofgap_store.head_file.HeadFile.reset", crash)
            with pytest.raises(KeyboardInterrupt):
                ledger.audit.declare_restore(WHY, ADA)
        with pytest.raises(UnsignedError):
            ledger.audit.checkpoint()
        ledger.audit.declare_restore(WHY, ADA)
        assert ledger.audit.checkpoint().size == len(log(ledger))


def test_a_ledger_that_its_head_file_agrees_with_was_not_restored(ledger, path):
    live(ledger)
    ledger.audit.checkpoint()
    before, seen = everything(ledger), path.with_name("ledger.db.head").read_bytes()
    with pytest.raises(BadInputError, match=r"the head file and the ledger agree.*nothing to declare"):
        ledger.audit.declare_restore(WHY, ADA)
    assert (everything(ledger), path.with_name("ledger.db.head").read_bytes()) == (before, seen)
    path.with_name("ledger.db.head").unlink()
    assert ledger.audit.declare_restore(WHY, ADA).head_size is None


def test_the_one_who_declares_is_named_in_the_event(restored):
    with reopened(restored) as ledger:
        done = ledger.audit.declare_restore(WHY, Actor(id=ADA.id, via="cli", name="Ada L."))
        recorded = ledger.audit.get(done.event_id, UDO)
    assert recorded.entry["actor"] == {"id": "ada", "kind": "user", "via": "cli"}
    assert recorded.openings["actor.name"].value == "Ada L."
