"""Which kind of backup a path is, told by its content.

Owns the magic numbers. Refuses to trust a file's name where the content says enough.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from proofgap_app.drivers.archives import Archive, unreadable
from proofgap_app.drivers.base import SourceError
from proofgap_app.drivers.directory_archive import DirectoryArchive
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.tar_archive import TarArchive
from proofgap_app.drivers.zip_archive import ZipArchive

SQLITE_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 512
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


def head_of(backup: Path) -> bytes:
    """Give the first 512 bytes of a file. Raises `SourceError` when there are none."""
    try:
        with backup.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(backup, error) from error
    if not head:
        raise SourceError("backup", f"{shown(backup)} is empty: 0 bytes", "Hand in the backup itself.")
    return head


def is_database(backup: Path) -> bool:
    """Whether it is an SQLite database, or a dump of one."""
    if backup.is_dir():
        return False
    head = head_of(backup)
    return head.startswith(SQLITE_MAGIC) or (backup.suffix.lower() == ".sql" and b"\0" not in head)


def open_archive(backup: Path) -> Archive:
    """Give the archive at a path. Raises `SourceError` when it is none."""
    if backup.is_dir():
        return DirectoryArchive(backup)
    head = head_of(backup)
    if head.startswith(b"PK") or zipfile.is_zipfile(backup):
        return ZipArchive(backup)
    if head.startswith(_COMPRESSED) or _is_tar_header(head):
        return TarArchive(backup)
    raise SourceError(
        "backup",
        f"{shown(backup)} is none of: tar (plain, gzip, bzip2, xz), zip, directory, SQLite database, SQL dump",
        "Hand in one of these.",
    )


def _is_tar_header(head: bytes) -> bool:
    if len(head) == _HEAD_BYTES and not any(head):
        return True  # an archive of nothing
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
