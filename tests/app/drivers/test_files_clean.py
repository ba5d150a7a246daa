"""Files that come back as they were: every format, selections, what exists already, and evidence that sees it."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap.records import Verdict
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Depth, Request, SourceError, TargetError
from tests.app.drivers.conftest import FILES, go, sums, tar_of, tree, zip_of


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "directory"])
def test_a_clean_restore_gives_back_the_source(source: Path, target: Path, tmp_path: Path, kind: str) -> None:
    """Content, names, permissions, links, empty directories and times are those of the source, and evidence matches."""
    backup = source if kind == "directory" else tar_of(source, tmp_path / "backup", kind)
    ran = go(backup, target)
    assert tree(source) == tree(target)
    assert (source / "e.txt").stat().st_mtime == pytest.approx((target / "e.txt").stat().st_mtime, abs=1)
    assert (ran.outcome.status, ran.outcome.rule) == ("completed", 8)
    assert ran.execution.counts.succeeded == ran.plan.selected == len(FILES) + 2
    assert (Verdict.MATCH, "L5", ran.plan.selected) == (
        ran.evidence.verdict,
        ran.evidence.level,
        ran.evidence.subjects_checked,
    )
    assert (ran.preview.depth, ran.preview.problems) == (Depth.DATA, ())
    assert ran.plan.bytes_total == ran.execution.bytes_written == sum(map(len, FILES.values()))


def test_a_clean_zip_gives_back_its_files(target: Path, tmp_path: Path) -> None:
    """A zip archive is restored like any other."""
    ran = go(zip_of(FILES, tmp_path / "backup.zip"), target)
    assert {name: (target / name).read_bytes() for name in FILES} == FILES
    assert (ran.outcome.status, ran.evidence.verdict) == ("completed", "match")


def test_symbolic_links_in_a_zip_are_links(target: Path, tmp_path: Path) -> None:
    """A zip member that is a symbolic link becomes one, and one that leads outside does not."""
    backup = tmp_path / "b.zip"
    with zipfile.ZipFile(backup, "w") as archive:
        for name, text in {"good": "a.txt", "bad": "/etc/passwd"}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, text)
        archive.writestr("a.txt", b"alpha")
    ran = go(backup, target)
    assert str((target / "good").readlink()) == "a.txt"
    assert not (target / "bad").is_symlink()
    assert ran.ended("bad") == [("skipped", "link_leads_outside")]


def test_a_manifest_that_agrees_makes_the_backup_complete(source: Path, target: Path, tmp_path: Path) -> None:
    """With a manifest the expectation is the manifest's, and only then is a backup known to be complete."""
    backup = tar_of(source, tmp_path / "backup.tar")
    ran = go(backup, target, manifest=sums(FILES, tmp_path / "SHA256SUMS"))
    assert (
        ran.plan.source_completeness,
        ran.evidence.verdict,
        ran.outcome.status,
    ) == ("complete", "match", "completed")
    assert go(backup, tmp_path / "again").plan.source_completeness == "unknown"


def test_what_the_manifest_names_and_the_backup_lacks_is_not_applied(
    source: Path, target: Path, tmp_path: Path
) -> None:
    """A file that is in the manifest only is an item all the same: the backup is incomplete, the run partial."""
    manifest = sums(FILES | {"lost.txt": b"?"}, tmp_path / "SHA256SUMS")
    ran = go(tar_of(source, tmp_path / "backup.tar"), target, manifest=manifest)
    assert ran.ended("lost.txt") == [("non_applied", "not_in_backup")]
    assert (ran.plan.source_completeness, ran.outcome.status, ran.outcome.rule) == ("incomplete", "partial", 6)
    assert ran.evidence.verdict == "mismatch"


@pytest.mark.parametrize("line", ["nonsense", "0" * 64 + "  ../up", "0" * 63 + "  short"])
def test_a_manifest_that_is_not_understood_is_refused(source: Path, target: Path, tmp_path: Path, line: str) -> None:
    """The error names the manifest, the line, and how to write a good one; nothing is planned."""
    (tmp_path / "SUMS").write_text(f"{'1' * 64}  fine\n{line}\n")
    request = Request(backup=str(source), target=str(target), manifest=tmp_path / "SUMS")
    with pytest.raises(SourceError, match=r"manifest: line 2 .* sha256sum"):
        driver_for(None, source).plan(request)


