"""What every driver is held to, ours and yours: a class of tests that a third party's own tests inherit from.

    class TestMyDriver(DriverConformance):
        def scene(self, folder: Path) -> Scene:
            return MyScene(folder)

pytest finds the rest. Each test gets a scene of its own: a backup, and a target that nothing was restored into yet. What
the tests ask is what the product relies on: that items have stable keys, that counts are counts of what is in the
target, that a stop leaves nothing that is claimed and not there, that evidence reads the target and believes no execution, and that
secrets are in nothing that comes out.

Owns these rules. Refuses to know any driver, and to import pytest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from proofgap.errors import BadInputError, ProofgapError
from proofgap.facts import EndReason, ItemResult, RunStatus
from proofgap.outcome import outcome_of
from proofgap.records import Item, Verdict
from proofgap_app.drivers.base import (
    Driver,
    Execution,
    Plan,
    Request,
    ShouldStop,
    SourceChangedError,
    TargetChangedError,
    no_progress,
)

__all__ = ["DriverConformance", "Scene"]


class Scene(ABC):
    """A backup of at least two items, and a target that holds nothing yet.

    Attributes:
        driver: the class under test.
        request: asks for all of the backup; its target does not exist, or is empty.
        secret: the password that opens the backup, or any other secret that the driver is handed; ``None``: there is none.

    """

    driver: type[Driver]
    request: Request
    secret: str | None = None

    @abstractmethod
    def held(self) -> set[str]:
        """Give the keys of all items that the target holds now exactly as the source did. Does not use the driver."""

    @abstractmethod
    def seen(self) -> object:
        """Give everything there is in the target, so that two of them can be compared. Does not use the driver."""

    @abstractmethod
    def spoil(self) -> None:
        """Change the content of one item in the target, and neither its name nor its size."""

    @abstractmethod
    def lose(self) -> None:
        """Take the backup away, or put another one in its place."""


class Done(NamedTuple):
    """An execution, and what was reported of items meanwhile."""

    plan: Plan
    execution: Execution
    items: list[Item]

    @property
    def succeeded(self) -> set[str]:
        """Keys of items that are said to be in the target."""
        return {item.key for item in self.items if item.result is ItemResult.SUCCEEDED}


class DriverConformance(ABC):
    """The tests. A test class of yours inherits from it, and says what its scene is."""

    @abstractmethod
    def scene(self, folder: Path) -> Scene:
        """Make a new backup and a new target below an empty folder."""

    def test_items_have_stable_printable_and_unique_keys(self, tmp_path: Path) -> None:
        """The same request gives the same plan in every process: approvals, resumed runs and evidence rest on it."""
        scene = self.scene(tmp_path)
        first, second = (scene.driver().plan(scene.request) for _ in range(2))
        keys = [item.key for item in first.items]
        _demand(len(keys) > 1, "the scene has at least two items")
        _demand(all(key and key.isprintable() for key in keys), "every key is printable, and none is empty", keys)
        _demand(len(set(keys)) == len(keys) == first.selected, "every key is there once", keys)
        _demand((first.items, first.digest) == (second.items, second.digest), "a second plan is the same")

    def test_an_option_that_is_not_declared_is_refused_and_those_that_are_say_what_they_are_for(
        self, tmp_path: Path
    ) -> None:
        """Whoever asks for a restore is asked for the declared ones, under these words."""
        scene = self.scene(tmp_path)
        driver, unknown = scene.driver(), "no-such-option"
        _demand(all(name and meaning for name, meaning in driver.options.items()), "every option says what it is for")
        _demand(unknown not in driver.options, "the option that nobody has is not declared")
        try:
            driver.settled(replace(scene.request, options={**scene.request.options, unknown: "1"}))
        except BadInputError as error:
            _demand(error.field == "option", "the error names the field option", error.field)
            return
        _demand(ok=False, rule="an option that is not declared is refused with BadInputError")

    def test_planning_and_previewing_write_nothing_and_their_numbers_add_up(self, tmp_path: Path) -> None:
        """Nobody has agreed to anything yet."""
        scene = self.scene(tmp_path)
        driver, before = scene.driver(), scene.seen()
        plan = driver.plan(scene.request)
        preview = driver.preview(plan)
        parts = (preview.created, preview.overwritten, preview.unchanged, preview.skipped, preview.unavailable)
        _demand(sum(parts) == plan.selected == len(preview.items), "the preview's numbers add up to the plan's", parts)
        _demand(scene.seen() == before, "planning and previewing leave the target as it was")
        _demand(preview.target_fingerprint == driver.fingerprint(plan), "looking at the target leaves its fingerprint")

    def test_every_item_is_reported_once_and_the_counts_are_what_is_in_the_target(self, tmp_path: Path) -> None:
        """What is said to be there is there, whatever the tool's summary says."""
        scene = self.scene(tmp_path)
        done = _executed(scene)
        _reconciled(done)
        _demand(done.succeeded == scene.held(), "the items that succeeded are those in the target", done.succeeded)
        outcome = outcome_of(done.execution.facts(cancel_requested=False))
        _demand(outcome.status is RunStatus.COMPLETED, "all of a sound backup is restored", done.execution.problems)
        _demand(done.execution.exit_code == 0 and not done.execution.nothing_written, "and something was written")

    def test_a_target_that_changed_since_the_preview_is_not_written_to(self, tmp_path: Path) -> None:
        """The fingerprint says what somebody agreed to."""
        scene = self.scene(tmp_path)
        driver, before = scene.driver(), scene.seen()
        try:
            _executed(scene, driver, fingerprint="0" * 64)
        except TargetChangedError:
            _demand(scene.seen() == before, "a refused execution leaves the target as it was")
            return
        _demand(ok=False, rule="another fingerprint is refused with TargetChangedError")

    def test_a_second_restore_changes_nothing_and_says_so(self, tmp_path: Path) -> None:
        """What is there as in the backup is unchanged or skipped; it is not counted as lost."""
        scene = self.scene(tmp_path)
        _executed(scene)
        before = scene.held()
        again = _executed(scene)
        _reconciled(again)
        _demand(scene.held() == before, "what was restored before is still there")
        lost = [item.key for item in again.items if item.result in {ItemResult.FAILED, ItemResult.NON_APPLIED}]
        _demand(not lost, "nothing that is there is reported as lost", lost)

    def test_a_stop_leaves_nothing_on_record_that_is_not_in_the_target(self, tmp_path: Path) -> None:
        """Asked before the first item: whatever was done, every item has a result, and none is claimed that is not there."""
        scene = self.scene(tmp_path)
        done = _executed(scene, should_stop=lambda: True)
        _reconciled(done)
        _demand(done.succeeded <= scene.held(), "what is said to have succeeded is there", done.succeeded)
        outcome = outcome_of(done.execution.facts(cancel_requested=True))
        if not done.execution.reached_end:
            allowed = {RunStatus.PARTIAL, RunStatus.CANCELLED}
            _demand(outcome.status in allowed, "a stop on request is partial or cancelled", outcome.status)
        if done.execution.nothing_written:
            _demand(not done.succeeded, "who proves that nothing was written has restored nothing")

    def test_nothing_selected_is_no_success(self, tmp_path: Path) -> None:
        """A tool may exit with 0 when its pattern matches nothing."""
        scene = self.scene(tmp_path)
        nothing = replace(scene.request, select=("no item has this name",))
        done = _executed(scene, request=nothing)
        outcome = outcome_of(done.execution.facts(cancel_requested=False))
        _demand(done.plan.selected == 0 and not done.items, "the plan selects nothing")
        _demand(outcome.end_reason is EndReason.NOTHING_APPLIED, "nothing applied is a failure", outcome)

    def test_evidence_compares_the_target_with_the_backup(self, tmp_path: Path) -> None:
        """A driver that is made anew knows nothing of the execution, and finds the same."""
        scene = self.scene(tmp_path)
        plan = _executed(scene).plan
        before = scene.seen()
        report = scene.driver().collect(plan)
        _demand(report.found.verdict is Verdict.MATCH, "a restored target matches", report)
        _demand(report.can_activate and bool(report.checks), "something was checked")
        _demand(scene.seen() == before, "looking leaves the target as it was")

    def test_what_lay_there_before_is_no_evidence_of_a_run_that_wrote_none_of_it(self, tmp_path: Path) -> None:
        """A leftover of an earlier restore is as in the backup; whoever only compares takes it for this run's work."""
        scene = self.scene(tmp_path)
        _executed(scene)
        report = scene.driver().collect(_executed(scene).plan)
        _demand(report.found.verdict is not Verdict.MATCH, "what a run did not write is no match", report)
        _demand(not report.can_activate, "and none of it is counted as checked", report)

    def test_evidence_finds_a_change_that_leaves_name_and_size(self, tmp_path: Path) -> None:
        """Whoever only asks the tool, or believes what was reported, sees nothing of it."""
        scene = self.scene(tmp_path)
        plan = _executed(scene).plan
        scene.spoil()
        report = scene.driver().collect(plan)
        _demand(report.found.verdict is Verdict.MISMATCH, "another content is a mismatch", report)

    def test_evidence_of_an_empty_target_is_no_match(self, tmp_path: Path) -> None:
        """Nothing was restored; a backup that can be read proves nothing of the target."""
        scene = self.scene(tmp_path)
        driver = scene.driver()
        plan = driver.plan(scene.request)
        verdict = None
        with suppress(ProofgapError, OSError):  # a target that is not there may be an error, too
            verdict = driver.collect(plan).found.verdict
        _demand(verdict is not Verdict.MATCH, "an empty target does not match", verdict)

    def test_a_backup_that_is_gone_is_neither_restored_nor_compared_with(self, tmp_path: Path) -> None:
        """Both say so by SourceChangedError, and nothing is written."""
        scene = self.scene(tmp_path)
        driver = scene.driver()
        plan, before = driver.plan(scene.request), scene.seen()
        scene.lose()
        for step in (lambda: _execute(driver, plan, None, lambda: False), lambda: driver.collect(plan)):
            try:
                step()
            except SourceChangedError:
                continue
            _demand(ok=False, rule="a backup that is gone is refused with SourceChangedError")
        _demand(scene.seen() == before, "and nothing is written")

    def test_a_secret_is_in_nothing_that_comes_out(self, tmp_path: Path) -> None:
        """Plans, previews, items, problems, checks and errors are stored and shown."""
        scene = self.scene(tmp_path)
        if scene.secret is None:
            _demand(scene.request.password_file is None, "a scene with a password says which")
            return
        driver = scene.driver()
        done = _executed(scene)
        out = [
            repr(done),
            repr(driver.preview(done.plan)),
            repr(driver.collect(done.plan)),
            driver.fingerprint(done.plan),
        ]
        scene.lose()
        for step in (lambda: driver.plan(scene.request), lambda: driver.collect(done.plan)):
            try:
                out.append(repr(step()))
            except (ProofgapError, OSError) as error:
                out.append(f"{error!r} {error}")
        _demand(not any(scene.secret in text for text in out), "the secret is in nothing that comes out")


