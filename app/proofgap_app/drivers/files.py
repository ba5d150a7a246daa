"""The driver for backups of files: tar archives, zip archives and directories.

Owns plan and preview; `files_execute` writes, `files_evidence` reads the target afterwards. Refuses to know the
formats (`archives`) and how a file gets into the target (`target`).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from proofgap_app.drivers.archives import Archive, DamagedError, content_digests, demand_same_bytes
from proofgap_app.drivers.base import (
    Depth,
    EvidenceReport,
    Execution,
    Plan,
    Preview,
    Progress,
    Report,
    Request,
    ShouldStop,
    SourceChangedError,
    SourceError,
    TargetError,
    demand_same_target,
    no_progress,
)
from proofgap_app.drivers.detect import open_archive
from proofgap_app.drivers.file_plan import Found, plan_of, preview_of
from proofgap_app.drivers.files_evidence import collect, from_damaged_stream
from proofgap_app.drivers.files_execute import execute
from proofgap_app.drivers.leftovers import marked
from proofgap_app.drivers.manifest import read_manifest
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.places import existing, whole
from proofgap_app.drivers.selection import select
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.target_state import IntoDirectory, fingerprint, foresee
from proofgap_app.drivers.tool import demand_known_options


class FilesDriver(IntoDirectory):
    """Restores files, symbolic links and empty directories into a directory."""

    name: ClassVar[str] = "files"
    options: ClassVar[Mapping[str, str]] = {}

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths; its target is the directory that is restored into."""
        demand_known_options(request, self.options)
        return replace(request, backup=existing("backup", request.backup), target=whole("target", request.target))

    def plan(self, request: Request) -> Plan:
        """List the backup and choose what the request selects. Raises `SourceError`, `TargetError`."""
        _demand_a_target(request)
        archive = open_archive(request.backup_path)
        manifest = {} if request.manifest is None else read_manifest(request.manifest)
        identity, listing = archive.identity(), archive.listing()
        selection = select(listing, manifest, request.select)
        found = Found(
            driver=self.name,
            tool=f"python {platform.python_version()}",
            identity=identity,
            listing=listing,
            manifest=manifest,
            can_inflate=True,
        )
        return marked(plan_of(request, found, selection), selection.items)

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Read the backup, look at the target, and say what would become of each item."""
        archive = same_archive(plan)
        positions = {item.position for item in plan.items if item.position is not None}
        found = content_digests(archive, positions, progress) if depth is Depth.DATA else {}
        with Target(plan.request.target_path) as target:
            seen = fingerprint(target, plan)  # first: what changes while it is looked at is found before it is acted on
            items = tuple(foresee(target, item, found, overwrite=plan.request.overwrite) for item in plan.items)
        is_unread = any(isinstance(digest, DamagedError) for digest in found.values()) or from_damaged_stream(plan)
        return preview_of(plan, items, Depth.METADATA if is_unread else depth, seen)

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
        demand_same_target(shown(plan.request.target_path), target_fingerprint, self.fingerprint(plan))
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