def test_escaped_names_in_a_manifest_are_understood(target: Path, tmp_path: Path) -> None:
    """``sha256sum`` writes a line break in a name as an escape."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "two\nlines").write_bytes(b"x")
    (tmp_path / "SUMS").write_text(f"\\{hashlib.sha256(b'x').hexdigest()}  two\\nlines\n")
    ran = go(tmp_path / "s", target, manifest=tmp_path / "SUMS")
    assert (ran.plan.source_completeness, list(ran.items)) == ("complete", ["two\\nlines"])


def test_existing_files_are_skipped_unless_they_are_equal(source: Path, target: Path) -> None:
    """Without overwrite, a file that differs is left alone and counted as skipped; an equal one is unchanged."""
    target.mkdir()
    (target / "a.txt").write_bytes(b"omega\n")
    (target / "e.txt").write_bytes(FILES["e.txt"])
    ran = go(source, target)
    assert (target / "a.txt").read_bytes() == b"omega\n"
    assert ran.ended("a.txt", "e.txt") == [("skipped", "exists_and_differs"), ("succeeded", "in_place_before")]
    assert (ran.items["e.txt"].action, ran.preview.skipped, ran.preview.unchanged) == ("unchanged", 1, 1)
    assert (ran.outcome.status, ran.evidence.verdict) == ("completed", "mismatch")


def test_existing_files_are_overwritten_on_request(source: Path, target: Path) -> None:
    """With overwrite, a file that differs is replaced, by one with another identity, and links to it keep the old content."""
    target.mkdir()
    (target / "a.txt").write_bytes(b"omega\n")
    (target / "deep").mkdir()
    (target / "deep/link").symlink_to("elsewhere")
    os.link(target / "a.txt", target / "other name")
    ran = go(source, target, overwrite=True)
    assert ((target / "a.txt").read_bytes(), (target / "other name").read_bytes()) == (b"alpha\n", b"omega\n")
    assert str((target / "deep/link").readlink()) == "../a.txt"
    assert (ran.items["a.txt"].action, ran.preview.overwritten, ran.evidence.verdict) == ("overwritten", 2, "match")


def test_restoring_twice_changes_nothing(source: Path, target: Path) -> None:
    """The second time all is in place already: completed, unchanged, proven that nothing was written, and no evidence of this run."""
    go(source, target)
    before = tree(target)
    ran = go(source, target)
    assert before == tree(target)
    assert ("completed", True, {"unchanged"}) == (
        ran.outcome.status,
        ran.execution.nothing_written,
        {str(item.action) for item in ran.items.values()},
    )
    assert (ran.evidence.verdict, ran.evidence.subjects_checked) == ("inconclusive", 0)


def test_a_selection_restores_only_what_it_matches(source: Path, target: Path) -> None:
    """Patterns choose items by their key; the directories they need come along."""
    ran = go(source, target, select=("deep/*.txt",))
    assert {"deep", "deep/d.txt", "deep/er", "deep/er/c.txt"} == set(tree(target))
    assert (ran.plan.selected, ran.evidence.verdict) == (2, "match")


def test_a_selection_that_matches_nothing_restores_nothing_and_proves_nothing(source: Path, target: Path) -> None:
    """Nothing is written, the run fails by rule 3, and the evidence can never become active."""
    ran = go(source, target, select=("*.nothing",))
    assert not target.exists()
    assert (ran.plan.selected, ran.outcome.status, ran.outcome.rule) == (0, "failed", 3)
    assert (
        ran.can_activate,
        ran.evidence.verdict,
        ran.evidence.subjects_checked,
    ) == (False, "inconclusive", 0)


def test_an_empty_archive_is_fine_only_when_emptiness_was_expected(target: Path, tmp_path: Path) -> None:
    """An archive of nothing fails, unless the request says that nothing is expected; then even its evidence counts."""
    (tmp_path / "empty").mkdir()
    backup = tmp_path / "empty.tar"
    tarfile.open(backup, "w").close()
    assert ((ran := go(backup, target)).outcome.status, ran.can_activate) == ("failed", False)
    ran = go(backup, target, expects_nothing=True)
    assert (ran.outcome.status, ran.can_activate, ran.evidence.verdict) == ("completed", True, "match")


def test_the_later_of_two_members_with_one_name_counts(target: Path, tmp_path: Path) -> None:
    """As in tar: the last one wins, and there is one item."""
    (tmp_path / "x").write_bytes(b"first")
    (tmp_path / "y").write_bytes(b"second")
    backup = tmp_path / "b.tar"
    with tarfile.open(backup, "w") as archive:
        archive.add(tmp_path / "x", "same")
        archive.add(tmp_path / "y", "./same")
    ran = go(backup, target)
    assert ((target / "same").read_bytes(), list(ran.items), ran.evidence.verdict) == (b"second", ["same"], "match")


def test_hard_links_come_back_as_copies(source: Path, target: Path, tmp_path: Path) -> None:
    """A hard link is restored with the content it names, also when only the link is selected."""
    os.link(source / "a.txt", source / "z-link")
    backup = tar_of(source, tmp_path / "b.tar.gz", "w:gz")
    ran = go(backup, target)
    assert (FILES["a.txt"], "match") == ((target / "z-link").read_bytes(), ran.evidence.verdict)
    ran = go(backup, tmp_path / "alone", select=("z-link",))
    assert (list(tree(tmp_path / "alone")), ran.evidence.verdict) == (["z-link"], "match")


def test_the_same_content_under_another_name_is_another_plan(source: Path, target: Path, tmp_path: Path) -> None:
    """The plan's digest is the same for the same plan, and another for another backup, target or request."""
    backup = tar_of(source, tmp_path / "b.tar")
    driver = driver_for(None, backup)
    request = Request(backup=str(backup), target=str(target))
    digests = {
        driver.plan(other).digest
        for other in (
            request,
            Request(backup=str(backup), target=str(tmp_path / "t2")),
            Request(backup=str(backup), target=str(target), overwrite=True),
            Request(backup=str(backup), target=str(target), select=("a.txt",)),
            Request(backup=tar_of(source, tmp_path / "c.tar.gz", "w:gz"), target=target),
        )
    }
    assert len(digests) == 5
    assert driver.plan(request).digest in digests


