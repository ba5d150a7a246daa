"""A ledger that moves from its file to PostgreSQL: the same in everything that anybody can check, and open in one place."""

from __future__ import annotations

import pytest

from proofgap.audit import NOTE
from proofgap.errors import BadInputError, ForbiddenError
from proofgap.facts import RunEvent
from proofgap_store import (
    Anchors,
    Depth,
    Erasure,
    HoldOn,
    Ledger,
    NewRun,
    PruneOrder,
    UnavailableError,
    copying,
    moving,
    verify_file,
)
from proofgap_store.clock import now_us
from tests import postgresql
from tests.conformance.lives import ADA, HOME, OLGA, SAM, UDO, live, log, open_scope, prove, tables
from tests.store.raw import behind_the_guards


@pytest.fixture
def target():
    """An empty database."""
    with postgresql.database(empty=True) as made:
        yield made


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where files of ledgers on servers lie."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "proofgap"


@pytest.fixture
def lived(ledger, home, tmp_path):
    """A ledger in a file in which everything happened that leaves rows."""
    assert not home.exists()
    prove(ledger, live(ledger))
    ledger.fire(live(ledger, "draft"), RunEvent.CANCEL, OLGA, note="a slip of olga", key="k1")
    erased = next(e.event_id for e in log(ledger) if NOTE in e.entry["commit"])
    ledger.audit.redact(Erasure(event=str(erased), path=NOTE, reason="gdpr-17"), ADA)
    open_scope(ledger, ("other", "far"), SAM, "away")
    ledger.audit.checkpoint()
    ledger.audit.rotate_key(ADA)
    ledger.audit.checkpoint()
    ledger.show(live(ledger, "running"), UDO.id, UDO)
    return ledger


def verified(url):
    """Verify a ledger; give what it comes to."""
    found = verify_file(str(url), Anchors(), Depth(now_us=now_us()))
    return found.verdict, found.events, found.size, found.root, found.checkpoint, found.counts


def decisions(ledger):
    """Give every run at home as it stands."""
    return {
        row["id"]: ledger.peek(row["id"], ADA) for row in tables(ledger)["restore_run"] if row["workspace"] == HOME[0]
    }


def rows_of(ledger):
    """Read every table; the log apart, in its order."""
    found = {name: sorted(map(str, rows)) for name, rows in tables(ledger).items() if name != "audit_event"}
    return found, [event.payload for event in log(ledger)]


def test_a_ledger_is_the_same_after_its_move(lived, path, target, home):
    (before, events), runs = rows_of(lived), decisions(lived)
    done = lived.database.move(target, ADA)
    with Ledger.open(target, create=False) as moved:
        after, grown = rows_of(moved)
        assert {name for name in before if before[name] != after[name]} == {"audit_stream"}
        assert grown[: len(events)] == events
        assert [event.type for event in log(moved)[len(events) :]] == ["audit.moved", "audit.arrived"]
        assert decisions(moved) == runs
        assert verified(f"sqlite:///{path}")[2:5] == verified(target)[2:5]
        assert (done.events, done.size, done.root) == (len(events) + 1, *verified(target)[2:4])
        assert moved.audit.checkpoint().size == len(events) + 2
        assert moved.verify().counts == {}
        assert moved.fire(live(moved, "draft"), RunEvent.SCOPE, OLGA).status == "scoped"
        assert moved.audit.replay(None, UDO).differences == ()
        assert moved.database.check().missing_guards == moved.database.check().foreign_guards == ()
    assert {file.suffix for file in home.iterdir()} >= {".key", ".head"}
    assert not path.with_name(path.name + ".key").exists()


def test_a_pruned_ledger_moves_too(lived, target, tmp_path, home):
    lived.audit.prune(PruneOrder(file=str(tmp_path / "old.jsonl"), events=30), ADA)
    lived.audit.checkpoint()
    lived.database.move(target, ADA)
    with Ledger.open(target, create=False) as moved:
        assert set(moved.verify().counts) == {"PRUNED"}
        assert home.exists()


