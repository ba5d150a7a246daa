"""The driver for BorgBackup 1.x: an archive in a repository is restored into a directory.

A backup is named as ``REPOSITORY::ARCHIVE``, or as ``REPOSITORY#latest``.

Theory. borg gives up at the first damaged content, and goes on past an item that it cannot write. Its exit code says which: 0
and the warnings (1, and 100 to 127 in the modern codes that newer versions have) mean that it went through, anything else that
it was broken off. A warning may mean that nothing at all was written, so what counts is which paths it names, and a look at the
target (`tree`). What the content should be is read from the archive, apart from the execution (`borg_repository`). borg writes
into the directory it runs in, which is made where it is missing, and removed again if nothing came of it.

Which version can tell what: from 1.4 on, exit codes say what went wrong; 1.2, which Debian 12 has, knows 0, 1 and 2. A preview
reads and checks all contents with both.

Owns the order of calls. Refuses to know what the outcome means for the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from proofgap.errors import BadInputError
from proofgap.records import Completeness
from proofgap_app.drivers import tree, tree_evidence
from proofgap_app.drivers.archives import Listing
from proofgap_app.drivers.base import (
    Depth,
    EvidenceReport,
    Execution,
    Plan,
    Preview,
    PreviewItem,
    Progress,
    Report,
    Request,
    ShouldStop,
    SourceChangedError,
    SourceError,
    demand_same_target,
    no_progress,
)
from proofgap_app.drivers.borg_repository import OPTIONS, Archive, Contents, Repository, split_location
from proofgap_app.drivers.file_plan import Found, plan_of, preview_of
from proofgap_app.drivers.leftovers import marked
from proofgap_app.drivers.manifest import read_manifest
from proofgap_app.drivers.names import Parts, shown
from proofgap_app.drivers.places import whole
from proofgap_app.drivers.process import Stream, never, run
from proofgap_app.drivers.restic_repository import with_size
from proofgap_app.drivers.selection import select
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.target_state import IntoDirectory
from proofgap_app.drivers.tool import Tool, demand_known_options

_REMOTE = re.compile(r"[a-z]+://|[^/]+:")
_WARNINGS = frozenset({1, *range(100, 128)})
_HARMLESS = re.compile(r"(attrs|restore_attrs|xattr|.*[Ee]xtended attribute)")


class BorgDriver(IntoDirectory):
    """Restores an archive with borg."""

    name: ClassVar[str] = "borg"
    options: ClassVar[Mapping[str, str]] = OPTIONS

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths, and the archive named."""
        demand_known_options(request, self.options)
        tree.demand_a_source_state(request)
        location, archive = split_location(request.backup)
        if location.startswith("-") or "://-" in location:
            raise BadInputError("backup", f"{shown(location)} looks like an option", "Name a repository.")
        if _REMOTE.match(location) is None:
            location = whole("backup", location)
        mark = "#" if archive == "latest" else "::"
        return replace(request, backup=f"{location}{mark}{archive}", target=whole("target", request.target))

    def plan(self, request: Request) -> Plan:
        """List the archive and choose what the request selects. Raises `SourceError`, `TargetError`."""
        tree.demand_a_directory(request)
        repository = Repository(request)
        manifest = {} if request.manifest is None else read_manifest(request.manifest)
        archive = repository.archive()
        entries = repository.entries(archive)
        selection = select(Listing(entries=tuple(entries)), manifest, request.select, takes_everything=True)
        tree.refuse_unsafe(selection.items)
        found = Found(
            driver=self.name,
            tool=repository.tool.said,
            identity=with_size(archive.identity, entries),
            listing=Listing(entries=tuple(entries)),
            manifest=manifest,
            stated=tree.stated(request),
        )
        plan = plan_of(replace(request, backup=repository.named(archive)), found, selection)
        plan = marked(plan, tree.under_real_names(plan).items)
        if any(item.refused == "source_damaged" for item in plan.items):
            return replace(plan, source_completeness=Completeness.INCOMPLETE)
        return plan

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Read and check all contents, look at the target, and say what would become of each item."""
        repository, archive = _same(plan)
        seen = self.fingerprint(plan)  # first: what changes while it is looked at is found before it is acted on
        items = _foreseen(plan, repository, archive)
        if depth is not Depth.DATA:
            return preview_of(plan, items, depth, seen)
        heard = Heard(plan, repository.tool, progress)
        command = repository.tool.command("extract", "--dry-run", "--log-json", "--list", *repository.lock)
        command = replace(command, arguments=(*command.arguments, repository.named(archive)))
        end = heard.end(run(command, heard.line, never).exit_code)
        problems = [f"THE BACKUP IS DAMAGED: {message}" for message in end.others]
        return preview_of(plan, items, Depth.DATA if end.reached_end else Depth.METADATA, seen, problems)

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
        repository, archive = _same(plan)
        errand = _errand(plan, repository, archive)
        demand_same_target(shown(plan.request.target), target_fingerprint, self.fingerprint(plan))

        def work() -> tree.ToolEnd:
            if errand.arguments is None:
                return tree.ToolEnd(exit_code=0, reached_end=True)
            command = repository.tool.command("extract", "--log-json", "--list", *repository.lock, *errand.arguments)
            return _extracted(plan, repository, command.arguments, (progress, should_stop))

        return tree.execute(plan, errand.foreseen, work, report, progress)

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Compare what the target holds with what the archive says it should hold."""
        repository, archive = _same(plan)
        contents = Contents(repository, archive, progress)
        return tree_evidence.collect(plan, contents, tree.under_real_names(plan).items, progress)


