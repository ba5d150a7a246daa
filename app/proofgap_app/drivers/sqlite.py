"""The driver for SQLite: a database file, or a dump of one as SQL text, becomes a database file.

Theory. A database is one thing: it is restored whole, beside its place, and put there in one step. Items are its
tables, because they are what somebody asks for. A journal beside the place would be replayed into the restored database,
so then nothing is restored at all. A backup that does not exist is refused here, as SQLite itself would create it, empty.

Owns plan and preview; `sqlite_execute` writes, `sqlite_evidence` reads the target afterwards.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from proofgap.errors import BadInputError
from proofgap.records import Completeness
from proofgap_app.drivers.archives import DamagedError, demand_same_bytes, file_identity, file_unchanged
from proofgap_app.drivers.base import (
    Action,
    Depth,
    EvidenceReport,
    Execution,
    Identity,
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
    SourceError,
    TargetError,
    Unit,
    demand_same_target,
    no_progress,
)
from proofgap_app.drivers.evidence import canonical_sha256
from proofgap_app.drivers.leftovers import newest
from proofgap_app.drivers.manifest import read_manifest
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.places import existing, whole
from proofgap_app.drivers.selection import UNREADABLE_KEY
from proofgap_app.drivers.sqlite_content import TableContent, side_files
from proofgap_app.drivers.sqlite_evidence import collect
from proofgap_app.drivers.sqlite_execute import TARGET_HAS_JOURNAL, execute
from proofgap_app.drivers.sqlite_source import (
    Contents,
    holds,
    is_dump,
    list_tables,
    read_backup,
    status_of,
    target_path,
)
from proofgap_app.drivers.target_state import EXISTS
from proofgap_app.drivers.tool import demand_known_options
from proofgap_store.sqlite_library import sqlite


class SqliteDriver:
    """Restores a database as a whole."""

    name: ClassVar[str] = "sqlite"
    options: ClassVar[Mapping[str, str]] = {}

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths, and that of the database file where its target is a directory."""
        demand_known_options(request, self.options)
        request = replace(request, backup=existing("backup", request.backup), target=whole("target", request.target))
        try:
            return replace(request, target=str(target_path(request)))
        except OSError:  # it cannot be told; the run finds out, and says why
            return request

    def plan(self, request: Request) -> Plan:
        """List the tables of the backup. Raises `SourceError`, `TargetError`, and `BadInputError` for a part of a database."""
        identity = file_identity(request.backup_path)
        _demand_a_target(request)
        names, damage = list_tables(request.backup_path)
        refused = _manifest_refusal(request, identity)
        items = [
            PlannedItem(key=shown(name), kind=Kind.TABLE, parts=(name,), refused=refused)
            for name in _selected(request, names)
        ]
        if damage is not None:
            items.append(PlannedItem(key=UNREADABLE_KEY, kind=Kind.UNREADABLE, refused=damage.reason_code))
        return _plan(request, identity, tuple(items), damage)

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Read every row of the backup, look at the target, and say what would become of each table."""
        demand_same(plan)
        contents = read_backup(plan, progress) if depth is Depth.DATA else None
        seen = self.fingerprint(plan)  # first: what changes while it is looked at is found before it is acted on
        place = _place(plan, contents)
        items = tuple(_foresee(item, contents, place) for item in plan.items)
        return _preview(plan, items, contents, seen)

    def place(self, plan: Plan) -> Path:
        """Give the path of the database file."""
        return target_path(plan.request)

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of size, time of last change and permissions of the database file and its journals."""
        path = target_path(plan.request)
        hasher = hashlib.sha256()
        for file in (path, *side_files(path)):
            status = file.lstat() if file.exists() or file.is_symlink() else None
            state = "absent" if status is None else f"{status.st_size} {status.st_mtime_ns} {status.st_mode:o}"
            hasher.update(f"{shown(file.name)}\t{state}\n".encode())
        return hasher.hexdigest()

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
        demand_same_target(shown(plan.request.target_path), target_fingerprint, self.fingerprint(plan))
        return execute(plan, report=report, progress=progress, should_stop=should_stop)

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Compare every table of the target with the backup."""
        demand_same(plan)
        report = collect(plan, progress)
        demand_same_bytes(plan, lambda: file_identity(plan.request.backup_path))
        return report


def demand_same(plan: Plan) -> None:
    """Refuse a backup that is not the one that was planned. Raises `SourceChangedError`."""
    if not file_unchanged(plan.request.backup_path, plan.identity):
        raise SourceChangedError(shown(plan.request.backup_path))


def _demand_a_target(request: Request) -> None:
    path = target_path(request)
    if path.exists() and (not path.is_file() or path.samefile(request.backup_path)):
        problem = f"{shown(path)} is the backup itself, or no file"
        raise TargetError("target", problem, "Name the path of a database file, apart from the backup.")


def _selected(request: Request, names: list[str]) -> list[str]:
    if not request.select:
        return names
    chosen = [name for name in names if any(fnmatchcase(shown(name), pattern) for pattern in request.select)]
    if chosen and chosen != names:
        problem = f"it chooses {len(chosen)} of {len(names)} tables, but a database is restored whole"
        raise BadInputError("select", problem, "Leave the selection out.")
    return chosen


def _manifest_refusal(request: Request, identity: Identity) -> str | None:
    if request.manifest is None:
        return None
    named = {
        digest for parts, digest in read_manifest(request.manifest).items() if parts[-1] == request.backup_path.name
    }
    if not named:
        problem = f"it does not name {shown(request.backup_path.name)}"
        raise SourceError("manifest", problem, "Hand in the manifest that was written with this backup.")
    return None if identity.sha256 in named else "manifest_mismatch"


def _plan(request: Request, identity: Identity, items: tuple[PlannedItem, ...], damage: DamagedError | None) -> Plan:
    problems = [] if damage is None else [f"THE BACKUP IS DAMAGED: {damage.problem}"]
    if any(item.refused == "manifest_mismatch" for item in items):
        problems.append("THE BACKUP IS DAMAGED: its SHA-256 is not what the manifest says")
    content = {
        "driver": SqliteDriver.name,
        "backup": [identity.size, identity.sha256],
        "target": shown(request.target_path),
        "overwrite": request.overwrite,
        "expects_nothing": request.expects_nothing,
        "items": [[item.key, item.kind, item.refused] for item in items],
    }
    return Plan(
        driver=SqliteDriver.name,
        tool_version=f"sqlite {sqlite.sqlite_version}",
        request=request,
        unit=Unit.TABLE,
        items=items,
        bytes_total=None if is_dump(request.backup_path) else identity.size,
        identity=identity,
        source_completeness=Completeness.INCOMPLETE if problems else Completeness.UNKNOWN,
        problems=tuple(problems),
        digest=canonical_sha256(content),
        marker=newest([status_of(target_path(request))]),
    )


def _place(plan: Plan, contents: Contents | None) -> PreviewItem:
    """Say what would become of the database file as such; the key is not used."""
    path = target_path(plan.request)
    if side_files(path):
        return PreviewItem(key="", action=Action.NONE, reason_code=TARGET_HAS_JOURNAL)
    if not path.exists():
        return PreviewItem(key="", action=Action.CREATED)
    if contents is not None and holds(path, contents):
        return PreviewItem(key="", action=Action.UNCHANGED)
    if plan.request.overwrite:
        return PreviewItem(key="", action=Action.OVERWRITTEN)
    return PreviewItem(key="", action=Action.SKIPPED, reason_code=EXISTS)


def _foresee(item: PlannedItem, contents: Contents | None, place: PreviewItem) -> PreviewItem:
    lost = contents is not None and not isinstance(contents.tables.get(item.key), TableContent)
    if item.refused is not None or lost:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=item.refused or "source_damaged")
    return PreviewItem(key=item.key, action=place.action, reason_code=place.reason_code)


def _preview(plan: Plan, items: tuple[PreviewItem, ...], contents: Contents | None, target_fingerprint: str) -> Preview:
    numbers = Counter(item.action for item in items)
    found = () if contents is None else contents.problems
    new = (f"{item.key}: {item.reason_code}" for item in items if item.action is Action.NONE)
    whole = contents is not None and contents.is_whole and not plan.problems
    return Preview(
        created=numbers[Action.CREATED],
        overwritten=numbers[Action.OVERWRITTEN],
        unchanged=numbers[Action.UNCHANGED],
        skipped=numbers[Action.SKIPPED],
        unavailable=numbers[Action.NONE],
        depth=Depth.DATA if whole else Depth.METADATA,
        target_fingerprint=target_fingerprint,
        problems=(*plan.problems, *found, *new),
        items=items,
    )
