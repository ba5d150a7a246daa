"""Restoring by a program of the user's: what it says of each item, held against the plan.

Theory. An item is told of once. What is told twice and differently cannot both be true, so then nobody knows how it went, and
the run did not reach its end. When the program went to its end and named some items, those that it did not name were not
applied; when it named none at all, nothing is known of any. When it was broken off, what it did not name is reported as not applied
all the same, and the counts are lower bounds.

Owns the counting. Refuses to know what the counts mean for the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from proofgap.facts import Counts, ItemResult
from proofgap.records import Item
from proofgap_app.drivers.base import Action, Execution, Plan, PlannedItem, Progress, Report, ShouldStop
from proofgap_app.drivers.command_program import Answer, ask, program_of
from proofgap_app.drivers.command_protocol import PROBLEMS_SHOWN_MAX, Restored, Said, Verb
from proofgap_app.drivers.command_protocol import Progress as HowFar
from proofgap_app.drivers.files_execute import not_done
from proofgap_app.drivers.names import shown

_WRITTEN = frozenset({Action.CREATED, Action.OVERWRITTEN})


def execute(
    plan: Plan, *, report: Report, progress: Progress, should_stop: ShouldStop, stays: Callable[[], bool]
) -> Execution:
    """Run the program; ``stays`` tells, afterwards, whether the target is proven to be as it was."""
    told = _Told(plan, report, progress)
    told.refused()
    answer = ask(
        told.program, Verb.RESTORE, told.hear, keys=list(told.open), marker=plan.marker, should_stop=should_stop
    )
    reached_end = answer.went_to_its_end and not told.is_contradicted
    told.settle(reached_end=reached_end)
    nothing_written = not told.is_written and stays()
    return told.execution(answer, reached_end=reached_end, nothing_written=nothing_written)


class _Told:
    """What the program said so far."""

    def __init__(self, plan: Plan, report: Report, progress: Progress) -> None:
        self.program = program_of(plan.request)
        self._plan, self._report, self._progress = plan, report, progress
        self._message = self.program.tool({}).message
        self.open = {item.key: item for item in plan.items if item.refused is None}
        self._results: dict[str, ItemResult] = {}
        self._bytes_done = self._items_done = self._bytes_written = 0
        self._problems: list[str] = []
        self.is_contradicted = self.is_written = self._are_lower_bounds = False

    def refused(self) -> None:
        """Report what the plan already refused."""
        for item in self._plan.items:
            if item.refused is not None:
                self._end(not_done(item, ItemResult.FAILED, item.refused, "it cannot be restored"))

    def hear(self, said: Said) -> None:
        """Take what it says next."""
        match said:
            case HowFar(bytes=size, items=items):
                self._tick(size, items)
            case Restored(key=key) if key in self.open:
                self._end(self._held_against_plan(self.open.pop(key), said))
                self._tick(self._bytes_done + (said.bytes or 0), self._items_done + 1)
            case Restored(key=key) if key not in self._results:
                self._problems.append(f"{shown(key)}: the plan does not have it, and the program restored it")
                self.is_written = True
            case Restored(key=key, result=result):
                self._problems.append(f"{shown(key)}: the program told of it more than once")
                self.is_contradicted = self.is_contradicted or self._results[key] is not result
            case _:
                pass

    def settle(self, *, reached_end: bool) -> None:
        """End what the program did not name, unless it went to its end and named nothing: then nothing is known of any."""
        self._are_lower_bounds = not reached_end and bool(self.open)
        if reached_end and not self._results:
            return
        for item in self.open.values():
            self._end(not_done(item, ItemResult.NON_APPLIED, "not_reported", "the program did not tell of it"))
        self.open.clear()

    def execution(self, answer: Answer, *, reached_end: bool, nothing_written: bool) -> Execution:
        """Sum up."""
        problems = [*self._problems, *answer.problems]
        if answer.ended.exit_code or not answer.is_done:
            problems.append(f"the program {answer.how}")
        return Execution(
            reached_end=reached_end,
            exit_code=answer.ended.exit_code,
            errors_logged=len(problems) + max(0, answer.malformed - PROBLEMS_SHOWN_MAX),
            nothing_written=nothing_written,
            counts=self._counts(),
            bytes_written=self._bytes_written,
            selected=self._plan.selected,
            expects_nothing=self._plan.expects_nothing,
            problems=tuple(problems),
            counts_are_lower_bounds=self._are_lower_bounds,
        )

    def _counts(self) -> Counts:
        """Count what is known; an item that nobody told of is in no count."""
        if self.open and not self._results:
            return Counts()
        numbers = Counter(self._results.values())
        return Counts(total=len(self._results), **{result.value: numbers[result] for result in ItemResult})

    def _held_against_plan(self, item: PlannedItem, said: Restored) -> Item:
        result, reason = said.result, said.reason_code
        message = None if said.message is None else self._message(said.message)
        if result is ItemResult.SUCCEEDED and None not in (item.sha256, said.sha256) and item.sha256 != said.sha256:
            result, reason, message = ItemResult.FAILED, "digest_differs", "its digest is not the plan's"
        return Item(
            key=item.key,
            result=result,
            action=said.action or (Action.CREATED if result is ItemResult.SUCCEEDED else Action.NONE),
            reason_code=reason,
            message=message,
            bytes=said.bytes if result is ItemResult.SUCCEEDED else None,
            expected_digest=item.sha256,
            observed_digest=said.sha256,
        )

    def _end(self, item: Item) -> None:
        self._results[item.key] = item.result
        if item.action in _WRITTEN or item.result is ItemResult.PARTIAL:
            self.is_written = True
            self._bytes_written += item.bytes or 0
        self._report(item)

    def _tick(self, size: int, items: int) -> None:
        """Report progress, which never goes back."""
        self._bytes_done, self._items_done = max(size, self._bytes_done), max(items, self._items_done)
        self._progress(self._bytes_done, self._items_done)
