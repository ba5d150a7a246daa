"""Databases: restored whole or not at all, never over something better, and compared row by row afterwards."""

from __future__ import annotations

import errno
import os
import runpy
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.base import (
    Depth,
    Request,
    SourceChangedError,
    SourceError,
    TargetChangedError,
    TargetError,
    no_progress,
)
from proofgap_app.drivers.sql_dump import load_dump
from proofgap_app.drivers.sqlite_content import integrity_problems, reading
from proofgap_store import sqlite_library
from proofgap_store.sqlite_library import sqlite
from tests.app.drivers.conftest import TABLES, Stop, change, go, names_in, rows, sums


def damage(path: Path, table: str = "customer") -> Path:
    """Overwrite the inside of a page that holds rows of a table, as a bad disk would."""
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : (root - 1) * size + 64] = b"\xaa" * 64
    path.write_bytes(data)
    return path


def test_a_database_comes_back_row_for_row(database: Path, tmp_path: Path) -> None:
    """Structure, numbers of rows and digests of rows agree, at level 5; nothing else lies beside the target."""
    target = tmp_path / "new" / "place.db"
    ran = go(database, target)
    assert rows(database) == rows(target)
    assert (ran.outcome.status, ran.outcome.rule) == ("completed", 8)
    assert (ran.evidence.verdict, ran.evidence.level, ran.evidence.subjects_checked) == ("match", "L5", 3)
    assert {"integrity_check", "foreign_key_check", "tables", "number of rows", "SHA-256 of rows"} <= {
        check.method for check in ran.checks
    }
    assert (names_in(target.parent), list(ran.items)) == (["place.db"], TABLES)
    assert (ran.preview.depth, ran.preview.created, ran.plan.unit) == (Depth.DATA, 3, "table")


def test_a_database_with_a_journal_in_wal_mode_comes_back(database: Path, tmp_path: Path) -> None:
    """What is only in the write-ahead log of the backup belongs to it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("DELETE FROM customer WHERE id >= 10")
        connection.commit()
        (tmp_path / "copy.db").write_bytes(database.read_bytes())
        (tmp_path / "copy.db-wal").write_bytes((tmp_path / "shop.db-wal").read_bytes())
    ran = go(tmp_path / "copy.db", tmp_path / "t.db")
    assert (len(rows(tmp_path / "t.db")), ran.evidence.verdict) == (10, "match")
    assert not (tmp_path / "t.db-wal").exists()


def test_a_missing_source_is_refused_and_not_created(tmp_path: Path) -> None:
    """SQLite itself would create an empty database, call it ok, and exit with 0."""
    backup = tmp_path / "none.db"
    with pytest.raises(SourceError, match=r"backup: .*none\.db cannot be read"):
        driver_for("sqlite", backup).plan(Request(backup=str(backup), target=str(tmp_path / "t.db")))
    assert names_in(tmp_path) == []


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that only begins like one cannot be listed."""
    backup = tmp_path / "b.db"
    backup.write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(SourceError, match="cannot be listed as a database"):
        go(backup, tmp_path / "t.db")


def test_a_damaged_page_is_reported_and_never_completed(database: Path, tmp_path: Path) -> None:
    """SQLite copies damaged pages without a word: the table is partial, the others succeed, the evidence is no match."""
    target = tmp_path / "t.db"
    ran = go(damage(database), target)
    assert ran.ended("customer", "purchase") == [("partial", "source_damaged"), ("succeeded", None)]
    assert (ran.outcome.status, ran.outcome.rule) == ("partial", 6)
    assert (ran.preview.unavailable, ran.preview.depth) == (1, Depth.METADATA)
    assert ran.evidence.verdict == "mismatch"


def test_a_damaged_database_never_replaces_one_that_is_there(database: Path, tmp_path: Path) -> None:
    """With overwrite too, what is there is better than what is known to be damaged."""
    target = tmp_path / "t.db"
    go(database, target)
    change(target, "DELETE FROM purchase")
    before = target.read_bytes()
    ran = go(damage(database), target, overwrite=True)
    assert before == target.read_bytes()
    assert (ran.outcome.status, ran.outcome.rule, ran.execution.nothing_written) == ("failed", 5, True)


