"""Restores into a real PostgreSQL with its own programs: clean ones, and every way in which they fail or lie."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Request, SourceChangedError, TargetChangedError, no_progress
from tests import postgresql
from tests.app.drivers.conftest import _mount
from tests.app.restoring import Ran, Shell, wait_for
from tests.app.test_restore_damage import cut
from tests.app.tools.databases import CUSTOMERS, ORDERS, PROGRAMS, World, dump, execute, one, program, results, shop

CANARY = "canary-Zx81-secret"
TABLES = ("TABLE public customer", "TABLE public orders")
ROWS = ("TABLE DATA public customer", "TABLE DATA public orders")


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give dumps of the shop, by their form."""
    folder = tmp_path_factory.mktemp("dumps")
    with shop() as url:
        found = {kind: dump(url, folder / kind, kind) for kind in ("custom", "directory", "tar", "plain")}
        found["inserts"] = dump(url, folder / "inserts", "custom", "--rows-per-insert=100")
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give an empty database, a ledger, and the programs."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
    with postgresql.database(empty=True) as url:
        yield World(Shell(tmp_path), url)


@pytest.mark.parametrize("form", ["custom", "directory", "tar", "plain"])
def test_a_clean_restore_is_compared_with_the_dump_to_its_last_row(
    world: World, dumps: dict[str, Path], form: str
) -> None:
    """Items are entries of the table of contents; rows are equal although the dump was made in another time zone."""
    ran = world.restore(dumps[form])
    told = world.told()
    assert (ran.code, told.ended) == (0, ("completed_with_evidence", "completed", None))
    assert told.counts["succeeded"] == told.counts["total"] == len(told.items) > 12
    assert (told.details.unit, told.details.counts_source, told.details.exit_code) == ("toc_entry", "items", 0)
    assert (world.number("customer"), world.number("orders")) == (CUSTOMERS, ORDERS)
    assert told.verdicts == [("active", "match")]
    (_, found) = told.evidence[0]
    assert (found.level, found.checks_failed, found.checks_skipped) == ("L5", 0, 0)
    assert found.subjects_checked == len(
        [item for item in told.items if re.match(r"\d+ (TABLE|INDEX|VIEW|.*CONSTRAINT|SEQUENCE public)", item.key)]
    )


def test_a_dump_that_is_restored_twice_completes_with_errors_and_without_evidence(
    world: World, dumps: dict[str, Path]
) -> None:
    """Everything is in place, and this run put none of it there: a leftover of an earlier restore does not count."""
    assert world.restore(dumps["custom"]).code == 0
    ran = world.restore(dumps["custom"])
    told = world.told()
    assert (ran.code, told.ended) == (13, ("needs_review", "completed_with_errors", None))
    assert (told.details.exit_code, told.details.outcome_rule) == (1, 7)
    assert {results(told)[table] for table in TABLES} == {("skipped", "exists")}
    assert {results(told)[rows] for rows in ROWS} == {("succeeded", "in_place_before")}
    assert {item.action for item in told.items if "TABLE DATA" in item.key} == {"unchanged"}
    assert told.verdicts == [("failed", "inconclusive")]
    assert told.evidence[0][1].subjects_checked == 0


def test_somebody_else_looks_again_later_and_tells_leftovers_from_what_the_run_wrote(
    world: World, dumps: dict[str, Path]
) -> None:
    """The marker of the plan is on record; and a sample of entries is looked at alone."""
    assert world.restore(dumps["custom"]).code == 0
    first = world.told()
    assert (first.details.marker or "").isdigit()
    assert world.shell.inside("evidence", "collect", first.run["id"]).code == 0
    assert world.shell.inside("evidence", "collect", first.run["id"], "--sample", "4", "--seed", "7").code == 0
    told = world.told()
    assert sorted(told.verdicts) == [("active", "match"), ("superseded", "match"), ("superseded", "match")]
    assert world.restore(dumps["custom"]).code == 13
    again = world.told()
    assert "failed" in world.shell.inside("evidence", "collect", again.run["id"]).out
    assert [status for status, _ in world.told().verdicts] == ["failed", "failed"]