def _same(plan: Plan) -> tuple[Repository, Archive]:
    """Open the repository again. Raises `SourceChangedError` when the archive that was planned is not there any more."""
    repository = Repository(plan.request)
    try:
        return repository, repository.archive(plan.identity.sha256)
    except SourceError as error:
        raise SourceChangedError(shown(repository.tool.redact(plan.request.backup))) from error


def _foreseen(plan: Plan, repository: Repository, archive: Archive) -> tuple[PreviewItem, ...]:
    overwrite = plan.request.overwrite
    with Target(plan.request.target_path) as target:
        items = tree.under_real_names(plan).items
        alike = [item for item in items if tree.may_be_there(target, item)]
        contents = Contents(repository, archive, no_progress) if alike else None
        return tuple(tree.foresee(target, item, contents, overwrite=overwrite) for item in items)


def _errand(plan: Plan, repository: Repository, archive: Archive) -> tree.Errand:
    """Say in borg's words what it is to write: all, all but some, or some. ``None``: nothing at all."""
    foreseen = _foreseen(plan, repository, archive)
    wanted = tree.to_do(plan, foreseen)
    if not wanted:
        return tree.Errand(foreseen, None)
    everything = _everything(repository, archive) if plan.request.select else tree.held(plan)
    named = tree.named(wanted, everything)
    whole_archive = repository.named(archive)
    if named.are_wanted:
        return tree.Errand(foreseen, (whole_archive, *(f"pp:{path}" for path in named.paths)))
    return tree.Errand(foreseen, (*(f"--exclude=pp:{path}" for path in named.paths), whole_archive))


def _everything(repository: Repository, archive: Archive) -> frozenset[Parts]:
    listing = Listing(entries=tuple(repository.entries(archive)))
    return frozenset(item.parts for item in select(listing, {}, (), takes_everything=True).items)


def _extracted(
    plan: Plan, repository: Repository, arguments: tuple[str, ...], how: tuple[Progress, ShouldStop]
) -> tree.ToolEnd:
    root = plan.request.target_path
    was_there = root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the target cannot be made: {error.strerror}"
        return tree.ToolEnd(exit_code=2, reached_end=False, others=(reason,))
    heard = Heard(plan, repository.tool, how[0])
    command = replace(repository.tool.command(), arguments=arguments, folder=root)
    try:
        return heard.end(run(command, heard.line, how[1]).exit_code)
    finally:
        if not was_there:
            with suppress(OSError):
                root.rmdir()  # only if it is empty: nothing came of it


class Heard:
    """What borg said while it worked: one JSON object per line."""

    def __init__(self, plan: Plan, tool: Tool, progress: Progress) -> None:
        """Take the plan, whose paths are known."""
        self._tool, self._progress = tool, progress
        paths = [item.parts for item in (*plan.items, *plan.folders) if item.parts]
        self._known = {"/".join(parts): parts for parts in paths}
        self._sizes = {"/".join(item.parts): item.size or 0 for item in plan.items}
        self._items = self._bytes = 0
        self._complaints: dict[Parts, list[tree.Complaint]] = {}
        self._others: list[str] = []

    def line(self, _stream: Stream, line: str) -> None:
        """Take one line; what is no JSON comes from other programs, such as ssh, and says nothing of items."""
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            return
        text = str(said.get("message") or "")
        if said.get("name") == "borg.output.list":
            self._begun(text)
        elif said.get("levelname") in {"WARNING", "ERROR", "CRITICAL"} and not text.startswith("Traceback"):
            self._complain(text, is_error=said.get("levelname") != "WARNING")

    def end(self, exit_code: int) -> tree.ToolEnd:
        """Say how it ended; a code that is not known means that it was broken off."""
        went_through = exit_code == 0 or exit_code in _WARNINGS
        others = list(self._others)
        if not went_through and not others:
            others.append(f"borg was broken off with exit code {exit_code}")
        return tree.ToolEnd(
            exit_code=exit_code, reached_end=went_through, complaints=self._complaints, others=tuple(others)
        )

    def _begun(self, path: str) -> None:
        """Count what borg says it begins with: good for progress, and for nothing else."""
        self._progress(self._bytes, self._items)
        self._items += 1
        self._bytes += self._sizes.get(path, 0)

    def _complain(self, text: str, *, is_error: bool) -> None:
        """Take ``path: why``; a path may hold a colon too."""
        places = [found.start() for found in re.finditer(": ", text)]
        known = next((place for place in places if text[:place] in self._known), None)
        if known is None:
            self._others.append(
                self._tool.message(text.removeprefix("Local Exception") or "borg ended with an exception")
            )
            return
        why = text[known + 2 :]
        is_harmless = not is_error and _HARMLESS.match(why) is not None
        complaint = tree.Complaint(tree.reason_in(why, "tool_error"), self._tool.message(why), is_harmless)
        self._complaints.setdefault(self._known[text[:known]], []).append(complaint)
