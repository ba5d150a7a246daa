"""A run that waited at its preview goes on: only as what was previewed, and with everything it waited for kept."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.errors import GuardRefusedError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Request
from proofgap_app.worker.restore import PREVIEW_VALID_US, Restore
from proofgap_app.worker.stop import Stop
from proofgap_store import Ledger, NewRun
from proofgap_store.clock import now_us
from tests.app.restoring import (
    FILES,
    Backup,
    Shell,
    Terminal,
    Witness,
    backup_of,
    opened,
    somebody_else,
    tree,
)

HOME = ("default", "local")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own, in which restores need one approval."""
    made = Shell(tmp_path)
    with opened(made) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=1)
        ledger.access.grant(somebody_else().id, Role.OPERATOR, HOME, me())
    return made


def waiting(shell: Shell, backup: Backup, *options: object) -> str:
    """Restore up to where approvals are missing; give the run."""
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--yes", *options)
    run_id: str = shell.last().run["id"]
    assert (ran.code, shell.last().ended) == (5, ("not_executed", "previewed", None))
    assert f"proofgap restore --resume {run_id}" in ran.err
    return run_id


def approved(shell: Shell, backup: Backup, *options: object) -> str:
    """Restore up to where approvals are missing, and let somebody else approve; give the run."""
    run_id = waiting(shell, backup, *options)
    with Ledger.open(shell.url, create=False) as ledger:
        ledger.fire(run_id, RunEvent.APPROVE, somebody_else())
    return run_id


@pytest.mark.parametrize("kind", ["tar.gz", "directory", "db", "sql"])
def test_a_run_that_was_approved_goes_on_to_its_evidence(shell: Shell, tmp_path: Path, kind: str) -> None:
    """The same run, not a new one: queued, executed, looked at, and its decision shown."""
    backup = backup_of(kind, tmp_path)
    run_id = approved(shell, backup)
    ran = shell("restore", "--resume", run_id, "--yes", "--exit-status")
    told = shell.last()
    assert (ran.code, told.run["id"], shell.runs()) == (0, run_id, 1)
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert told.verdicts == [("active", "match")]
    assert told.events == ["None", "scope", "check", "preview", "approve", "queue", "start", "report", "complete"]
    assert "Completed with evidence available" in ran.out
    assert "Previewed before, and unchanged" in ran.err
    told.counts_are_true(backup, shell.target)


