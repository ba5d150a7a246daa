"""What restic and borg do when they succeed, fail, half-fail and lie; and what is on record of it then."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from proofgap.records import Item
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Request
from proofgap_app.worker.restore import Restore
from proofgap_app.worker.stop import Stop
from proofgap_store import NewRun
from proofgap_store.clock import now_us
from tests.app.restoring import Shell, Told, Witness, opened, wait_for
from tests.app.tools.repositories import (
    LARGE,
    PASSWORD,
    SMALL,
    Kit,
    call,
    flip,
    is_nowhere,
    key_of,
    largest,
    place_of,
    sends,
    slow_restic,
    verified,
    when,
    written,
)

REVIEW = "needs_review"


def with_password(environment: Path) -> tuple[str, Path]:
    """Give the option that says where the password is."""
    return "--password-file", environment


def test_a_clean_restore_is_held_against_the_repositorys_own_digests(
    shell: Shell, kit: Kit, tmp_path: Path, environment
):
    """Every file is compared by its content, and what was compared with came from no execution."""
    backup = kit.copy(tmp_path)
    ran = shell.restore_inside(backup, *with_password(environment))
    told = verified(shell, backup)
    assert (ran.code, told.ended) == (0, ("completed_with_evidence", "completed", None))
    assert told.counts == {"total": 8, "succeeded": 8}
    ((status, found),) = told.evidence
    assert (status, found.verdict, found.level, found.checks_passed) == ("active", "match", "L5", 8)
    assert told.details.recovery_point_basis == "backup_time"
    assert str(told.details.backup).startswith((f"{place_of(backup)}#", f"{place_of(backup)}::a1"))
    assert "latest" not in str(told.details.backup)  # a newer snapshot does not take its place
    assert is_nowhere(PASSWORD, tmp_path, ran.out, ran.err)


def test_a_second_restore_leaves_what_is_there_and_counts_it(shell: Shell, kit: Kit, tmp_path: Path, environment):
    """Compared by content and not by a tool's summary, which would say that everything was skipped; one that differs stays."""
    backup = kit.copy(tmp_path)
    shell.restore_inside(backup)
    (shell.target / "a.txt").write_bytes(b"ALPHA\n")
    shell.restore_inside(backup)
    told = verified(shell, backup)
    assert (told.ended, told.verdicts) == (("completed_with_evidence", "completed", None), [("active", "mismatch")])
    assert told.counts == {"total": 8, "succeeded": 7, "skipped": 1}
    assert {item.action for item in told.items if item.key != "a.txt"} == {"unchanged"}
    assert [item.reason_code for item in told.items if item.key == "a.txt"] == ["exists_and_differs"]


def test_a_selection_restores_what_it_names_and_nothing_else(shell: Shell, kit: Kit, tmp_path: Path, environment):
    backup = kit.copy(tmp_path)
    shell.restore_inside(backup, "--select", "deep/*", "--select", "a.txt")
    told = verified(shell, backup)
    assert (told.ended[0], told.counts) == ("completed_with_evidence", {"total": 4, "succeeded": 4})
    assert backup.held(shell.target) == {"a.txt", "deep/d.txt", "deep/n2.bin", "deep/er/n3.bin"}


def test_a_flipped_byte_of_the_same_size_is_found_by_restic_and_by_the_evidence(
    shell: Shell, restic: Kit, tmp_path: Path
):
    """restic restores the rest, and leaves the damaged file at its full size: a look at sizes would see nothing."""
    backup = restic.copy(tmp_path)
    flip(largest(place_of(backup) / "data"), 100_000)
    ran = shell.restore_inside(backup)
    told = verified(shell, backup)
    assert (ran.code, told.ended) == (13, (REVIEW, "partial", None))
    assert told.counts == {"total": 8, "succeeded": 7, "failed": 1}
    assert told.verdicts == [("active", "mismatch")]
    assert told.details.outcome_rule == 6
    (failed,) = [item for item in told.items if item.result == "failed"]
    assert (failed.key in map(key_of, SMALL), bool(failed.message)) == (True, True)


