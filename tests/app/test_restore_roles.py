"""Who may restore: whoever may not is told before anything is begun, and nothing that others approved is lost by it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import ForbiddenError, NotFoundError, ProofgapError, StaleError
from proofgap.facts import RunEvent
from proofgap.records import PreviewFacts, RunDetails
from proofgap_app.cli.ledgers import me
from proofgap_app.cli.problems import exit_of
from proofgap_store import Fleet, Ledger, NewRun
from tests.app.restoring import Shell, backup_of, opened, somebody_else

HOME = ("default", "local")
ADMIN = Actor(id="z.admin", via="cli")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line whose user is about to lose a role, with another admin and somebody who approves."""
    made = Shell(tmp_path)
    with opened(made) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=1)
        ledger.access.grant(somebody_else().id, Role.OPERATOR, HOME, me())
        ledger.access.grant(ADMIN.id, Role.ADMIN, HOME, me())
    return made


def becomes(shell: Shell, role: Role | None) -> None:
    """Make the user of the command line what they are to be, and no admin any more."""
    with Ledger.open(shell.url, create=False) as ledger:
        if role is not None:
            ledger.access.grant(me().id, role, HOME, ADMIN)
        ledger.access.grant(me().id, Role.ADMIN, HOME, ADMIN, revoke=True)


def waiting(shell: Shell, tmp_path: Path) -> str:
    """Give a run that waits at its preview, approved."""
    backup = backup_of("zip", tmp_path)
    assert shell.inside("restore", backup.path, "--into", shell.target, "--yes").code == 5
    run_id: str = shell.last().run["id"]
    with Ledger.open(shell.url, create=False) as ledger:
        ledger.fire(run_id, RunEvent.APPROVE, somebody_else())
    return run_id


def test_an_operator_who_resumes_an_approved_run_leaves_it_approved(shell: Shell, tmp_path: Path) -> None:
    """Exit 4, the role is named, and so is who can go on; a worker then does."""
    run_id = waiting(shell, tmp_path)
    becomes(shell, Role.OPERATOR)
    ran = shell.inside("restore", "--resume", run_id, "--yes")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines() == [
        f"proofgap: {me().id} may not execute runs. Ask an admin of the workspace for one of the roles admin, worker.",
        f"Next: a worker or an admin goes on with it: proofgap restore --resume {run_id}",
    ]
    told = shell.last()
    assert (told.ended, len(told.details.approvals)) == (("not_executed", "previewed", None), 1)
    assert told.events[-1] == "approve"
    becomes_worker(shell)
    assert shell.inside("restore", "--resume", run_id, "--yes").code == 0


def becomes_worker(shell: Shell) -> None:
    """Give the user of the command line the role that was asked for."""
    with Ledger.open(shell.url, create=False) as ledger:
        ledger.access.grant(me().id, Role.WORKER, HOME, ADMIN)


def test_an_operator_who_restores_makes_no_run(shell: Shell, tmp_path: Path) -> None:
    """Nothing is begun that nobody would end; a look is not refused."""
    backup = backup_of("zip", tmp_path)
    becomes(shell, Role.OPERATOR)
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--yes", "--exit-status")
    assert (ran.code, shell.runs()) == (4, 0)
    assert "one of the roles admin, worker" in ran.err
    assert "with --dry-run" in ran.err
    assert shell.inside("restore", backup.path, "--into", shell.target, "--dry-run").code == 0
    assert not shell.target.exists()


def test_whoever_holds_no_role_is_told_of_nothing(shell: Shell, tmp_path: Path) -> None:
    """Exit 7: there is no such environment, and no such run, for them."""
    run_id = waiting(shell, tmp_path)
    becomes(shell, None)
    assert shell.inside("restore", tmp_path / "backup.zip", "--into", shell.target, "--yes").code == 7
    assert shell.inside("restore", "--resume", run_id, "--yes").code == 7


def test_a_denial_under_json_is_one_problem_object(shell: Shell, tmp_path: Path) -> None:
    """A program reads nothing else."""
    run_id = waiting(shell, tmp_path)
    becomes(shell, Role.OPERATOR)
    ran = shell.inside("restore", "--resume", run_id, "--yes", "--json")
    assert ran.code == 4
    assert ran.err.startswith('{"type":"urn:proofgap:problem:forbidden"')
    assert ran.err.count("\n") == 1


def test_the_denial_is_in_the_log(shell: Shell, tmp_path: Path) -> None:
    """Once, with what was wanted."""
    run_id = waiting(shell, tmp_path)
    becomes(shell, Role.OPERATOR)
    assert shell.inside("restore", "--resume", run_id, "--yes").code == 4
    with closing(sqlite3.connect(shell.ledger_file)) as connection:
        denied = connection.execute(
            "SELECT payload ->> '$.data' FROM audit_event WHERE type = 'access.denied'"
        ).fetchall()
    assert [json.loads(data) for (data,) in denied] == [
        {"action": "execute runs", "kind": "environment", "subject": "default/local"}
    ]


def test_after_an_approval_it_is_said_who_can_go_on(shell: Shell, tmp_path: Path) -> None:
    """Whoever approves may be no worker."""
    backup = backup_of("zip", tmp_path)
    with Ledger.open(shell.url, create=False) as ledger:
        run_id = ledger.create(NewRun(), ADMIN).run_id
        ledger.fire(run_id, RunEvent.SCOPE, ADMIN, given=RunDetails(target=str(shell.target)))
        ledger.fire(run_id, RunEvent.CHECK, ADMIN, given=RunDetails(plan_digest="p"))
        ledger.fire(run_id, RunEvent.PREVIEW, ADMIN, given=RunDetails(preview=PreviewFacts(plan_digest="p")))
    becomes(shell, Role.OPERATOR)
    ran = shell.inside("run", "approve", run_id)
    assert (ran.code, backup.path.exists()) == (0, True)
    assert f"Next: a worker or an admin goes on: proofgap restore --resume {run_id}" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ForbiddenError("a", "execute runs", ["worker"]), 4),
        (NotFoundError("restore run", "rr_1"), 7),
        (StaleError("rr_1", 1, 2), 6),
        (ProofgapError("it failed"), 1),
    ],
)
def test_what_goes_wrong_halfway_ends_with_its_own_exit_code(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: ProofgapError, code: int
) -> None:
    """The exit codes of a restore are those of every other command."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(HOME, me(), approvals_required=0)

    def failing(*_given: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(Fleet, "claim", failing)
    ran = shell.inside("restore", backup_of("zip", tmp_path).path, "--into", shell.target, "--yes")
    assert (ran.code, exit_of(error)) == (code, code)
    assert shell.last().run["status"] == "cancelled"
    assert not shell.target.exists()