def test_the_file_of_a_ledger_that_moved_takes_no_event_and_can_be_read(lived, path, target):
    lived.database.move(target, ADA)
    before = tables(lived)
    for write in (
        lambda: lived.create(NewRun(), OLGA),
        lambda: lived.audit.hold(HoldOn(workspace=HOME[0]), "case-1", ADA),
        lambda: lived.show(log(lived)[-3].entry["run"] or next(iter(decisions(lived))), OLGA.id, OLGA),
    ):
        with pytest.raises(UnavailableError, match=r"moved to a server.*--ledger"):
            write()
    assert tables(lived) == before
    assert verified(f"sqlite:///{path}")[0] == "OK"
    assert log(lived)[-1].data["target"].startswith("postgresql://")


STEPS = {
    "before anything is copied": (copying, "fill"),
    "when the copy is compared": (moving, "_compare"),
    "after the file was closed": (moving, "_move_files"),
    "when the files were moved": (moving, "_arrive"),
}
"""Table: where a move breaks, and the step that breaks."""


@pytest.mark.parametrize(("module", "step"), STEPS.values(), ids=STEPS)
def test_a_move_that_broke_leaves_one_place_to_write_and_goes_on_when_it_is_asked_again(
    lived, target, monkeypatch, module, step
):
    """Two places to write never come to be: the file is open until the copy is complete."""
    events = len(log(lived))

    def broken(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, broken)
        with pytest.raises(KeyboardInterrupt):
            lived.database.move(target, ADA)
    is_closed = step in {"_move_files", "_arrive"}
    assert len(log(lived)) == events + is_closed
    if not is_closed:
        assert lived.create(NewRun(), OLGA).status == "draft"
    done = lived.database.move(target, ADA)
    with Ledger.open(target, create=False) as moved:
        assert [event.type for event in log(moved)][-2:] == ["audit.moved", "audit.arrived"]
        assert (done.event_id, moved.verify().counts) == (log(moved)[-1].event_id, {})
        assert moved.audit.checkpoint().size == len(log(moved))


def test_a_commit_of_the_database_that_is_lost_after_the_file_was_closed_is_made_up_for(lived, target, monkeypatch):
    """The file commits first. So the worst that a crash leaves is a closed file and an empty database."""
    monkeypatch.setattr(copying, "fill", lambda *_arguments: None)
    monkeypatch.setattr(moving, "_compare", lambda *_arguments: None)
    monkeypatch.setattr(moving, "_move_files", lambda _order: None)
    monkeypatch.setattr(moving, "_arrive", lambda _order: None)
    lived.database.move(target, ADA)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(lived._gate.file.parent / "data"))
    with postgresql.database(empty=True) as other, pytest.raises(BadInputError, match="is not where this ledger went"):
        lived.database.move(other, ADA)
    lived.database.move(target, ADA)
    with Ledger.open(target, create=False) as moved:
        assert moved.verify().counts == {}


def test_what_cannot_be_moved_is_refused_and_nothing_is_changed(lived, target, tmp_path, path):
    before = tables(lived)
    with (
        postgresql.database() as taken,
        Ledger.open(taken, owner=ADA.id, key=tmp_path / "k", head=tmp_path / "h") as full,
    ):
        with pytest.raises(BadInputError, match="holds a ledger already"):
            lived.database.move(taken, ADA)
        with pytest.raises(BadInputError, match="is no file"):
            full.database.move(target, ADA)
    with pytest.raises(BadInputError, match="is no database on a server"):
        lived.database.move(f"sqlite:///{tmp_path / 'x.db'}", ADA)
    with pytest.raises(ForbiddenError):
        lived.database.move(target, UDO)
    with pytest.raises(UnavailableError, match="does not exist"):
        lived.database.move(postgresql.named("zz_nowhere"), ADA)
    now = tables(lived)
    assert {name: now[name] for name in now if name not in {"audit_event", "audit_stream"}} == {
        name: before[name] for name in before if name not in {"audit_event", "audit_stream"}
    }
    assert [event.type for event in log(lived)[len(before["audit_event"]) :]] == ["access.denied"]
    behind_the_guards(path, "UPDATE restore_run SET status = 'partial' WHERE status = 'completed'")
    with pytest.raises(UnavailableError, match="does not verify"):
        lived.database.move(target, ADA)
    with pytest.raises(UnavailableError, match="does not verify"):
        lived.database.move(target, ADA)
    assert log(lived)[-1].type == "access.denied"
