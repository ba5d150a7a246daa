"""Restoring a tree of files by a tool that writes them itself: what it is given to do, and what became of each item.

Theory. The tool writes; what it says of itself is not believed. Before it begins, every item is looked at in the target, and
only what is to be written is handed to the tool: what is there already, what must not be replaced, and what cannot be put where
something else is, is left out. Afterwards every item is looked at again. An item that an error message names has failed. One
that no message names succeeded if the tool went through to its end and what is there has the right kind and size; if the tool
was broken off, only if it also has its time of last change, which tools set when its content is written. What is there and
cannot be vouched for is partial, what is not there was not applied. Nothing was written if nothing in the target changed at all.

Owns these rules. Refuses to know any tool; whether the content is right is the evidence's business (`tree_evidence`).
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from proofgap.errors import BadInputError
from proofgap.facts import CountsSource, ItemResult
from proofgap.records import Completeness, Item
from proofgap_app.drivers.base import (
    Action,
    Execution,
    Kind,
    Plan,
    PlannedItem,
    PreviewItem,
    Progress,
    Report,
    Request,
    SourceError,
    TargetError,
)
from proofgap_app.drivers.files_execute import Tally, not_done
from proofgap_app.drivers.leftovers import IN_PLACE
from proofgap_app.drivers.names import Parts, shown
from proofgap_app.drivers.target import Target, message_of, reason_of
from proofgap_app.drivers.target_state import EXISTS, obstacle
from proofgap_app.drivers.tree_evidence import Expectation

TIME_TOLERANCE_NS = 2_000
"""By how much a tool may round a time of last change: two microseconds."""

_NAMES_LENGTH_MAX = 500_000
_HARMLESS = "metadata_not_applied"
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_TO_DO = frozenset({Action.CREATED, Action.OVERWRITTEN})
_KINDS = {
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FILE: stat.S_IFREG,
    Kind.HARDLINK: stat.S_IFREG,
}


class Complaint(NamedTuple):
    """One error message of the tool: why, in one word; its words; and whether only owner, permissions or times are concerned."""

    reason_code: str
    message: str
    is_harmless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnd:
    """How the tool ended, as far as it can be known from outside.

    Attributes:
        exit_code: negative where a signal ended it.
        reached_end: it went through everything it was given.
        complaints: its error messages, by the parts of the path that they name.
        others: its error messages that name no path.

    """

    exit_code: int
    reached_end: bool
    complaints: Mapping[Parts, Sequence[Complaint]] = field(default_factory=dict)
    others: Sequence[str] = ()


class Errand(NamedTuple):
    """What is to become of each item, and what the tool is told; ``None``: it has nothing to do."""

    foreseen: tuple[PreviewItem, ...]
    arguments: tuple[str, ...] | None


class Names(NamedTuple):
    """Paths that say what the tool is to write: only these, or all but these; none of the latter is everything."""

    are_wanted: bool
    paths: list[str]


Look = Mapping[Parts, tuple[int, int, int] | None]
"""What is at each path: number, time of last change of state and mode; ``None`` when nothing is."""


def foresee(target: Target, item: PlannedItem, expect: Expectation | None, *, overwrite: bool) -> PreviewItem:
    """Say what would become of one item; without an expectation, what is there is not compared."""
    if item.refused is not None:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=item.refused)
    try:
        action, reason = _foreseen(target, item, expect)
    except OSError as error:
        action, reason = Action.NONE, reason_of(error)
    if overwrite and action is Action.SKIPPED:
        action, reason = Action.OVERWRITTEN, None
    return PreviewItem(key=item.key, action=action, reason_code=reason)


def _foreseen(target: Target, item: PlannedItem, expect: Expectation | None) -> tuple[Action, str | None]:
    status = target.lookup(item.parts)
    blocked = obstacle(item, status)
    if blocked is not None:
        return Action.NONE, blocked
    if status is None:
        return Action.CREATED, None
    return (Action.UNCHANGED, None) if is_there(target, item, status, expect) else (Action.SKIPPED, EXISTS)


def may_be_there(target: Target, item: PlannedItem) -> bool:
    """Whether what is in the target has the kind and size of the item's content, so that only the content can tell."""
    try:
        status = target.lookup(item.parts)
    except OSError:
        return False
    has_content = item.kind not in {Kind.DIRECTORY, Kind.SPECIAL}
    return item.refused is None and has_content and status is not None and _looks_right(item, status)


def is_there(target: Target, item: PlannedItem, status: os.stat_result, expect: Expectation | None) -> bool:
    """Whether the target holds exactly this item. Raises ``OSError``."""
    if not _looks_right(item, status):
        return False
    if item.kind in {Kind.DIRECTORY, Kind.SPECIAL}:
        return True
    wanted = None if expect is None else expect.expected(item)
    if expect is None or not isinstance(wanted, str):
        return False
    is_link = item.kind is Kind.SYMLINK
    return wanted == (target.link_text(item.parts) if is_link else expect.observed(target, item))


