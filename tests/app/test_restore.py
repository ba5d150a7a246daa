"""Restores that nothing gets in the way of, from the command line to the decision, for every kind of backup."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.app.restoring import FILE_KINDS, FILES, KINDS, Backup, Shell, backup_of, tree


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def total_of(backup: Backup) -> int:
    """Say how many items a backup holds."""
    return len(backup.contents)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clean_backup_comes_back_and_evidence_says_so(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Exit 0 is "evidence exists", the counts are what is in the target, and the one claim is the contract's."""
    backup = backup_of(kind, tmp_path)
    ran = shell.restore(backup) if kind in {"tar.gz", "db"} else shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (0, ("completed_with_evidence", "completed", None))
    assert told.counts == {"total": total_of(backup), "succeeded": total_of(backup)}
    told.counts_are_true(backup, shell.target)
    assert told.verdicts == [("active", "match")]
    assert told.decision["claims"]["allowed"] == ["Evidence snapshot available"]
    assert "match at level L5; " in ran.out
    assert told.events == ["None", "scope", "check", "preview", "queue", "start", "report", "complete"]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_nothing_but_the_backup_is_in_the_target(shell: Shell, tmp_path: Path, kind: str) -> None:
    """No temporary file, no journal, no note of ours."""
    backup = backup_of(kind, tmp_path)
    shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    assert tree(shell.target) == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_stops_after_the_preview(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Exit 10, no operation, no evidence, no question; the target is not even created."""
    backup = backup_of(kind, tmp_path)
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--dry-run", "--exit-status")
    told = shell.last()
    assert (ran.code, told.ended) == (10, ("not_executed", "previewed", None))
    assert told.events == ["None", "scope", "check", "preview"]
    assert told.decision["operation_proof"]["state"] == "unavailable"
    assert told.decision["claims"]["allowed"] == ["Preview evidence exists"]
    assert list(shell.target.parent.iterdir()) == []
    assert f"{total_of(backup)} would be created" in ran.err


def test_a_dry_run_leaves_an_existing_target_as_it_is(shell: Shell, tmp_path: Path) -> None:
    """Not a byte of it changes, and not its time either."""
    backup = backup_of("tar.gz", tmp_path)
    shell.target.mkdir()
    (shell.target / "a.txt").write_bytes(b"mine")
    before = (shell.target.stat().st_mtime_ns, (shell.target / "a.txt").stat())
    ran = shell.restore_inside(backup, "--dry-run", "--overwrite")
    assert (ran.code, shell.last().ended[0]) == (10, "not_executed")
    assert "3 would be created, 1 overwritten" in ran.err
    after = (shell.target.stat().st_mtime_ns, (shell.target / "a.txt").stat())
    assert before[0] == after[0]
    assert (before[1].st_mtime_ns, before[1].st_ino, tree(shell.target)) == (
        after[1].st_mtime_ns,
        after[1].st_ino,
        {"a.txt": b"mine"},
    )


@pytest.mark.parametrize("kind", ["tar.gz", "db"])
def test_restoring_twice_ends_well_twice_and_is_evidence_once(shell: Shell, tmp_path: Path, kind: str) -> None:
    """The second time everything is in place already, and what a run did not write is no evidence of it."""
    backup = backup_of(kind, tmp_path)
    for expected in ((0, "completed_with_evidence"), (12, "completed_proof_incomplete")):
        ran = shell.restore_inside(backup)
        told = shell.last()
        assert (ran.code, told.ended) == (expected[0], (expected[1], "completed", None))
        told.counts_are_true(backup, shell.target)
    assert (told.details.nothing_written, told.verdicts) == (True, [("failed", "inconclusive")])
    assert f"{total_of(backup)} unchanged" in ran.err
    assert shell.runs() == 2


def test_existing_files_are_skipped_and_counted_as_skipped(shell: Shell, tmp_path: Path) -> None:
    """What differs stays as it was; the evidence says that it is not the backup's, and so does the command."""
    backup = backup_of("zip", tmp_path)
    shell.target.mkdir()
    (shell.target / "a.txt").write_bytes(b"mine")
    (shell.target / "own.txt").write_bytes(b"not the backup's")
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.counts, told.verdicts) == ({"total": 4, "succeeded": 3, "skipped": 1}, [("active", "mismatch")])
    told.counts_are_true(backup, shell.target)
    assert (shell.target / "a.txt").read_bytes() == b"mine"
    assert "mismatch at level L5; " in ran.out
    assert "Review evidence before treating the restore as recovery proof." in ran.out


