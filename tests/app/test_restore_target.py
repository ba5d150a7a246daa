"""Targets that cannot take what they are given: full, read-only, unreadable, in the way, nowhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.restoring import FILE_KINDS, FILES, KINDS, Shell, backup_of, tree

DISK_BYTES = 512 << 10
NOT_ALMIGHTY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Starts a program as root, but without root's right to enter what belongs to others."""
FOUR = {f"f{number}": os.urandom(200_000) for number in range(4)}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


@contextmanager
def disk(place: Path, *, read_only: bool = False) -> Iterator[None]:
    """Put a small disk at a place."""
    place.mkdir()
    options = f"size={DISK_BYTES}" + (",ro" if read_only else "")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"this test needs the right to mount (run it as root, or with CAP_SYS_ADMIN): {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_a_disk_that_fills_up_needs_review(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Two of four files fit: two are there and counted, the third failed, the last was not tried, and no scrap is left."""
    backup = backup_of(kind, tmp_path, FOUR)
    with disk(shell.target):
        ran = shell.restore(backup) if kind == "tar.gz" else shell.restore_inside(backup)
        told = shell.last()
        told.counts_are_true(backup, shell.target)
        assert len(tree(shell.target)) == 2
    assert (ran.code, told.ended) == (13, ("needs_review", "partial", None))
    assert told.counts == {"total": 4, "succeeded": 2, "failed": 1, "non_applied": 1}
    assert {item.reason_code for item in told.items} == {None, "no_space"}
    assert told.verdicts == [("active", "mismatch")]
    assert "800000 bytes are needed" in ran.err


@pytest.mark.parametrize("kind", ["db", "sql"])
def test_a_database_that_does_not_fit_leaves_nothing_behind(shell: Shell, tmp_path: Path, kind: str) -> None:
    """It is built beside its place: a full disk means that nothing of it is there, and the run failed."""
    backup = backup_of(kind, tmp_path)
    with disk(shell.target):
        (shell.target / "hog").write_bytes(bytes(DISK_BYTES - 16_384))
        ran = shell.restore_inside(backup)
        told = shell.last()
        assert sorted(tree(shell.target)) == ["hog"]
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert told.counts == {"total": 2, "failed": 2}
    assert {item.reason_code for item in told.items} == {"no_space"}
    assert told.details.nothing_written


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_only_target_fails_with_nothing_written(shell: Shell, tmp_path: Path, kind: str) -> None:
    """The preview warned; all that was tried failed, and it is proven that nothing was written."""
    backup = backup_of(kind, tmp_path)
    with disk(shell.target, read_only=True):
        ran = shell.restore_inside(backup)
        assert tree(shell.target) == {}
    told = shell.last()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert "succeeded" not in told.counts
    assert (told.details.nothing_written, told.evidence) == (True, [])
    assert told.decision["claims"]["allowed"] == ["Execution failed"]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_a_file_where_a_directory_is_needed_is_blocked(shell: Shell, tmp_path: Path, kind: str) -> None:
    """It is known before the preview; the file stays what it is."""
    shell.target.write_bytes(b"mine")
    ran = shell.restore_inside(backup_of(kind, tmp_path), "--overwrite")
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert "is not a directory" in ran.err
    assert (shell.target.read_bytes(), told.counts) == (b"mine", {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_below_a_file_fails(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Nothing can ever be made there: every item failed, nothing was written."""
    backup, file = backup_of(kind, tmp_path), shell.target
    file.write_bytes(b"mine")
    shell.target = file / "below"
    ran = shell.restore_inside(backup)
    told = shell.last()
    assert (ran.code, told.ended[:2]) == (14, ("failed", "failed"))
    assert "succeeded" not in told.counts
    assert file.read_bytes() == b"mine"


def test_a_target_that_may_not_be_read_fails_and_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    """A directory of somebody else, met without root's right to enter it: every item failed, and nothing was written."""
    backup = backup_of("zip", tmp_path)
    shell.target.mkdir(mode=0o700)
    (shell.target / "a.txt").write_bytes(b"theirs")
    os.chown(shell.target, 65534, 65534)
    ran = shell.restore(backup, "--overwrite", prefix=NOT_ALMIGHTY)
    told = shell.last()
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert told.counts == {"total": 4, "failed": 4}
    assert {item.reason_code for item in told.items} == {"permission_denied"}
    assert tree(shell.target) == {"a.txt": b"theirs"}


@pytest.mark.parametrize("kind", ["zip", "db"])
def test_a_target_behind_a_closed_directory_ends_the_run(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Not even whether it exists can be told; the run does not stay open, and the reason is said in one line."""
    backup = backup_of(kind, tmp_path)
    shell.target.mkdir(mode=0o700)
    os.chown(shell.target, 65534, 65534)
    shell.target /= "below"
    ran = shell.restore(backup, prefix=NOT_ALMIGHTY)
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert "Permission denied" in ran.err


def test_paths_that_can_never_be_are_refused_before_anything_is_stored(shell: Shell, tmp_path: Path) -> None:
    """A circle of links, a name that is too long, no name at all: exit 2, the option is named, there is no ledger yet."""
    backup = backup_of("zip", tmp_path).path
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for bad in (tmp_path / "one", tmp_path / "one" / "below", tmp_path / ("x" * 300), ""):
        for field, words in {"--into": (backup, "--into", bad), "BACKUP": (bad, "--into", shell.target)}.items():
            ran = shell.inside("restore", *words, "--yes")
            assert (ran.code, ran.out) == (2, "")
            assert ran.err.startswith(f"proofgap: {field}: ")
    assert (shell.runs(), shell.ledger_file.parent.exists()) == (0, False)


def test_what_lies_beside_the_backup_in_the_target_stays(shell: Shell, tmp_path: Path) -> None:
    """Overwriting replaces what the backup holds, and removes nothing."""
    shell.target.mkdir()
    (shell.target / "own.txt").write_bytes(b"mine")
    assert shell.restore_inside(backup_of("tar", tmp_path), "--overwrite").code == 0
    assert tree(shell.target) == {**FILES, "own.txt": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_completed_run_that_left_a_differing_file_as_it_was_says_so_beside_its_decision(
    shell: Shell, tmp_path: Path, *, overwrite: bool
) -> None:
    """Such as the half of a file that a killed run has left: the decision's words do not say it."""
    backup = backup_of("tar", tmp_path)
    shell.restore_inside(backup)
    (shell.target / "b.bin").write_bytes(FILES["b.bin"][:1000])
    shell.restore_inside(backup, *(["--overwrite"] if overwrite else []))
    told = shell.last()
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.counts.get("skipped"), told.details.attention) == (
        (None, None) if overwrite else (1, "completed_with_follow_up")
    )