def test_a_flipped_byte_ends_borg_at_once_and_nothing_behind_it_is_counted(shell: Shell, borg: Kit, tmp_path: Path):
    """The preview has read everything, and said so; whoever goes on all the same gets what borg had written before it gave up."""
    backup = borg.copy(tmp_path)
    flip(largest(place_of(backup) / "data"), 100_000)
    ran = shell.restore_inside(backup)
    told = verified(shell, backup)
    assert (ran.code, told.ended) == (14, ("failed", "failed", "tool_aborted"))
    assert told.details.nothing_written is False
    assert told.counts["non_applied"] >= 3
    assert told.verdicts == [("active", "mismatch")]
    assert "THE BACKUP IS DAMAGED" in ran.err
    assert re.search(r"Why +Data integrity error: ", ran.out)
    assert (told.details.preview.depth, told.details.exit_code not in {0, 1}) == ("metadata", True)


def test_what_borg_repaired_with_zeros_is_not_taken_for_content(shell: Shell, borg: Kit, tmp_path: Path, monkeypatch):
    """After check --repair borg exits 0 or with a warning, and the file has its size; its digest is that of zeros."""
    backup = borg.copy(tmp_path)
    flip(largest(place_of(backup) / "data"), 100_000)
    monkeypatch.setenv("BORG_CHECK_I_KNOW_WHAT_I_AM_DOING", "YES")
    call("borg", "check", "--repair", place_of(backup))
    shell.restore_inside(backup)
    told = verified(shell, backup)
    assert told.ended == (REVIEW, "partial", None)
    assert told.counts == {"total": 8, "succeeded": 7, "failed": 1}
    assert [item.reason_code for item in told.items if item.result == "failed"] == ["source_damaged"]
    assert told.verdicts == [("active", "inconclusive")]
    assert told.details.source_completeness == "incomplete"


def restic_version() -> tuple[int, ...]:
    """Give the version of the restic that the tests start."""
    said = subprocess.run(["restic", "version"], capture_output=True, check=True, text=True).stdout
    return tuple(map(int, re.findall(r"\d+", said.split()[1])[:2]))


def test_a_truncated_and_a_missing_pack_cost_the_files_in_them(shell: Shell, restic: Kit, tmp_path: Path):
    """restic tries for 45 seconds before it gives a pack up, so both are restored at once."""
    for name in ("truncated", "missing"):
        (tmp_path / name).mkdir()
    shells = {name: Shell(tmp_path / name) for name in ("truncated", "missing")}
    backups = {name: restic.copy(tmp_path / name) for name in shells}
    pack = largest(place_of(backups["truncated"]) / "data")
    os.truncate(pack, 1000)
    largest(place_of(backups["missing"]) / "data").unlink()
    started = {
        name: one.start("restore", backups[name].path, "--into", one.target, "--yes") for name, one in shells.items()
    }
    errors = {name: process.communicate(timeout=110)[1] for name, process in started.items()}
    for name, one in shells.items():
        # What lay before the cut may be right all the same; restic names it with the rest of its pack, so it is not claimed.
        told = verified(one, backups[name], exact=name == "missing")
        assert told.ended == (REVIEW, "partial", None), errors[name]
        # 0.18 writes what it can read of a cut pack, 0.14 does not; nobody reads anything of one that is not there.
        succeeded = 5 if name == "truncated" and restic_version() >= (0, 18) else 4
        assert (told.counts["succeeded"], told.counts["failed"]) == (succeeded, 8 - succeeded)
        assert told.verdicts == [("active", "mismatch")]


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_truncated_or_missing_segment_ends_borg(shell: Shell, borg: Kit, tmp_path: Path, damage: str):
    backup = borg.copy(tmp_path)
    segment = largest(place_of(backup) / "data")
    os.truncate(segment, 1000) if damage == "truncated" else segment.unlink()
    shell.restore_inside(backup)
    told = shell.last()
    assert told.ended[0] in {"failed", "blocked_or_cancelled"}
    assert told.ended[2] in {"tool_aborted", "nothing_applied", "validation"}
    assert told.decision["claims"]["allowed"] in (["Execution failed"], ["Restore blocked / cancelled"], [])
    assert shell.inside("audit", "verify").code == 0


def test_a_full_disk_needs_review_or_fails_whatever_the_tool_says(full_disk: Shell, kit: Kit, tmp_path: Path):
    """restic goes on and says 100 %; borg gives up. The counts are what is on the disk, and nothing else."""
    backup = kit.copy(tmp_path)
    full_disk.restore_inside(backup)
    told = verified(full_disk, backup, exact=False)
    ends = {"restic": (REVIEW, "partial", None), "borg": ("failed", "failed", "tool_aborted")}
    assert told.ended == ends[kit.name]
    assert 0 < told.counts["succeeded"] < 8
    assert told.verdicts == [("active", "mismatch")]
    if kit.name == "restic":
        assert "no_space" in {item.reason_code for item in told.items}


