"""What lay in the target before a run is told from what the run wrote, whoever looks, and whatever a tool says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap_app.drivers import tree
from proofgap_app.drivers.base import Plan, Request, no_progress
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.drivers.leftovers import LEFTOVER
from proofgap_app.drivers.target import Target
from tests.app.restoring import FILES, Shell, backup_of


def planned(folder: Path, *before: str) -> Plan:
    """Plan a restore into a target that holds some of it already, as an earlier restore has left it."""
    backup = backup_of("tar.gz", folder) if not (folder / "backup.tar.gz").exists() else None
    request = Request(backup=str(backup.path if backup else folder / "backup.tar.gz"), target=str(folder / "target"))
    written(FilesDriver().plan(request), *before)
    return FilesDriver().plan(request)


def written(plan: Plan, *names: str) -> None:
    """Write items as a tool would, with the times of the backup."""
    for item in plan.items:
        if item.key in names:
            path = plan.request.target_path / item.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(FILES[item.key])
            os.utime(path, ns=(item.mtime_ns or 0, item.mtime_ns or 0))


def test_a_tool_that_writes_nothing_and_exits_with_zero_proves_nothing_by_what_lay_there(tmp_path: Path) -> None:
    """Everything is as in the backup, and the tool says that it restored it."""
    plan = planned(tmp_path, *FILES)
    with Target(plan.request.target_path) as target:
        foreseen = [tree.foresee(target, item, None, overwrite=True) for item in plan.items]
    execution = tree.execute(
        plan, foreseen, lambda: tree.ToolEnd(exit_code=0, reached_end=True), lambda _item: None, no_progress
    )
    report = FilesDriver().collect(plan)
    assert execution.nothing_written
    assert {check.observed for check in report.checks} == {LEFTOVER}
    assert (report.found.verdict, report.can_activate) == ("inconclusive", False)


def test_what_this_run_wrote_counts_beside_what_it_found(tmp_path: Path) -> None:
    """The verdict stays open: nobody says of the whole target that this run restored it."""
    plan = planned(tmp_path, "a.txt", "b.bin")
    written(plan, *(FILES.keys() - {"a.txt", "b.bin"}))
    report = FilesDriver().collect(plan)
    assert {check.subject for check in report.checks if check.observed == LEFTOVER} == {"a.txt", "b.bin"}
    assert (report.found.verdict, report.found.subjects_checked) == ("inconclusive", 2)


def test_a_leftover_that_differs_is_a_mismatch(tmp_path: Path) -> None:
    """It was to be what the backup holds, and is not; since when does not matter."""
    plan = planned(tmp_path, *FILES)
    (plan.request.target_path / "a.txt").write_bytes(b"ALPHA\n")
    report = FilesDriver().collect(planned(tmp_path))
    assert [check.subject for check in report.checks if check.result == "failed"] == ["a.txt"]
    assert report.found.verdict == "mismatch"


@pytest.mark.parametrize("forged", [0, 4_000_000_000])
def test_the_time_of_last_change_of_a_leftover_says_nothing(tmp_path: Path, forged: int) -> None:
    """Anybody can set it; the system's own stamp is what is looked at."""
    plan = planned(tmp_path, *FILES)
    os.utime(plan.request.target_path / "a.txt", (forged, forged))
    report = FilesDriver().collect(planned(tmp_path))
    assert {check.observed for check in report.checks} == {LEFTOVER}


@pytest.mark.parametrize("kind", ["tar.gz", "directory", "db"])
def test_a_leftover_that_is_given_to_another_owner_after_the_run_is_still_a_leftover(tmp_path: Path, kind: str) -> None:
    """That renews every stamp, and is what people do after a restore; the run says itself that it wrote none of it."""
    backup, shell = backup_of(kind, tmp_path), Shell(tmp_path)
    for _ in range(2):
        shell.restore_inside(backup)
    run = shell.last().run["id"]
    for path in (shell.target, *shell.target.rglob("*")):
        os.chown(path, -1, os.getegid())
    assert shell.inside("evidence", "collect", run).code == 0
    assert shell.last().verdicts == [("failed", "inconclusive"), ("failed", "inconclusive")]


@pytest.mark.parametrize("found", [set(), {"a.txt"}])
def test_what_a_run_left_alone_is_a_leftover_whatever_its_stamp_says(tmp_path: Path, found: set[str]) -> None:
    plan = planned(tmp_path)
    written(plan, *FILES)
    report = FilesDriver().collect(replace(plan, in_place=frozenset(found)))
    assert {check.subject for check in report.checks if check.observed == LEFTOVER} == found
    assert report.found.verdict == ("inconclusive" if found else "match")


def test_a_run_that_nobody_planned_here_is_compared_and_says_what_it_cannot_tell(tmp_path: Path) -> None:
    """It was reported from outside, so nobody noted what lay there before."""
    report = FilesDriver().collect(replace(planned(tmp_path, *FILES), marker=None))
    assert report.found.verdict == "match"
    assert (report.found.method or "").endswith("; what was there before the run is not told apart")


def test_a_marker_that_is_none_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    """Whoever reports a run from outside may state one; it is text on record."""
    with pytest.raises(BadInputError, match="marker: yesterday is no number"):
        FilesDriver().collect(replace(planned(tmp_path, *FILES), marker="yesterday"))


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "directory", "db"])
def test_who_looks_again_later_finds_the_same_by_the_marker_on_record(tmp_path: Path, kind: str) -> None:
    """The first run wrote it, and still did after a second one found it in place."""
    backup, shell, runs = backup_of(kind, tmp_path), Shell(tmp_path), []
    for _ in range(2):
        shell.restore_inside(backup)
        runs.append(shell.last().run["id"])
    said = [shell.inside("evidence", "collect", run) for run in runs]
    assert [ran.code for ran in said] == [0, 0]
    shown = [shell.inside("show", run, "--json").out for run in runs]
    assert ['"verdict":"match"' in text.replace(" ", "") for text in shown] == [True, False]
    assert [status for status, _ in shell.last().verdicts] == ["failed", "failed"]