def test_an_owner_that_is_missing_costs_no_row(world: World, tmp_path: Path) -> None:
    """The tool says that it ignored an error; what it is about is there, and belongs to somebody else."""
    role = f"shop_owner_{os.getpid()}"
    with shop(
        f"CREATE ROLE {role}; CREATE TABLE part (n integer); INSERT INTO part SELECT generate_series(1, 100); ALTER TABLE part OWNER TO {role}"
    ) as url:
        made = dump(url, tmp_path / "owned", "custom")
    postgresql.administer("DROP ROLE {}", role)
    world.restore(made)
    told = world.told()
    assert told.ended == ("needs_review", "completed_with_errors", None)
    assert told.counts == {"total": 2, "succeeded": 2}
    assert results(told) == {
        "TABLE public part": ("succeeded", "owner_not_applied"),
        "TABLE DATA public part": ("succeeded", None),
    }
    assert (world.number("part"), told.verdicts) == (100, [("active", "match")])
    assert world.restore(made, "--option", "no-owner=yes", "--overwrite").code == 0
    assert world.told().counts == {"total": 2, "succeeded": 2}


@pytest.fixture
def in_the_way(world: World, dumps: dict[str, Path]) -> World:
    """Give the database with empty tables, but for one customer that is not the backup's."""
    subprocess.run([program("pg_restore"), "--schema-only", "-d", world.url, dumps["custom"]], check=True)
    execute(world.url, "INSERT INTO customer VALUES (5, 'in the way', now())")
    return world


def test_one_row_in_the_way_costs_its_whole_table(in_the_way: World, dumps: dict[str, Path]) -> None:
    """Rows of a table go in together, and those that refer to them go nowhere: two errors, thousands of rows."""
    ran = in_the_way.restore(dumps["custom"], "--option", "data-only=yes")
    told = in_the_way.told()
    assert (ran.code, told.ended[:2]) == (13, ("needs_review", "partial"))
    assert results(told)["SEQUENCE SET public orders_id_seq"] == ("succeeded", None)
    assert told.counts == {"total": 3, "succeeded": 1, "failed": 2}
    assert {results(told)[rows] for rows in ROWS} == {("failed", "rows_not_written")}
    assert (in_the_way.number("customer"), in_the_way.number("orders")) == (1, 0)
    assert told.verdicts == [("active", "mismatch")]


def test_rows_that_refer_to_nothing_are_in_the_evidence(in_the_way: World, dumps: dict[str, Path]) -> None:
    """Without triggers the orders go in although their customers did not: the reference is there, valid, and wrong."""
    in_the_way.restore(dumps["custom"], "--option", "data-only=yes", "--option", "disable-triggers=yes")
    told = in_the_way.told()
    assert told.ended[:2] == ("needs_review", "partial")
    assert told.counts == {"total": 3, "succeeded": 2, "failed": 1}
    assert (in_the_way.number("customer"), in_the_way.number("orders")) == (1, ORDERS)
    assert told.verdicts == [("active", "mismatch")]


def test_rows_that_a_dump_has_as_statements_may_go_in_partly(in_the_way: World, dumps: dict[str, Path]) -> None:
    """Nobody lists them, so nobody compares them, and the verdict stays open."""
    in_the_way.restore(dumps["inserts"], "--option", "data-only=yes")
    told = in_the_way.told()
    assert told.ended[:2] == ("needs_review", "partial")
    assert told.counts == {"total": 3, "succeeded": 1, "partial": 2}
    assert {results(told)[rows] for rows in ROWS} == {("partial", "some_rows_not_written")}
    assert told.verdicts == [("failed", "inconclusive")]


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_an_archive_that_breaks_off_aborts_and_leaves_something_behind(
    world: World, dumps: dict[str, Path], tmp_path: Path, form: str
) -> None:
    """What can be listed is not what can be read: the preview says so, and the run failed with what it had written."""
    made = damaged(dumps[form], tmp_path / "damaged")
    ran = world.restore(made)
    told = world.told()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "tool_aborted"))
    assert "THE BACKUP IS DAMAGED: pg_restore: error: " in ran.err
    assert (told.details.nothing_written, told.details.outcome_rule) == (False, 4)
    assert world.number("orders") == 0
    assert results(told)["TABLE DATA public orders"] == ("failed", "source_damaged")
    assert results(told)["FK CONSTRAINT public orders orders_customer_fkey"] == ("non_applied", "not_reached")
    assert told.counts["total"] == sum(count for name, count in told.counts.items() if name != "total")
    assert told.verdicts[0][1] in {"mismatch", "inconclusive"}