def to_do(plan: Plan, foreseen: Iterable[PreviewItem]) -> frozenset[Parts]:
    """Choose what the tool is to write."""
    keys = {seen.key for seen in foreseen if seen.action in _TO_DO}
    return frozenset(item.parts for item in plan.items if item.key in keys)


def held(plan: Plan) -> frozenset[Parts]:
    """Give all that the backup holds, by a plan that selects all of it."""
    return frozenset(item.parts for item in plan.items if item.kind is not Kind.MISSING)


def named(wanted: Collection[Parts], everything: Collection[Parts]) -> Names:
    """Say what is to be written in as few names as possible: those that are wanted, or those that are not.

    Raises:
        TargetError: it takes more names than one call of a program can be given.

    """
    unwanted = set(everything) - set(wanted)
    including, excluding = cover(wanted, everything), cover(unwanted, everything)
    are_wanted = len(including) < len(excluding)
    paths = ["/".join(parts) for parts in (including if are_wanted else excluding)]
    if sum(map(len, paths)) > _NAMES_LENGTH_MAX:
        problem = f"it takes {len(paths)} names to say what is to be restored, which is more than one call takes"
        raise TargetError("select", problem, "Restore whole folders, or into an empty directory.")
    return Names(are_wanted, paths)


def cover(wanted: Collection[Parts], everything: Collection[Parts]) -> list[Parts]:
    """Name the wanted paths in few words: a folder where all that it holds is wanted, else each path.

    >>> cover({("a", "x"), ("a", "y"), ("b", "x")}, {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")})
    [('a',), ('b', 'x')]
    """
    held, asked = Counter(_above(everything)), Counter(_above(wanted))
    whole = {folder for folder, number in asked.items() if number == held[folder]}
    named = {next((parts[:depth] for depth in range(len(parts)) if parts[:depth] in whole), parts) for parts in wanted}
    return sorted(named)


def _above(paths: Iterable[Parts]) -> Iterator[Parts]:
    return (parts[:depth] for parts in paths for depth in range(len(parts)))


def execute(
    plan: Plan,
    foreseen: Sequence[PreviewItem],
    work: Callable[[], ToolEnd],
    report: Report,
    progress: Progress,
) -> Execution:
    """Let the tool work, then look at every item and report it. Raises what ``work`` raises."""
    before = look(plan)
    end = work()
    tally = Tally(plan, report, progress)
    for message in end.others:
        tally.problem(message)
    plan = under_real_names(plan)
    after = look(plan)
    with Target(plan.request.target_path) as target:
        for item, seen in zip(plan.items, foreseen, strict=True):
            is_to_do = seen.action in _TO_DO
            settled = _left_out(item, seen)
            tally.end(_became(target, item, seen, (end, before, after)) if is_to_do else settled)
    known = {item.parts for item in plan.items}
    for parts, complaints in end.complaints.items():
        if parts not in known:
            tally.problem(f"{'/'.join(parts)}: {complaints[0].message}")
    return tally.ended(
        end.exit_code,
        reached_end=end.reached_end,
        nothing_written=all(before.get(parts) == seen for parts, seen in after.items()),
        source=_SOURCE,
    )


_SOURCE = CountsSource.METADATA


def look(plan: Plan) -> Look:
    """See what is at every path that the plan may touch, and at the folders above them."""
    folders = {item.parts[:depth] for item in plan.items for depth in range(len(item.parts))}
    paths = folders | {item.parts for item in (*plan.items, *plan.folders) if item.parts} | {()}
    root = plan.request.target_path
    return {parts: _seen(root.joinpath(*parts)) for parts in paths}


def _seen(path: os.PathLike[str]) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_mode


def _left_out(item: PlannedItem, seen: PreviewItem) -> Item:
    if seen.action is Action.UNCHANGED:
        return Item(key=item.key, action=Action.UNCHANGED, result=ItemResult.SUCCEEDED, reason_code=IN_PLACE)
    reason = seen.reason_code or "not_restored"
    if seen.action is Action.SKIPPED:
        return not_done(
            item, ItemResult.SKIPPED, reason, "it exists, differs, and was not to be replaced", Action.SKIPPED
        )
    if item.kind is Kind.MISSING:
        return not_done(item, ItemResult.NON_APPLIED, reason, "the manifest names it, the backup does not hold it")
    return not_done(item, ItemResult.FAILED, reason, "something is in its place, or keeps it from being put there")