def test_a_read_only_target_fails_the_run_and_leaves_it_untouched(frozen_disk: Shell, kit: Kit, tmp_path: Path):
    """borg ends with a mere warning, restic with an error: nothing was applied, and that is what counts."""
    backup = kit.copy(tmp_path)
    ran = frozen_disk.restore_inside(backup)
    told = verified(frozen_disk, backup)
    assert (ran.code, told.ended) == (14, ("failed", "failed", "nothing_applied"))
    assert told.counts == {"total": 8, "failed": 8}
    assert {item.reason_code for item in told.items} == {"read_only"}
    assert (told.details.nothing_written, told.evidence) == (True, [])


def test_a_directory_in_the_place_of_a_file_costs_that_file(shell: Shell, kit: Kit, tmp_path: Path):
    """It is not handed to the tool at all, so it cannot be removed for the file's sake; even where replacing was asked for."""
    backup = kit.copy(tmp_path)
    (shell.target / "a.txt" / "kept").mkdir(parents=True)
    (shell.target / "n0.bin").write_bytes(b"an older one")
    shell.restore_inside(backup, "--overwrite")
    told = verified(shell, backup)
    assert told.ended == (REVIEW, "partial", None)
    assert told.counts == {"total": 8, "succeeded": 7, "failed": 1}
    assert [item.reason_code for item in told.items if item.result == "failed"] == ["is_a_directory"]
    assert [item.key for item in told.items if item.action == "overwritten"] == ["n0.bin"]
    assert told.verdicts == [("active", "mismatch")]
    assert (shell.target / "a.txt" / "kept").is_dir()


