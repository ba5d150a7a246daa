"""Restores that are interrupted: by Ctrl-C, SIGTERM, SIGKILL, a terminal that goes away, or somebody else's wish."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from proofgap.errors import FencedError
from proofgap.facts import RunEvent
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import EvidenceReport, Execution
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.worker.stop import Heard, Stop
from proofgap_store import Ledger
from tests.app.restoring import FILES, Backup, Ran, Shell, Told, Witness, backup_of, carried_out, tree, wait_for

MANY = {f"d{number % 40}/f{number}": os.urandom(2000) for number in range(900)}
ENOUGH = 30


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Give a backup of so many files that there is time to stop its restore."""
    return backup_of("tar", tmp_path_factory.mktemp("many"), MANY)


def half_way(shell: Shell, backup: Backup, do: Callable[[int], object]) -> Ran:
    """Start a restore as a program, do something as soon as the target has some files, and wait for the program's end."""
    process = shell.start("restore", backup.path, "--into", shell.target, "--yes", "--exit-status")
    wait_for(lambda: process.poll() is not None or _files_below(shell.target) >= ENOUGH)
    do(process.pid)
    ran = shell.finish(process)
    assert _files_below(shell.target) < len(MANY), "it was too fast to be stopped half-way"
    return ran


def _files_below(folder: Path) -> int:
    return sum(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)


def is_partial(told: Told, backup: Backup, target: Path) -> None:
    """See that a run ended in the middle, with counts of what is really there, and evidence that says so."""
    assert told.ended == ("needs_review", "partial", "cancel_requested")
    assert told.details.outcome_rule == 2
    assert set(told.counts) == {"total", "succeeded", "non_applied"}
    assert (told.counts["total"], told.decision["result_summary"]["qualifier"]) == (len(MANY), None)
    told.counts_are_true(backup, target)
    assert len(tree(target)) == told.counts["succeeded"] >= ENOUGH
    assert told.verdicts == [("active", "mismatch")]
    assert told.decision["claims"]["allowed"] == ["Follow-up required"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_half_way_ends_as_partial(shell: Shell, many: Backup, number: signal.Signals) -> None:
    """Exit 130, who asked is on record, and the ledger and the directory agree on every single file."""
    ran = half_way(shell, many, lambda pid: os.kill(pid, number))
    told = shell.last()
    assert ran.code == 130
    is_partial(told, many, shell.target)
    assert told.details.cancel_requested_by == me().id
    assert told.events[-2:] == ["request_cancel", "cancel"]


def test_whoever_is_impatient_gets_exact_counts_and_no_evidence(shell: Shell, many: Backup) -> None:
    """More signals do not tear what stops anyway: the run has its end, no scrap is left, and only the evidence fails."""

    def impatiently(pid: int) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)

    ran = half_way(shell, many, impatiently)
    told = shell.last()
    assert (ran.code, told.ended) == (130, ("needs_review", "partial", "cancel_requested"))
    told.counts_are_true(many, shell.target)
    assert told.verdicts == [("failed", None)]


def test_somebody_elses_wish_stops_a_running_restore(shell: Shell, many: Backup) -> None:
    """``run cancel`` in another process, this one: the restore asks once a second, hears of it, and says what is there."""

    def cancel(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)  # else it could end within the second
        with Ledger.open(shell.url, create=False) as ledger:
            run_id = ledger.list_runs(me().id, me()).rows[0].record.id
        assert shell.inside("run", "cancel", run_id).code == 0
        time.sleep(1.1)
        os.kill(pid, signal.SIGCONT)

    ran = half_way(shell, many, cancel)
    told = shell.last()
    assert ran.code == 13
    is_partial(told, many, shell.target)
    assert told.events.count("request_cancel") == 1


def test_a_killed_restore_stays_running_in_the_ledger(shell: Shell, many: Backup) -> None:
    """SIGKILL cannot be heard: that it runs is the last that is known, and the ledger opens and can be added to."""
    ran = half_way(shell, many, lambda pid: os.kill(pid, signal.SIGKILL))
    told = shell.last()
    assert (ran.code, ran.out) == (-signal.SIGKILL, "")
    assert told.ended == ("in_progress", "running", None)
    assert told.decision["claims"]["allowed"] == ["Execution in progress"]
    assert told.decision["result_summary"]["qualifier"] in {None, "so far"}
    assert {item.key for item in told.items} <= many.held(shell.target)
    assert shell.inside("doctor").code in {0, 9}
    assert shell.inside("show", told.run["id"], "--exit-status").code == 8
    with Ledger.open(shell.url, create=False) as ledger, pytest.raises(FencedError):
        ledger.fire(told.run["id"], RunEvent.FAIL, me())  # nobody else may say how it ended, until its lease ran out


@pytest.mark.parametrize("kind", ["zip", "db"])
def test_a_stop_before_the_first_write_is_a_cancellation(shell: Shell, tmp_path: Path, kind: str) -> None:
    """It is proven that nothing was written, so it may be said: cancelled; and there is nothing to look at."""
    stop = Stop()
    backup = backup_of(kind, tmp_path)
    told = carried_out(shell, backup, Witness(before={"execute": stop.ask}), stop=stop)
    assert told.ended == ("blocked_or_cancelled", "cancelled", "cancel_requested")
    assert (told.details.nothing_written, told.evidence) == (True, [])
    assert told.counts == {"total": len(backup.contents), "non_applied": len(backup.contents)}
    assert list(shell.target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["db", "sql"])
