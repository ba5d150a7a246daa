"""How a claimed run ends when the ledger cannot be reached, or refuses, at the worst moment: never with more than is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proofgap.audit import Actor
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers.files import FilesDriver
from proofgap_store import Ledger, UnavailableError
from tests.app.restoring import Shell, backup_of, opened, tree, wait_for
from tests.app.test_worker import ended, queued, working


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def test_a_ledger_that_is_away_for_a_moment_at_the_end_of_a_restore_is_never_told_that_nothing_was_written(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restore is over and has written; whoever reads whether a stop was asked for just then reads again."""
    backup = backup_of("tar", tmp_path)
    run_id, away = queued(shell, backup), iter([True, True])
    written = []
    execute, peek = FilesDriver.execute, Ledger.peek

    def executing(self: FilesDriver, *arguments: Any, **named: Any) -> Any:
        done = execute(self, *arguments, **named)
        written.append(True)
        return done

    def peeking(self: Ledger, run: str, actor: Actor) -> Any:
        if written and actor.via == "worker" and next(away, False):
            raise UnavailableError("it restarts", "Wait.")
        return peek(self, run, actor)

    monkeypatch.setattr(FilesDriver, "execute", executing)
    monkeypatch.setattr(Ledger, "peek", peeking)
    with working(shell):
        wait_for(lambda: ended(shell, run_id))
    told = shell.last()
    assert tree(shell.target) == backup.contents
    assert (told.ended, told.details.nothing_written) == (("completed_with_evidence", "completed", None), False)


def test_what_cannot_be_put_on_record_after_a_driver_died_leaves_a_run_that_does_not_say_that_nothing_was_written(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the driver writes, reports an item that the ledger refuses, and dies."""
    backup = backup_of("tar", tmp_path)
    run_id, execute = queued(shell, backup), FilesDriver.execute

    def executing(self: FilesDriver, *arguments: Any, **named: Any) -> Any:
        report = named["report"]
        items: list[Any] = []
        execute(self, *arguments, **(named | {"report": items.append}))
        for key in (items[0].key, items[0].key):
            report(replace(items[0], key=key))
        raise RuntimeError("a bug in the driver")

    monkeypatch.setattr(FilesDriver, "execute", executing)
    with working(shell):
        wait_for(lambda: shell_status(shell, run_id) == "failed")
    told = shell.last()
    assert tree(shell.target) == backup.contents
    assert (told.ended[2], told.details.nothing_written) == ("tool_aborted", None)


def shell_status(shell: Shell, run_id: str) -> str:
    """Give the status of a run."""
    with opened(shell) as ledger:
        return ledger.peek(run_id, me()).status
