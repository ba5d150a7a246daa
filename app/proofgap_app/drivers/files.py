"""The driver for backups of files: tar archives, zip archives and directories.

Owns plan and preview; `files_execute` writes, `files_evidence` reads the target afterwards. Refuses to know the
formats (`archives`) and how a file gets into the target (`target`).
"""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from proofgap.records import Completeness
from proofgap_app.drivers.archives import Archive, DamagedError, Digests, Listing, content_digests, demand_same_bytes
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
    TargetChangedError,
    TargetError,
    Unit,
    no_progress,
)
from proofgap_app.drivers.detect import open_archive
from proofgap_app.drivers.evidence import canonical_sha256
from proofgap_app.drivers.files_evidence import collect
from proofgap_app.drivers.files_execute import execute
from proofgap_app.drivers.manifest import Manifest, read_manifest
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.places import existing, whole
from proofgap_app.drivers.selection import Selection, select
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.target_state import fingerprint, foresee
from proofgap_app.drivers.tool import demand_known_options

_PROBLEMS_SHOWN_MAX = 20
_EXPANSION_MAX = 1000
_EXPANDED_BYTES_UNSUSPICIOUS = 10 << 20


class FilesDriver:
    """Restores files, symbolic links and empty directories into a directory."""

    name: ClassVar[str] = "files"

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths; its target is the directory that is restored into."""
        demand_known_options(request, {})
        return replace(request, backup=existing("backup", request.backup), target=whole("target", request.target))

    def plan(self, request: Request) -> Plan:
        """List the backup and choose what the request selects. Raises `SourceError`, `TargetError`."""
        _demand_a_target(request)
        archive = open_archive(request.backup_path)
        manifest = {} if request.manifest is None else read_manifest(request.manifest)
        identity, listing = archive.identity(), archive.listing()
        selection = select(listing, manifest, request.select)
        return _plan(request, identity, selection, listing, manifest)

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Read the backup, look at the target, and say what would become of each item."""
        archive = same_archive(plan)
        positions = {item.position for item in plan.items if item.position is not None}
        found = content_digests(archive, positions, progress) if depth is Depth.DATA else {}
        with Target(plan.request.target_path) as target:
            seen = fingerprint(target, plan)  # first: what changes while it is looked at is found before it is acted on
            items = tuple(foresee(target, item, found, overwrite=plan.request.overwrite) for item in plan.items)
        return _preview(plan, items, found, depth=depth, target_fingerprint=seen)

    def place(self, plan: Plan) -> Path:
        """Give the directory that is restored into."""
        return plan.request.target_path

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of existence, kind, size, time of last change and permissions of every path the plan touches."""
        with Target(plan.request.target_path) as target:
            return fingerprint(target, plan)

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
        archive = same_archive(plan)
        found = self.fingerprint(plan)
        if target_fingerprint is not None and found != target_fingerprint:
            raise TargetChangedError(shown(plan.request.target_path), target_fingerprint, found)
        return execute(plan, archive, report=report, progress=progress, should_stop=should_stop)

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Compare what the target holds with what the backup, or its manifest, says it should hold."""
        report = collect(plan, same_archive(plan), progress)
        demand_same_bytes(plan, lambda: open_archive(plan.request.backup_path).identity())
        return report


def same_archive(plan: Plan) -> Archive:
    """Open the backup again. Raises `SourceChangedError` when it is not the one that was planned."""
    try:
        archive = open_archive(plan.request.backup_path)
        unchanged = archive.unchanged_since(plan.identity)
    except SourceError as error:
        raise SourceChangedError(shown(plan.request.backup_path)) from error
    if not unchanged:
        raise SourceChangedError(shown(plan.request.backup_path))
    return archive


def _demand_a_target(request: Request) -> None:
    target, backup = request.target_path.resolve(), request.backup_path.resolve()
    if request.target_path.exists() and not request.target_path.is_dir():
        problem = f"{shown(request.target_path)} is not a directory"
        raise TargetError("target", problem, "Name a directory, or one that does not exist yet.")
    if backup.is_dir() and (target.is_relative_to(backup) or backup.is_relative_to(target)):
        problem = f"{shown(request.target_path)} and the backup {shown(request.backup_path)} lie in each other"
        raise TargetError("target", problem, "Restore into a directory apart from the backup.")