def test_a_run_that_was_left_at_its_question_goes_on_without_approvals(shell: Shell, tmp_path: Path) -> None:
    """Its program was killed while it waited for an answer: nothing was written, and nothing is lost."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=0)
    backup = backup_of("zip", tmp_path)
    left = Terminal(shell, "restore", backup.path, "--into", shell.target)
    left.press(b"", after="Type yes to go on:")
    os.kill(left.process.pid, signal.SIGKILL)
    left.end()
    run_id = shell.last().run["id"]
    assert shell.last().ended == ("not_executed", "previewed", None)
    again = Terminal(shell, "restore", "--resume", run_id, "--exit-status")
    again.press(b"yes\n", after="Restore 4 items, 0 over existing ones, into")
    assert again.end() == 0
    assert (shell.last().run["id"], shell.last().ended[0]) == (run_id, "completed_with_evidence")
    assert tree(shell.target) == FILES


def test_what_was_chosen_for_the_preview_is_chosen_still(shell: Shell, tmp_path: Path) -> None:
    """Patterns, manifest and the leave to overwrite are on record, where approvers find them."""
    backup = backup_of("tar", tmp_path)
    manifest = tmp_path / "SUMS"
    manifest.write_text("8e7c6a3c" * 8 + "  unrelated\n")
    shell.target.mkdir()
    (shell.target / "a.txt").write_bytes(b"mine")
    run_id = approved(shell, backup, "--overwrite", "--select", "a.*", "--select", "deep/*", "--manifest", manifest)
    details = shell.last().details
    assert (details.overwrite, details.select, details.manifest) == (True, ("a.*", "deep/*"), str(manifest))
    assert shell.inside("restore", "--resume", run_id, "--yes").code == 0
    assert sorted(tree(shell.target)) == ["a.txt", "deep/d.txt", "deep/er/c.txt"]
    assert (shell.target / "a.txt").read_bytes() == FILES["a.txt"]


def test_a_run_whose_approvals_are_missing_stays_where_it_is(shell: Shell, tmp_path: Path) -> None:
    """Exit 5, before the backup is read and anybody is asked; the attempt is recorded; later it can go on."""
    backup = backup_of("zip", tmp_path)
    run_id = waiting(shell, backup)
    moved = backup.path.rename(tmp_path / "elsewhere")
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, shell.last().ended) == (5, ("not_executed", "previewed", None))
    assert f"Once it is approved: proofgap restore --resume {run_id}" in ran.err
    with Ledger.open(shell.url, create=False) as ledger:
        refusals = [event.entry["data"] for event in ledger.history(run_id, me().id) if "guard" in event.entry["data"]]
        ledger.fire(run_id, RunEvent.APPROVE, somebody_else())
    assert [data["guard"] for data in refusals] == ["is_approved"] * 2
    moved.rename(backup.path)
    assert shell.inside("restore", "--resume", run_id, "--yes", "--exit-status").code == 0


def _other_bytes(backup: Backup, _target: Path) -> None:
    backup.path.write_bytes(
        backup_of("tar", backup.path.parent / "other", FILES | {"a.txt": b"omega\n"}).path.read_bytes()
    )


def _a_file_in_the_way(_backup: Backup, target: Path) -> None:
    target.mkdir()
    (target / "a.txt").write_bytes(b"mine")


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        (_other_bytes, "validation", "the plan is not the one that was previewed"),
        (_a_file_in_the_way, "target_changed", "the target changed since the preview"),
    ],
)  # fmt: skip
def test_another_backup_or_target_than_was_previewed_blocks_the_run(
    shell: Shell, tmp_path: Path, change: object, reason: str, said: str
) -> None:
    """What was approved is not there any more: nothing is written, nobody is asked, and the run says why."""
    backup = backup_of("tar", tmp_path)
    run_id = approved(shell, backup)
    change(backup, shell.target)  # type: ignore[operator]
    before = tree(shell.target)
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, shell.last().ended) == (1, ("blocked_or_cancelled", "cancelled", reason))
    assert said in ran.err
    assert tree(shell.target) == before


def test_a_preview_that_expired_blocks_the_run(shell: Shell, tmp_path: Path) -> None:
    """However many approved it."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=0)
        backup = backup_of("zip", tmp_path)
        work = Restore(
            ledger=ledger, driver=driver_for(None, backup.path), request=Request(backup=str(backup.path), target=str(shell.target)),
            actor=me(), watcher=Witness(agreeing=_vanish), stop=Stop(), clock=lambda: now_us() - PREVIEW_VALID_US,
        )  # fmt: skip
        with suppress(_VanishedError):
            work.run(NewRun(details=RunDetails(backup=str(backup.path), target=str(shell.target), driver="files")))
    ran = shell.inside("restore", "--resume", work.run_id, "--yes", "--exit-status")
    assert (ran.code, shell.last().ended) == (15, ("blocked_or_cancelled", "cancelled", "preview_expired"))
    assert "the preview has expired" in ran.err


class _VanishedError(Exception):
    """The program is gone."""


def _vanish() -> bool:
    raise _VanishedError


@pytest.mark.parametrize(("keys", "code"), [(b"no\n", 0), (b"\x03", 130)])
def test_whoever_does_not_go_on_after_all_leaves_the_run_and_its_approvals(
    shell: Shell, tmp_path: Path, keys: bytes, code: int
) -> None:
    """Nothing is lost by looking: it can go on at another time."""
    run_id = approved(shell, backup_of("zip", tmp_path))
    terminal = Terminal(shell, "restore", "--resume", run_id)
    terminal.press(keys, after="Type yes to go on:")
    assert terminal.end() == code
    told = shell.last()
    assert (told.ended, len(told.details.approvals)) == (("not_executed", "previewed", None), 1)
    assert not shell.target.exists()
    assert shell.inside("restore", "--resume", run_id, "--yes", "--exit-status").code == 0