def test_a_tar_archive_that_breaks_off_between_two_rows_is_not_complete_although_the_tool_exits_with_0(
    world: World, dumps: dict[str, Path], tmp_path: Path
) -> None:
    """The tool takes the end of the file for the end of the rows: no error, exit code 0, and half of a table is missing."""
    with tarfile.open(dumps["tar"]) as archive:
        largest = max(archive, key=lambda member: member.size)
    data = dumps["tar"].read_bytes()
    end = data.index(b"\n", largest.offset_data + largest.size // 2) + 1
    (tmp_path / "broken.tar").write_bytes(data[:end])
    ran = world.restore(tmp_path / "broken.tar")
    told = world.told()
    assert (ran.code, told.ended) == (13, ("needs_review", "partial", None))
    assert "THE BACKUP IS DAMAGED: the rows of entry " in ran.err
    assert told.details.exit_code == 0
    assert results(told)["TABLE DATA public orders"] == ("partial", "source_damaged")
    assert 0 < (world.number("orders") or 0) < ORDERS
    assert told.verdicts == [("active", "inconclusive")]


def damaged(archive: Path, path: Path) -> Path:
    """Copy an archive without the end of the rows of the larger table."""
    subprocess.run(["cp", "-r", archive, path], check=True)
    if path.is_dir():
        largest = max(path.iterdir(), key=lambda file: file.stat().st_size)
        cut(largest, 0.5)
    else:
        cut(path, 0.6)
    return path


def test_a_flipped_byte_of_the_same_size_is_found_in_the_preview(
    world: World, dumps: dict[str, Path], tmp_path: Path
) -> None:
    """The compressed rows cannot be read any more; the run is a failure, however much of it went well."""
    data = bytearray(dumps["custom"].read_bytes())
    data[len(data) * 2 // 3] ^= 0xFF
    (tmp_path / "flipped").write_bytes(data)
    ran = world.restore(tmp_path / "flipped")
    told = world.told()
    assert told.ended == ("failed", "failed", "tool_aborted")
    assert "THE BACKUP IS DAMAGED" in ran.err
    assert results(told)["TABLE DATA public orders"] == ("failed", "source_damaged")
    assert told.counts["total"] > told.counts["succeeded"] > 0
    assert told.verdicts[0][1] in {"mismatch", "inconclusive"}


def test_rows_that_were_changed_after_the_restore_are_in_the_evidence(world: World, dumps: dict[str, Path]) -> None:
    """As many rows as before, and one of them is another."""
    spoil = "UPDATE public.orders SET paid = 0 WHERE id = 9"
    execute(world.url, f"CREATE FUNCTION spoil() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN {spoil}; END$$")
    when = "ON ddl_command_end WHEN TAG IN ('CREATE INDEX')"
    execute(world.url, f"CREATE EVENT TRIGGER spoiling {when} EXECUTE FUNCTION spoil()")
    world.restore(dumps["custom"])
    told = world.told()
    assert told.ended[:2] == ("completed_with_evidence", "completed")
    assert told.verdicts == [("active", "mismatch")]
    assert told.evidence[0][1].checks_failed == 1


def test_a_selection_of_nothing_is_blocked_although_the_tool_would_exit_with_0(
    world: World, dumps: dict[str, Path]
) -> None:
    """The tool is not asked to restore nothing."""
    assert world.restore(dumps["custom"], "--select", "*nowhere*").code == 15
    told = world.told()
    assert (told.ended, told.items) == (("blocked_or_cancelled", "cancelled", "empty_selection"), [])
    assert world.number("customer") is None


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_a_dump_of_nothing_is_blocked_unless_nothing_is_expected(world: World, tmp_path: Path, form: str) -> None:
    """Empty is right only where somebody says so; then it is evidence that nothing is there to compare."""
    with shop("SELECT 1") as url:
        made = dump(url, tmp_path / "empty", form)
    assert (world.restore(made).code, world.told().ended[2]) == (15, "empty_selection")
    ran = world.restore(made, "--expects-nothing")
    told = world.told()
    assert (ran.code, told.ended[:2]) == (0, ("completed_with_evidence", "completed"))
    assert (told.verdicts, told.evidence[0][1].expected_empty) == ([("active", "match")], True)


def test_sql_that_nobody_dumped_is_one_item_and_no_evidence(world: World, tmp_path: Path) -> None:
    """Nobody lists what it should leave behind, so nothing can be compared."""
    (tmp_path / "text.sql").write_text("CREATE TABLE t (n integer);\nINSERT INTO t VALUES (1);\n")
    ran = world.restore(tmp_path / "text.sql")
    told = world.told()
    assert (ran.code, told.ended[:2]) == (12, ("completed_proof_incomplete", "completed"))
    assert told.counts == {"total": 1, "succeeded": 1}
    assert (told.verdicts, world.number("t")) == ([("failed", "inconclusive")], 1)


def test_a_part_of_a_dump_is_restored_alone(world: World, dumps: dict[str, Path]) -> None:
    """Only what was selected is counted, and compared."""
    world.restore(
        dumps["custom"], "--select", "* TABLE public customer *", "--select", "* TABLE DATA public customer *"
    )
    told = world.told()
    assert told.ended[:2] == ("completed_with_evidence", "completed")
    assert told.counts == {"total": 2, "succeeded": 2}
    assert told.verdicts == [("active", "match")]
    assert world.number("orders") is None


def test_rows_without_their_table_apply_nothing(world: World, dumps: dict[str, Path]) -> None:
    """The tool goes to its end, with exit code 1 as after a harmless error, and nothing is there."""
    ran = world.restore(dumps["custom"], "--select", "* TABLE DATA *")
    told = world.told()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert told.counts == {"total": 2, "failed": 2}
    assert (told.details.exit_code, told.details.nothing_written, told.evidence) == (1, True, [])


def test_old_tables_behind_a_transaction_that_was_rolled_back_are_no_evidence(
    world: World, dumps: dict[str, Path], tmp_path: Path
) -> None:
    """``--clean`` in one transaction fails: the old tables are there, a count of tables would be content, and nothing was written."""
    assert world.restore(dumps["custom"]).code == 0
    execute(world.url, "INSERT INTO customer VALUES (9999, 'new', now())")
    before = one(world.url, "SELECT 'customer'::regclass::oid")
    made = damaged(dumps["custom"], tmp_path / "damaged")
    ran = world.restore(made, "--overwrite", "--option", "single-transaction=yes")
    told = world.told()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "tool_aborted"))
    assert (told.details.nothing_written, told.evidence) == (True, [])
    assert {str(item.result) for item in told.items} == {"non_applied"}
    assert (world.number("customer"), one(world.url, "SELECT 'customer'::regclass::oid")) == (CUSTOMERS + 1, before)