def _plan(request: Request, identity: Identity, selection: Selection, listing: Listing, manifest: Manifest) -> Plan:
    sizes = [item.size for item in selection.items if item.position is not None]
    content = {
        "driver": FilesDriver.name,
        "backup": [identity.size, identity.sha256],
        "target": shown(request.target_path),
        "overwrite": request.overwrite,
        "expects_nothing": request.expects_nothing,
        "items": [_canonical(item) for item in (*selection.items, *selection.folders)],
    }
    return Plan(
        driver=FilesDriver.name,
        tool_version=f"python {platform.python_version()}",
        request=request,
        unit=Unit.FILE,
        items=selection.items,
        folders=selection.folders,
        bytes_total=sum(size for size in sizes if size is not None) if None not in sizes else None,
        identity=identity,
        source_completeness=_completeness(selection, listing, manifest),
        problems=_listing_problems(selection, listing),
        digest=canonical_sha256(content),
    )


def _canonical(item: PlannedItem) -> list[object]:
    link = None if item.link is None else shown(item.link)
    return [item.key, item.kind, item.size, item.mode, item.mtime_ns, item.owner, item.sha256, link, item.refused]


def _completeness(selection: Selection, listing: Listing, manifest: Manifest) -> Completeness:
    """Only a manifest can say that a backup is complete; damage, or a name it lacks, says that it is not."""
    lacking = any(item.kind in {Kind.MISSING, Kind.UNREADABLE} for item in selection.items)
    if lacking or listing.damage is not None:
        return Completeness.INCOMPLETE
    return Completeness.COMPLETE if manifest else Completeness.UNKNOWN


def _listing_problems(selection: Selection, listing: Listing) -> tuple[str, ...]:
    problems = [f"{item.key}: {item.refused}" for item in selection.items if item.refused is not None]
    if listing.damage is not None:
        damage = f"THE BACKUP IS DAMAGED: {listing.damage.problem}; it may hold more than the {len(listing.entries)} members that could be listed"
        problems.insert(0, damage)
    return tuple(problems)


def _preview(
    plan: Plan, items: tuple[PreviewItem, ...], found: Digests, *, depth: Depth, target_fingerprint: str
) -> Preview:
    numbers = Counter(item.action for item in items)
    unread = any(isinstance(digest, DamagedError) for digest in found.values()) or any(
        item.kind is Kind.UNREADABLE for item in plan.items
    )
    return Preview(
        created=numbers[Action.CREATED],
        overwritten=numbers[Action.OVERWRITTEN],
        unchanged=numbers[Action.UNCHANGED],
        skipped=numbers[Action.SKIPPED],
        unavailable=numbers[Action.NONE],
        depth=Depth.METADATA if unread else depth,
        target_fingerprint=target_fingerprint,
        problems=_abridged([*plan.problems, *_space_problems(plan), *_new_problems(plan, items)]),
        items=items,
    )


def _new_problems(plan: Plan, items: tuple[PreviewItem, ...]) -> list[str]:
    """Name what only the preview could find; what the plan refused is among the plan's problems already."""
    return [
        f"{seen.key}: {seen.reason_code}"
        for planned, seen in zip(plan.items, items, strict=True)
        if seen.action is Action.NONE and planned.refused is None
    ]


def _space_problems(plan: Plan) -> list[str]:
    place = _nearest_existing(plan.request.target_path)
    problems = []
    if not os.access(place, os.W_OK | os.X_OK):
        problems.append(f"target {shown(plan.request.target_path)}: {shown(place)} is not writable")
    needed, free = plan.bytes_total or 0, shutil.disk_usage(place).free
    if needed > free:
        problems.append(f"target {shown(plan.request.target_path)}: {needed} bytes are needed, {free} are free")
    if needed > max(plan.identity.size * _EXPANSION_MAX, _EXPANDED_BYTES_UNSUSPICIOUS):
        problems.append(
            f"the backup of {plan.identity.size} bytes expands to {needed}: more than {_EXPANSION_MAX} times"
        )
    return problems


def _nearest_existing(path: Path) -> Path:
    return next(place for place in (path, *path.resolve().parents) if place.exists())


def _abridged(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _PROBLEMS_SHOWN_MAX
    return (*problems[:_PROBLEMS_SHOWN_MAX], *([f"and {more} more"] if more > 0 else []))