def _became(target: Target, item: PlannedItem, seen: PreviewItem, ended: tuple[ToolEnd, Look, Look]) -> Item:
    """Say what became of an item that the tool was to write."""
    end, before, after = ended
    said = end.complaints.get(item.parts, ())
    worst = next((one for one in said if not one.is_harmless), None)
    try:
        status = target.lookup(item.parts)
    except OSError as error:
        return not_done(item, ItemResult.FAILED, reason_of(error), message_of(error))
    if worst is not None:
        return not_done(item, ItemResult.FAILED, worst.reason_code, worst.message)
    is_touched = before.get(item.parts) != after[item.parts]
    if status is None or not is_touched:
        reason = "not_reached" if not end.reached_end else "absent_without_an_error"
        return not_done(item, ItemResult.NON_APPLIED, reason, "it is not in the target, and no error names it")
    if not end.reached_end and not _is_finished(item, status):
        return not_done(
            item, ItemResult.PARTIAL, "broken_off", "the tool was broken off while it may have been at work on it"
        )
    if not _looks_right(item, status):
        return not_done(item, ItemResult.FAILED, "wrong_size_or_kind", "what is in the target has another size or kind")
    return Item(
        key=item.key,
        action=seen.action,
        result=ItemResult.SUCCEEDED,
        reason_code=_HARMLESS if said else None,
        message=said[0].message if said else None,
        bytes=item.size,
    )


def _looks_right(item: PlannedItem, status: os.stat_result) -> bool:
    """Whether kind and size are the item's; of a special file only that it is one."""
    wanted = _KINDS.get(item.kind)
    if wanted is None:
        return stat.S_IFMT(status.st_mode) not in _KINDS.values()
    is_kind = stat.S_IFMT(status.st_mode) == wanted
    return is_kind and (wanted != stat.S_IFREG or item.size in {None, status.st_size})


def _is_finished(item: PlannedItem, status: os.stat_result) -> bool:
    """Whether kind, size and time are the item's: the tool sets the time when the content is written."""
    is_dated = item.mtime_ns is not None and abs(status.st_mtime_ns - item.mtime_ns) <= TIME_TOLERANCE_NS
    return _looks_right(item, status) and (is_dated or item.position is None)


REASONS = {
    "no space left on device": "no_space",
    "disk quota exceeded": "no_space",
    "read-only file system": "read_only",
    "permission denied": "permission_denied",
    "operation not permitted": "permission_denied",
    "is a directory": "is_a_directory",
    "not a directory": "not_a_directory",
    "file exists": "appeared_meanwhile",
    "file name too long": "name_too_long",
    "input/output error": "target_unreliable",
}
"""What the system says, in any tool's message, and the reason code that stands for it."""


def reason_in(message: str, otherwise: str) -> str:
    """Give the reason code of a message: the system's words if it has them, else the one given."""
    lower = message.lower()
    return next((reason for words, reason in REASONS.items() if words in lower), otherwise)


def under_real_names(plan: Plan) -> Plan:
    """Give the plan with the names that the target has, where the tool could only say them with ``?`` for what is no text."""
    root = plan.request.target_path
    return replace(plan, items=tuple(_under_real_name(root, item) if "?" in item.key else item for item in plan.items))


def _under_real_name(root: Path, item: PlannedItem) -> PlannedItem:
    parts: Parts = ()
    for name in item.parts:
        folder = root.joinpath(*parts)
        exact = "?" not in name or os.path.lexists(folder / name)
        parts = (*parts, name if exact else _alike(folder, name))
    return replace(item, parts=parts)


def _alike(folder: Path, name: str) -> str:
    try:
        found = [held.name for held in folder.iterdir() if _UNDECODABLE.sub("?", held.name) == name]
    except OSError:
        return name
    return found[0] if len(found) == 1 else name


def demand_a_directory(request: Request) -> None:
    """Refuse a target that is something else. Raises `TargetError`."""
    if request.target_path.exists() and not request.target_path.is_dir():
        problem = f"{shown(request.target)} is not a directory"
        raise TargetError("target", problem, "Name a directory, or one that does not exist yet.")


def refuse_unsafe(items: tuple[PlannedItem, ...]) -> None:
    """Refuse a backup with a name that leads out of the target: the tool writes by itself. Raises `SourceError`."""
    unsafe = next((item.key for item in items if item.refused == "unsafe_path"), None)
    if unsafe is not None:
        problem = f"it holds the name {unsafe}, which leads out of the target"
        raise SourceError("backup", problem, "Restore the rest with --select.")


def demand_a_source_state(request: Request) -> None:
    """Refuse an option ``source`` that says nothing. Raises `BadInputError`."""
    if request.options.get("source", "complete") not in {"complete", "incomplete"}:
        raise BadInputError("option", "source is neither complete nor incomplete", "Say what the backup run ended as.")


def stated(request: Request) -> Completeness:
    """Give whether the backup is complete, as its own run said: a snapshot itself does not say."""
    return Completeness(request.options.get("source", Completeness.UNKNOWN))
