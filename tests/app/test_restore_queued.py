"""A restore that is left to a worker: previewed here, queued with its place in line, and executed by whoever claims it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap_app.cli.ledgers import me
from tests.app.restoring import Backup, Ran, Shell, backup_of, opened, somebody_else

HOME = ("default", "local")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def queued(shell: Shell, backup: Backup, *options: object) -> Ran:
    """Restore without a question, in this process."""
    return shell.inside("restore", backup.path, "--into", shell.target, "--yes", *options)


def test_a_restore_is_left_to_a_worker_with_its_selection_and_its_place_in_line(shell: Shell, tmp_path: Path) -> None:
    """Nothing is written here; the next thing to look at is named."""
    backup = backup_of("tar.gz", tmp_path)
    ran = queued(shell, backup, "--select", "deep/*", "--queue", "--priority", "7", "--deadline", "4h")
    told = shell.last()
    assert (ran.code, told.ended) == (0, ("in_progress", "queued", None))
    assert (told.details.select, told.details.priority) == (("deep/*",), 7)
    assert told.details.deadline_us is not None
    assert f"Next: proofgap run watch {told.run['id']}" in ran.err
    assert not shell.target.exists()


def test_an_operator_may_leave_a_restore_to_a_worker(shell: Shell, tmp_path: Path) -> None:
    """They may not execute it: it is not executed here."""
    backup = backup_of("zip", tmp_path)
    with opened(shell) as ledger:
        ledger.access.grant(somebody_else().id, Role.ADMIN, HOME, me())
        ledger.access.grant(me().id, Role.OPERATOR, HOME, somebody_else())
        ledger.access.grant(me().id, Role.ADMIN, HOME, somebody_else(), revoke=True)
    assert queued(shell, backup, "--queue").code == 0
    assert shell.last().ended == ("in_progress", "queued", None)


def test_a_restore_that_others_must_approve_waits_and_names_the_way_to_the_queue(shell: Shell, tmp_path: Path) -> None:
    """After the approval it is queued by hand, for any worker."""
    backup = backup_of("zip", tmp_path)
    with opened(shell) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=1)
    ran = queued(shell, backup, "--queue")
    assert (ran.code, shell.last().ended) == (5, ("not_executed", "previewed", None))
    assert f"Once it is approved: proofgap run queue {shell.last().run['id']}" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--queue", "--dry-run"), "--queue: does not go with --dry-run"),
        (("--priority", "1"), "--priority: is for a run that waits"),
        (("--deadline", "4h"), "--deadline: is for a run that waits"),
        (("--queue", "--priority", "1001"), "--priority: 1001 is out of range"),
        (("--queue", "--deadline", "soon"), "--deadline: 'soon' is no time"),
    ],
)
def test_what_says_nothing_of_a_place_in_line_is_refused(
    shell: Shell, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """Exit 2, before anything is begun."""
    ran = queued(shell, backup_of("zip", tmp_path), *options)
    assert (ran.code, shell.runs()) == (2, 0)
    assert said in ran.err


def test_a_retry_is_previewed_as_it_was_chosen_and_queued(shell: Shell, tmp_path: Path) -> None:
    """`run prepare` says what the plan would do; nothing is written."""
    backup = backup_of("zip", tmp_path)
    assert queued(shell, backup, "--select", "deep/*", "--overwrite").code == 0
    assert shell.inside("run", "retry", shell.last().run["id"]).code == 0
    retried = shell.last().run["id"]
    ran = shell.inside("run", "prepare", retried)
    assert (ran.code, shell.last().ended) == (0, ("not_executed", "previewed", None))
    assert ran.err.splitlines()[0].startswith("Preview (data): 2 items; 0 would be created")
    assert ran.err.splitlines()[-1] == f"Next: proofgap run queue {retried}"
    assert shell.inside("run", "queue", retried, "--priority", "3").code == 0
    assert (shell.last().details.select, shell.last().details.priority) == (("deep/*",), 3)
    assert shell.inside("audit", "verify").code == 0


def test_a_run_that_names_no_target_is_not_prepared(shell: Shell) -> None:
    """It stays a draft, and the way to say it is named."""
    assert shell.inside("run", "create", "b.zip").code == 0
    ran = shell.inside("run", "prepare", shell.last().run["id"])
    assert (ran.code, shell.last().ended) == (2, ("not_executed", "draft", None))
    assert "proofgap run scope" in ran.err
