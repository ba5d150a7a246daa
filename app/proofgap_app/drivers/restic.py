"""The driver for restic: a snapshot in a repository is restored into a directory.

A backup is named as ``REPOSITORY#SNAPSHOT``, such as ``/srv/repo#latest`` or ``sftp:me@host:/srv/repo#1a2b3c4d``.

Theory. What restic says of itself is not believed: its summary is the same for a dry run, and says 100 % on a full disk. Which
items went wrong is known from the distinct paths in its error messages, and from a look at the target (`tree`). What the content
should be is known from the repository (`restic_repository`). restic overwrites what is there; so what must not be replaced is
not handed to it.

Which version can tell what: from 0.16 on ``restore --json`` tells how far it is, and names each failing item in a message of its
own; before, there is no progress, and errors are lines of text. Debian 12 has 0.14. What went wrong is found with both.

Owns the order of calls. Refuses to know what the outcome means for the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from proofgap.errors import BadInputError
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
from proofgap_app.drivers.file_plan import Found, plan_of, preview_of
from proofgap_app.drivers.leftovers import marked
from proofgap_app.drivers.manifest import read_manifest
from proofgap_app.drivers.names import Parts, shown, split
from proofgap_app.drivers.places import whole
from proofgap_app.drivers.process import Stream, run
from proofgap_app.drivers.restic_repository import (
    OPTIONS,
    REMEDIES,
    Contents,
    Repository,
    Snapshot,
    lossy,
    split_location,
    with_size,
)
from proofgap_app.drivers.selection import select
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.target_state import IntoDirectory
from proofgap_app.drivers.tool import Tool, demand_known_options, remedy_for

_REMOTE = re.compile(r"(sftp|rest|s3|b2|azure|gs|swift|rclone):.")
_OPTION_LIKE = re.compile(r"-|(sftp:(//)?)([^@/]*@)?-")
_TELLS_PROGRESS = (0, 16)
_ID_LENGTH = 16  # of the 64 letters: enough to name one snapshot, and to be read
_LINES_MAX = 5
_IGNORING = "ignoring error for "
_END_OF_ALL = re.compile(r"There were \d+ errors")
_HARMLESS = re.compile(r"(UtimesNano|[Ll]chown|[Cc]hmod|[Cc]htimes|[Ss]etxattr|xattr|.*extended attribute)")


class ResticDriver(IntoDirectory):
    """Restores a snapshot with restic."""

    name: ClassVar[str] = "restic"
    options: ClassVar[Mapping[str, str]] = OPTIONS

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths, and the snapshot named."""
        demand_known_options(request, self.options)
        tree.demand_a_source_state(request)
        location, snapshot = split_location(request.backup)
        if _OPTION_LIKE.match(location):
            raise BadInputError("backup", f"{shown(location)} looks like an option", "Name a repository.")
        if _REMOTE.match(location) is None:
            location = whole("backup", location.removeprefix("local:"))
        return replace(request, backup=f"{location}#{snapshot}", target=whole("target", request.target))

    def plan(self, request: Request) -> Plan:
        """List the snapshot and choose what the request selects. Raises `SourceError`, `TargetError`."""
        tree.demand_a_directory(request)
        repository = Repository(request)
        manifest = {} if request.manifest is None else read_manifest(request.manifest)
        snapshot = repository.snapshot()
        entries = repository.entries(snapshot)
        listing = Listing(entries=tuple(entries))
        selection = select(listing, manifest, request.select, takes_everything=True)
        tree.refuse_unsafe(selection.items)
        found = Found(
            driver=self.name,
            tool=repository.tool.said,
            identity=with_size(snapshot.identity, entries),
            listing=listing,
            manifest=manifest,
            stated=tree.stated(request),
        )
        pinned = replace(request, backup=f"{repository.location}#{snapshot.id[:_ID_LENGTH]}")
        return marked(plan_of(pinned, found, selection), selection.items)

    def preview(
        self,
        plan: Plan,
        *,
        depth: Depth = Depth.DATA,  # noqa: ARG002 - restic reads no content before it restores it
        progress: Progress = no_progress,
    ) -> Preview:
        """Look at the target, and say what would become of each item; always from metadata, and said so."""
        repository, snapshot = _same(plan)
        seen = self.fingerprint(plan)  # first: what changes while it is looked at is found before it is acted on
        items = _foreseen(plan, repository, snapshot)
        progress(plan.bytes_total or 0, plan.selected)
        return preview_of(plan, items, Depth.METADATA, seen)

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
        repository, snapshot = _same(plan)
        patterns = _patterns(plan, repository, snapshot)
        demand_same_target(shown(plan.request.target), target_fingerprint, self.fingerprint(plan))
        return tree.execute(
            plan,
            patterns.foreseen,
            lambda: _restore(plan, repository, patterns.arguments, (progress, should_stop)),
            report,
            progress,
        )

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Compare what the target holds with what the repository says it should hold."""
        repository, snapshot = _same(plan)
        contents = Contents(repository, snapshot, [item for item in plan.items if item.refused is None])
        return tree_evidence.collect(plan, contents, plan.items, progress)


def _same(plan: Plan) -> tuple[Repository, Snapshot]:
    """Open the repository again. Raises `SourceChangedError` when the snapshot that was planned is not there any more."""
    repository = Repository(plan.request)
    try:
        return repository, repository.snapshot(plan.identity.sha256)
    except SourceError as error:
        raise SourceChangedError(shown(repository.tool.redact(plan.request.backup))) from error


def _foreseen(plan: Plan, repository: Repository, snapshot: Snapshot) -> tuple[PreviewItem, ...]:
    overwrite = plan.request.overwrite
    with Target(plan.request.target_path) as target:
        alike = [item for item in plan.items if tree.may_be_there(target, item)]
        contents = Contents(repository, snapshot, alike) if alike else None
        return tuple(tree.foresee(target, item, contents, overwrite=overwrite) for item in plan.items)


def _patterns(plan: Plan, repository: Repository, snapshot: Snapshot) -> tree.Errand:
    """Say in restic's words what it is to write: all, all but some, or some. ``None``: nothing at all."""
    foreseen = _foreseen(plan, repository, snapshot)
    wanted = tree.to_do(plan, foreseen)
    if not wanted:
        return tree.Errand(foreseen, None)
    everything = _everything(repository, snapshot) if plan.request.select else tree.held(plan)
    named = tree.named(wanted, everything)
    option = "--include" if named.are_wanted else "--exclude"
    return tree.Errand(foreseen, tuple(f"{option}=/{_escaped(path)}" for path in named.paths))


