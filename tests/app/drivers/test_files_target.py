"""Targets that resist: full, read-only, occupied, changed meanwhile; and requests to stop."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
from pathlib import Path

import pytest

from proofgap.records import Item
from proofgap_app.drivers import draft, driver_for
from proofgap_app.drivers import target as target_module
from proofgap_app.drivers.base import Request, TargetChangedError, no_progress
from proofgap_app.drivers.sink import Sink
from proofgap_app.drivers.target import Target
from tests.app.drivers.conftest import FILES, Stop, go, names_in, tree

FOUR = {f"f{number}": bytes([number]) * 200_000 for number in range(4)}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Give four files of 200 kB."""
    root = tmp_path / "four"
    root.mkdir()
    for name, data in FOUR.items():
        (root / name).write_bytes(data)
    return root


def test_a_full_disk_ends_as_partial_with_truthful_counts(four: Path, small_disk: Path) -> None:
    """What fits is there, the file that does not fit fails and leaves nothing, and the rest is not applied."""
    ran = go(four, small_disk)
    expected = [("succeeded", None)] * 2 + [("failed", "no_space"), ("non_applied", "no_space")]
    assert expected == ran.ended("f0", "f1", "f2", "f3")
    assert {"f0", "f1"} == set(tree(small_disk))
    assert (ran.outcome.status, ran.outcome.rule, ran.execution.nothing_written) == ("partial", 6, False)
    assert any("800000 bytes are needed" in problem for problem in ran.preview.problems)
    assert (ran.evidence.verdict, ran.evidence.checks_failed) == ("mismatch", 2)


def test_a_disk_that_is_full_from_the_start_fails(four: Path, small_disk: Path) -> None:
    """Nothing applied, and that is proven."""
    (small_disk / "hog").write_bytes(bytes(500_000))
    ran = go(four, small_disk)
    assert (ran.outcome.status, ran.outcome.rule, ran.outcome.end_reason) == ("failed", 5, "nothing_applied")
    assert ran.execution.nothing_written


def test_a_read_only_target_fails_with_nothing_written(four: Path, read_only_disk: Path) -> None:
    """The preview says so already; the execution proves that it wrote nothing; zero applied beats everything else."""
    ran = go(four, read_only_disk)
    assert any("is not writable" in problem for problem in ran.preview.problems)
    assert ran.ended("f0", "f1") == [("failed", "read_only"), ("non_applied", "read_only")]
    assert (ran.outcome.status, ran.outcome.rule, ran.execution.nothing_written) == ("failed", 5, True)
    assert ran.evidence.verdict == "mismatch"


def test_a_directory_where_a_file_should_be_costs_one_item(source: Path, target: Path) -> None:
    """A directory is never replaced, even with overwrite; nor does a file give way to a directory."""
    (target / "a.txt").mkdir(parents=True)
    (target / "hollow").touch()
    ran = go(source, target, overwrite=True)
    assert ran.ended("a.txt", "hollow") == [("failed", "is_a_directory"), ("failed", "not_a_directory")]
    assert (ran.outcome.status, ran.preview.unavailable) == ("partial", 2)
    assert (target / "hollow").is_file()


def test_a_file_where_a_directory_should_be_costs_what_lies_below(source: Path, target: Path) -> None:
    """Items whose directory cannot be made fail; the others come back."""
    target.mkdir()
    (target / "deep").write_bytes(b"in the way")
    ran = go(source, target)
    assert ran.ended("deep/d.txt", "deep/er/c.txt", "deep/link") == [("failed", "not_a_directory")] * 3
    assert (ran.outcome.status, ran.evidence.verdict) == ("partial", "mismatch")