def test_what_is_there_is_replaced_when_that_is_wanted(world: World, dumps: dict[str, Path]) -> None:
    """The evidence is of this run: what it replaced was written by it."""
    world.restore(dumps["custom"])
    execute(world.url, "INSERT INTO customer VALUES (9999, 'new', now())")
    ran = world.restore(dumps["custom"], "--overwrite", "--option", "single-transaction=yes")
    told = world.told()
    assert (ran.code, told.verdicts) == (0, [("active", "match")])
    assert {item.action for item in told.items if "TABLE" in item.key and "COMMENT" not in item.key} == {"overwritten"}
    assert world.number("customer") == CUSTOMERS


def test_a_table_that_cannot_be_replaced_is_not_said_to_be_skipped(world: World, dumps: dict[str, Path]) -> None:
    """Something that is not in the dump depends on it, so it stays, with its old rows."""
    assert world.restore(dumps["custom"]).code == 0
    execute(world.url, "CREATE VIEW others AS SELECT id FROM customer")
    world.restore(dumps["custom"], "--overwrite")
    told = world.told()
    assert told.ended[:2] == ("needs_review", "partial")
    assert results(told)["TABLE public customer"] == ("failed", "not_replaced")
    assert results(told)["TABLE DATA public customer"] == ("succeeded", None)
    assert told.verdicts == [("active", "mismatch")]


