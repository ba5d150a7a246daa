"""What every kind of file backup can be asked: its identity, its listing, and its contents in order.

Owns the shape of a listing and the one error for damage. Refuses to know where anything is restored to, and what is selected.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proofgap_app.drivers.base import Identity, Kind, Plan, Progress, SourceChangedError, SourceError
from proofgap_app.drivers.names import shown

CHUNK_BYTES = 1 << 20


class DamagedError(Exception):
    """A part of the backup cannot be read. Raised by one content: that one only; by a walk: that and all that follow."""

    def __init__(self, reason_code: str, problem: str) -> None:
        """Say in one word, and in one sentence, what is wrong."""
        self.reason_code, self.problem = reason_code, problem
        super().__init__(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member as the backup lists it; ``name`` is exactly what it says, and not to be trusted."""

    name: str
    kind: Kind
    position: int
    size: int | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    owner: tuple[int, int] | None = None
    link: str | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All members that could be listed; with ``damage`` there may be more, or some of them may be wrong."""

    entries: tuple[Entry, ...]
    damage: DamagedError | None = None


class Content(Protocol):
    """The bytes of one member."""

    def read(self, size: int, /) -> bytes:
        """Give at most ``size`` bytes, and none at the end. Raises `DamagedError`."""
        ...


class Archive(Protocol):
    """A backup of files."""

    def identity(self) -> Identity:
        """Say which backup this is; reads all of it."""
        ...

    def unchanged_since(self, identity: Identity) -> bool:
        """Whether nothing suggests that it is another backup by now; does not read its content."""
        ...

    def listing(self) -> Listing:
        """List it. Raises `SourceError` when not even that is possible."""
        ...

    def walk(self, positions: Collection[int]) -> Iterator[tuple[int, Content]]:
        """Give the contents at these positions, in order, each to be read before the next. Raises `DamagedError`."""
        ...


def file_identity(path: Path) -> Identity:
    """Give size and SHA-256 of a file; raises `SourceError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(path, error) from error
    return Identity(size=status.st_size, sha256=digest, mtime_ns=status.st_mtime_ns)


def file_unchanged(path: Path, identity: Identity) -> bool:
    """Whether a file still has the size and the time of last change that it had."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (identity.size, identity.mtime_ns)


def demand_same_bytes(plan: Plan, identity: Callable[[], Identity]) -> None:
    """Read the backup once more, and refuse it if it is not the one that was planned.

    Asked after what was compared with it was read: a swap that keeps size and time of last change is found here.

    Raises:
        SourceChangedError: it has other bytes (a directory: another listing), or cannot be read any more.

    """
    try:
        found = identity()
    except SourceError as error:
        raise SourceChangedError(shown(plan.request.backup_path)) from error
    if found != plan.identity:
        raise SourceChangedError(shown(plan.request.backup_path))


def unreadable(path: Path, error: OSError) -> SourceError:
    """Turn a failed system call into an error that names the backup and the remedy."""
    problem = f"{shown(path)} cannot be read ({error.strerror or type(error).__name__})"
    return SourceError("backup", problem, "Hand in the path of a backup that this user can read.")


Digests = dict[int, str | DamagedError]


def content_digests(archive: Archive, positions: Collection[int], progress: Progress) -> Digests:
    """Read the contents at these positions, and give the SHA-256 of each, or what keeps it from being read."""
    found: Digests = {}
    done = 0
    try:
        for position, content in archive.walk(positions):
            found[position], done = _digest_or_damage(content, done, len(found), progress)
    except DamagedError as damage:
        return {position: found.get(position, damage) for position in positions}
    return found


def _digest_or_damage(content: Content, done: int, items: int, progress: Progress) -> tuple[str | DamagedError, int]:
    hasher = hashlib.sha256()
    try:
        while chunk := content.read(CHUNK_BYTES):
            hasher.update(chunk)
            done += len(chunk)
            progress(done, items)
    except DamagedError as damage:
        return damage, done
    return hasher.hexdigest(), done