def test_an_immutable_directory_refuses_its_files(source: Path, target: Path) -> None:
    """Not even root may write there: those items fail, and the reason is the permission."""
    (target / "deep").mkdir(parents=True)
    done = subprocess.run(["chattr", "+i", str(target / "deep")], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(
            f"this test needs the right to make a directory immutable (root, on a file system with chattr): {done.stderr}"
        )
    try:
        ran = go(source, target)
    finally:
        subprocess.run(["chattr", "-i", str(target / "deep")], check=True)
    assert ran.ended("deep/d.txt", "deep/link") == [("failed", "permission_denied")] * 2
    assert ran.outcome.status == "partial"


def test_a_target_that_changed_since_the_preview_is_left_alone(source: Path, target: Path) -> None:
    """The execution refuses before it writes anything, and says what to do."""
    target.mkdir()
    with pytest.raises(TargetChangedError, match="Preview again") as caught:
        go(source, target, between=lambda: (target / "a.txt").write_bytes(b"new"))
    assert {"a.txt"} == set(tree(target))
    assert caught.value.shown != caught.value.found


def test_a_change_elsewhere_in_the_target_does_not_matter(source: Path, target: Path) -> None:
    """The fingerprint is over the paths that the plan touches, and over nothing else."""
    target.mkdir()
    assert go(source, target, between=(target / "unrelated").touch).outcome.status == "completed"


def test_a_file_that_appears_while_it_is_restored_is_not_replaced(source: Path, target: Path) -> None:
    """Between the look and the write, somebody else creates the file: theirs stays, and the item fails."""
    target.mkdir()
    driver = driver_for(None, source)
    plan = driver.plan(Request(backup=str(source), target=str(target), select=("b.bin",)))
    ended = []

    def appear(_done: int, _items: int) -> None:
        if not (target / "b.bin").exists():
            (target / "b.bin").write_bytes(b"theirs")

    execution = driver.execute(
        plan, target_fingerprint=None, report=ended.append, progress=appear, should_stop=lambda: False
    )
    assert ((target / "b.bin").read_bytes(), names_in(target)) == (b"theirs", ["b.bin"])
    assert [(item.result, item.reason_code) for item in ended] == [("failed", "appeared_meanwhile")]
    assert execution.counts.succeeded == 0


@pytest.mark.parametrize("after", [4, 5])
def test_a_stop_half_way_ends_as_partial(four: Path, target: Path, after: int) -> None:
    """Between two files or within one: what was done stays, the file in work is removed, and what was not reached is not applied."""
    ran = go(four, target, stop=Stop(after=after))
    results = [str(ran.items[key].result) for key in FOUR]
    assert results == ["succeeded", "succeeded", "non_applied", "non_applied"]
    assert {"f0", "f1"} == set(tree(target))
    assert (ran.outcome.status, ran.outcome.rule, ran.outcome.end_reason) == ("partial", 2, "cancel_requested")


def test_a_stop_before_anything_was_written_is_cancelled(four: Path, target: Path) -> None:
    """It is proven that nothing was written, so the run is cancelled and not partial."""
    ran = go(four, target, stop=Stop(after=0))
    assert not target.exists()
    assert ("cancelled", 2, {"non_applied"}) == (
        ran.outcome.status,
        ran.outcome.rule,
        {str(item.result) for item in ran.items.values()},
    )


def test_a_stop_that_comes_too_late_changes_nothing(four: Path, target: Path) -> None:
    """Everything was restored before anybody could stop it: completed, and the request stays on record elsewhere."""
    ran = go(four, target)
    late = ran.execution.facts(cancel_requested=True)
    assert (late.reached_end, ran.outcome.status) == (True, "completed")


@pytest.mark.parametrize("after", [0, 300_000])
def test_an_error_in_the_listener_leaves_no_half_file(four: Path, target: Path, after: int) -> None:
    """When whoever listens fails, the execution breaks off: neither the file in work nor one that waits for its name stays."""
    driver = driver_for(None, four)
    plan = driver.plan(Request(backup=str(four), target=str(target)))

    def failing(done: int, _items: int) -> None:
        if done > after:
            msg = "the lease is gone"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="lease"):
        driver.execute(plan, target_fingerprint=None, report=print, progress=failing, should_stop=lambda: False)
    assert {} == tree(target)


def test_an_item_that_has_ended_stays_ended(source: Path, target: Path) -> None:
    """There is nothing to flush, to name or to drop any more."""
    (target / "a.txt").mkdir(parents=True)
    plan = driver_for(None, source).plan(Request(backup=str(source), target=str(target), select=("a.txt",)))
    with Target(target) as place:
        sink = Sink(place, plan.items[0], overwrite=True)
        ended = sink.outcome
        for call in (sink.flush, sink.publish, sink.drop):
            call()
        sink.complete("0" * 64)
    assert ended is sink.outcome
    assert ["a.txt"] == names_in(target)


def test_files_keep_their_owner_only_for_root(source: Path, target: Path) -> None:
    """Run as root, owners come back."""
    if os.geteuid() != 0:
        pytest.fail("this test must run as root: only root may give files away")
    os.chown(source / "a.txt", 1234, 4321)
    go(source, target)
    status = (target / "a.txt").stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    assert FILES["a.txt"] == (target / "a.txt").read_bytes()