def test_a_backup_that_cannot_be_read_now_leaves_the_run_and_its_approvals(shell: Shell, tmp_path: Path) -> None:
    """Such as one on a disk that is not mounted."""
    backup = backup_of("tar.gz", tmp_path)
    run_id = approved(shell, backup)
    moved = backup.path.rename(tmp_path / "elsewhere")
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, shell.last().ended) == (2, ("not_executed", "previewed", None))
    assert "cannot be read" in ran.err
    moved.rename(backup.path)
    assert shell.inside("restore", "--resume", run_id, "--yes", "--exit-status").code == 0


def test_a_run_that_is_not_at_its_preview_is_refused_by_the_machine(shell: Shell, tmp_path: Path) -> None:
    """One that has ended, and a dry run: exit 5, recorded, and nothing is written."""
    backup = backup_of("zip", tmp_path)
    run_id = approved(shell, backup)
    assert shell.inside("restore", "--resume", run_id, "--yes", "--exit-status").code == 0
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, 'cannot "queue" a completed run' in ran.err) == (5, True)
    assert shell.inside("restore", backup.path, "--into", tmp_path / "dry", "--dry-run").code == 0
    ran = shell.inside("restore", "--resume", shell.last().run["id"], "--yes")
    assert (ran.code, "a dry run is never executed" in ran.err) == (5, True)
    assert not (tmp_path / "dry").exists()


def test_of_two_who_resume_one_run_one_restores(shell: Shell, tmp_path: Path) -> None:
    """The other is refused: the run is not at its preview any more."""
    backup = backup_of("zip", tmp_path)
    run_id = approved(shell, backup)

    def other() -> bool:
        assert shell.inside("restore", "--resume", run_id, "--yes", "--exit-status").code == 0
        return True

    with Ledger.open(shell.url, create=False) as ledger:
        work = Restore(
            ledger=ledger, driver=driver_for(None, backup.path), request=Request(backup=str(backup.path), target=str(shell.target)),
            actor=me(), watcher=Witness(agreeing=other), stop=Stop(), clock=now_us,
        )  # fmt: skip
        with pytest.raises(Exception, match='cannot "queue" a completed run'):
            work.resume(run_id)
    assert shell.last().ended[0] == "completed_with_evidence"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("BACKUP",), "BACKUP"),
        (("--into", "x"), "--into"),
        (("--overwrite",), "--overwrite"),
        (("--select", "a"), "--select"),
        (("--manifest", "m"), "--manifest"),
        (("--driver", "files"), "--driver"),
        (("--expects-nothing",), "--expects-nothing"),
        (("--dry-run",), "--dry-run"),
        (("--purpose", "p"), "--purpose"),
        (("--rto", "4h"), "--rto"),
        (("--environment", "e"), "--environment"),
    ],
)
def test_what_a_run_has_on_record_is_not_said_again(shell: Shell, words: tuple[str, ...], named: str) -> None:
    """Exit 2: whoever says it could believe that it counts."""
    ran = shell.inside("restore", *words, "--resume", "rr_1", "--yes")
    assert ran.code == 2
    assert f"{named}: does not go with --resume" in ran.err


def test_a_run_that_names_no_backup_cannot_be_resumed(shell: Shell) -> None:
    """It was made for somebody else's tool; it stays as it is."""
    with Ledger.open(shell.url, create=False) as ledger:
        run_id = ledger.create(NewRun(), me()).run_id
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, "Say both: proofgap run scope RUN" in ran.err) == (2, True)
    assert shell.inside("restore", "--resume", "rr_none", "--yes").code == 7


def test_the_guard_is_raised_to_whoever_resumes_in_python(shell: Shell, tmp_path: Path) -> None:
    """The error names the guard."""
    backup = backup_of("zip", tmp_path)
    run_id = waiting(shell, backup)
    with Ledger.open(shell.url, create=False) as ledger:
        work = Restore(
            ledger=ledger, driver=driver_for(None, backup.path), request=Request(backup=str(backup.path), target=str(shell.target)),
            actor=me(), watcher=Witness(), stop=Stop(), clock=now_us,
        )  # fmt: skip
        with pytest.raises(GuardRefusedError) as caught:
            work.resume(run_id)
    assert caught.value.guard == "is_approved"


def test_a_restore_without_backup_or_target_says_which_is_missing(shell: Shell) -> None:
    """Exit 2, in words of the command line."""
    assert "BACKUP: is missing" in shell.inside("restore", "--into", "x", "--yes").err
    assert "--into: is missing" in shell.inside("restore", "x", "--yes").err