def test_a_preview_may_leave_the_data_alone(source: Path, target: Path) -> None:
    """A preview of metadata says so, and calls what exists skipped because it cannot know better."""
    go(source, target)
    driver = driver_for(None, source)
    preview = driver.preview(driver.plan(Request(backup=str(source), target=str(target))), depth=Depth.METADATA)
    assert (Depth.METADATA, len(FILES)) == (preview.depth, preview.skipped)


def test_what_is_no_backup_is_refused_by_name(tmp_path: Path, target: Path) -> None:
    """A missing, an empty and a foreign file, an unknown driver, and a target inside the backup: each error says the remedy."""
    (tmp_path / "empty").touch()
    (tmp_path / "foreign\u202e").write_bytes(b"hello" * 500)
    (tmp_path / "d").mkdir()
    for name, words in {
        "none": "cannot be read",
        "empty": "0 bytes",
        "foreign\u202e": r"foreign\\u202e is none of",
    }.items():
        backup = tmp_path / name
        with pytest.raises(SourceError, match=words):
            driver_for(None, backup).plan(Request(backup=str(backup), target=str(target)))
    with pytest.raises(BadInputError, match=r"driver: 'tape' is not a driver\. Use one of: .*files, .*sqlite"):
        driver_for("tape", tmp_path)
    with pytest.raises(TargetError, match="lie in each other"):
        driver_for(None, tmp_path).plan(Request(backup=str(tmp_path / "d"), target=str(tmp_path / "d/e")))
    with pytest.raises(TargetError, match="is not a directory"):
        driver_for(None, tmp_path).plan(Request(backup=str(tmp_path / "d"), target=str(tmp_path / "empty")))


def test_the_driver_is_chosen_by_content(source: Path, tmp_path: Path) -> None:
    """A name says nothing: an archive called .db is an archive."""
    backup = tar_of(source, tmp_path / "archive.db", "w:gz")
    assert (driver_for(None, backup).name, driver_for(None, source).name) == ("files", "files")


def test_thousands_of_small_files_take_seconds(tmp_path: Path, target: Path) -> None:
    """Three thousand files are planned, previewed, restored and checked within 15 seconds, even on a busy machine."""
    with gzip.open(tmp_path / "b.tar.gz", "wb", compresslevel=1) as raw, tarfile.open(fileobj=raw, mode="w") as archive:
        for number in range(3000):
            info = tarfile.TarInfo(f"d{number % 30}/f{number}")
            info.size = 0
            archive.addfile(info)
    started = time.monotonic()
    ran = go(tmp_path / "b.tar.gz", target)
    assert time.monotonic() - started < 15
    assert (ran.execution.counts.succeeded, ran.evidence.verdict) == (3000, "match")