def test_a_file_system_without_hard_links_is_served_too(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the name is given by a rename, after one more look that nothing has it."""

    def no_links(*_names: object, **_more: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(draft.os, "link", no_links)
    assert ("completed", "match") == ((ran := go(source, target)).outcome.status, ran.evidence.verdict)
    (target / "a.txt").write_bytes(b"theirs")
    (target / ".x.part").write_bytes(b"ours")
    folder = os.open(target, os.O_RDONLY)
    with pytest.raises(FileExistsError):
        draft.publish(folder, ".x.part", "a.txt", replace=False)
    os.close(folder)
    (target / ".x.part").unlink()
    assert b"theirs" == (target / "a.txt").read_bytes()


def test_a_leftover_that_cannot_be_removed_is_told(four: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The item is partial, and nobody says that nothing was written."""

    def failing(*_names: object, **_more: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    driver = driver_for(None, four)
    plan = driver.plan(Request(backup=str(four), target=str(target), select=("f0",)))
    ended: list[Item] = []
    monkeypatch.setattr(draft.os, "fsync", failing)
    monkeypatch.setattr(draft.os, "unlink", failing)
    execution = driver.execute(
        plan, target_fingerprint=None, report=ended.append, progress=no_progress, should_stop=lambda: False
    )
    assert [("partial", "target_unreliable")] == [(item.result, item.reason_code) for item in ended]
    assert "could not be removed" in str(ended[0].message)
    assert (1, False) == (execution.counts.partial, execution.nothing_written)


def test_owner_and_permissions_that_are_refused_are_errors_but_no_loss(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is there; that its owner is not is noted for each file and directory."""

    def refused(*_arguments: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(target_module.os, "fchown", refused)
    ran = go(source, target)
    assert [("succeeded", "metadata_not_applied")] == ran.ended("a.txt")
    assert ("completed_with_errors", 7, "match") == (ran.outcome.status, ran.outcome.rule, ran.evidence.verdict)


def test_a_stop_among_links_and_directories_is_heard(source: Path, target: Path) -> None:
    """They come last, and are not applied when somebody asked to stop before."""
    ran = go(source, target, select=("deep/link", "hollow"), stop=Stop(after=1))
    assert [("succeeded", None), ("non_applied", "stopped")] == ran.ended("hollow", "deep/link")
    assert ("partial", 2) == (ran.outcome.status, ran.outcome.rule)


def test_a_link_that_exists_and_differs_is_skipped(source: Path, target: Path) -> None:
    """As a file would be; what is in place already is unchanged; a directory in its place is a failure."""
    (target / "deep").mkdir(parents=True)
    (target / "hollow").mkdir()
    (target / "deep/link").symlink_to("elsewhere")
    ran = go(source, target)
    assert [("skipped", "exists_and_differs"), ("succeeded", "in_place_before")] == ran.ended("deep/link", "hollow")
    (target / "deep/link").unlink()
    (target / "deep/link").mkdir()
    assert [("failed", "is_a_directory")] == go(source, target).ended("deep/link")


def test_a_link_on_a_failing_target_fails(four: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary link is taken away again."""

    def failing(*_names: object, **_more: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (four / "link").symlink_to("f0")
    driver = driver_for(None, four)
    plan = driver.plan(Request(backup=str(four), target=str(target), select=("link",)))
    monkeypatch.setattr(draft.os, "link", failing)
    monkeypatch.setattr(draft.os, "fsync", failing)
    execution = driver.execute(
        plan, target_fingerprint=None, report=print, progress=no_progress, should_stop=lambda: False
    )
    assert (1, {}) == (execution.counts.failed, tree(target))
    assert "new names could not be flushed: Input/output error" in execution.problems


def test_many_directories_do_not_use_up_the_open_files(tmp_path: Path, target: Path) -> None:
    """Directories are kept open for speed, but never more than a few dozen."""
    for number in range(200):
        (tmp_path / "s" / f"d{number}").mkdir(parents=True)
        (tmp_path / "s" / f"d{number}" / "f").touch()
    gc.collect()  # what tests before this one left behind may hold files open until now
    before = len(list(Path("/proc/self/fd").iterdir()))
    ran = go(tmp_path / "s", target)
    assert ("match", before) == (ran.evidence.verdict, len(list(Path("/proc/self/fd").iterdir())))


def test_nothing_but_a_file_has_a_digest_and_nothing_but_a_link_a_text(target: Path) -> None:
    """What changes its kind between two looks is not read, and a pipe does not block."""
    target.mkdir()
    os.mkfifo(target / "pipe")
    with Target(target) as place:
        assert (None, None, None) == (place.digest(("pipe",)), place.link_text(("pipe",)), place.link_text(("none",)))
