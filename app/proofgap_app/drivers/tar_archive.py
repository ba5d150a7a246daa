"""Tar archives, plain or compressed with gzip, bzip2 or xz, read in one pass from the front.

Theory. `tarfile` ends its listing without a word when a header is not valid or the file simply stops between two
members, so the end mark is checked here. A compressed stream is read to its very end, because its checksum stands
there. What comes after damage in a stream is lost: a tar archive has no index.

Owns reading. Refuses to use any of tarfile's extraction.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from proofgap_app.drivers.archives import (
    CHUNK_BYTES,
    DamagedError,
    Entry,
    Listing,
    file_identity,
    file_unchanged,
    unreadable,
)
from proofgap_app.drivers.base import Identity, Kind, SourceError
from proofgap_app.drivers.names import shown

_HEADER_BYTES_MAX = 64 << 20  # tarfile reads extended headers in one piece; a crafted one must not fill the memory
_BLOCK_BYTES = 512
_SECONDS_MAX = 1 << 33
_OWNER_MAX = (1 << 32) - 2

_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError)
_CUT_SHORT = ("unexpected end", "end-of-stream", "truncated")

_OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


class _Stream:
    """A readable stream that remembers its last block, and refuses to be read in huge pieces."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.last = b""
        self.tell, self.seek = raw.tell, raw.seek

    def read(self, size: int) -> bytes:
        if size > _HEADER_BYTES_MAX:
            msg = f"a header of {size} bytes"
            raise ValueError(msg)
        self.last = self._raw.read(size)
        return self.last


class _Content:
    """The bytes of one member, never more than its header says."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        with _noticing_damage():
            return b"" if self._file is None else self._file.read(size)


class TarArchive:
    """A tar archive."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        self._path = path

    def identity(self) -> Identity:
        """Give size and SHA-256 of the archive file, as it is stored."""
        return file_identity(self._path)

    def unchanged_since(self, identity: Identity) -> bool:
        """Compare size and time of last change."""
        return file_unchanged(self._path, identity)

    def listing(self) -> Listing:
        """Read the archive from front to end; with damage, up to there."""
        entries: list[Entry] = []
        try:
            for _tar, member in self._members(stop_after=None):
                entries.append(_entry(member, len(entries)))
        except DamagedError as damage:
            if not entries:
                raise self._not_an_archive(damage.problem) from damage
            return Listing(entries=tuple(entries), damage=damage)
        return Listing(entries=tuple(entries))

    def walk(self, positions: Collection[int]) -> Iterator[tuple[int, _Content]]:
        """Give the wanted contents in the order of the archive."""
        wanted = set(positions)
        last = max(wanted, default=-1)
        for position, (tar, member) in enumerate(self._members(stop_after=last)):
            if position in wanted:
                yield position, _Content(tar.extractfile(member))

    def _members(self, *, stop_after: int | None) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        if stop_after == -1:
            return
        with closing(self._open()) as raw:
            stream = _Stream(raw)
            with _noticing_damage():
                tar = _opened(stream)
            position = 0
            while (member := _following(tar)) is not None:
                yield tar, member
                if position == stop_after:
                    return
                position += 1
            _demand_end_mark(stream)
            _drain(stream)

    def _open(self) -> IO[bytes]:
        try:
            with self._path.open("rb") as file:
                head = file.read(8)
            return next((opener for magic, opener in _OPENERS if head.startswith(magic)), _plain)(self._path)
        except OSError as error:
            raise unreadable(self._path, error) from error

    def _not_an_archive(self, problem: str) -> SourceError:
        return SourceError(
            "backup",
            f"{shown(self._path)} cannot be listed as a tar archive ({problem})",
            "Hand in an undamaged copy of it.",
        )


def _opened(stream: _Stream) -> tarfile.TarFile:
    # tarfile asks its file only to read, seek and tell
    return tarfile.TarFile(fileobj=cast("IO[bytes]", stream), mode="r", encoding="utf-8", errors="surrogateescape")


def _following(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    with _noticing_damage():
        member = tar.next()
        if member is not None and member.size < 0:
            # tarfile would go backwards from here, for ever
            msg = "a header with a negative size"
            raise ValueError(msg)
    return member


@contextmanager
def _noticing_damage() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        text = str(error) or type(error).__name__
        cut = isinstance(error, EOFError) or any(words in text for words in _CUT_SHORT)
        raise DamagedError("source_truncated" if cut else "source_damaged", shown(text)) from error


def _demand_end_mark(stream: _Stream) -> None:
    if len(stream.last) < _BLOCK_BYTES:
        raise DamagedError("source_truncated", "the archive stops without its end mark")
    if any(stream.last):
        raise DamagedError("source_damaged", "a header is not valid")


def _drain(stream: _Stream) -> None:
    with _noticing_damage():
        while stream.read(CHUNK_BYTES):
            pass


_KINDS = (
    (tarfile.TarInfo.isreg, Kind.FILE),
    (tarfile.TarInfo.isdir, Kind.DIRECTORY),
    (tarfile.TarInfo.issym, Kind.SYMLINK),
    (tarfile.TarInfo.islnk, Kind.HARDLINK),
)


def _entry(member: tarfile.TarInfo, position: int) -> Entry:
    kind = next((kind for matches, kind in _KINDS if matches(member)), Kind.SPECIAL)
    owner = (member.uid, member.gid)
    dated = math.isfinite(member.mtime) and abs(member.mtime) < _SECONDS_MAX
    return Entry(
        name=member.name,
        kind=kind,
        position=position,
        size=member.size if kind is Kind.FILE else None,
        mode=member.mode & 0o777,
        mtime_ns=round(member.mtime * 1_000_000) * 1_000 if dated else None,
        owner=owner if all(0 <= one <= _OWNER_MAX for one in owner) else None,
        link=member.linkname if kind in {Kind.SYMLINK, Kind.HARDLINK} else None,
    )
