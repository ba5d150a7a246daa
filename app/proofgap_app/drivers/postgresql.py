"""The driver for PostgreSQL: an archive of ``pg_dump``, or its SQL text, goes into a database that exists.

Theory. Items are the entries of the dump's table of contents. What became of each is read from the database, and where that cannot
tell, from the tool's errors; its exit code says little: 1 may mean that nothing is missing, or everything. The tool always
selects by a list of entries, so that a name that matches nothing cannot pass for success, and ``psql`` always stops at
the first error. A plain dump is restored whole.

Owns plan and preview; `postgresql_execute` restores, `postgresql_evidence` reads the target afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from psycopg import conninfo

from proofgap.errors import BadInputError
from proofgap.records import Completeness
from proofgap_app.drivers.archives import demand_same_bytes
from proofgap_app.drivers.base import (
    Action,
    Depth,
    EvidenceReport,
    Execution,
    Kind,
    Plan,
    PlannedItem,
    Preview,
    PreviewItem,
    Progress,
    Report,
    Request,
    ShouldStop,
    SourceChangedError,
    Unit,
    demand_same_target,
    no_progress,
)
from proofgap_app.drivers.evidence import canonical_sha256
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.places import existing
from proofgap_app.drivers.postgresql_dump import Data
from proofgap_app.drivers.postgresql_evidence import collect
from proofgap_app.drivers.postgresql_execute import OPTIONS, execute, flags_of
from proofgap_app.drivers.postgresql_items import EXISTS
from proofgap_app.drivers.postgresql_source import (
    DATA,
    Entry,
    Form,
    Read,
    entries_of,
    form_of,
    identity_of,
    is_unchanged,
    read,
    read_plain,
    rows_bytes,
    text_of,
    written_to,
)
from proofgap_app.drivers.postgresql_target import (
    Object,
    content,
    fingerprint,
    label_in,
    marker,
    objects,
)
from proofgap_app.drivers.postgresql_tools import PG_RESTORE, PSQL, Connection, check_target, reading, tool_of
from proofgap_app.drivers.selection import UNREADABLE_KEY
from proofgap_app.drivers.tool import demand_known_options

_CUT = "source_truncated"
_ADDS = "adds_to_existing_rows"
_PLACE_KEYS = ("host", "hostaddr", "port", "dbname", "service")


class PostgresqlDriver:
    """Restores into a PostgreSQL database."""

    name: ClassVar[str] = "postgresql"
    options: ClassVar[Mapping[str, str]] = OPTIONS

    def settled(self, request: Request) -> Request:
        """Give the request with the whole path of the dump. Raises `BadInputError`."""
        demand_known_options(request, self.options)
        check_target(request.target)
        return replace(request, backup=existing("backup", request.backup))

    def plan(self, request: Request) -> Plan:
        """List the entries of the dump. Raises `SourceError`, `TargetError`, and `BadInputError` for what it cannot do."""
        form = form_of(request.backup_path)
        _demand_possible(request, form)
        flags = flags_of(request)
        with reading(request) as connection:
            since = marker(connection)
        if form is Form.PLAIN:
            entries, cut, problems = _listed(read_plain(request, no_progress))
        else:
            entries, cut, problems = entries_of(request, flags), frozenset(), ()
        items = [_item(entry, cut) for entry in entries if _is_selected(entry, request)]
        if problems:
            items.append(PlannedItem(key=UNREADABLE_KEY, kind=Kind.UNREADABLE, refused=_CUT))
        return _plan(request, form, tuple(items), problems, since)

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Read the rows in the dump, look at the target, and say what would become of each entry."""
        demand_same(plan)
        found = read(plan, progress)
        with reading(plan.request) as connection:
            seen = fingerprint(connection, written_to(plan))  # first: what changes while it is looked at is found
            there = objects(connection)
            items = tuple(_foresee(plan, item, found, connection, there) for item in plan.items)
        numbers = Counter(item.action for item in items)
        return Preview(
            created=numbers[Action.CREATED],
            overwritten=numbers[Action.OVERWRITTEN],
            unchanged=numbers[Action.UNCHANGED],
            skipped=numbers[Action.SKIPPED],
            unavailable=numbers[Action.NONE],
            depth=depth if found.is_whole else Depth.METADATA,
            target_fingerprint=seen,
            problems=(*plan.problems, *_problems(plan, found, items)),
            items=items,
        )

    def place(self, plan: Plan) -> Path:
        """Give a path that stands for the database, as far as its URL says which one it is, and is nowhere."""
        parts = conninfo.conninfo_to_dict(plan.request.target)
        named = canonical_sha256([str(parts.get(key, "")) for key in _PLACE_KEYS])
        return Path(f"/proofgap-postgresql-{named}")

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of the database's catalogs, and of every version of a row in the tables that the plan writes to."""
        with reading(plan.request) as connection:
            return fingerprint(connection, written_to(plan))

    def execute(
        self,
        plan: Plan,
        *,
        target_fingerprint: str | None,
        report: Report,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> Execution:
        """Restore; see `base.Driver.execute`."""
        demand_same(plan)
        with reading(plan.request) as connection:
            before, there = fingerprint(connection, written_to(plan)), objects(connection)
        demand_same_target(plan.request.target, target_fingerprint, before)
        return execute(plan, (before, there), report=report, progress=progress, should_stop=should_stop)

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Compare tables, rows, constraints and sequences of the target with the dump."""
        demand_same(plan)
        report = collect(plan, read(plan, progress), progress)
        demand_same_bytes(plan, lambda: identity_of(plan.request.backup_path))
        return report


def demand_same(plan: Plan) -> None:
    """Refuse a dump that is not the one that was planned. Raises `SourceChangedError`."""
    if not is_unchanged(plan):
        raise SourceChangedError(shown(plan.request.backup))


def _demand_possible(request: Request, form: Form) -> None:
    if request.manifest is not None:
        raise BadInputError("manifest", "it is for files", "Leave it out: a dump has rows, and they are compared.")
    if form is not Form.PLAIN:
        return
    if request.select and not all(pattern == "*" for pattern in request.select):
        raise BadInputError(
            "select", "a plain dump is restored whole", "Leave it out, or make a dump with --format=custom."
        )
    if request.overwrite:
        remedy = "Make a dump with --clean, or with --format=custom."
        raise BadInputError("overwrite", "a plain dump says itself what it replaces", remedy)


def _is_selected(entry: Entry, request: Request) -> bool:
    return not request.select or any(fnmatchcase(entry.key, pattern) for pattern in request.select)


def _listed(found: Read) -> tuple[list[Entry], frozenset[int], tuple[str, ...]]:
    """Give the entries of a plain dump, which of them it breaks off in, and what is wrong with it."""
    figures = found.figures
    entries = [Entry(head.number, head.text) for head in figures.heads]
    if not figures.is_dump and not entries:
        entries = [Entry(1, "SQL - text -")]
    return entries, frozenset(number for number, data in figures.data.items() if not data.is_whole), found.problems


def _item(entry: Entry, cut: frozenset[int]) -> PlannedItem:
    kind = Kind.TABLE if entry.text.startswith(("TABLE ", DATA)) else Kind.OBJECT
    refused = _CUT if entry.number in cut else None
    return PlannedItem(key=entry.key, kind=kind, parts=(entry.text,), position=entry.number, refused=refused)


def _plan(request: Request, form: Form, items: tuple[PlannedItem, ...], problems: tuple[str, ...], since: str) -> Plan:
    identity = identity_of(request.backup_path)
    options: Mapping[str, str] = request.options
    content_ = {
        "driver": PostgresqlDriver.name,
        "backup": [identity.size, identity.sha256],
        "target": request.target,
        "overwrite": request.overwrite,
        "options": sorted(options.items()),
        "expects_nothing": request.expects_nothing,
        "items": [[item.key, item.refused] for item in items],
    }
    return Plan(
        driver=PostgresqlDriver.name,
        tool_version=tool_of(PSQL if form is Form.PLAIN else PG_RESTORE, request).said,
        request=request,
        unit=Unit.TOC_ENTRY,
        items=items,
        bytes_total=rows_bytes(request.backup_path, items),
        identity=identity,
        source_completeness=Completeness.INCOMPLETE if problems else Completeness.UNKNOWN,
        problems=tuple(f"THE BACKUP IS DAMAGED: {problem}" for problem in problems),
        digest=canonical_sha256(content_),
        marker=since,
    )


def _foresee(
    plan: Plan, item: PlannedItem, found: Read, connection: Connection, there: Mapping[str, Object]
) -> PreviewItem:
    """Say what would become of one entry."""
    text, overwrite = text_of(item), plan.request.overwrite
    if item.refused is not None:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=item.refused)
    if text.startswith(DATA):
        return _foresee_data(item, found.figures.data.get(item.position or 0), connection, overwrite=overwrite)
    if label_in(text, there) is None:
        return PreviewItem(key=item.key, action=Action.CREATED)
    action, reason = (Action.OVERWRITTEN, None) if overwrite else (Action.SKIPPED, EXISTS)
    return PreviewItem(key=item.key, action=action, reason_code=reason)


def _foresee_data(item: PlannedItem, data: Data | None, connection: Connection, *, overwrite: bool) -> PreviewItem:
    if data is None or not data.is_whole or data.name is None:
        is_damaged = data is None or not data.is_whole
        action = Action.NONE if is_damaged and data is not None else Action.CREATED
        return PreviewItem(key=item.key, action=action, reason_code="source_damaged" if action is Action.NONE else None)
    rows = content(connection, data.name, None, "UTF8", no_progress)
    if isinstance(rows, str) or not rows.number:
        return PreviewItem(key=item.key, action=Action.CREATED)
    if overwrite:
        return PreviewItem(key=item.key, action=Action.OVERWRITTEN)
    if rows.sha256 == data.rows.sha256:
        return PreviewItem(key=item.key, action=Action.UNCHANGED)
    return PreviewItem(key=item.key, action=Action.CREATED, reason_code=_ADDS)


def _problems(plan: Plan, found: Read, items: tuple[PreviewItem, ...]) -> list[str]:
    damage = [f"THE BACKUP IS DAMAGED: {problem}" for problem in found.problems]
    notes = [
        f"{item.key}: {item.reason_code}" for item in items if item.action is Action.NONE or item.reason_code == _ADDS
    ]
    return [problem for problem in damage if problem not in plan.problems] + notes