@pytest.mark.parametrize("kind", ["zip", "db", "sql"])
def test_a_target_of_which_all_exists_is_left_alone(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Everything skipped is nothing applied: the run failed, and it is proven that nothing was written."""
    backup, other = backup_of(kind, tmp_path), _other(kind)
    _fill(shell.target, other)
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert (told.counts, told.details.nothing_written, told.verdicts) == (
        {"total": total_of(backup), "skipped": total_of(backup)},
        True,
        [],
    )
    told.counts_are_true(backup, shell.target)
    assert _content(shell.target) == other


@pytest.mark.parametrize("kind", ["zip", "db", "sql"])
def test_existing_targets_are_replaced_on_request(shell: Shell, tmp_path: Path, kind: str) -> None:
    """With --overwrite the backup's content is there in the end, and evidence of it."""
    backup = backup_of(kind, tmp_path)
    _fill(shell.target, _other(kind))
    ran = shell.restore_inside(backup, "--overwrite")
    told = shell.last()
    assert (ran.code, told.verdicts) == (0, [("active", "match")])
    assert {item.action for item in told.items} == {"overwritten"}
    told.counts_are_true(backup, shell.target)


def _other(kind: str) -> dict[str, bytes] | bytes:
    return dict.fromkeys(FILES, b"other") if kind == "zip" else b"no database at all"


def _fill(target: Path, content: dict[str, bytes] | bytes) -> None:
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    for name, data in content.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


def _content(target: Path) -> dict[str, bytes] | bytes:
    return target.read_bytes() if target.is_file() else tree(target)


def test_a_selection_is_restored_and_nothing_else(shell: Shell, tmp_path: Path) -> None:
    """The counts are those of the selection."""
    backup = backup_of("tar.gz", tmp_path)
    assert shell.restore_inside(backup, "--select", "deep/*").code == 0
    told = shell.last()
    assert sorted(tree(shell.target)) == ["deep/d.txt", "deep/er/c.txt"]
    assert told.counts == {"total": 2, "succeeded": 2}
    told.counts_are_true(backup, shell.target)


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_an_empty_selection_is_blocked(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Nobody meant to restore nothing: exit 15, the reason is named, and nothing was created."""
    backup = backup_of(kind, tmp_path)
    ran = shell.restore_inside(backup, "--select", "no*")
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "empty_selection"))
    assert (told.counts, told.evidence, told.events[-1]) == ({}, [], "block")
    assert not shell.target.exists()


def test_nothing_is_fine_where_nothing_was_expected(shell: Shell, tmp_path: Path) -> None:
    """The plan says so, so the run completes, and evidence of an expected emptiness counts; still nothing is created."""
    ran = shell.restore_inside(backup_of("tar.gz", tmp_path), "--select", "no*", "--expects-nothing")
    told = shell.last()
    assert (ran.code, told.ended) == (0, ("completed_with_evidence", "completed", None))
    assert (told.counts, told.items) == ({}, [])
    ((status, found),) = told.evidence
    assert (status, found.subjects_checked, found.expected_empty) == ("active", 0, True)
    assert not shell.target.exists()


def test_without_exit_status_a_restore_that_failed_exits_with_1(shell: Shell, tmp_path: Path) -> None:
    """Whoever goes on after a restore must not go on after one that failed; every other decision is exit 0."""
    _fill(shell.target, dict.fromkeys(FILES, b"other"))
    ran = shell.inside("restore", backup_of("zip", tmp_path).path, "--into", shell.target, "--yes")
    assert (ran.code, shell.last().ended[0]) == (1, "failed")


def test_json_is_one_line_and_the_same_decision(shell: Shell, tmp_path: Path) -> None:
    """What a program reads on standard output is what the ledger shows; what people read is on standard error."""
    ran = shell.restore_inside(backup_of("zip", tmp_path), "--json")
    (line,) = ran.out.splitlines()
    assert json.loads(line)["decision"] == shell.last().decision


def test_three_thousand_small_files_take_seconds(shell: Shell, tmp_path: Path) -> None:
    """From the start of the program to the decision: within 30 seconds, even on a busy machine."""
    backup = backup_of("tar", tmp_path, {f"d{n % 50}/f{n}": f"content {n}".encode() for n in range(3000)})
    before = time.monotonic()
    assert shell.restore(backup).code == 0
    assert time.monotonic() - before < 30
    told = shell.last()
    assert told.counts == {"total": 3000, "succeeded": 3000}
    assert tree(shell.target) == backup.contents
    assert told.events.count("report") == 3


def test_the_recovery_point_is_the_one_that_was_stated_and_else_the_time_of_the_file_marked_as_such(
    shell: Shell, tmp_path: Path
) -> None:
    """The time of a file says when it was written here; nobody attested it, and the record says so."""
    backup = backup_of("tar.gz", tmp_path)
    stated = ("--rto", "4h", "--rpo", "24h", "--recovery-point", "2026-11-21T02:00:00+01:00")
    shell.restore_inside(backup, *stated)
    found = shell.last().details
    assert (found.rto_us_stated, found.rpo_us_stated) == (4 * 3600 * 10**6, 24 * 3600 * 10**6)
    assert (found.recovery_point_us, found.recovery_point_basis) == (1_795_222_800_000_000, "stated")
    shell.restore_inside(backup)
    found = shell.last().details
    assert (found.rto_us_stated, found.rpo_us_stated) == (None, None)
    assert found.recovery_point_us == Path(backup.path).stat().st_mtime_ns // 1000
    assert found.recovery_point_basis == "file_time"
