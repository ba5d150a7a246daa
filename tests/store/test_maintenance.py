"""What operators do with the database: bring it up, look for damage, copy it; and what none of that may do."""

from __future__ import annotations

import pytest

from proofgap.errors import BadInputError
from proofgap_store import GuardsError, Ledger, NewRun, UnavailableError, maintenance, upgrade
from proofgap_store.migrations import scripts
from proofgap_store.schema import NAMES, REVISION
from proofgap_store.sqlite_library import sqlite
from tests.conformance.children import live_alone, opened, ready, together, upgrade_at_once
from tests.conformance.lives import ADA, chain_faults, live, log, open_memory, settle, tables
from tests.conformance.places import in_file
from tests.store.raw import APPEND, behind_the_guards, connect
from tests.store.trees import beside, hold, tree_of

STAMP = """
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""


@pytest.fixture
def old(path):
    """The file of a ledger as the first version made it, with lives in it that the ledger of today led."""
    with open_memory() as model:
        for status in ("completed", "failed", "draft"):
            run_id = live(settle(model), status)
            model.show(run_id, ADA.id, ADA)
        events = [event for event in log(model) if event.type != "audit.key_rotated"]
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    for statement in [*scripts.statements(NAMES[0], "sqlite"), STAMP]:
        connection.execute(statement)
    connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    for event in events:
        connection.execute(APPEND, (event.payload, event.leaf))
    connection.execute("COMMIT")
    connection.close()
    return path


def everything(path):
    """Read the schema and every row of a ledger of the first version, or what is still the same in a later one."""
    connection = connect(path)
    names = ("audit_event", "audit_stream", "environment", "access_grant", "machine_definition")
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608 - names only
    columns = "id, workspace, environment, status, version, is_dry_run, details, imported, created_at_us, last_event_id"
    found["restore_run"] = connection.execute(f"SELECT {columns} FROM restore_run").fetchall()  # noqa: S608 - names only
    connection.close()
    return found


def schema(path):
    """Read the whole schema and its revision."""
    connection = connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    return found, revision


def test_a_ledger_of_the_first_version_is_brought_up_and_no_event_changes(old):
    before = everything(old)
    done = upgrade(f"sqlite:///{old}")
    assert everything(old) == before
    events = len(before["audit_event"])
    assert (done.before, done.after, done.events, done.unsequenced) == ("0001", REVISION, events, events)
    with Ledger.open(f"sqlite:///{old}", owner=ADA.id) as ledger:
        assert (ledger.diagnose().missing_guards, ledger.diagnose().foreign_guards) == ((), ())
        assert [row["event_id"] for row in tree_of(ledger)["audit_unsequenced"]] == [*range(1, events + 2)]
        assert ledger.audit.checkpoint().size == events + 1
        assert live(ledger)
        ledger.audit.checkpoint()
        assert (hold(ledger), chain_faults(log(ledger))) == (2, [])


def test_an_older_ledger_is_not_brought_up_unasked(old):
    before = schema(old)
    with pytest.raises(UnavailableError, match=r"its schema is 0001.*proofgap db upgrade"):
        Ledger.open(f"sqlite:///{old}", owner=ADA.id)
    assert schema(old) == before


def test_a_second_upgrade_changes_nothing(old):
    upgrade(f"sqlite:///{old}")
    before = schema(old), everything(old)
    done = upgrade(f"sqlite:///{old}")
    assert (done.before, done.after) == (REVISION, REVISION)
    assert (schema(old), everything(old)) == before


def test_an_upgrade_that_breaks_half_way_leaves_the_older_ledger(old, monkeypatch):
    before = schema(old), everything(old)
    statements = scripts.statements

    def broken(name, dialect):
        yield from [*statements(name, dialect)][:-1]
        yield "SELECT nonsense FROM nowhere"

    monkeypatch.setattr(scripts, "statements", broken)
    with pytest.raises(UnavailableError, match="no such table: nowhere"):
        upgrade(f"sqlite:///{old}")
    assert (schema(old), everything(old)) == before
    monkeypatch.undo()
    assert upgrade(f"sqlite:///{old}").before == "0001"


def test_processes_that_upgrade_at_once_upgrade_once(old):
    before = everything(old)
    assert together(upgrade_at_once, in_file(old), count=4) == [REVISION] * 4
    assert everything(old) == before


def test_an_older_ledger_without_all_its_guards_is_not_brought_up(old):
    connection = connect(old)
    connection.execute("DROP TRIGGER audit_event_is_never_deleted")
    connection.close()
    before = schema(old)
    with pytest.raises(GuardsError, match="missing or changed: audit_event_is_never_deleted"):
        upgrade(f"sqlite:///{old}")
    assert schema(old) == before


def test_what_is_no_ledger_and_what_is_newer_is_not_brought_up(old, tmp_path):
    with pytest.raises(UnavailableError, match=r"there is none at .*proofgap init"):
        upgrade(f"sqlite:///{tmp_path / 'nothing.db'}")
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(UnavailableError, match="there is no ledger yet"):
        upgrade(f"sqlite:///{tmp_path / 'empty.db'}")
    connection = connect(old)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UnavailableError, match="its schema is 9999"):
        upgrade(f"sqlite:///{old}")


def test_a_backup_is_a_ledger_with_the_same_events_that_only_its_owner_can_read(ledger, path, tmp_path):
    live(ledger)
    ledger.audit.checkpoint()
    copy = tmp_path / "copy.db"
    assert ledger.database.backup(copy) == copy.stat().st_size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [file for file in tmp_path.iterdir() if "partial" in file.name] == []
    beside(copy, ".key").write_bytes(beside(path, ".key").read_bytes())
    beside(copy, ".key").chmod(0o600)
    with Ledger.open(f"sqlite:///{copy}", create=False) as copied:
        assert (tables(copied), tree_of(copied)) == (tables(ledger), tree_of(ledger))
        assert not any(getattr(copied.database.check(), name) for name in FINDINGS)
        assert live(copied)
        assert copied.audit.checkpoint().size == len(log(copied))


def test_a_ledger_in_memory_can_be_copied_into_a_file(tmp_path):
    with open_memory() as ledger:
        live(settle(ledger))
        ledger.database.backup(tmp_path / "copy.db")
        with Ledger.open(f"sqlite:///{tmp_path / 'copy.db'}", create=False) as copied:
            assert tables(copied) == tables(ledger)


def test_a_backup_that_is_made_while_others_write_is_of_one_moment(ledger, path, tmp_path):
    for number in (1, 2):
        ledger.access.declare_environment(("default", f"e{number}"), ADA)
    assert together(write_or_copy, in_file(path), str(tmp_path), count=3) == ["completed", "completed", "copied"]
    with Ledger.open(f"sqlite:///{tmp_path / 'copy.db'}", create=False) as copied:
        assert chain_faults(log(copied)) == []
        assert not any(getattr(copied.database.check(), name) for name in FINDINGS)


def write_or_copy(place, number, folder):
    """Copy the ledger, or write to it, at the same time as everybody else."""
    if number:
        return live_alone(place, number)
    with opened(place) as ledger:
        ready()
        ledger.database.backup(type(ledger._gate.file)(folder) / "copy.db")
    return "copied"


TAKEN = {
    "the ledger itself": lambda path, _: path,
    "the ledger by another way": lambda path, _: path.parent / ".." / path.parent.name / path.name,
    "its write-ahead log": lambda path, _: beside(path, "-wal"),
    "its journal, which is not there": lambda path, _: beside(path, "-journal"),
    "its key": lambda path, _: beside(path, ".key"),
    "a file": lambda _, other: other,
    "a link to the ledger": lambda path, other: linked(other.with_name("link"), path),
    "a link that leads nowhere": lambda path, other: linked(other.with_name("link"), path.with_name("nothing")),
    "a folder": lambda path, _: path.parent,
}


def linked(name, target):
    """Make a symbolic link."""
    name.symlink_to(target)
    return name


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
def test_a_backup_overwrites_nothing_and_takes_no_name_of_the_ledger(ledger, path, tmp_path, taken):
    other = tmp_path / "other"
    other.write_text("dear diary")
    file = taken(path, other)
    before = {name: name.read_bytes() for name in tmp_path.iterdir() if name.is_file()}
    with pytest.raises(BadInputError, match=r"is there already|belongs to the ledger"):
        ledger.database.backup(file)
    assert {name: name.read_bytes() for name in tmp_path.iterdir() if name.is_file()} == before
    assert live(ledger)


def test_a_backup_into_a_folder_that_is_not_there_says_so(ledger, tmp_path):
    with pytest.raises(BadInputError, match="cannot be written: No such file or directory"):
        ledger.database.backup(tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("step", ["_vacuum_into", "_give_name", "sync"])
def test_a_backup_that_breaks_leaves_nothing_behind(ledger, tmp_path, monkeypatch, step):
    done = getattr(maintenance, step)

    def breaks(*arguments):
        if step != "_give_name":
            done(*arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maintenance, step, breaks)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="No space left"):
        ledger.database.backup(tmp_path / "copy.db")
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_somebody_takes_while_the_backup_is_made_stays_theirs(ledger, tmp_path, monkeypatch):
    copy = tmp_path / "copy.db"
    monkeypatch.setattr(maintenance, "sync", lambda _stream: copy.write_text("dear diary"))
    with pytest.raises(BadInputError, match="is there already"):
        ledger.database.backup(copy)
    assert copy.read_text() == "dear diary"


def test_a_database_that_cannot_be_read_is_not_copied(ledger, tmp_path, monkeypatch):
    def fails(*_arguments):
        message = "disk I/O error"
        raise sqlite.OperationalError(message)

    monkeypatch.setattr(maintenance, "execute", fails)
    with pytest.raises(UnavailableError, match="disk I/O error"):
        ledger.database.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


FINDINGS = ("missing_guards", "foreign_guards", "damage", "dangling")


def test_a_sound_database_has_nothing_to_say_and_looking_changes_nothing(ledger):
    live(ledger)
    before = tables(ledger)
    found = ledger.database.check()
    assert [getattr(found, name) for name in FINDINGS] == [()] * 4
    assert tables(ledger) == before


def test_parts_of_the_schema_that_are_missing_or_foreign_are_named(ledger, path):
    connection = connect(path)
    connection.execute("DROP TRIGGER audit_leaf_is_never_deleted")
    connection.execute("CREATE TABLE zz_table (x)")
    connection.close()
    found = ledger.database.check()
    assert (found.missing_guards, found.foreign_guards) == (("audit_leaf_is_never_deleted",), ("zz_table",))


def test_a_row_that_points_nowhere_is_named(ledger, path):
    behind_the_guards(path, "INSERT INTO audit_private VALUES (999999, 'data.x', printf('%032d', 7), 'x')")
    assert ledger.database.check().dangling == ("audit_private, row None: nothing in audit_event",)


def test_a_damaged_page_is_found(ledger, path):
    live(ledger)
    connection = connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit_event_actor'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    ledger.close()
    with path.open("r+b") as stream:
        stream.seek(page * size - 6)
        stream.write(b"damage")
    with Ledger.open(f"sqlite:///{path}", create=False) as damaged:
        assert any("audit_event_actor" in line for line in damaged.database.check().damage)
        assert damaged.create(NewRun(), ADA).status == "draft"