def test_a_truncated_database_cannot_be_planned(database: Path, tmp_path: Path) -> None:
    """SQLite itself refuses a file that is shorter than its header says."""
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    with pytest.raises(SourceError, match="malformed"):
        go(database, tmp_path / "t.db")
    assert not (tmp_path / "t.db").exists()


def test_a_table_that_hides_its_rowid_is_compared_by_all_its_columns(tmp_path: Path) -> None:
    """Columns may be called rowid, _rowid_ and oid, and then nothing else orders the rows."""
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        connection.execute("CREATE TABLE t (rowid, _rowid_, oid)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(2, 1, None), (1, 2, 0.5)])
        connection.commit()
    assert "match" == go(tmp_path / "b.db", tmp_path / "t.db").evidence.verdict


def test_a_database_that_changed_or_vanished_after_the_plan_is_refused(database: Path, tmp_path: Path) -> None:
    """No step accepts it any more."""
    driver = driver_for(None, database)
    plan = driver.plan(Request(backup=str(database), target=str(tmp_path / "t.db")))
    database.unlink()
    with pytest.raises(SourceChangedError):
        driver.collect(plan)
    with pytest.raises(SourceError, match="Is a directory"):
        driver_for("sqlite", tmp_path).plan(Request(backup=str(tmp_path), target=str(tmp_path / "t.db")))


def test_changed_payload_is_found_by_digest_only(database: Path, tmp_path: Path) -> None:
    """integrity_check says ok, the number of rows is right, and the digest of the rows is not."""
    target = tmp_path / "t.db"
    harm = "UPDATE customer SET name = 'X' || substr(name, 2) WHERE id = 1500"
    ran = go(database, target, afterwards=lambda: change(target, harm))
    wrong = [(check.subject, check.method, check.level) for check in ran.checks if check.result == "failed"]
    assert wrong == [("customer", "SHA-256 of rows", "L5")]
    assert (ran.outcome.status, ran.evidence.verdict) == ("completed", "mismatch")


@pytest.mark.parametrize(
    ("statement", "methods"),
    [
        ("DELETE FROM customer WHERE id = 3", {"number of rows", "SHA-256 of rows"}),
        ("DROP TABLE purchase", {"existence", "tables", "SHA-256 of declarations"}),
        ("CREATE TABLE extra (a)", {"tables", "SHA-256 of declarations"}),
        ("INSERT INTO purchase VALUES ('s', 99999)", {"foreign_key_check", "number of rows", "SHA-256 of rows"}),
        ("UPDATE \"odd \"\" name\" SET b = '1' WHERE a = 'l'", {"SHA-256 of rows"}),
    ],
)
def test_every_rung_of_the_comparison_sees_its_own_kind_of_wrong(
    database: Path, tmp_path: Path, statement: str, methods: set[str]
) -> None:
    """Rows that are gone, tables that are gone or too many, broken references, and even another type of the same value."""
    target = tmp_path / "t.db"
    ran = go(database, target, afterwards=lambda: change(target, statement))
    assert methods == {check.method for check in ran.checks if check.result == "failed"}


def test_a_target_that_vanished_or_broke_is_a_mismatch(database: Path, tmp_path: Path) -> None:
    """Absent and unreadable are findings, not gaps."""
    target = tmp_path / "t.db"
    for harm in (target.unlink, lambda: target.write_bytes(b"SQLite format 3\0" + bytes(5000))):
        ran = go(database, target, overwrite=True, afterwards=harm)
        assert (ran.evidence.verdict, ran.evidence.subjects_checked) == ("mismatch", 3)
        target.unlink(missing_ok=True)


def test_an_existing_database_is_skipped_unchanged_or_overwritten(database: Path, tmp_path: Path) -> None:
    """The same rows: unchanged. Other rows: skipped, unless it is to be overwritten; permissions stay."""
    target = tmp_path / "t.db"
    go(database, target)
    target.chmod(0o600)
    assert {"unchanged"} == {str(item.action) for item in go(database, target).items.values()}
    change(target, "DELETE FROM customer")
    ran = go(database, target)
    assert ran.ended(*TABLES) == [("skipped", "exists_and_differs")] * 3
    assert (rows(target), ran.preview.skipped) == ([], 3)
    ran = go(database, target, overwrite=True)
    assert (ran.outcome.status, ran.evidence.verdict, target.stat().st_mode & 0o777) == ("completed", "match", 0o600)


def test_a_target_with_a_journal_beside_it_is_left_alone(database: Path, tmp_path: Path) -> None:
    """A journal would be replayed into the restored database."""
    target = tmp_path / "t.db"
    (tmp_path / "t.db-wal").write_bytes(b"left over")
    ran = go(database, target)
    assert ran.ended(*TABLES) == [("failed", "target_has_journal")] * 3
    assert (target.exists(), ran.outcome.status, ran.preview.unavailable) == (False, "failed", 3)


def test_a_full_disk_leaves_the_target_as_it_was(database: Path, small_disk: Path) -> None:
    """The database is larger than the disk: nothing is there, not even a temporary file, and that is proven."""
    change(database, "UPDATE customer SET photo = zeroblob(1000)")
    ran = go(database, small_disk / "t.db")
    assert ran.ended(*TABLES) == [("failed", "no_space")] * 3
    assert names_in(small_disk) == []
    assert (ran.outcome.status, ran.outcome.rule, ran.execution.nothing_written) == ("failed", 5, True)


def test_a_read_only_target_fails_with_nothing_written(database: Path, read_only_disk: Path) -> None:
    """Nothing applied, proven."""
    ran = go(database, read_only_disk / "t.db")
    assert ran.ended(*TABLES) == [("failed", "read_only")] * 3
    assert (ran.outcome.status, ran.execution.nothing_written) == ("failed", True)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_stop_leaves_the_target_as_it_was(database: Path, dump: Path, tmp_path: Path, after: int) -> None:
    """Before, while and after it is built, but before it is put into place: cancelled, with nothing written."""
    for backup in (database, dump):
        target = tmp_path / "t.db"
        ran = go(backup, target, stop=Stop(after=after))
        assert not target.exists()
        assert ran.ended(*TABLES) == [("non_applied", "stopped")] * 3
        assert (ran.outcome.status, ran.outcome.rule) == ("cancelled", 2)


def test_a_target_that_changed_since_the_preview_is_left_alone(database: Path, tmp_path: Path) -> None:
    """The execution refuses before it writes anything."""
    target = tmp_path / "t.db"
    with pytest.raises(TargetChangedError):
        go(database, target, overwrite=True, between=lambda: target.write_bytes(b"somebody's"))
    assert target.read_bytes() == b"somebody's"


def test_a_part_of_a_database_cannot_be_selected(database: Path, tmp_path: Path) -> None:
    """Some tables: refused. None: nothing selected, which is never evidence. All: fine."""
    driver = driver_for(None, database)
    with pytest.raises(BadInputError, match=r"select: it chooses 1 of 3 tables, .* Leave the selection out"):
        driver.plan(Request(backup=str(database), target=str(tmp_path / "t.db"), select=("customer",)))
    ran = go(database, tmp_path / "t.db", select=("nothing",))
    assert (ran.plan.selected, ran.outcome.rule, ran.can_activate) == (0, 3, False)
    assert not (tmp_path / "t.db").exists()
    assert go(database, tmp_path / "t.db", select=("*",)).outcome.status == "completed"


def test_an_empty_database_proves_nothing(tmp_path: Path) -> None:
    """No tables, no subjects, no evidence; a database that is expected to be empty is another matter."""
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("DROP TABLE t")
    assert not go(tmp_path / "b.db", tmp_path / "t.db").can_activate
    assert go(tmp_path / "b.db", tmp_path / "t.db", expects_nothing=True).can_activate


def test_a_manifest_is_held_against_the_database_file(database: Path, tmp_path: Path) -> None:
    """A database that is not what the manifest says is not trusted; a manifest that does not name it is no help."""
    good = sums({"shop.db": database.read_bytes()}, tmp_path / "GOOD")
    assert go(database, tmp_path / "t1.db", manifest=good).outcome.status == "completed"
    bad = sums({"shop.db": b"other"}, tmp_path / "BAD")
    ran = go(database, tmp_path / "t2.db", manifest=bad)
    assert ran.ended(*TABLES) == [("failed", "manifest_mismatch")] * 3
    assert (ran.outcome.status, (tmp_path / "t2.db").exists()) == ("failed", False)
    with pytest.raises(SourceError, match=r"does not name shop\.db"):
        go(database, tmp_path / "t3.db", manifest=sums({"x": b""}, tmp_path / "NONE"))


def test_the_backup_is_never_its_own_target(database: Path) -> None:
    """Nor is a directory that is named like it."""
    with pytest.raises(TargetError, match="is the backup itself"):
        driver_for(None, database).plan(Request(backup=str(database), target=str(database)))


def test_the_backup_is_left_exactly_as_it_was(database: Path, tmp_path: Path) -> None:
    """Reading a backup changes neither its bytes nor what lies beside it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    before = (database.read_bytes(), sorted(names_in(tmp_path)))
    go(database, tmp_path / "out" / "t.db")
    assert before == (database.read_bytes(), sorted(set(names_in(tmp_path)) - {"out"}))
    assert names_in(tmp_path / "out") == ["t.db"]
    assert sqlite.sqlite_version_info >= (3, 37)


def test_a_failed_restore_over_an_old_database_proves_nothing(database: Path, dump: Path, tmp_path: Path) -> None:
    """The old tables are still there and in order: they must not be taken for restored ones."""
    target = tmp_path / "t.db"
    go(database, target)
    change(target, "DELETE FROM purchase")
    dump.write_text(dump.read_text().removesuffix("COMMIT;\n"))
    ran = go(dump, target, overwrite=True)
    assert ("failed", 0, False) == (ran.outcome.status, ran.evidence.subjects_checked, ran.can_activate)
    assert 2000 == len(rows(target))


def test_a_target_that_is_no_database_can_be_overwritten(database: Path, tmp_path: Path) -> None:
    """It is not the same, so it is skipped or replaced like anything else."""
    target = tmp_path / "t.db"
    target.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert [("skipped", "exists_and_differs")] == go(database, target).ended("customer")
    assert "match" == go(database, target, overwrite=True).evidence.verdict


def test_a_temporary_database_that_cannot_be_removed_is_told(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nobody says that nothing was written."""

    def failing(_path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    driver = driver_for(None, database)
    plan = driver.plan(Request(backup=str(database), target=str(tmp_path / "new" / "t.db")))
    monkeypatch.setattr(Path, "unlink", failing)
    execution = driver.execute(
        plan, target_fingerprint=None, report=lambda _: None, progress=no_progress, should_stop=Stop(after=1)
    )
    assert (False, False) == (execution.reached_end, execution.nothing_written)
    assert "a temporary file could not be removed: Input/output error" in execution.problems


def test_references_that_cannot_be_checked_are_not_called_checked(tmp_path: Path) -> None:
    """A foreign key that names no unique column cannot be checked: the check is skipped, and the verdict is open."""
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        connection.executescript("CREATE TABLE p (y); CREATE TABLE c (x REFERENCES p (y)); INSERT INTO c VALUES (1);")
    ran = go(tmp_path / "b.db", tmp_path / "t.db")
    assert ("inconclusive", 1) == (ran.evidence.verdict, ran.evidence.checks_skipped)


def test_a_check_that_sqlite_itself_cannot_finish_is_a_problem(database: Path) -> None:
    """Whatever it says instead of ok is passed on."""
    with closing(sqlite.connect(database)) as connection:
        connection.set_authorizer(lambda *_: sqlite.SQLITE_DENY)
        assert ("not authorized",) == integrity_problems(connection)


def test_a_database_that_vanishes_while_it_is_looked_at_is_damage(tmp_path: Path) -> None:
    """Reading never creates it."""
    with pytest.raises(DamagedError, match="No such file"), reading(tmp_path / "none.db", at_rest=False):
        pass
    with closing(sqlite.connect("")) as connection, pytest.raises(SourceError, match="cannot be read"):
        load_dump(tmp_path / "none.sql", connection, lambda _: False)
    assert [] == names_in(tmp_path)


def test_without_the_wheel_the_interpreters_own_sqlite_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a wheel for Linux only."""
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    found = runpy.run_path(str(Path(sqlite_library.__file__)))
    assert found["sqlite"] is sqlite3