def test_a_link_in_the_target_leads_no_tool_outside(shell: Shell, kit: Kit, tmp_path: Path):
    """Both tools follow a link that stands where a folder should be; what lies behind it is not theirs."""
    backup = kit.copy(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    shell.target.mkdir()
    (shell.target / "deep").symlink_to(outside)
    shell.restore_inside(backup)
    told = verified(shell, backup)
    assert told.ended == (REVIEW, "partial", None)
    assert (told.counts["failed"], list(outside.iterdir())) == (3, [])


def test_a_wrong_password_blocks_the_run_and_is_nowhere(shell: Shell, kit: Kit, tmp_path: Path):
    backup, wrong = kit.copy(tmp_path), tmp_path / "wrong"
    wrong.write_text("canary-but-wrong\n")
    wrong.chmod(0o600)
    ran = shell.restore_inside(backup, "--password-file", wrong)
    told = shell.last()
    assert (ran.code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert (told.counts, told.evidence, shell.target.exists()) == ({}, [], False)
    assert "cannot be read" in ran.err
    assert is_nowhere("canary-but-wrong", tmp_path, ran.out, ran.err)
    assert is_nowhere(PASSWORD, tmp_path, ran.out, ran.err)
    assert shell.inside("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("BORG_PASSPHRASE", ("not acquire a passphrase", "--password-file FILE")),
        ("BORG_RELOCATED_REPO_ACCESS_IS_OK", ("previously located at", "set BORG_RELOCATED_REPO_ACCESS_IS_OK=yes")),
    ],
)
def test_a_question_of_borg_that_nobody_answers_blocks_the_run_with_what_is_to_be_done(
    shell: Shell, borg: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, words: tuple[str, str]
):
    """borg prints a prompt, warnings of it, and its reason behind both."""
    backup = borg.copy(tmp_path)
    monkeypatch.delenv(variable)
    ran = shell.restore_inside(backup)
    assert (ran.code, shell.last().ended[2]) == (15, "validation")
    assert [word for word in words if word not in ran.err] == []
    assert "GetPassWarning" not in ran.err


@pytest.mark.usefixtures("own_memory")
def test_a_copy_that_is_older_than_what_borg_has_seen_blocks_the_run_until_borg_forgets(
    shell: Shell, borg: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """borg knows repositories by their id, which copies share; who restores from the older one is told how."""
    older = borg.copy(tmp_path)
    (tmp_path / "newer").mkdir()
    newer = borg.copy(tmp_path / "newer")
    call("borg", "create", f"{place_of(newer)}::later", ".", folder=tmp_path / "newer")
    ran = shell.restore_inside(older)
    assert (ran.code, shell.last().ended[2]) == (15, "validation")
    assert "newer than repository" in ran.err
    assert "question_env_answer" not in ran.err
    for variable in re.findall(r"BORG_[A-Z]+_DIR", ran.err):
        monkeypatch.setenv(variable, str(tmp_path / "empty" / variable))
    shell.restore_inside(older)
    assert verified(shell, older).ended == ("completed_with_evidence", "completed", None)


def test_a_lock_that_somebody_has_left_behind_fails_the_run_with_what_is_to_be_done(
    shell: Shell, restic: Kit, tmp_path: Path
):
    """Everything before can be read without a lock; the restore itself is refused, and nothing is written."""
    backup = restic.copy(tmp_path)
    slow = subprocess.Popen([slow_restic(tmp_path, 20), "--repo", place_of(backup), "check", "--read-data"])
    wait_for(lambda: any((place_of(backup) / "locks").iterdir()))
    wait_for(lambda: not list((place_of(backup) / "locks").glob("*-tmp-*")))
    slow.kill()
    slow.wait()
    ran = shell.restore_inside(backup)
    told = verified(shell, backup)
    assert (ran.code, told.ended) == (14, ("failed", "failed", "tool_aborted"))
    assert (told.counts, told.details.nothing_written) == ({"total": 8, "non_applied": 8}, True)
    assert ("already locked" in ran.out, "--option no-lock=yes" in ran.out) == (True, True)
    assert shell.restore_inside(backup, "--option", "no-lock=yes").code == 0


def test_progress_is_told_by_the_versions_of_restic_that_tell_it(
    shell: Shell, large_restic: Kit, tmp_path: Path, monkeypatch
):
    """From 0.16 on it says how far it is while it restores; before, nothing is known until it has ended."""
    backup = large_restic.copy(tmp_path, LARGE)
    monkeypatch.setenv("PROOFGAP_TOOL_RESTIC", str(slow_restic(tmp_path, 12_000)))
    driver, request = chosen(None, Request(backup=str(backup.path), target=str(shell.target)))
    plan = driver.plan(request)
    before: list[int] = []
    reported: list[Item] = []

    def hear(size: int, _items: int) -> None:
        if not reported:
            before.append(size)

    driver.execute(plan, target_fingerprint=None, report=reported.append, progress=hear, should_stop=lambda: False)
    tells = tuple(map(int, plan.tool_version.split()[1].split("."))) >= (0, 16)
    assert any(0 < size < (plan.bytes_total or 0) for size in before) is tells
    assert before == sorted(before)
    assert {str(item.result) for item in reported} == {"succeeded"}


@pytest.mark.parametrize("what", ["nothing", "gone", "unknown"])
def test_a_repository_or_snapshot_that_is_not_there_blocks_the_run(shell: Shell, kit: Kit, tmp_path: Path, what: str):
    backup = kit.copy(tmp_path)
    place = {"nothing": f"{place_of(backup)}-x", "gone": f"{tmp_path}", "unknown": f"{place_of(backup)}#0123abcd"}[what]
    shell.restore_inside(Path(f"{kit.name}:{place}"))
    assert shell.last().ended == ("blocked_or_cancelled", "cancelled", "validation")
    assert not shell.target.exists()


def test_an_empty_selection_is_blocked_though_the_tool_would_exit_with_zero(shell: Shell, kit: Kit, tmp_path: Path):
    backup = kit.copy(tmp_path)
    if kit.name == "restic":
        call(
            "restic", "--repo", place_of(backup), "restore", "latest", "--target", tmp_path / "x", "--include", "/none"
        )
    shell.restore_inside(backup, "--select", "none/*")
    told = shell.last()
    assert told.ended == ("blocked_or_cancelled", "cancelled", "empty_selection")
    assert (told.items, told.evidence, shell.target.exists()) == ([], [], False)


@pytest.mark.usefixtures("own_memory")
def test_a_backup_whose_own_run_was_incomplete_stays_marked(shell: Shell, kit: Kit, tmp_path: Path):
    """The snapshot does not say it: all that it has is restored, and what it lacks is known from the backup run alone."""
    backup = kit.copy(tmp_path)
    source = written(tmp_path / "half", {"here.txt": b"here\n"})
    if kit.name == "restic":
        # Of a source that is not there, restic 0.14 says so, and exits with 0; of one that cannot be read, with 3.
        call("restic", "--repo", place_of(backup), "backup", ".", "not-here", folder=source, expect=None)
    else:
        call("borg", "create", f"{place_of(backup)}::half", ".", "not-here", folder=source, expect=1)
    shell.restore_inside(backup, "--option", "source=incomplete")
    told = shell.last()
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.counts, told.details.source_completeness) == ({"total": 1, "succeeded": 1}, "incomplete")
    assert told.details.attention == "completed_with_follow_up"


def test_what_the_manifest_of_the_source_names_and_the_backup_lacks_was_not_applied(
    shell: Shell, restic: Kit, tmp_path: Path
):
    """A manifest knows more than the snapshot: what was meant to be backed up."""
    backup = restic.copy(tmp_path)
    manifest = tmp_path / "SUMS"
    manifest.write_text(f"{'0' * 64}  not-here\n")
    shell.restore_inside(backup, "--manifest", manifest)
    told = verified(shell, backup)
    assert (told.ended[1], told.counts) == ("partial", {"total": 9, "succeeded": 8, "non_applied": 1})
    assert told.details.source_completeness == "incomplete"


def interrupted(shell: Shell, backup: object, stop: Stop, witness: Witness) -> Told:
    """Restore in this process, with somebody doing something to the tool half-way."""
    driver, request = chosen(None, Request(backup=str(backup), target=str(shell.target)))
    with opened(shell) as ledger:
        restore = Restore(
            ledger=ledger, driver=driver, request=request, actor=me(), watcher=witness, stop=stop, clock=now_us
        )
        restore.run(NewRun())
    return shell.last()


def has_begun(target: Path, number: int = 1) -> bool:
    """Tell whether so many files of the backup are in the target; the last of them may be half there."""
    return target.is_dir() and sum(path.stat().st_size > 0 for path in target.iterdir()) >= number


STOPPED = [
    *(("large_restic", who) for who in ("SIGKILL", "SIGTERM", "SIGINT", "cancel")),
    *(("large_borg", who) for who in ("SIGKILL", "SIGTERM", "cancel")),
]


@pytest.mark.parametrize(("tool", "who"), STOPPED)
def test_a_tool_that_is_stopped_half_way_leaves_no_more_than_it_wrote_on_record(
    shell: Shell, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tool: str, who: str
):
    """A signal that nobody asked for is a failure; a wish to stop is a partial restore, as something was written."""
    kit: Kit = request.getfixturevalue(tool)
    backup = kit.copy(tmp_path, LARGE)
    monkeypatch.setenv("PROOFGAP_TOOL_RESTIC", str(slow_restic(tmp_path, 8000)))
    stop = Stop()
    action = stop.ask if who == "cancel" else sends(shell.target, signal.Signals[who])
    witness = Witness(before={"execute": lambda: when(lambda: has_begun(shell.target), action)})
    told = interrupted(shell, backup.path, stop, witness)
    assert shell.inside("audit", "verify").code == 0
    assert {item.key for item in told.items if item.result == "succeeded"} <= backup.held(shell.target)
    assert told.counts["total"] == len(LARGE) == sum(count for name, count in told.counts.items() if name != "total")
    assert told.counts.get("succeeded", 0) < len(LARGE)
    assert told.verdicts == [("active", "mismatch")]
    reason = {"SIGKILL": "worker_lost", "cancel": "cancel_requested"}.get(who, told.ended[2])
    status = "partial" if who == "cancel" else "failed"
    assert told.ended[1:] == (status, reason)
    assert reason in {"worker_lost", "tool_aborted", "cancel_requested"}
    assert told.details.nothing_written is False


def test_borg_goes_on_after_an_interrupt_and_the_run_says_that_it_was_completed(
    shell: Shell, large_borg: Kit, tmp_path: Path
):
    """SIGINT does not stop an extraction, and its exit code is 0: everything is there, so that is what is on record."""
    backup = large_borg.copy(tmp_path, LARGE)
    begun = {"execute": lambda: when(lambda: has_begun(shell.target), sends(shell.target, signal.SIGINT))}
    told = interrupted(shell, backup.path, Stop(), Witness(before=begun))
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.counts, told.verdicts) == ({"total": 16, "succeeded": 16}, [("active", "match")])


def test_a_new_run_over_a_killed_one_restores_the_rest(
    shell: Shell, large_borg: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What was whole is left alone, what was half there is replaced, and the lock that was left behind is no obstacle."""
    backup = large_borg.copy(tmp_path, LARGE)
    begun = {"execute": lambda: when(lambda: has_begun(shell.target, 2), sends(shell.target, signal.SIGKILL))}
    told = interrupted(shell, backup.path, Stop(), Witness(before=begun))
    assert told.ended == ("failed", "failed", "worker_lost")
    shell.restore_inside(backup, "--overwrite")
    told = verified(shell, backup)
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert "unchanged" in {item.action for item in told.items}
