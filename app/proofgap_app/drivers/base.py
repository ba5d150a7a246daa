"""What every driver offers: plan, preview, execute, collect, and the values that go in and come out.

Theory. A driver turns a backup into facts, in four steps that trust each other as little as they can. *plan* lists
what the backup holds. *preview* reads the backup and looks at the target, and writes nothing. *execute* writes, and
reports each item as it finds it. *collect* reads the target afterwards and compares it with an expectation taken
from the backup; it never looks at what execute reported.

Owns the interface and its values; what is reported of an item or of evidence has the core's own shapes
(`proofgap.records`). Refuses to know any format, and what the facts mean for the run's status: that is
`proofgap.outcome`. ``None`` always means *not known*. Sizes are bytes; times of files are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from proofgap.errors import BadInputError, ProofgapError
from proofgap.facts import Counts, CountsSource
from proofgap.outcome import ExecutionFacts
from proofgap.records import Check, Completeness, Item, RecoveryPointBasis, RunDetails, SnapshotDetails


class SourceError(BadInputError):
    """The backup cannot be listed at all, so there is no plan; the run is blocked for want of a valid source."""


class TargetError(BadInputError):
    """The target cannot be restored into, whatever the backup holds."""


class SourceChangedError(ProofgapError):
    """The backup is no longer the one that was planned. Nothing was written."""

    remedy = "Plan and preview again."

    def __init__(self, backup: str) -> None:
        """Name the backup."""
        self.backup = backup
        super().__init__(f"backup {backup}: it changed since the plan was made. {self.remedy}")


class TargetChangedError(ProofgapError):
    """The target is no longer what the preview showed. Nothing was written."""

    remedy = "Preview again, and decide anew."

    def __init__(self, target: str, shown: str, found: str) -> None:
        """Name the target, and its fingerprint as it was shown and as it was found."""
        self.target, self.shown, self.found = target, shown, found
        super().__init__(f"target {target}: it changed since the preview. {self.remedy}")


def demand_same_target(target: str, shown: str | None, found: str) -> None:
    """Refuse to write into a target that is not what the preview showed; ``None``: nobody was shown one.

    Raises:
        TargetChangedError: it is another one by now.

    """
    if shown is not None and found != shown:
        raise TargetChangedError(target, shown, found)


class Unit(StrEnum):
    """What the items of a plan are."""

    FILE = "file"
    TABLE = "table"
    TOC_ENTRY = "toc_entry"  # one line of a dump's table of contents
    ITEM = "item"  # whatever the user's own program calls one


class Kind(StrEnum):
    """What one planned item is."""

    FILE = "file"
    DIRECTORY = "directory"  # an empty one; the others come into being with what they hold
    SYMLINK = "symlink"
    HARDLINK = "hardlink"  # restored as a copy of the content it names
    SPECIAL = "special"  # device, pipe, socket: never created
    TABLE = "table"
    OBJECT = "object"  # anything else that has a name, such as an index or a sequence
    MISSING = "missing"  # the manifest names it, the backup does not hold it
    UNREADABLE = "unreadable"  # the part of a damaged backup that nobody can list


class Action(StrEnum):
    """What was done, or would be done, about one item in the target."""

    CREATED = "created"
    OVERWRITTEN = "overwritten"
    UNCHANGED = "unchanged"  # the target holds exactly this already
    SKIPPED = "skipped"
    NONE = "none"


class Depth(StrEnum):
    """How deep a preview looked into the backup."""

    METADATA = "metadata"
    DATA = "data"  # every byte was read and checked against every checksum there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to restore from where into what. Everything in it goes on record, so none of it may be a secret.

    Attributes:
        backup: which backup, in the words of its driver: a path, or a repository and what in it, such as ``/srv/repo#latest``.
        target: where to, in the words of the driver: a directory, the path of a database file, the URL of a database.
        manifest: SHA-256 sums of the content, as ``sha256sum`` writes them.
        overwrite: replace what exists and differs; otherwise it is skipped, and counted as skipped.
        select: glob patterns over item keys; none selects everything.
        expects_nothing: an empty selection is right.
        options: what else the driver is told; it refuses names that it does not know.
        password_file: path, on the machine that executes, of the file whose first line is the backup's password.

    """

    backup: str
    target: str
    manifest: Path | None = None
    overwrite: bool = False
    select: tuple[str, ...] = ()
    expects_nothing: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    password_file: Path | None = None

    @property
    def backup_path(self) -> Path:
        """The backup, for drivers whose backups are files."""
        return Path(self.backup)

    @property
    def target_path(self) -> Path:
        """The target, for drivers that restore into files."""
        return Path(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """One thing the plan selects.

    Attributes:
        key: stable, printable, unique in the plan.
        parts: where it goes, below the target; empty when it must not go anywhere.
        size: bytes of content.
        mode: permission bits, without set-user-id, set-group-id and sticky.
        mtime_ns: time of last change.
        owner: user id and group id.
        sha256: of the content, as the manifest has it.
        link: text of a symbolic link.
        position: where in the backup its content is.
        refused: reason code when it will not be restored, on purpose or because it cannot be.

    """

    key: str
    kind: Kind
    parts: tuple[str, ...] = ()
    size: int | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    owner: tuple[int, int] | None = None
    sha256: str | None = None
    link: str | None = None
    position: int | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which backup it is: its size in bytes, the SHA-256 of it, and when it last changed.

    The SHA-256 of a directory is that of its listing; that of a snapshot in a repository is the snapshot's own id, which is over
    all that it holds, and its time is when it was taken.
    """

    size: int
    sha256: str
    mtime_ns: int
    basis: RecoveryPointBasis = RecoveryPointBasis.FILE_TIME

    def recovery_point(self, known: RunDetails) -> dict[str, Any]:
        """Give the time of the backup as facts on its recovery point, where nobody stated a better one."""
        changed_us, basis = self.mtime_ns // 1000, known.recovery_point_basis
        is_stated = known.recovery_point_us is not None and basis is RecoveryPointBasis.STATED
        if is_stated or changed_us < 0:
            return {}
        return {"recovery_point_us": changed_us, "recovery_point_basis": self.basis}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be restored. ``digest`` is over everything in it that decides what is written, backup included."""

    driver: str
    tool_version: str
    request: Request  # with the one backup that was meant, where it was asked for as the latest
    unit: Unit
    items: tuple[PlannedItem, ...]
    bytes_total: int | None
    identity: Identity
    source_completeness: Completeness
    problems: tuple[str, ...]
    digest: str
    folders: tuple[PlannedItem, ...] = ()  # directories that items lie in; not counted
    marker: str | None = None  # of the target, when the plan was made: what was written since then is told by it
    in_place: frozenset[str] = frozenset()  # keys of items that the run says it found there and left alone

    @property
    def selected(self) -> int:
        """How many items are selected."""
        return len(self.items)

    @property
    def expects_nothing(self) -> bool:
        """Whether an empty selection is right."""
        return self.request.expects_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewItem:
    """What would become of one item; ``reason_code`` says why when it would not be restored."""

    key: str
    action: Action
    reason_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What executing the plan would do. ``unavailable`` items cannot be restored; the five numbers add up to the plan's."""

    created: int
    overwritten: int
    unchanged: int
    skipped: int
    unavailable: int
    depth: Depth
    target_fingerprint: str
    problems: tuple[str, ...]
    items: tuple[PreviewItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution went.

    Attributes:
        reached_end: the tool went through everything it was given.
        exit_code: of the tool; negative where a signal ended it.
        errors_logged: error messages seen.
        nothing_written: true only when it is proven that the target is as it was before.
        counts: added up from the items that were reported; ``None`` where nobody can tell.
        bytes_written: content that was put into the target, in bytes.
        selected: items that the plan selects.
        expects_nothing: an empty selection is right.
        problems: what went wrong, for people.
        counts_source: where the counts come from.
        counts_are_lower_bounds: there may be more of each: nobody saw the end.

    """

    reached_end: bool
    exit_code: int
    errors_logged: int
    nothing_written: bool
    counts: Counts
    bytes_written: int
    selected: int
    expects_nothing: bool
    problems: tuple[str, ...]
    counts_source: CountsSource = CountsSource.ITEMS
    counts_are_lower_bounds: bool = False

    def facts(
        self, *, cancel_requested: bool, lease_lost: bool = False, unrequested_signal: bool = False
    ) -> ExecutionFacts:
        """Give what the outcome rule needs; what only the worker can know is handed in.

        A signal that ended the tool, while nobody had asked for an end, is one that nobody asked for.
        """
        unrequested_signal = unrequested_signal or (self.exit_code < 0 and not cancel_requested)
        return ExecutionFacts(
            lease_lost=lease_lost,
            unrequested_signal=unrequested_signal,
            cancel_requested=cancel_requested,
            reached_end=self.reached_end,
            nothing_written=self.nothing_written,
            selected=self.selected,
            expects_nothing=self.expects_nothing,
            exit_code=self.exit_code,
            errors_logged=self.errors_logged,
            counts=self.counts,
        )


class EvidenceReport(NamedTuple):
    """What reading the target found, and every comparison that was made. Level and numbers of checks follow from the checks.

    ``subjects_checked`` counts items whose state in the target was compared with the backup; nothing else.
    ``content_sha256`` is over the canonical list of checks.
    """

    found: SnapshotDetails
    checks: tuple[Check, ...]

    @property
    def can_activate(self) -> bool:
        """Whether anything was checked at all, or emptiness was expected; if not, this is no evidence."""
        return bool(self.found.subjects_checked) or self.found.expected_empty


Report = Callable[[Item], None]
"""Called once per selected item, in no promised order."""

Progress = Callable[[int, int], None]
"""Called often, with bytes and items done so far; must return at once."""

ShouldStop = Callable[[], bool]
"""Asked often; true means: stop as soon as nothing is left half done."""


def no_progress(_bytes: int, _items: int) -> None:
    """Ignore progress."""


class Driver(Protocol):
    """A way to restore one kind of backup. It is made without arguments, and keeps nothing between two calls."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, str]]  # names of options that a request may have, and what each is for

    def settled(self, request: Request) -> Request:
        """Give the request as it goes on record: whole paths, and the target that is really restored to.

        Looks at nothing but local paths: whether a repository can be read is for the run to find out.
        Raises `BadInputError`, with the field ``backup``, ``target`` or ``option``, for what can never be meant.
        """
        ...

    def plan(self, request: Request) -> Plan:
        """List what the backup holds and the request selects; write nothing.

        Raises `SourceError` when the backup cannot be listed, `TargetError` when the target cannot be restored into.
        """
        ...

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Say what executing the plan would do; write nothing.

        Raises `SourceChangedError` when the backup is not the planned one.
        """
        ...

    def place(self, plan: Plan) -> Path:
        """Give the path below which, or to which, the plan writes; for a target that is no file, any path that is the same for it."""
        ...

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of what the target holds now where the plan would write."""
        ...

    def execute(
        self,
        plan: Plan,
        *,
        target_fingerprint: str | None,
        report: Report,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> Execution:
        """Restore. Every selected item is reported exactly once, whatever happens to it.

        ``target_fingerprint`` is the preview's; ``None`` means that there was none to hold on to.
        Raises `SourceChangedError` or `TargetChangedError` before anything is written.
        """
        ...

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Read the target and compare it with the backup; write nothing.

        Raises `SourceChangedError` when the backup is not the planned one, to its last byte where it is a file: then there
        is nothing to compare with.
        """
        ...
