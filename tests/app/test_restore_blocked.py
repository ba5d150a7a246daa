"""What ends a restore before anything is written: a target that another one is at work in, a backup that holds nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.facts import RunEvent
from proofgap_app.cli.ledgers import me
from proofgap_app.worker import target_lock
from proofgap_app.worker.target_lock import TargetBusyError, hold
from proofgap_store import Ledger
from tests.app.restoring import FILES, Shell, Told, Witness, backup_of, carried_out, opened, somebody_else, tree

HOLD = """
import sys, time
from pathlib import Path
from proofgap_app.worker.target_lock import hold
with hold(Path(sys.argv[1]), "rr_other"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Give a command line with a ledger of its own, and lock files of its own."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return Shell(tmp_path)


def locks(shell: Shell) -> list[str]:
    """Name the lock files there are."""
    return sorted(path.name for path in (shell.folder / "tmp").rglob("*.lock"))


def test_of_two_restores_into_one_target_the_second_is_blocked(shell: Shell, tmp_path: Path) -> None:
    """Two processes: while this one is at work the other writes nothing and says why; afterwards the target is free."""
    first = backup_of("tar", tmp_path, {"first.txt": b"first"})
    (tmp_path / "other").mkdir()
    second = backup_of("zip", tmp_path / "other")
    met: list[Told] = []
    with opened(shell) as ledger:
        ledger.access.declare_environment(("default", "other"), me())

    def meet() -> None:
        if met:
            return
        ran = shell.restore(second)
        met.append(shell.last())
        assert (ran.code, f"process {os.getpid()}" in ran.err) == (15, True)
        elsewhere = ("restore", second.path, "--into", tmp_path / "free", "--yes", "--exit-status")
        held = shell(*elsewhere)
        assert (held.code, "holds the environment" in held.err) == (15, True), "one restore is live in an environment"
        assert shell(*elsewhere, "--environment", "other").code == 0, "another target elsewhere is not held"

    carried_out(shell, first, Witness(before={"execute": meet}))
    assert met[0].ended == ("blocked_or_cancelled", "cancelled", "target_busy")
    assert met[0].events[-1] == "block"
    assert tree(shell.target) == {"first.txt": b"first"}
    assert locks(shell) == []
    assert shell.restore(second).code == 0
    assert tree(shell.target) == FILES | {"first.txt": b"first"}


def test_a_target_is_free_as_soon_as_its_holder_is_killed(shell: Shell, tmp_path: Path) -> None:
    """The lock is the kernel's; the file that is left behind holds nothing."""
    backup = backup_of("db", tmp_path)
    with killed_afterwards(shell):
        assert shell.restore(backup).code == 15
        assert shell.last().ended[2] == "target_busy"
    assert len(locks(shell)) == 1
    assert shell.restore(backup).code == 0
    assert locks(shell) == []


@contextmanager
def killed_afterwards(shell: Shell) -> Iterator[None]:
    """Let another program hold the target, and kill it."""
    command = [sys.executable, "-c", HOLD, str(shell.target)]
    with subprocess.Popen(command, env=shell.environment(), stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def test_a_run_that_is_resumed_into_a_busy_target_waits_on(shell: Shell, tmp_path: Path) -> None:
    """It keeps its approvals, and goes on later."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(("default", "local"), me(), approvals_required=1)
        ledger.access.grant(somebody_else().id, Role.OPERATOR, ("default", "local"), me())
    backup = backup_of("zip", tmp_path)
    assert shell.inside("restore", backup.path, "--into", shell.target, "--yes").code == 5
    run_id = shell.last().run["id"]
    with Ledger.open(shell.url, create=False) as ledger:
        ledger.fire(run_id, RunEvent.APPROVE, somebody_else())
    with killed_afterwards(shell):
        ran = shell("restore", "--resume", run_id, "--yes")
    assert (ran.code, shell.last().ended) == (1, ("not_executed", "previewed", None))
    assert "another restore is at work there (rr_other, process" in ran.err
    assert shell("restore", "--resume", run_id, "--yes", "--exit-status").code == 0


def test_the_same_target_is_held_by_whatever_name_it_goes(shell: Shell, tmp_path: Path) -> None:
    """Through a link, or relative."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    same = tmp_path / "link" / "."
    with hold(tmp_path / "real", "rr_1"), pytest.raises(TargetBusyError, match="rr_1, process"), hold(same, "rr_2"):
        pytest.fail("it was held twice")
    with hold(tmp_path / "real", "rr_1"), hold(tmp_path / "other", "rr_2"):
        assert len(locks(shell)) == 2
    assert locks(shell) == []


def test_a_lock_file_that_was_taken_away_meanwhile_is_not_taken_for_the_one_of_the_target(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder let go between opening and locking: the lock that counts is on the file that has the name."""
    real, looked = target_lock._is_still, []

    def is_still(path: Path, descriptor: int) -> bool:
        if not looked:
            path.unlink()
        looked.append(real(path, descriptor))
        return looked[-1]

    monkeypatch.setattr(target_lock, "_is_still", is_still)
    with hold(tmp_path / "place", "rr_1"):
        assert looked == [False, True]
        with pytest.raises(TargetBusyError), hold(tmp_path / "place", "rr_2"):
            pytest.fail("it was held twice")


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to(path.parent)], ids=["file", "link"])
def test_a_folder_of_lock_files_that_is_not_ours_is_not_used(shell: Shell, tmp_path: Path, make: object) -> None:
    """Somebody else could take the files away, or lead us elsewhere; the run is left at its preview."""
    make(shell.folder / "tmp" / f"proofgap-{os.geteuid()}")  # type: ignore[operator]
    ran = shell("restore", backup_of("zip", tmp_path).path, "--into", shell.target, "--yes")
    assert (ran.code, shell.last().ended) == (1, ("not_executed", "previewed", None))
    assert "cannot read or write" in ran.err
    assert not shell.target.exists()


def test_a_database_that_its_manifest_disowns_is_blocked(shell: Shell, tmp_path: Path) -> None:
    """It is known before anything is written that nothing of it can be restored soundly: not tried, and not failed."""
    backup, manifest = backup_of("db", tmp_path), tmp_path / "SUMS"
    manifest.write_text(f"{'0' * 64}  {backup.path.name}\n")
    ran = shell.restore_inside(backup, "--manifest", manifest)
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "source_incomplete"))
    assert "the backup is incomplete, and no item of it can be restored" in ran.err
    assert (told.details.source_completeness, told.items, told.evidence) == ("incomplete", [], [])
    assert not shell.target.exists()


def test_an_archive_without_anything_that_its_manifest_names_is_blocked(shell: Shell, tmp_path: Path) -> None:
    """As soon as one item can be restored, the run goes on, and says of each what became of it."""
    path, manifest = tmp_path / "empty.zip", tmp_path / "SUMS"
    with zipfile.ZipFile(path, "w"):
        pass
    manifest.write_text(f"{'0' * 64}  a.txt\n{'1' * 64}  b.txt\n")
    assert shell.restore_inside(path, "--manifest", manifest).code == 15
    assert shell.last().ended == ("blocked_or_cancelled", "cancelled", "source_incomplete")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"alpha\n")
    manifest.write_text(f"{hashlib.sha256(b'alpha' + bytes([10])).hexdigest()}  a.txt\n{'1' * 64}  b.txt\n")
    assert shell.restore_inside(path, "--manifest", manifest).code == 13
    assert (
        shell.last().counts == {"total": 2, "succeeded": 1, "non_applied": 1} or shell.last().counts["succeeded"] == 1
    )


def test_a_dry_run_of_such_a_backup_ends_at_its_preview(shell: Shell, tmp_path: Path) -> None:
    """There is nothing to block."""
    backup, manifest = backup_of("db", tmp_path), tmp_path / "SUMS"
    manifest.write_text(f"{'0' * 64}  {backup.path.name}\n")
    assert shell.restore_inside(backup, "--manifest", manifest, "--dry-run").code == 10
    assert shell.last().ended == ("not_executed", "previewed", None)