def test_a_database_that_is_stopped_half_way_is_not_there(shell: Shell, tmp_path: Path, kind: str) -> None:
    """It gets its name in one step at the end; before that, nothing of the target has changed."""
    stop = Stop()
    once = Witness(at_progress={"execute": lambda: stop.asked or stop.ask()})
    told = carried_out(shell, backup_of(kind, tmp_path), once, stop=stop)
    assert told.ended == ("blocked_or_cancelled", "cancelled", "cancel_requested")
    assert list(shell.target.parent.iterdir()) == []


@pytest.mark.parametrize("step", ["plan", "preview", "agrees"])
def test_a_stop_before_the_question_is_answered_cancels(shell: Shell, tmp_path: Path, step: str) -> None:
    """Nobody waits for anything then: the run is cancelled at once, and nothing is written."""
    stop, agreed = Stop(), []
    witness = Witness(
        before={step: stop.ask}, agreeing=lambda: (stop.ask() if step == "agrees" else agreed.append(1)) is None
    )
    driver = _Asking(stop) if step == "plan" else None
    with pytest.raises(KeyboardInterrupt):
        carried_out(shell, backup_of("zip", tmp_path), witness, stop=stop, driver=driver)
    told = shell.last()
    assert (told.ended, agreed) == (("blocked_or_cancelled", "cancelled", "cancel_requested"), [])
    assert (told.details.nothing_written, told.counts) == (True, {})
    assert list(shell.target.parent.iterdir()) == []


class _Asking(FilesDriver):
    """Plans while somebody asks to stop."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def plan(self, request: object) -> None:  # type: ignore[override]
        """Ask."""
        self._stop.ask()


def test_a_stop_that_comes_too_late_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """All items were in place when it came: the run completed, the wish is on record, and the target is looked at."""
    stop = Stop()
    told = carried_out(shell, backup_of("zip", tmp_path), Witness(), stop=stop, driver=_Late(stop))
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.details.cancel_requested_by, told.verdicts) == (me().id, [("active", "match")])


class _Late(FilesDriver):
    """Restores, and is asked to stop when all is done."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def execute(self, *arguments: object, **named: object) -> Execution:
        """Restore, then ask."""
        execution = super().execute(*arguments, **named)  # type: ignore[arg-type]
        self._stop.ask()
        return execution


def test_an_impatient_stop_while_the_target_is_read_fails_the_evidence_only(shell: Shell, tmp_path: Path) -> None:
    """The run completed before; that there is no evidence of it is all that is said."""
    stop = Stop()
    backup = backup_of("zip", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        carried_out(shell, backup, Witness(at_progress={"collect": stop.ask}), stop=stop)
    told = shell.last()
    assert told.ended == ("completed_proof_incomplete", "completed", None)
    assert told.verdicts == [("failed", None)]
    told.counts_are_true(backup, shell.target)


@pytest.mark.parametrize("moment", range(1, 12))
def test_an_impatient_stop_at_any_moment_leaves_an_end(shell: Shell, tmp_path: Path, moment: int) -> None:
    """A driver that does not stop when it is asked: what it reported is a lower bound, no scrap is left, the run is over."""
    stop, calls = Stop(patience_s=0), count(1)
    backup = backup_of("zip", tmp_path)

    def at_progress() -> None:
        if next(calls) == moment:
            stop.ask()
            stop.ask()

    witness = Witness(at_progress={"execute": at_progress})
    try:
        carried_out(shell, backup, witness, stop=stop, driver=driver_for(None, backup.path))
    except KeyboardInterrupt:
        told = shell.last()
        assert told.ended == ("needs_review", "partial", "cancel_requested")
        assert told.decision["result_summary"]["qualifier"] == ("at least" if told.items else None)
        assert {item.key for item in told.items} <= backup.held(shell.target)
        assert (told.verdicts, list(shell.target.rglob(".proofgap-*"))) == ([], [])
    else:
        assert next(calls) <= moment
        assert shell.last().ended[0] == "completed_with_evidence"
        assert tree(shell.target) == FILES


def test_what_is_put_on_record_is_never_interrupted() -> None:
    """A wish that comes while the ledger writes is heard as soon as it has written."""
    stop = Stop()
    done: list[str] = []

    def work() -> None:
        with stop.heard(Heard.IF_REPEATED):
            with stop.heard(Heard.NEVER):
                stop.ask()
                stop.ask()
                done.append("written")
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["written"]


def test_evidence_that_dies_fails_and_says_why(shell: Shell, tmp_path: Path) -> None:
    """The run keeps its end; its evidence is failed, not for ever in progress."""
    with pytest.raises(OSError, match="the disk is gone"):
        carried_out(shell, backup_of("zip", tmp_path), Witness(), driver=_Blind())
    assert (shell.last().ended[0], shell.last().verdicts) == ("completed_proof_incomplete", [("failed", None)])


class _Blind(FilesDriver):
    """Restores, and cannot read what it restored."""

    def collect(self, *_arguments: object, **_named: object) -> EvidenceReport:
        """Fail."""
        raise OSError(5, "the disk is gone")
