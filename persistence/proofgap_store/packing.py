"""Bundles as zip files: packed so that equal files give equal bytes, and unpacked as if an attacker had packed them.

Owns the archive. Refuses to know what is in it (`proofgap.bundles`), and to write anything when it unpacks.

What is signed are the files, and not how they are packed: who unpacks a bundle and packs it again has the same bundle.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from proofgap.errors import BadInputError, ProofgapError
from proofgap.text import shown

FILES_MAX = 200_000
"""How many files a bundle may hold."""

BYTES_MAX = 2**30
"""How many bytes the files of a bundle may have together, unpacked."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_UNIX = 3
_BEGINNING = b"PK\x03\x04"
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class UnreadableBundleError(ProofgapError):
    """An archive that is damaged, or made to do harm. Nothing was unpacked."""

    remedy = "Ask the owner of the ledger for the bundle again."

    def __init__(self, problem: str) -> None:
        """Say what is wrong with it."""
        self.problem = problem
        super().__init__(f"the bundle cannot be read: {problem}. {self.remedy}")


def pack(files: Mapping[str, bytes], stream: IO[bytes]) -> None:
    """Write files into an archive, in their order; nothing of this machine and of this moment goes in.

    Raises:
        BadInputError: they are more, or larger, than anybody would unpack again.

    """
    if len(files) > FILES_MAX or sum(map(len, files.values())) > BYTES_MAX:
        problem = f"would hold more than {FILES_MAX} files or {BYTES_MAX} bytes"
        raise BadInputError("RUN", problem, "Take its events out instead: proofgap audit export --run RUN.")
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            archive.writestr(entry, data)


def unpack(path: Path) -> dict[str, bytes]:
    """Read the files of an archive into memory, within limits.

    Raises:
        BadInputError: there is no such file, or it is no zip archive at all.
        UnreadableBundleError: it is damaged, holds a name twice, or is larger than a bundle can be.

    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(_BEGINNING)) != _BEGINNING:
                raise BadInputError("BUNDLE", f"'{shown(str(path))}' is no bundle", "Name the zip of a bundle.")
            return _unpacked(stream)
    except OSError as error:
        problem = f"'{shown(str(path))}' cannot be read: {error.strerror or error}"
        raise BadInputError("BUNDLE", problem, "Name a readable file.") from error


def _unpacked(stream: IO[bytes]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            _demand_harmless(entries)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise UnreadableBundleError(shown(str(error)) or "it is cut off") from error


def _demand_harmless(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive before anything of it is unpacked; what is in the right files is for others to judge."""
    names = {entry.filename for entry in entries}
    if len(names) != len(entries):
        raise UnreadableBundleError("it holds a name twice")
    if len(entries) > FILES_MAX or sum(entry.file_size for entry in entries) > BYTES_MAX:
        raise UnreadableBundleError(f"it unpacks to more than {FILES_MAX} files or {BYTES_MAX} bytes")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS or entry.orig_filename != entry.filename:
            raise UnreadableBundleError(f"'{shown(entry.filename)}' is packed in a way that bundles are not")