def _everything(repository: Repository, snapshot: Snapshot) -> frozenset[Parts]:
    listing = Listing(entries=tuple(repository.entries(snapshot)))
    return frozenset(item.parts for item in select(listing, {}, (), takes_everything=True).items)


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)


def _restore(
    plan: Plan, repository: Repository, patterns: tuple[str, ...] | None, how: tuple[Progress, ShouldStop]
) -> tree.ToolEnd:
    progress, should_stop = how
    if patterns is None:
        return tree.ToolEnd(exit_code=0, reached_end=True)
    heard = Heard(plan, repository.tool, progress)
    lock = ("--no-lock",) if plan.request.options.get("no-lock") == "yes" else ()
    tells = ("--json",) if repository.tool.version >= _TELLS_PROGRESS else ()
    command = repository.tool.command(
        *("--repo", repository.location, *lock, *tells, "restore", plan.identity.sha256),
        *("--target", plan.request.target, *patterns),
    )
    ended = run(command, heard.line, should_stop)
    return heard.end(ended.exit_code, stopped=ended.stopped)


class Heard:
    """What restic said while it restored: lines of text, of JSON, or both mixed."""

    def __init__(self, plan: Plan, tool: Tool, progress: Progress) -> None:
        """Take the plan, whose paths are known."""
        self._tool, self._progress = tool, progress
        paths = [item.parts for item in (*plan.items, *plan.folders) if item.parts]
        self._known = {lossy("/".join(parts)): parts for parts in paths} | {"/".join(parts): parts for parts in paths}
        self._complaints: dict[Parts, list[tree.Complaint]] = {}
        self._others: list[str] = []
        self._free: list[str] = []  # what it said last that is about nothing in particular
        self._begun = ""
        self._last: tuple[str, str] | None = None
        self._went_through = False

    def line(self, _stream: Stream, line: str) -> None:
        """Take one line."""
        if line.startswith("{"):
            self._json(line)
        elif line.startswith(_IGNORING) or self._begun:
            self._text(f"{self._begun}\n{line}" if self._begun else line.removeprefix(_IGNORING))
        elif line.startswith("Fatal"):
            self._fatal(line)
        elif self._last and not line.startswith("Load("):
            path, why = self._last  # its path has a line break, and so has the message
            self._complaints[self._parts(path)].pop()
            self._complain(path, f"{why} {line}")
        elif line.strip() and not line.startswith("Load("):
            self._free = [*self._free, line.strip()][-_LINES_MAX:]

    def end(self, exit_code: int, *, stopped: bool) -> tree.ToolEnd:
        """Say how it ended. Of the exit codes, 0 and 1 with a number of errors mean that it went through."""
        went_through = exit_code == 0 or (exit_code == 1 and self._went_through)
        others = list(self._others)
        if exit_code and not went_through:
            others += [] if stopped else self._last_words()
            others.append(f"restic was broken off with exit code {exit_code}{' on request' if stopped else ''}")
        return tree.ToolEnd(
            exit_code=exit_code, reached_end=went_through, complaints=self._complaints, others=tuple(others)
        )

    def _last_words(self) -> list[str]:
        """Give what it said of no item, and what can be done about it where that is known."""
        said = " ".join([*self._others, *self._free])
        told = [self._tool.message(" ".join(self._free))] if self._free else []
        return [*told, *filter(None, [remedy_for(said, REMEDIES, "")])]

    def _json(self, line: str) -> None:
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            return
        match said.get("message_type"):
            case "status":
                self._progress(int(said.get("bytes_restored") or 0), int(said.get("files_restored") or 0))
            case "error":
                self._complain(str(said.get("item") or ""), str((said.get("error") or {}).get("message") or said))
            case "exit_error":
                self._fatal(str(said.get("message")))
            case _:  # a summary is no fact about the target
                pass

    def _text(self, text: str) -> None:
        """Take ``/path: why``; a path may hold a line break, and a colon too."""
        self._begun = ""
        places = [found.start() for found in re.finditer(": ", text)]
        known = next((place for place in places if text[:place].strip("/") in self._known), None)
        if known is None and not places:
            self._begun = text
            return
        place = places[0] if known is None else known
        self._complain(text[:place], text[place + 2 :])

    def _complain(self, path: str, why: str) -> None:
        message = self._tool.message(why)
        complaint = tree.Complaint(tree.reason_in(why, "tool_error"), message, _HARMLESS.match(why) is not None)
        self._complaints.setdefault(self._parts(path), []).append(complaint)
        self._last = (path, why)

    def _parts(self, path: str) -> Parts:
        return self._known.get(path.strip("/")) or split(path.lstrip("/")) or ()

    def _fatal(self, text: str) -> None:
        if _END_OF_ALL.search(text):
            self._went_through = True
        else:
            self._others.append(self._tool.message(text))
