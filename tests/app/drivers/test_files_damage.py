"""Damaged backups: what is whole comes back, what is not is named, and nobody says completed."""

from __future__ import annotations

import errno
import io
import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from proofgap_app.drivers import directory_archive, driver_for
from proofgap_app.drivers.base import Depth, Plan, Request, SourceChangedError, SourceError, no_progress
from proofgap_app.drivers.selection import UNREADABLE_KEY
from tests.app.drivers.conftest import FILES, go, sums, tar_of, zip_of


def noise(size: int, seed: int) -> bytes:
    """Give bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - no secret


CONTENTS = {f"f{number}": noise(20_000, number) for number in range(10)}


def tar_with(contents: dict[str, bytes], path: Path, mode: str = "w") -> Path:
    """Pack contents in order."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def cut(path: Path, size: int) -> Path:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[:size])
    return path


def flip(path: Path, at: int) -> Path:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_truncated_tar_ends_as_partial(target: Path, tmp_path: Path, mode: str) -> None:
    """What lies before the cut is restored; the member that is cut fails; the unknown rest is an item that failed."""
    backup = tar_with(CONTENTS, tmp_path / "b", mode)
    cut(backup, backup.stat().st_size * 6 // 10)
    ran = go(backup, target)
    whole = [key for key, item in ran.items.items() if item.result == "succeeded"]
    assert whole == list(CONTENTS)[: len(whole)]
    assert len(whole) >= 3
    assert all((target / key).read_bytes() == CONTENTS[key] for key in whole)
    assert not (target / list(CONTENTS)[len(whole)]).exists()
    assert ran.ended(UNREADABLE_KEY) == [("failed", "source_truncated")]
    assert (ran.plan.source_completeness, ran.outcome.status, ran.outcome.rule) == ("incomplete", "partial", 6)
    assert (ran.preview.depth, ran.preview.problems[0].startswith("THE BACKUP IS DAMAGED")) == (Depth.METADATA, True)
    assert ran.evidence.verdict in {"inconclusive", "mismatch"}


def test_a_truncated_tar_of_which_nothing_can_be_listed_cannot_be_planned(target: Path, tmp_path: Path) -> None:
    """Here bzip2 packed all of it into one block, which is cut: there is no plan, and the error says so."""
    backup = tar_with(CONTENTS, tmp_path / "b", "w:bz2")
    cut(backup, backup.stat().st_size * 6 // 10)
    with pytest.raises(SourceError, match="cannot be listed as a tar archive"):
        go(backup, target)
    assert not target.exists()


def test_a_tar_cut_exactly_between_two_members_is_noticed(target: Path, tmp_path: Path) -> None:
    """tarfile lists such an archive without a complaint; the missing end mark gives it away, and the run is partial."""
    backup = cut(tar_with(CONTENTS, tmp_path / "b.tar"), 3 * (512 + 20_480))
    ran = go(backup, target)
    assert ran.ended("f0", "f1", "f2") == [("succeeded", None)] * 3
    assert ran.ended(UNREADABLE_KEY) == [("failed", "source_truncated")]
    assert (ran.outcome.status, ran.evidence.verdict) == ("partial", "inconclusive")


def test_a_broken_header_in_the_middle_of_a_tar_is_noticed(target: Path, tmp_path: Path) -> None:
    """tarfile ends its listing there without a word; here the rest is known to be missing."""
    backup = flip(tar_with(CONTENTS, tmp_path / "b.tar"), 4 * (512 + 20_480) + 5)
    ran = go(backup, target)
    assert (ran.plan.selected, ran.outcome.status) == (5, "partial")
    assert ran.ended(UNREADABLE_KEY) == [("failed", "source_damaged")]


def test_a_flipped_byte_in_a_gzip_stream_is_noticed(target: Path, tmp_path: Path) -> None:
    """Where the stream still decodes, only its checksum tells: one member is wrong, nobody knows which, so: partial."""
    backup = tar_with(CONTENTS, tmp_path / "b.tar.gz", "w:gz")
    ran = go(flip(backup, backup.stat().st_size // 2), target)
    assert (ran.outcome.status, ran.plan.source_completeness) == ("partial", "incomplete")
    assert ran.items[UNREADABLE_KEY].result == "failed"
    assert ran.evidence.verdict != "match"


def test_a_manifest_names_the_member_that_a_flipped_byte_changed(target: Path, tmp_path: Path) -> None:
    """With a manifest the wrong member is known, and it is not put under its name."""
    backup = flip(tar_with(CONTENTS, tmp_path / "b.tar"), 2 * (512 + 20_480) + 1000)
    ran = go(backup, target, manifest=sums(CONTENTS, tmp_path / "SUMS"))
    assert ran.ended("f2", "f3") == [("failed", "manifest_mismatch"), ("succeeded", None)]
    assert not (target / "f2").exists()
    assert "f2: manifest_mismatch" in ran.preview.problems
    assert (ran.outcome.status, ran.evidence.verdict, ran.preview.depth) == ("partial", "mismatch", Depth.DATA)


def test_without_a_manifest_a_flipped_byte_in_a_plain_tar_is_the_backups_truth(target: Path, tmp_path: Path) -> None:
    """A plain tar has no checksum over content: the expectation is what the backup holds, and the report's method says so."""
    backup = flip(tar_with(CONTENTS, tmp_path / "b.tar"), 2 * (512 + 20_480) + 1000)
    ran = go(backup, target)
    assert (ran.outcome.status, ran.evidence.verdict, ran.plan.source_completeness) == ("completed", "match", "unknown")
    assert ran.evidence.method.endswith("against the backup")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_in_a_zip_costs_one_member(target: Path, tmp_path: Path, compression: int) -> None:
    """The others are restored, before and after it."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip", compression)
    ran = go(flip(backup, backup.stat().st_size // 2), target)
    failed = [key for key, item in ran.items.items() if item.result == "failed"]
    assert len(failed) == 1
    assert not (target / failed[0]).exists()
    assert (ran.execution.counts.succeeded, ran.outcome.status, ran.outcome.rule) == (9, "partial", 6)
    assert (ran.preview.unavailable, ran.preview.depth) == (1, Depth.METADATA)
    assert (ran.evidence.checks_skipped, ran.evidence.verdict) == (1, "inconclusive")


def test_a_truncated_zip_cannot_be_planned(target: Path, tmp_path: Path) -> None:
    """Its index is at its end; the error says so, and what to do."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip")
    cut(backup, backup.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"no readable index .* Hand in an undamaged copy"):
        go(backup, target)
    assert not target.exists()


def test_a_changed_file_in_a_directory_is_found_by_its_manifest(source: Path, target: Path, tmp_path: Path) -> None:
    """Same size, other content: the item is not trusted."""
    (source / "a.txt").write_bytes(b"alphA\n")
    ran = go(source, target, manifest=sums(FILES, tmp_path / "SUMS"))
    assert ran.ended("a.txt") == [("failed", "manifest_mismatch")]
    assert (ran.outcome.status, ran.evidence.verdict) == ("partial", "mismatch")


def test_wrong_content_of_the_right_size_is_found_by_evidence(source: Path, target: Path) -> None:
    """The execution was fine; somebody changed the target afterwards; only a digest sees it."""
    ran = go(source, target, afterwards=lambda: (target / "a.txt").write_bytes(b"alphA\n"))
    wrong = [check for check in ran.evidence.checks if check.result == "failed"]
    assert [(check.subject, check.method, check.level) for check in wrong] == [("a.txt", "SHA-256 of content", "L5")]
    assert (ran.outcome.status, ran.evidence.verdict) == ("completed", "mismatch")


def test_missing_and_shortened_files_are_found_by_evidence(source: Path, target: Path) -> None:
    """A file that vanished fails at existence, a shortened one at size, a replaced directory at its kind."""

    def harm() -> None:
        (target / "a.txt").unlink()
        (target / "e.txt").write_bytes(b"short")
        (target / "hollow").rmdir()
        (target / "hollow").touch()
        (target / "deep/link").unlink()
        (target / "deep/link").symlink_to("nowhere")

    checks = {check.subject: check for check in go(source, target, afterwards=harm).evidence.checks}
    methods = {key: check.method for key, check in checks.items() if check.result == "failed"}
    assert methods == {
        "a.txt": "existence",
        "e.txt": "size in bytes",
        "hollow": "existence",
        "deep/link": "link text",
    }


def test_a_source_file_that_cannot_be_read_costs_one_item(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system call that reads it fails, as on a bad disk; the others come back."""
    real = os.open

    def failing(path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == source / "a.txt":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(directory_archive.os, "open", failing)
    ran = go(source, target)
    assert ran.ended("a.txt") == [("failed", "source_unreadable")]
    assert (ran.outcome.status, ran.execution.counts.failed) == ("partial", 1)


def refuses(plan: Plan) -> None:
    """See that no step accepts the backup any more."""
    driver = driver_for("files", plan.request.backup)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.preview(plan)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.collect(plan)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.execute(plan, target_fingerprint=None, report=print, progress=no_progress, should_stop=lambda: False)
    assert not plan.request.target.exists()


def test_an_archive_that_changed_after_the_plan_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """Preview, execution and evidence all refuse a backup that is not the planned one, and nothing is written."""
    backup = tar_of(source, tmp_path / "b.tar")
    plan = driver_for(None, backup).plan(Request(backup=backup, target=target))
    tar_of(source / "deep", backup)
    refuses(plan)


def test_a_directory_that_changed_after_the_plan_is_refused(source: Path, target: Path) -> None:
    """One more file is another backup."""
    plan = driver_for(None, source).plan(Request(backup=source, target=target))
    (source / "new").touch()
    refuses(plan)


def test_a_backup_that_vanished_after_the_plan_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """That it changed is all there is to say about it."""
    backup = tar_of(source, tmp_path / "b.tar")
    driver = driver_for(None, backup)
    plan = driver.plan(Request(backup=backup, target=target))
    backup.unlink()
    with pytest.raises(SourceChangedError, match="it changed since the plan"):
        driver.preview(plan)
