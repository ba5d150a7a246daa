"""Evidence for a restored PostgreSQL database: what it holds now, against what the dump says, and whether this run wrote it.

Theory. Structure first (L3: what has a name is there, constraints and indexes are valid), then completeness (L4: rows of each table,
where each sequence stands), then the rows themselves (L5). An older restore may have left exactly this behind; so whatever was
there before the plan was made, by the number of the transaction that wrote it, is a leftover, and counts for nothing. Where a
sequence stands has no such number; it never counts as a subject.

Owns these comparisons. Refuses to read anything an execution reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proofgap.records import Check, CheckResult, Level
from proofgap_app.drivers.base import EvidenceReport, Plan, PlannedItem, Progress, TargetError
from proofgap_app.drivers.evidence import passed_if, report_on
from proofgap_app.drivers.leftovers import LEFTOVER
from proofgap_app.drivers.postgresql_dump import Data, SequenceState
from proofgap_app.drivers.postgresql_source import DATA, Read, text_of
from proofgap_app.drivers.postgresql_target import (
    Found,
    Object,
    age_of,
    content,
    is_looked_up,
    label_in,
    objects,
    sequence_state,
)
from proofgap_app.drivers.postgresql_tools import Connection, reading

METHOD = "postgresql: objects, constraints, sequences, row counts and digests of rows of the target against the dump"
_DATABASE = "(database)"


def collect(plan: Plan, wanted: Read, progress: Progress) -> EvidenceReport:
    """Check every entry of the plan that can be compared."""
    try:
        with reading(plan.request) as connection:
            checks = list(_checks(plan, wanted, connection, progress))
    except TargetError as error:
        checks = [_skipped(_DATABASE, str(error))]
    checks += [_skipped(_DATABASE, f"the dump: {problem}") for problem in wanted.problems]
    counted = {check.subject for check in checks if check.result is not CheckResult.SKIPPED} & _subjects(plan)
    return report_on(
        checks,
        subjects_checked=len(counted),
        expected_empty=plan.expects_nothing and plan.selected == 0,
        method=METHOD,
        producer=plan.tool_version,
    )


def _subjects(plan: Plan) -> set[str]:
    return {item.key for item in plan.items if not text_of(item).startswith("SEQUENCE SET ")}


def _checks(plan: Plan, wanted: Read, connection: Connection, progress: Progress) -> Iterator[Check]:
    age = -1 if plan.marker is None else age_of(connection, plan.marker)
    comparison = _Comparison(plan, wanted, connection, objects(connection), age)
    for done, item in enumerate(plan.items, start=1):
        yield from comparison.of(item)
        progress(0, done)


@dataclass(frozen=True)
class _Comparison:
    """The target as it is now, beside the dump."""

    plan: Plan
    wanted: Read
    connection: Connection
    there: Mapping[str, Object]
    age: int  # of the plan, in transactions

    def of(self, item: PlannedItem) -> Iterator[Check]:
        """Compare one entry."""
        text, number = text_of(item), item.position
        if item.refused is not None or number is None:
            yield _skipped(item.key, item.refused or "unknown")
        elif text.startswith(DATA):
            yield from self._data(item.key, self.wanted.figures.data.get(number))
        elif number in self.wanted.figures.sequences:
            yield self._sequence(item.key, *self.wanted.figures.sequences[number])
        elif is_looked_up(text):
            yield self._object(item.key, label_in(text, self.there))

    def _data(self, key: str, data: Data | None) -> Iterator[Check]:
        if data is None or data.name is None:
            yield _skipped(key, "not_listed_as_rows")
            return
        if not data.is_whole:
            yield _skipped(key, "source_damaged")
            return
        found = content(self.connection, data.name, self.plan.marker, self.wanted.figures.encoding, _silent)
        if not isinstance(found, Found):
            yield _compared(key, "existence", Level.L4, "readable", found)
        elif (found.older or key in self.plan.in_place) and (found.number, found.sha256) == (
            data.rows.count,
            data.rows.sha256,
        ):
            yield _skipped(key, LEFTOVER)
        else:
            yield _compared(key, "number of rows", Level.L4, str(data.rows.count), str(found.number))
            yield _compared(key, "SHA-256 over rows in any order", Level.L5, data.rows.sha256, found.sha256)

    def _object(self, key: str, label: str | None) -> Check:
        if label is None:
            return _compared(key, "existence", Level.L3, "present", "absent")
        found = self.there[label]
        if found.age > self.age:
            return _skipped(key, LEFTOVER)
        return _compared(key, "existence and validity", Level.L3, "valid", "valid" if found.is_valid else "not valid")

    def _sequence(self, key: str, name: str, expected: SequenceState) -> Check:
        observed = sequence_state(self.connection, name)
        return _compared(key, "state of the sequence", Level.L4, _shown(expected), _shown(observed))


def _shown(state: SequenceState | None) -> str:
    if state is None:
        return "absent"
    return f"{state.last_value}, {'called' if state.is_called else 'not called'}"


def _silent(_bytes: int, _items: int) -> None:
    """Ignore the progress within a table."""


def _compared(subject: str, method: str, level: Level, expected: str, observed: str) -> Check:
    result = passed_if(expected == observed)
    return Check(subject=subject, method=method, level=level, expected=expected, observed=observed, result=result)


def _skipped(subject: str, observed: str) -> Check:
    return Check(subject=subject, method="none", level=Level.L0, observed=observed, result=CheckResult.SKIPPED)
