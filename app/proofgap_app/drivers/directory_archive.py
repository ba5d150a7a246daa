"""A directory as a backup: its files are the members. There are no checksums in it; only a manifest can bring some.

Owns walking it without following links. Refuses to know what is a good backup.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from proofgap_app.drivers.archives import DamagedError, Entry, Listing, unreadable
from proofgap_app.drivers.base import Identity, Kind
from proofgap_app.drivers.names import shown

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}


class _Content:
    """The bytes of one open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, /) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise _damage(error) from error


class _Lost:
    """A file that cannot be opened."""

    def __init__(self, damage: DamagedError) -> None:
        self._damage = damage

    def read(self, _size: int, /) -> bytes:
        raise self._damage


class DirectoryArchive:
    """A directory that holds copies of files."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        self._path = path
        self._listed: Listing | None = None

    def identity(self) -> Identity:
        """Give the SHA-256 of the listing: names, sizes, times of last change, permissions. Content is not read."""
        hasher, size = hashlib.sha256(), 0
        for entry in self.listing().entries:
            line = f"{shown(entry.name)}\t{entry.kind}\t{entry.size}\t{entry.mtime_ns}\t{entry.mode}\t{shown(entry.link or '')}\n"
            hasher.update(line.encode())
            size += entry.size or 0
        return Identity(size=size, sha256=hasher.hexdigest(), mtime_ns=0)

    def unchanged_since(self, identity: Identity) -> bool:
        """Compare the listings."""
        return self.identity() == identity

    def listing(self) -> Listing:
        """List everything below, in the order of names; a directory that cannot be read is listed as unreadable."""
        try:
            self._listed = Listing(entries=tuple(_numbered(_below(self._path, ""))))
        except OSError as error:
            raise unreadable(self._path, error) from error
        return self._listed

    def walk(self, positions: Collection[int]) -> Iterator[tuple[int, _Content | _Lost]]:
        """Give the wanted contents in the order of names, by the listing that was last looked at."""
        # A fresh listing could have shifted positions, and one file's content would go under another's name.
        listing = self._listed or self.listing()
        wanted = set(positions)
        for entry in listing.entries:
            if entry.position in wanted:
                yield from self._content(entry)

    def _content(self, entry: Entry) -> Iterator[tuple[int, _Content | _Lost]]:
        try:
            descriptor = os.open(self._path / entry.name, _READ_FLAGS)
        except OSError as error:
            yield entry.position, _Lost(_damage(error))
            return
        try:
            yield entry.position, _Content(descriptor)
        finally:
            os.close(descriptor)


def _damage(error: OSError) -> DamagedError:
    return DamagedError("source_unreadable", error.strerror or type(error).__name__)


def _numbered(found: Iterator[tuple[str, os.stat_result | None, str | None]]) -> Iterator[Entry]:
    for position, (name, status, link) in enumerate(found):
        if status is None:
            yield Entry(name=name, kind=Kind.UNREADABLE, position=position, refused="source_unreadable")
            continue
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), Kind.SPECIAL)
        yield Entry(
            name=name,
            kind=kind,
            position=position,
            size=status.st_size if kind is Kind.FILE else None,
            mode=status.st_mode & 0o777,
            mtime_ns=status.st_mtime_ns,
            owner=(status.st_uid, status.st_gid),
            link=link,
        )


def _below(root: Path, inside: str) -> Iterator[tuple[str, os.stat_result | None, str | None]]:
    """Give name, status and link text of everything below; no status for a directory that cannot be listed."""
    pending = [inside]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as found:
                children = sorted(found, key=lambda child: child.name)
        except OSError:
            if folder == inside:
                raise
            yield folder, None, None
            continue
        for child in children:
            name = f"{folder}/{child.name}" if folder else child.name
            link = str(Path(child.path).readlink()) if child.is_symlink() else None
            yield name, child.stat(follow_symlinks=False), link
            if child.is_dir(follow_symlinks=False):
                pending.append(name)
