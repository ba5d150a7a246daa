"""Zip archives, read by their index: one damaged member does not hide the others.

Owns reading. Refuses to use any of zipfile's extraction.
"""

from __future__ import annotations

import lzma
import stat
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from proofgap_app.drivers.archives import DamagedError, Entry, Listing, file_identity, file_unchanged, unreadable
from proofgap_app.drivers.base import Identity, Kind, SourceError
from proofgap_app.drivers.names import shown

_DECLARED_UTF8 = 0x800
_ENCRYPTED = 0x1
_LINK_BYTES_MAX = 4096
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    RuntimeError,  # encrypted
    NotImplementedError,  # a compression method that Python does not know
    ValueError,
)


class _Content:
    """The bytes of one member, checked against its CRC at the end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        with _noticing_damage():
            return self._file.read(size)


class _Lost:
    """A member that cannot even be opened."""

    def __init__(self, damage: DamagedError) -> None:
        self._damage = damage

    def read(self, _size: int, /) -> bytes:
        raise self._damage


class ZipArchive:
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        self._path = path

    def identity(self) -> Identity:
        """Give size and SHA-256 of the archive file."""
        return file_identity(self._path)

    def unchanged_since(self, identity: Identity) -> bool:
        """Compare size and time of last change."""
        return file_unchanged(self._path, identity)

    def listing(self) -> Listing:
        """Read the index; a zip file that was cut off has none."""
        with self._open() as archive:
            entries = [_entry(archive, info, position) for position, info in enumerate(archive.infolist())]
        return Listing(entries=tuple(entries))

    def walk(self, positions: Collection[int]) -> Iterator[tuple[int, _Content | _Lost]]:
        """Give the wanted contents, each of them independent of the others."""
        with self._open() as archive:
            members = archive.infolist()
            for position in sorted(positions):
                try:
                    with _noticing_damage():
                        file = archive.open(members[position])
                except DamagedError as damage:
                    yield position, _Lost(damage)
                    continue
                with file:
                    yield position, _Content(file)

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path)
        except OSError as error:
            raise unreadable(self._path, error) from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            problem = (
                f"{shown(self._path)} has no readable index ({shown(str(error))}); a zip file that was cut off has none"
            )
            raise SourceError("backup", problem, "Hand in an undamaged copy of it.") from error


@contextmanager
def _noticing_damage() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DamagedError("source_damaged", shown(str(error) or type(error).__name__)) from error


def _kind(info: zipfile.ZipInfo, mode: int) -> Kind:
    if info.is_dir():
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    return Kind.FILE if stat.S_ISREG(mode) or not stat.S_IFMT(mode) else Kind.SPECIAL


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, position: int) -> Entry:
    mode = info.external_attr >> 16
    kind = _kind(info, mode)
    refused = "encrypted" if info.flag_bits & _ENCRYPTED else None
    link = None
    if kind is Kind.SYMLINK and refused is None:
        link, refused = _link(archive, info)
    return Entry(
        name=_name(info),
        kind=kind,
        position=position,
        size=info.file_size if kind is Kind.FILE else None,
        mode=mode & 0o777 or None,
        mtime_ns=_mtime_ns(info),
        link=link,
        refused=refused,
    )


def _name(info: zipfile.ZipInfo) -> str:
    """Give a member's name. One that does not declare its encoding is UTF-8 if it can be: that is what Unix tools write."""
    if info.flag_bits & _DECLARED_UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _link(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str | None, str | None]:
    """Give the text of a symbolic link, or why there is none."""
    if info.file_size > _LINK_BYTES_MAX:
        return None, "source_damaged"
    try:
        with _noticing_damage():
            return archive.read(info).decode("utf-8", "surrogateescape"), None
    except DamagedError as damage:
        return None, damage.reason_code


def _mtime_ns(info: zipfile.ZipInfo) -> int:
    # A zip file stores local time without saying which; local time here is the only guess there is. Its years are 1980 to
    # 2107, and a month 0 or a second 62 is carried over, so there is always an answer.
    return int(time.mktime((*info.date_time, 0, 0, -1))) * 1_000_000_000
