"""Damaged backups: what is whole comes back, what is not is named, and nobody says completed."""

from __future__ import annotations

import errno
import os
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from proofgap.outcome import outcome_of
from proofgap.records import Item
from proofgap_app.drivers import directory_archive, driver_for
from proofgap_app.drivers.archives import Archive, Content, DamagedError, content_digests
from proofgap_app.drivers.base import Depth, Plan, Request, SourceChangedError, SourceError, no_progress
from proofgap_app.drivers.files_evidence import DOUBTFUL
from proofgap_app.drivers.files_execute import execute
from proofgap_app.drivers.selection import UNREADABLE_KEY
from proofgap_app.drivers.tar_archive import TarArchive
from proofgap_app.drivers.zip_archive import ZipArchive
from tests.app.drivers.conftest import CONTENTS, FILES, cut, flip, go, sums, tar_of, tar_with, zip_of


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
    assert ran.ended("f0", "f1", "f2") == [("succeeded", DOUBTFUL)] * 3
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


def test_a_changed_file_in_a_directory_is_found_by_its_manifest(source: Path, target: Path, tmp_path: Path) -> None:
    """Same size, other content: the item is not trusted."""
    (source / "a.txt").write_bytes(b"alphA\n")
    ran = go(source, target, manifest=sums(FILES, tmp_path / "SUMS"))
    assert ran.ended("a.txt") == [("failed", "manifest_mismatch")]
    assert (ran.outcome.status, ran.evidence.verdict) == ("partial", "mismatch")


def test_wrong_content_of_the_right_size_is_found_by_evidence(source: Path, target: Path) -> None:
    """The execution was fine; somebody changed the target afterwards; only a digest sees it."""
    ran = go(source, target, afterwards=lambda: (target / "a.txt").write_bytes(b"alphA\n"))
    wrong = [check for check in ran.checks if check.result == "failed"]
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

    checks = {check.subject: check for check in go(source, target, afterwards=harm).checks}
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
    driver = driver_for("files", plan.request.backup_path)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.preview(plan)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.collect(plan)
    with pytest.raises(SourceChangedError, match="Plan and preview again"):
        driver.execute(plan, target_fingerprint=None, report=print, progress=no_progress, should_stop=lambda: False)
    assert not plan.request.target_path.exists()


def test_an_archive_that_changed_after_the_plan_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """Preview, execution and evidence all refuse a backup that is not the planned one, and nothing is written."""
    backup = tar_of(source, tmp_path / "b.tar")
    plan = driver_for(None, backup).plan(Request(backup=str(backup), target=str(target)))
    tar_of(source / "deep", backup)
    refuses(plan)


def test_a_directory_that_changed_after_the_plan_is_refused(source: Path, target: Path) -> None:
    """One more file is another backup."""
    plan = driver_for(None, source).plan(Request(backup=str(source), target=str(target)))
    (source / "new").touch()
    refuses(plan)


def test_a_backup_that_vanished_after_the_plan_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """That it changed is all there is to say about it."""
    backup = tar_of(source, tmp_path / "b.tar")
    driver = driver_for(None, backup)
    plan = driver.plan(Request(backup=str(backup), target=str(target)))
    backup.unlink()
    with pytest.raises(SourceChangedError, match="it changed since the plan"):
        driver.preview(plan)


