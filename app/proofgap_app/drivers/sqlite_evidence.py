"""Evidence for a restored database: what the target holds now, against the backup.

Theory. Structure first (L3: ``integrity_check``, references, declarations), then completeness (L4: the tables, the number
of rows in each), then the rows themselves (L5). Each rung alone can be right while the next is wrong. A database file that was
there before the run is no evidence of it (`leftovers`).

Owns these comparisons. Refuses to read anything an execution reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from proofgap.records import Check, CheckResult, Level
from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.base import EvidenceReport, Kind, Plan, Progress
from proofgap_app.drivers.evidence import passed_if, report_on
from proofgap_app.drivers.leftovers import told_of, unless_left_over
from proofgap_app.drivers.sqlite_content import TableContent, reading
from proofgap_app.drivers.sqlite_source import Contents, contents_of, read_backup, status_of, target_path

METHOD = "sqlite: structure, tables, row counts and digests of rows of the target against the backup"
_DATABASE = "(database)"


def collect(plan: Plan, progress: Progress) -> EvidenceReport:
    """Check the database as a whole, and every table of the plan."""
    wanted = read_backup(plan, progress)
    found = _found(target_path(plan.request), progress)
    keys = [item.key for item in plan.items if item.kind is Kind.TABLE]
    status = status_of(target_path(plan.request))
    tables = [check for key in keys for check in _table_checks(key, wanted, found)]
    compared = [unless_left_over(check, status, plan) for check in (*_database_checks(wanted, found), *tables)]
    lost = [_skipped(item.key, item.refused or "") for item in plan.items if item.kind is Kind.UNREADABLE]
    subjects = {check.subject for check in compared if check.result is not CheckResult.SKIPPED} & set(keys)
    return report_on(
        [*compared, *lost],
        subjects_checked=len(subjects),
        expected_empty=plan.expects_nothing and plan.selected == 0,
        method=told_of(METHOD, plan),
        producer=plan.tool_version,
    )


def _found(path: Path, progress: Progress) -> Contents | str:
    """Read the target; one word when that is not possible."""
    if not path.is_file():
        return "absent"
    try:
        with reading(path, at_rest=False) as connection:
            return contents_of(connection, progress)
    except DamagedError:
        return "unreadable"


def _database_checks(wanted: Contents, found: Contents | str) -> Iterator[Check]:
    if isinstance(found, str):
        yield _compared(_DATABASE, "existence", Level.L3, "readable", found)
        return
    yield _compared(_DATABASE, "integrity_check", Level.L3, "ok", "; ".join(found.problems) or "ok")
    if not wanted.schema:
        return
    references = (wanted.broken_references, found.broken_references)
    if None in references:
        yield _skipped(_DATABASE, "foreign_key_check cannot tell")
    else:
        yield _compared(_DATABASE, "foreign_key_check", Level.L3, *map(str, references))
    yield _compared(_DATABASE, "SHA-256 of declarations", Level.L3, wanted.schema, found.schema)
    yield _compared(_DATABASE, "tables", Level.L4, *(", ".join(one.tables) for one in (wanted, found)))


def _table_checks(key: str, wanted: Contents, found: Contents | str) -> Iterator[Check]:
    expected = wanted.tables.get(key)
    if not isinstance(expected, TableContent):
        yield _skipped(key, "source_damaged")
        return
    observed = None if isinstance(found, str) else found.tables.get(key)
    if not isinstance(observed, TableContent):
        state = found if isinstance(found, str) else ("absent" if observed is None else "unreadable")
        yield _compared(key, "existence", Level.L4, "readable", state)
        return
    yield _compared(key, "number of rows", Level.L4, str(expected.rows), str(observed.rows))
    yield _compared(key, "SHA-256 of rows", Level.L5, expected.sha256, observed.sha256)


def _compared(subject: str, method: str, level: Level, expected: str, observed: str) -> Check:
    result = passed_if(expected == observed)
    return Check(subject=subject, method=method, level=level, expected=expected, observed=observed, result=result)


def _skipped(subject: str, reason_code: str) -> Check:
    return Check(
        subject=subject, method="none", level=Level.L0, expected=None, observed=reason_code, result=CheckResult.SKIPPED
    )
