"""Dumps: a program that is executed with everything forbidden that it does not need, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofgap_app.drivers.base import SourceError
from proofgap_app.drivers.selection import UNREADABLE_KEY
from proofgap_app.drivers.sql_dump import _split
from tests.app.drivers.conftest import Stop, go, names_in, rows

DUMP_CASES = {
    "inside a statement": (lambda text: text[: text.index("customer 500") + 5], "source_truncated"),
    "before its COMMIT": (lambda text: text.removesuffix("COMMIT;\n"), "source_truncated"),
    "by a statement that fails": (
        lambda text: text.replace("COMMIT;", "INSERT INTO nowhere VALUES(1);\nCOMMIT;"),
        "source_damaged",
    ),
}
REFUSED = {
    "ATTACH '/tmp/proofgap-other.db' AS other;": "another database file",
    "SELECT load_extension('/tmp/evil');": "the function load_extension",
    "PRAGMA writable_schema = ON;": "PRAGMA writable_schema",
    "CREATE VIRTUAL TABLE v USING fts5(a);": "a virtual table",
    "VACUUM INTO '/tmp/proofgap-other.db';": "another database file",
    ".shell rm -rf /": r"\.shell",
}


def test_a_dump_comes_back_row_for_row(database: Path, dump: Path, tmp_path: Path) -> None:
    """Semicolons in values, line breaks and triggers do not confuse it; a directory as target gets the dump's name."""
    target = tmp_path / "new"
    target.mkdir()
    ran = go(dump, target)
    assert rows(database) == rows(target / "shop.db")
    assert (ran.outcome.status, ran.evidence.verdict, ran.evidence.subjects_checked) == ("completed", "match", 3)


@pytest.mark.parametrize("name", DUMP_CASES)
def test_a_dump_that_breaks_off_is_not_applied_at_all(dump: Path, tmp_path: Path, name: str) -> None:
    """Half a table would look like a table: nothing is put into place, and the preview says so loudly."""
    harm, reason_code = DUMP_CASES[name]
    dump.write_text(harm(dump.read_text()))
    target = tmp_path / "t.db"
    ran = go(dump, target)
    assert not target.exists()
    assert [("failed", reason_code)] * 2 == ran.ended("customer", UNREADABLE_KEY)
    assert (ran.outcome.status, ran.outcome.rule, ran.plan.source_completeness) == ("failed", 5, "incomplete")
    assert ran.preview.problems[0].startswith("THE BACKUP IS DAMAGED")
    assert (ran.evidence.subjects_checked, ran.can_activate) == (0, False)


@pytest.mark.parametrize("statement", REFUSED)
def test_a_dump_cannot_reach_beyond_its_database(dump: Path, tmp_path: Path, statement: str) -> None:
    """Other files, extensions, virtual tables, pragmas and commands of the shell are refused before anything is planned."""
    dump.write_text(statement + "\n" + dump.read_text())
    with pytest.raises(SourceError, match=f"statement 1 of the dump uses {REFUSED[statement]}"):
        go(dump, tmp_path / "t.db")
    assert not Path("/tmp/proofgap-other.db").exists()  # noqa: S108 - nothing is made there


def test_a_dump_of_which_nothing_can_be_read_cannot_be_planned(tmp_path: Path) -> None:
    """Bytes that are no UTF-8: without a single table there is no plan."""
    (tmp_path / "b.sql").write_bytes(b"CREATE TABLE t (a);\nINSERT INTO t VALUES ('\xff');\n")
    with pytest.raises(SourceError, match="not UTF-8 near byte"):
        go(tmp_path / "b.sql", tmp_path / "t.db")


def test_a_dump_that_ends_in_a_comment_is_whole(dump: Path, tmp_path: Path) -> None:
    """What stands behind the last semicolon is no statement."""
    dump.write_text(dump.read_text().rstrip() + " -- done\n-- really\n")
    assert "completed" == go(dump, tmp_path / "t.db").outcome.status


def test_a_dump_that_its_maker_broke_off_is_refused(dump: Path, tmp_path: Path) -> None:
    """SQLite's shell ends the dump of a damaged database with ROLLBACK; loading that gives nothing, without an error."""
    dump.write_text(dump.read_text().replace("COMMIT;", "ROLLBACK; -- due to errors"))
    with pytest.raises(SourceError, match="uses ROLLBACK, the mark of a dump that was broken off"):
        go(dump, tmp_path / "t.db")


def test_a_dump_in_one_line_is_understood(tmp_path: Path) -> None:
    """Statements need not stand on lines of their own."""
    (tmp_path / "b.sql").write_text("CREATE TABLE t (a); INSERT INTO t VALUES ('x;y');\nINSERT INTO t VALUES (2);\n")
    ran = go(tmp_path / "b.sql", tmp_path / "t.db")
    assert ("completed", "2") == (ran.outcome.status, next(c.observed for c in ran.checks if c.subject == "t"))


def test_statements_are_split_outside_of_values_comments_and_triggers() -> None:
    """Only a semicolon that ends a statement ends a statement."""
    statements = [
        "INSERT INTO t VALUES ('a;b''c');",
        ' SELECT "x;y" /* ; */ -- ;\n;',
        " CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; SELECT 2; END;",
    ]
    assert statements == list(_split("".join(statements)))


def test_a_full_disk_stops_a_dump_too(dump: Path, small_disk: Path) -> None:
    """It is the target that is full, not the dump that is damaged."""
    text = dump.read_text().replace("COMMIT;", "CREATE TABLE big AS SELECT zeroblob(2000000);\nCOMMIT;")
    dump.write_text(text)
    ran = go(dump, small_disk / "t.db")
    assert ran.ended("customer") == [("failed", "no_space")]
    assert names_in(small_disk) == []


def test_a_long_statement_of_a_dump_can_be_stopped(tmp_path: Path) -> None:
    """A statement without end is interrupted."""
    (tmp_path / "b.sql").write_text("CREATE TABLE t (a);\n")
    (tmp_path / "c.sql").write_text(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT i FROM n;\n"
    )
    ran = go(tmp_path / "c.sql", tmp_path / "t.db", stop=Stop(after=5))
    assert (ran.outcome.status, (tmp_path / "t.db").exists()) == ("cancelled", False)
