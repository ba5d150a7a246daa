"""What became of each entry: read from the database, and from the tool's errors only where the database cannot tell.

Theory. The tool tells what failed, not what is there: a table may be missing that it told nothing of, and rows may be there that it
could not write, because they were there before. So an entry whose result has a name is looked up, and rows that the tool could
not write, or may not have come to, are compared with the dump. The rest goes by the tool's errors, and by what it began.

Owns the result of each item. Refuses to know what the results mean for the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from proofgap.facts import ItemResult
from proofgap.records import Item
from proofgap_app.drivers.base import Action, Plan, PlannedItem, no_progress
from proofgap_app.drivers.leftovers import IN_PLACE
from proofgap_app.drivers.postgresql_dump import Data
from proofgap_app.drivers.postgresql_errors import ErrorReader, Problem
from proofgap_app.drivers.postgresql_source import DATA, Read, read, text_of
from proofgap_app.drivers.postgresql_target import Found, Object, content, is_looked_up, label_in
from proofgap_app.drivers.postgresql_tools import Connection

EXISTS = "exists"
"""The reason why something is skipped that has the name of what is there; whether it is the same, nobody compared."""
_BEGUN = re.compile(r'([A-Z][A-Z ]*) "(.*)"')
_SEQUENCE_SET = "SEQUENCE SET "


@dataclass(frozen=True)
class Ending:
    """How the tool ended: what it said, what it began, in order, and whether it went to its end.

    Attributes:
        errors: what it said of errors.
        begun: what it said that it begins with.
        reached_end: it went through everything.
        is_untouched: the database is proven to be as it was before.
        failed_line: of a plain dump: in which line it stopped.

    """

    errors: ErrorReader
    begun: tuple[str, ...]
    reached_end: bool
    is_untouched: bool
    failed_line: int | None = None


@dataclass(frozen=True)
class Judge:
    """Says what became of the items of a plan, with the database before and after."""

    plan: Plan
    ending: Ending
    before: Mapping[str, Object]
    after: Mapping[str, Object]
    connection: Connection
    message: Callable[[str], str]

    def item(self, planned: PlannedItem) -> Item:
        """Give what became of one."""
        text, number = text_of(planned), planned.position
        if planned.refused is not None or number is None:
            return _end(planned, ItemResult.FAILED, planned.refused, "this part of the dump cannot be read")
        problems = self._problems(number)
        if self.ending.is_untouched and not self.ending.reached_end:
            return self._not_applied(planned, problems)
        if text.startswith(DATA):
            return self._data(planned, number, problems)
        if self.ending.reached_end:
            return self._after_the_end(planned, text, problems)
        return self._after_a_break(planned, text, problems)

    def _problems(self, number: int) -> list[Problem]:
        """Give the errors of an entry; of a plain dump, the one that it stopped at."""
        if self.ending.failed_line is None:
            return self.ending.errors.of(number)
        return list(self.ending.errors.problems) if number == self._failed else []

    def _after_the_end(self, planned: PlannedItem, text: str, problems: list[Problem]) -> Item:
        is_there, was_there = label_in(text, self.after) is not None, label_in(text, self.before) is not None
        is_in_the_way = is_there and was_there
        if is_there and problems and all(problem.is_about_owner for problem in problems):
            return self._applied(planned, "owner_not_applied", problems)
        if problems and is_in_the_way and self.plan.request.overwrite:
            return _end(planned, ItemResult.FAILED, "not_replaced", self._said(problems))
        if problems and (is_in_the_way or all(problem.says_that_it_exists for problem in problems)):
            return _end(planned, ItemResult.SKIPPED, EXISTS, self._said(problems), Action.SKIPPED)
        if problems:
            return _end(planned, ItemResult.FAILED, "sql_error", self._said(problems))
        if not is_there and is_looked_up(text):
            return _end(planned, ItemResult.FAILED, "not_in_target", "the tool told of no error, and it is not there")
        return self._applied(planned)

    def _after_a_break(self, planned: PlannedItem, text: str, problems: list[Problem]) -> Item:
        if problems:
            return _end(planned, ItemResult.FAILED, "sql_error", self._said(problems))
        if not is_looked_up(text):
            return self._applied(planned) if self._is_behind(planned, text) else self._not_applied(planned, problems)
        label = label_in(text, self.after)
        if label is None or (self._is_the_old_one(label) and self.plan.request.overwrite):
            return self._not_applied(planned, problems)
        if self._is_the_old_one(label):
            return _end(planned, ItemResult.SKIPPED, EXISTS, None, Action.SKIPPED)
        return self._applied(planned)

    def _data(self, planned: PlannedItem, number: int, problems: list[Problem]) -> Item:
        """Judge rows. The tool restores an archive whose rows break off without a word, so the dump is read in any case."""
        data = self._dump.figures.data.get(number)
        if data is not None and not data.is_whole:
            return self._broken_off(planned, data)
        if problems or not self.ending.reached_end:
            return self._compared(planned, data, problems)
        if label_in(f"TABLE {text_of(planned).removeprefix(DATA)}", self.after) is None:
            return _end(planned, ItemResult.FAILED, "not_in_target", "its table is not there")
        return self._applied(planned)

    def _broken_off(self, planned: PlannedItem, data: Data) -> Item:
        """Judge rows of which the dump has not all."""
        found = self._content(data)
        result = ItemResult.PARTIAL if isinstance(found, Found) and found.number else ItemResult.FAILED
        return _end(planned, result, "source_damaged", "the dump has not all of its rows")

    def _compared(self, planned: PlannedItem, data: Data | None, problems: list[Problem]) -> Item:
        """Hold the rows that are there against those of the dump."""
        if data is None or data.name is None:
            return self._uncompared(planned, problems)
        found = self._content(data)
        if isinstance(found, Found) and found.sha256 == data.rows.sha256 and (found.number or not problems):
            return self._in_place(planned, found, problems)
        if problems:
            return _end(planned, ItemResult.FAILED, "rows_not_written", self._said(problems))
        return self._not_applied(planned, problems)

    def _content(self, data: Data) -> Found | str:
        if data.name is None:
            return "not_listed_as_rows"
        return content(self.connection, data.name, self.plan.marker, self._dump.figures.encoding, no_progress)

    def _in_place(self, planned: PlannedItem, found: Found, problems: list[Problem]) -> Item:
        """Say that the rows are there, whoever wrote them."""
        if found.older == found.number and found.number:
            return _end(planned, ItemResult.SUCCEEDED, IN_PLACE, self._said(problems), Action.UNCHANGED)
        return self._applied(planned, None, problems)

    def _uncompared(self, planned: PlannedItem, problems: list[Problem]) -> Item:
        """Say what is known of rows that the dump does not list as rows, but as statements."""
        if problems:
            return _end(planned, ItemResult.PARTIAL, "some_rows_not_written", self._said(problems))
        if self._is_behind(planned, text_of(planned)):
            return self._applied(planned)
        return self._not_applied(planned, problems)

    def _applied(self, planned: PlannedItem, reason: str | None = None, problems: list[Problem] | None = None) -> Item:
        if self.ending.is_untouched:
            return _end(planned, ItemResult.SUCCEEDED, reason, self._said(problems or []), Action.UNCHANGED)
        text = text_of(planned)
        place = f"TABLE {text.removeprefix(DATA)}" if text.startswith(DATA) else text
        was_there = self.plan.request.overwrite and label_in(place, self.before) is not None
        action = Action.OVERWRITTEN if was_there else Action.CREATED
        return _end(planned, ItemResult.SUCCEEDED, reason, self._said(problems or []), action)

    def _not_applied(self, planned: PlannedItem, problems: list[Problem]) -> Item:
        if problems:
            return _end(planned, ItemResult.FAILED, "sql_error", self._said(problems))
        reason = "rolled_back" if self.ending.is_untouched and self.ending.begun else "not_reached"
        return _end(planned, ItemResult.NON_APPLIED, reason, None)

    def _is_the_old_one(self, label: str) -> bool:
        return label in self.before and self.before[label].oid == self.after[label].oid

    def _is_behind(self, planned: PlannedItem, text: str) -> bool:
        """Tell whether the tool was through with an entry when it broke off: it had begun something after it."""
        if self.ending.failed_line is not None:
            return (planned.position or 0) < (self._failed or 0)
        return any(_is_about(begun, text) for begun in self.ending.begun[:-1])

    def _said(self, problems: list[Problem]) -> str | None:
        return self.message("; ".join(problem.text for problem in problems)) if problems else None

    @cached_property
    def _dump(self) -> Read:
        """What the dump says that its tables hold."""
        return read(self.plan, no_progress)

    @cached_property
    def _failed(self) -> int | None:
        """The entry of a plain dump that the failing line is in."""
        line = self.ending.failed_line or 0
        before = [head.number for head in self._dump.figures.heads if head.line <= line]
        return before[-1] if before else None


def _is_about(begun: str, text: str) -> bool:
    """Tell whether what the tool said that it begins is this entry; it names it in another form."""
    named = _BEGUN.fullmatch(begun)
    if named is not None:
        kind, name = named.groups()
        return text.startswith((f"{kind} {name.replace('.', ' ', 1)} ", f"{kind} - {name} "))
    name = begun.removeprefix(_SEQUENCE_SET)
    return begun != name and text.startswith(_SEQUENCE_SET) and f" {name} " in text


def _end(
    planned: PlannedItem, result: ItemResult, reason: str | None, message: str | None, action: Action = Action.NONE
) -> Item:
    return Item(key=planned.key, result=result, action=action, reason_code=reason, message=message)