def test_a_directory_of_the_backup_that_cannot_be_listed_is_an_item(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in it is not known, so the directory itself has failed, and the backup is incomplete."""
    real = os.scandir

    def failing(path: Path) -> object:
        if path == source / "deep":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(directory_archive.os, "scandir", failing)
    ran = go(source, target)
    assert [("failed", "source_unreadable")] == ran.ended("deep")
    assert ("partial", "incomplete", "inconclusive") == (
        ran.outcome.status,
        ran.plan.source_completeness,
        ran.evidence.verdict,
    )


def test_a_disk_that_fails_while_a_file_is_read_costs_that_file(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is left in the target."""
    real, bad = os.read, (source / "a.txt").stat().st_ino

    def failing(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, size)

    monkeypatch.setattr(directory_archive.os, "read", failing)
    ran = go(source, target)
    assert [("failed", "source_unreadable"), ("succeeded", None)] == ran.ended("a.txt", "b.bin")
    assert not (target / "a.txt").exists()


def test_a_file_that_grows_or_shrinks_while_it_is_restored_fails(source: Path, target: Path) -> None:
    """Never more than planned is written, and never less called a success."""
    for size in (10, 10_000_000):
        driver = driver_for(None, source)
        plan = driver.plan(Request(backup=str(source), target=str(target), select=("e.txt",)))
        ended = []
        archive = directory_archive.DirectoryArchive(source)
        archive.listing()
        (source / "e.txt").write_bytes(bytes(size))
        execute(plan, archive, report=ended.append, progress=no_progress, should_stop=lambda: False)
        assert ["failed"] == [item.result for item in ended]
        assert not (target / "e.txt").exists()


def test_a_manifest_that_cannot_be_read_or_contradicts_itself_is_refused(
    source: Path, target: Path, tmp_path: Path
) -> None:
    """Two digests for one name leave nothing to go by."""
    (tmp_path / "SUMS").write_text(f"{'1' * 64}  a.txt\n{'2' * 64}  ./a.txt\n")
    for manifest, words in ((tmp_path / "SUMS", "line 2 names a file"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(SourceError, match=words):
            go(source, target, manifest=manifest)


def test_a_tar_header_with_a_negative_size_does_not_loop(target: Path, tmp_path: Path) -> None:
    """tarfile would read backwards from there, for ever."""
    backup = tar_with({"a": b"one"}, tmp_path / "b.tar")
    info = tarfile.TarInfo("evil")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    backup.write_bytes(backup.read_bytes()[:1024] + bytes(header) + bytes(1024))
    ran = go(backup, target)
    assert [("succeeded", DOUBTFUL), ("failed", "source_damaged")] == ran.ended("a", UNREADABLE_KEY)
    assert "partial" == ran.outcome.status


class BreaksOff:
    """An archive that was listed whole, and whose stream then ends after the first member."""

    def __init__(self, whole: TarArchive) -> None:
        """Take the archive to break."""
        self._whole = whole

    def walk(self, positions: Collection[int]) -> Iterator[tuple[int, Content]]:
        """Give one content, then fail."""
        contents = self._whole.walk(positions)
        yield next(contents)
        raise DamagedError("source_truncated", "it stops")

    def __getattr__(self, name: str) -> object:
        """Be like the archive in everything else."""
        return getattr(self._whole, name)


def test_a_stream_that_breaks_off_late_costs_all_that_follows(target: Path, tmp_path: Path) -> None:
    """The disk under the backup fails after the plan was made: what is behind is not applied, and is not looked up twice."""
    backup = tar_with(CONTENTS, tmp_path / "b.tar")
    plan = driver_for(None, backup).plan(Request(backup=str(backup), target=str(target)))
    broken: Any = BreaksOff(TarArchive(backup))
    ended: dict[str, str | None] = {}

    def report(item: Item) -> None:
        ended[item.key] = item.reason_code

    execution = execute(plan, broken, report=report, progress=no_progress, should_stop=lambda: False)
    assert {"f0": None} | dict.fromkeys(list(CONTENTS)[1:], "source_truncated") == ended
    assert (1, 9) == (execution.counts.succeeded, execution.counts.non_applied)
    assert ("partial", 6) == ((end := outcome_of(execution.facts(cancel_requested=False))).status, end.rule)
    found = content_digests(broken, {0, 5}, no_progress)
    assert (str, DamagedError) == (type(found[0]), type(found[5]))


def test_damage_does_not_hide_what_is_wrong_with_the_target(target: Path, tmp_path: Path) -> None:
    """The first reason stands."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip", zipfile.ZIP_STORED)
    flip(backup, 5000)
    (target / "f0").mkdir(parents=True)
    assert [("failed", "is_a_directory")] == go(backup, target).ended("f0")


@pytest.mark.parametrize("kind", [TarArchive, ZipArchive, directory_archive.DirectoryArchive])
def test_an_archive_that_is_gone_is_named(tmp_path: Path, kind: type[Archive]) -> None:
    """However it got lost: the error has the path and the system's words."""
    with pytest.raises(SourceError, match=r"gone cannot be read \(No such file or directory\)"):
        kind(tmp_path / "gone").listing()


def test_a_tar_member_without_a_date_is_restored(target: Path, tmp_path: Path) -> None:
    """Neither an impossible time nor an impossible owner stops a restore."""
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("odd")
        info.pax_headers = {"mtime": "99999999999999999", "uid": str(1 << 40)}
        archive.addfile(info)
    assert "completed" == go(tmp_path / "b.tar", target).outcome.status
