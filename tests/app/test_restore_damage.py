"""Backups that are damaged, and targets and backups that change while they are worked with."""

from __future__ import annotations

import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import SourceChangedError, TargetChangedError
from proofgap_store import Ledger
from tests.app.restoring import FILES, Backup, Shell, Witness, backup_of, carried_out, rows

NOISE = {f"n{number}.bin": os.urandom(20_000) for number in range(6)}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def cut(path: Path, share: float) -> None:
    """Cut a file off."""
    with path.open("r+b") as stream:
        stream.truncate(int(path.stat().st_size * share))


def flip(path: Path, place: int) -> None:
    """Change one byte, and neither size nor time."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("kind", ["tar.gz", "tar"])
def test_a_truncated_archive_needs_review(shell: Shell, tmp_path: Path, kind: str) -> None:
    """What lies before the cut is restored and counted; the rest is one item that failed, as nobody can list it."""
    backup = backup_of(kind, tmp_path, NOISE)
    cut(backup.path, 0.6)
    ran = shell.restore(backup) if kind == "tar" else shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (13, ("needs_review", "partial", None))
    assert 0 < told.counts["succeeded"] < len(NOISE)
    assert told.counts["total"] > told.counts["succeeded"]
    told.counts_are_true(backup, shell.target)
    assert "THE BACKUP IS DAMAGED" in ran.err
    assert told.details.source_completeness == "incomplete"
    assert told.decision["claims"]["allowed"] == ["Follow-up required"]


@pytest.mark.parametrize(("kind", "verdict"), [("zip", "inconclusive"), ("db", "mismatch")])
def test_a_flipped_byte_costs_what_it_hits(shell: Shell, tmp_path: Path, kind: str, verdict: str) -> None:
    """A zip archive has a checksum for each member, a database page has its own form: the item is named, the rest is there."""
    backup = backup_of(kind, tmp_path, NOISE)
    flip(backup.path, 50_000) if kind == "zip" else _damage_page(backup.path)
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (13, ("needs_review", "partial", None))
    damaged = [item for item in told.items if item.result != "succeeded"]
    assert [item.reason_code for item in damaged] == ["source_damaged"]
    told.counts_are_true(backup, shell.target)
    assert told.verdicts == [("active", verdict)]
    assert f"{damaged[0].key}: source_damaged" in ran.err


def _damage_page(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'customer'").fetchone()
    for place in range((page - 1) * 4096, (page - 1) * 4096 + 64):
        flip(database, place)


def test_a_flipped_byte_that_only_the_whole_streams_checksum_sees_needs_review(shell: Shell, tmp_path: Path) -> None:
    """The gzip stream decodes to the end; nobody knows which member is wrong, so not one more is claimed than is known."""
    backup = backup_of("tar.gz", tmp_path)
    flip(backup.path, backup.path.stat().st_size - 6)
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended[:2]) == (13, ("needs_review", "partial"))
    assert told.counts["total"] == sum(count for name, count in told.counts.items() if name != "total")
    assert told.decision["claims"]["allowed"] == ["Follow-up required"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "db"])
def test_a_backup_that_cannot_be_listed_is_blocked(shell: Shell, tmp_path: Path, kind: str) -> None:
    """There is no plan, so nothing runs: the reason is said and stored, and nothing is at the target."""
    backup = backup_of(kind, tmp_path, NOISE)
    cut(backup.path, 0.0005)
    plain = shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    assert (plain.code, shell.last().ended) == (1, ("blocked_or_cancelled", "cancelled", "validation"))
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert (told.counts, told.items, told.evidence) == ({}, [], [])
    assert "proofgap: backup: " in ran.err
    assert list(shell.target.parent.iterdir()) == []


def test_a_dump_that_was_cut_off_is_not_put_into_place(shell: Shell, tmp_path: Path) -> None:
    """A database is restored whole: half a dump is no database; what could be listed failed, and so did the part that could not."""
    backup = backup_of("sql", tmp_path)
    cut(backup.path, 0.5)
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert told.counts == {"total": 2, "failed": 2}
    assert list(shell.target.parent.iterdir()) == []


def test_a_silent_change_after_the_restore_is_in_the_evidence(shell: Shell, tmp_path: Path) -> None:
    """Same size, same time, other content: the execution was fine, the target is not, and no more is said than "review"."""
    backup = backup_of("tar.gz", tmp_path)
    witness = Witness(before={"collect": lambda: flip(shell.target / "b.bin", 1000)})
    told = carried_out(shell, backup, witness)
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert told.decision["claims"]["allowed"] == ["Evidence snapshot available"]
    assert told.decision["primary_next_action"] == "Open evidence"
    ((status, found),) = told.evidence
    assert (status, found.verdict, found.checks_failed) == ("active", "mismatch", 1)
    assert told.counts == {"total": 4, "succeeded": 4}
    assert backup.held(shell.target) == FILES.keys() - {"b.bin"}


def test_a_silent_change_in_a_database_is_in_the_evidence(shell: Shell, tmp_path: Path) -> None:
    """One row is another one, and the number of rows the same."""

    def change() -> None:
        with closing(sqlite3.connect(shell.target)) as connection:
            connection.execute("UPDATE customer SET name = 'customer X' WHERE id = 7")
            connection.commit()

    told = carried_out(shell, backup_of("db", tmp_path), Witness(before={"collect": change}))
    assert (told.ended[0], told.verdicts) == ("completed_with_evidence", [("active", "mismatch")])
    assert len(rows(shell.target, "customer") or []) == 2000


@pytest.mark.parametrize("kind", ["zip", "db"])
def test_a_target_that_changed_since_the_preview_blocks_the_run(shell: Shell, tmp_path: Path, kind: str) -> None:
    """While somebody read the preview, a file appeared where one is to be written: nothing was written, and it stays."""
    backup = backup_of(kind, tmp_path)
    told = carried_out(shell, backup, Witness(agreeing=lambda: _appear(shell.target, backup)))
    assert told.ended == ("blocked_or_cancelled", "cancelled", "target_changed")
    assert (told.counts, told.items, told.evidence) == ({}, [], [])
    assert _appeared(shell.target, backup).read_bytes() == b"new"
    assert backup.held(shell.target) == set()


@pytest.mark.parametrize("kind", ["zip", "db"])
def test_a_target_that_changed_at_the_last_moment_fails_the_run(shell: Shell, tmp_path: Path, kind: str) -> None:
    """It was queued already, so it is no block; that nothing was written is still proven, and said."""
    backup = backup_of(kind, tmp_path)
    with pytest.raises(TargetChangedError, match="changed since the preview"):
        carried_out(shell, backup, Witness(before={"execute": lambda: _appear(shell.target, backup)}))
    told = shell.last()
    assert told.ended == ("failed", "failed", "target_changed")
    assert (told.details.nothing_written, told.evidence) == (True, [])
    assert _appeared(shell.target, backup).read_bytes() == b"new"
    assert backup.held(shell.target) == set()


def _appeared(target: Path, backup: Backup) -> Path:
    return target if backup.is_database else target / "a.txt"


def _appear(target: Path, backup: Backup) -> bool:
    path = _appeared(target, backup)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"new")
    return True


@pytest.mark.parametrize("change", [lambda path: flip(path, 500), Path.unlink], ids=["changed", "vanished"])
@pytest.mark.parametrize(
    ("step", "ended"),
    [
        ("preview", ("blocked_or_cancelled", "cancelled", "validation")),
        ("execute", ("failed", "failed", "validation")),
        ("collect", ("completed_proof_incomplete", "completed", None)),
    ],
)
def test_a_backup_that_changes_meanwhile_ends_the_run_or_its_evidence(
    shell: Shell, tmp_path: Path, step: str, ended: tuple[str, str, str | None], change: Callable[[Path], None]
) -> None:
    """It is no longer what was planned: not restored from, and not compared with; what was restored before stays counted."""
    backup = backup_of("tar.gz", tmp_path, NOISE)

    def happens() -> None:
        os.utime(backup.path, ns=(0, 0))
        change(backup.path)

    with pytest.raises(SourceChangedError, match="changed since the plan"):
        carried_out(shell, backup, Witness(before={step: happens}))
    told = shell.last()
    assert told.ended == ended
    assert told.verdicts == ([("failed", "inconclusive")] if step == "collect" else [])
    assert backup.held(shell.target) == (NOISE.keys() if step == "collect" else set())
    assert "Evidence snapshot available" not in told.decision["claims"]["allowed"]


def swapped(kind: str, backup: Backup, folder: Path) -> None:
    """Put another backup in the place of this one, with its size and its time of last change."""
    before = backup.path.stat()
    if kind == "zip":
        other = folder / "other.zip"
        with zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as archive:
            for name, data in backup.contents.items():
                archive.writestr(name, data[::-1])
        data = other.read_bytes()
    else:
        old, new = (b"customer 7", b"customer Z") if kind in {"db", "sql"} else (b"alpha", b"omega")
        data = backup.path.read_bytes().replace(old, new)
    assert data != backup.path.read_bytes()
    assert len(data) == before.st_size
    backup.path.write_bytes(data)
    os.utime(backup.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored(kind: str, folder: Path) -> Backup:
    """Make a backup whose content lies in it as it is, so that it can be swapped for another of the same size."""
    if kind != "zip":
        return backup_of(kind, folder)
    with zipfile.ZipFile(folder / "backup.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return Backup(folder / "backup.zip", FILES)


@pytest.mark.parametrize("kind", ["tar", "zip", "db", "sql"])
@pytest.mark.parametrize("step", ["execute", "collect"])
def test_a_backup_that_was_swapped_for_one_of_its_size_and_time_is_compared_with_nothing(
    shell: Shell, tmp_path: Path, kind: str, step: str
) -> None:
    """Restored from it or not, it would match itself: the evidence fails, says why, and nothing is claimed of it."""
    backup = stored(kind, tmp_path)
    planned = sha256(backup.path.read_bytes()).hexdigest()
    with pytest.raises(SourceChangedError, match="changed since the plan"):
        carried_out(shell, backup, Witness(before={step: lambda: swapped(kind, backup, tmp_path)}))
    told = shell.last()
    assert told.decision["state"] == "completed_proof_incomplete"
    assert told.verdicts == [("failed", "inconclusive")]
    with Ledger.open(shell.url, create=False) as ledger:
        (snapshot,) = ledger.peek(told.run["id"], me()).evidence
        (check,) = ledger.checks(snapshot.id, me().id)
    assert (check.subject, check.result, check.observed) == ("(backup)", "skipped", "source_changed")
    assert check.expected == planned


def test_a_driver_that_dies_leaves_a_failed_run_with_what_was_reported(shell: Shell, tmp_path: Path) -> None:
    """Nothing is known of the rest, so the counts are lower bounds and say so; the run does not stay running."""
    backup = backup_of("zip", tmp_path)
    calls = iter(range(100))

    def dies() -> None:
        if next(calls) == 5:
            raise RuntimeError("a bug in the driver")

    with pytest.raises(RuntimeError, match="a bug"):
        carried_out(shell, backup, Witness(at_progress={"execute": dies}), driver=driver_for(None, backup.path))
    told = shell.last()
    assert told.ended == ("failed", "failed", "tool_aborted")
    assert told.decision["result_summary"]["qualifier"] == "at least"
    assert {item.key for item in told.items} <= backup.held(shell.target)
    assert told.verdicts == []