@pytest.mark.parametrize("whole", ["yes", "no"])
def test_a_plain_dump_stops_at_its_first_error(world: World, dumps: dict[str, Path], whole: str) -> None:
    """``psql`` would go on and exit with 0: here it never does; in one transaction nothing of it stays."""
    execute(world.url, "CREATE VIEW names AS SELECT 1")
    ran = world.restore(dumps["plain"], "--option", f"single-transaction={whole}")
    told = world.told()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "tool_aborted"))
    assert (told.details.exit_code, told.details.nothing_written) == (3, whole == "yes")
    assert results(told)["VIEW public names"][0] == "failed"
    assert (world.number("customer") is None) == (whole == "yes")
    assert results(told)["TABLE public customer"][0] == ("non_applied" if whole == "yes" else "succeeded")


@pytest.mark.parametrize(
    "first", ["INSERT INTO other VALUES (1)", "CREATE ROLE {role}", "SELECT nextval('numbers')", "SELECT 1"]
)
def test_sql_text_may_write_where_no_entry_says_so(world: World, tmp_path: Path, first: str) -> None:
    """Nothing written is said only where nothing is, in any table, sequence or role."""
    execute(world.url, "CREATE TABLE other (n integer); CREATE SEQUENCE numbers")
    role = f"made_{os.getpid()}"
    (tmp_path / "text.sql").write_text(f"{first.format(role=role)};\nSELECT 1/0;\n")
    world.restore(tmp_path / "text.sql")
    told = world.told()
    assert told.ended == ("failed", "failed", "tool_aborted")
    assert told.details.nothing_written is (first == "SELECT 1")
    execute(world.url, f"DROP ROLE IF EXISTS {role}")