def _executed(
    scene: Scene,
    driver: Driver | None = None,
    *,
    request: Request | None = None,
    fingerprint: str | None = None,
    should_stop: ShouldStop = lambda: False,
) -> Done:
    driver = driver or scene.driver()
    return _execute(driver, driver.plan(request or scene.request), fingerprint, should_stop)


def _execute(driver: Driver, plan: Plan, fingerprint: str | None, should_stop: ShouldStop) -> Done:
    items: list[Item] = []
    execution = driver.execute(
        plan, target_fingerprint=fingerprint, report=items.append, progress=no_progress, should_stop=should_stop
    )
    return Done(plan, execution, items)


def _reconciled(done: Done) -> None:
    """Hold counts against reports, and reports against the plan."""
    keys, counts = Counter(item.key for item in done.items), done.execution.counts
    _demand(keys == Counter(item.key for item in done.plan.items), "every planned item is reported exactly once", keys)
    results = Counter(item.result for item in done.items)
    counted = {result: getattr(counts, result) for result in ItemResult}
    _demand(all(counted[result] == results[result] for result in ItemResult), "counts are those of reports", counted)
    _demand(counts.total == done.plan.selected == done.execution.selected, "the total is what the plan selects", counts)


def _demand(ok: bool, rule: str, found: object = "") -> None:  # noqa: FBT001 - what is demanded
    """Raise ``AssertionError`` that says which rule is broken, and by what."""
    if not ok:
        raise AssertionError(f"{rule}: {found}" if found != "" else rule)