def test_a_plain_dump_that_breaks_off_is_never_complete(world: World, dumps: dict[str, Path], tmp_path: Path) -> None:
    """``psql`` takes the end of the file for the end of the rows, and exits with 0: half a table, and no error."""
    lines = dumps["plain"].read_bytes().splitlines(keepends=True)
    (tmp_path / "half.sql").write_bytes(b"".join(lines[: len(lines) * 2 // 3]))
    ran = world.restore(tmp_path / "half.sql")
    told = world.told()
    assert (ran.code, told.ended[:2]) == (13, ("needs_review", "partial"))
    assert "THE BACKUP IS DAMAGED: the dump ends before its last line" in ran.err
    assert (told.details.exit_code, told.details.source_completeness) == (0, "incomplete")
    assert 0 < (world.number("orders") or 0) < ORDERS
    assert results(told)["TABLE DATA public orders"] == ("failed", "source_truncated")


@pytest.mark.parametrize("line", [r"\! touch ran", r"\connect other", r"SELECT 1 \gexec", "SELECT 'it''s' ; \\i file"])
def test_a_plain_dump_that_tells_psql_more_than_sql_is_refused(world: World, tmp_path: Path, line: str) -> None:
    """A dump is a program; it must not reach beyond the database."""
    (tmp_path / "evil.sql").write_text(f"CREATE TABLE t (n integer);\n{line}\n")
    ran = world.restore(tmp_path / "evil.sql")
    assert (ran.code, world.told().ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert "for psql, and a restore must not execute it" in ran.err
    assert world.number("t") is None


@pytest.mark.parametrize(
    ("made", "options", "problem"),
    [
        ("folder", (), "is a directory without toc.dat"),
        ("binary", (), "is neither an archive of pg_dump nor SQL text"),
        ("short", (), "cannot be listed (pg_restore: error: "),
        ("plain", ("--overwrite",), "a plain dump says itself what it replaces"),
        ("plain", ("--select", "*customer*"), "a plain dump is restored whole"),
        ("plain", ("--option", "no-owner=yes"), "a plain dump is restored as it is"),
        ("custom", ("--option", "no-owner=maybe"), "no-owner=maybe is neither yes nor no"),
        ("custom", ("--manifest", "/dev/null"), "it is for files"),
    ],
)
def test_what_cannot_be_restored_like_this_blocks_the_run_before_anything_is_written(
    world: World, dumps: dict[str, Path], tmp_path: Path, made: str, options: tuple[str, ...], problem: str
) -> None:
    """The reason is said, and on record."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\0\1\2" * 300)
    (tmp_path / "short").write_bytes(dumps["custom"].read_bytes()[:40])
    ran = world.restore(dumps.get(made, tmp_path / made), *options)
    assert (ran.code, world.told().ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert problem in ran.err
    assert world.number("customer") is None


def test_a_dump_or_a_database_that_changed_since_the_preview_is_left_alone(
    world: World, dumps: dict[str, Path], tmp_path: Path
) -> None:
    """What was seen is not what would be done."""
    made = tmp_path / "made"
    made.write_bytes(dumps["custom"].read_bytes())
    driver, request = chosen(None, Request(backup=f"postgresql:{made}", target=world.url))
    plan = driver.plan(request)
    shown = driver.preview(plan).target_fingerprint
    execute(world.url, "CREATE TABLE new (n integer)")
    given = {"report": print, "progress": no_progress, "should_stop": lambda: False}
    with pytest.raises(TargetChangedError):
        driver.execute(plan, target_fingerprint=shown, **given)
    made.write_bytes(dumps["tar"].read_bytes())
    for step in (driver.preview, driver.collect):
        with pytest.raises(SourceChangedError):
            step(plan)
    assert world.number("customer") is None


def test_rows_that_went_elsewhere_are_not_in_the_target(world: World, dumps: dict[str, Path]) -> None:
    """The tool told of no error, and the table is not there: somebody took it away."""
    execute(
        world.url,
        "CREATE FUNCTION take() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN DROP TABLE public.orders CASCADE; END$$",
    )
    when = "ON ddl_command_end WHEN TAG IN ('CREATE INDEX')"
    execute(world.url, f"CREATE EVENT TRIGGER taking {when} EXECUTE FUNCTION take()")
    world.restore(dumps["custom"])
    told = world.told()
    assert told.ended[:2] == ("needs_review", "partial")
    assert (
        results(told)["TABLE public orders"] == results(told)["TABLE DATA public orders"] == ("failed", "not_in_target")
    )
    assert told.verdicts == [("active", "mismatch")]


def test_a_database_that_is_not_there_blocks_the_run(world: World, dumps: dict[str, Path]) -> None:
    """Nothing is created for it."""
    world.url = world.url.replace("/proofgap_test", "/no_such")
    ran = world.restore(dumps["custom"])
    assert (ran.code, world.told().ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert "does not exist" in ran.err


@pytest.mark.parametrize(
    "target", [f"postgresql://me:{CANARY}@localhost/x", f"host=localhost dbname=x password={CANARY}"]
)
def test_a_password_in_the_target_is_refused_and_not_repeated(
    world: World, dumps: dict[str, Path], target: str
) -> None:
    """The target goes on record; the password comes from a file or the environment."""
    ran = world.shell.inside("restore", f"postgresql:{dumps['custom']}", "--into", target, "--yes")
    assert ran.code == 2
    assert CANARY not in ran.out + ran.err
    assert world.shell.runs() == 0


@pytest.fixture
def space() -> Iterator[Path]:
    """Give a folder of the server on a disk of 512 KiB; not below the test's own, into which the server may not look."""
    disk = Path(tempfile.mkdtemp(prefix="proofgap-disk-"))
    _mount(disk, "-t", "tmpfs", "-o", "size=512k,mode=755", "tmpfs")
    place = disk / "space"
    place.mkdir()
    os.chown(place, postgresql._user(), -1)
    yield place
    subprocess.run(["umount", "--lazy", disk], check=True)
    disk.rmdir()


def test_a_disk_that_is_full_costs_the_table_that_did_not_fit(
    world: World, dumps: dict[str, Path], space: Path
) -> None:
    """The tool goes on behind it, and exits with 1 as after a harmless error."""
    name = f"small_{os.getpid()}"
    execute(world.url, f"CREATE TABLESPACE {name} LOCATION '{space}'")
    try:
        subprocess.run([program("pg_restore"), "--schema-only", "-d", world.url, dumps["custom"]], check=True)
        execute(world.url, f"ALTER TABLE orders SET TABLESPACE {name}")
        execute(world.url, f"CREATE TABLE filler (t text) TABLESPACE {name}")
        execute(world.url, "ALTER TABLE filler ALTER t SET STORAGE EXTERNAL")
        execute(world.url, "INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, 40)")
        world.restore(dumps["custom"], "--option", "data-only=yes")
        told = world.told()
        assert told.ended[:2] == ("needs_review", "partial")
        assert told.counts == {"total": 3, "succeeded": 2, "failed": 1}
        (failed,) = (item for item in told.items if item.result == "failed")
        assert "No space left on device" in (failed.message or "")
        assert (world.number("customer"), world.number("orders")) == (CUSTOMERS, 0)
    finally:
        execute(world.url, "DROP TABLE filler; ALTER TABLE orders SET TABLESPACE pg_default")
        execute(world.url, f"DROP TABLESPACE {name}")


def restore_stuck(
    world: World, dumps: dict[str, Path], act: Callable[[psycopg.Connection], object], *options: str
) -> Ran:
    """Restore rows, and do something when they wait in the middle: the first table is written, the second is locked."""
    subprocess.run([program("pg_restore"), "--schema-only", "-d", world.url, dumps["custom"]], check=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^proofgap-' AND wait_event_type = 'Lock'"

    def act_when_stuck(lock: psycopg.Connection) -> None:
        with lock:
            wait_for(lambda: bool(one(world.url, waiting)))
            act(lock)

    lock = psycopg.connect(world.url)
    lock.execute("LOCK TABLE orders IN SHARE MODE")
    thread = Thread(target=act_when_stuck, args=(lock,))
    thread.start()
    ran = world.restore(dumps["custom"], "--option", "data-only=yes", *options)
    thread.join()
    return ran


def sessions(world: World) -> int:
    """Count what restores have left at work in the database."""
    return int(one(world.url, "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^proofgap-'"))


def kill_tool(world: World) -> None:
    """Kill the tool, and wait until its session is gone, too, which waits for a lock."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    processes = [process for file in children for process in file.read_text().split()]
    (tool,) = (one for one in processes if Path(f"/proc/{one}/comm").read_text() == "pg_restore\n")
    os.kill(int(tool), signal.SIGKILL)
    wait_for(lambda: sessions(world) == 0)


@pytest.mark.parametrize("whole", ["no", "yes"])
def test_a_tool_that_is_killed_is_a_lost_worker_with_what_it_had_written(
    world: World, dumps: dict[str, Path], whole: str
) -> None:
    """Its session, which it leaves behind waiting, is ended before anybody looks at the database."""
    ran = restore_stuck(world, dumps, lambda _lock: kill_tool(world), "--option", f"single-transaction={whole}")
    told = world.told()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "worker_lost"))
    assert (told.details.exit_code, told.details.nothing_written) == (-9, whole == "yes")
    written = {} if whole == "yes" else {"succeeded": 1}
    assert told.counts == {"total": 3, **written, "non_applied": 3 - len(written)}
    assert (world.number("customer"), world.number("orders")) == (CUSTOMERS * len(written), 0)


@pytest.mark.parametrize("whole", ["no", "yes"])
def test_a_restore_that_is_stopped_says_what_is_there(world: World, dumps: dict[str, Path], whole: str) -> None:
    """The tool exits with 1, as after a harmless error; that somebody asked is known from our own record only."""

    def ask_to_stop(_lock: psycopg.Connection) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: sessions(world) == 0)

    restore_stuck(world, dumps, ask_to_stop, "--option", f"single-transaction={whole}")
    told = world.told()
    state, status = ("blocked_or_cancelled", "cancelled") if whole == "yes" else ("needs_review", "partial")
    assert told.ended == (state, status, "cancel_requested")
    assert (told.details.cancel_requested_by is not None, told.details.nothing_written) == (True, whole == "yes")
    assert told.counts.get("succeeded", 0) == (1 if whole == "no" else 0)
    assert world.number("customer") == (CUSTOMERS if whole == "no" else 0)


def test_a_database_that_goes_away_in_the_middle_leaves_everything_unknown(
    world: World, dumps: dict[str, Path]
) -> None:
    """Nobody can look at it: nothing is counted, and nothing is said of any item."""
    name = str(one(world.url, "SELECT current_database()"))

    def drop(lock: psycopg.Connection) -> None:
        postgresql.administer("DROP DATABASE {} WITH (FORCE)", name)
        lock.close()

    ran = restore_stuck(world, dumps, drop)
    postgresql.administer("CREATE DATABASE {}", name)
    told = world.told()
    assert (ran.code, told.ended[:2]) == (14, ("failed", "failed"))
    assert (told.counts, told.items, told.details.nothing_written) == ({}, [], False)
    assert told.verdicts == [("failed", "inconclusive")]
