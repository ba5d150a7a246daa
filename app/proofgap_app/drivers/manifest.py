"""SHA-256 manifests, as ``sha256sum`` writes them: what the content was when the backup was made.

Owns the format. Refuses to guess: a line that is not understood makes the whole manifest unusable.
"""

from __future__ import annotations

import re
from pathlib import Path

from proofgap_app.drivers.base import SourceError
from proofgap_app.drivers.names import Parts, shown, split

_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)", re.DOTALL)
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}

Manifest = dict[Parts, str]


def read_manifest(path: Path) -> Manifest:
    """Give the digest of each name; raises `SourceError` that names the line which is not understood."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        problem = f"'{shown(str(path))}' cannot be read: {error.strerror}"
        raise SourceError("manifest", problem, "Name the file that holds the SHA-256 sums.") from error
    manifest: Manifest = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.rstrip("\r"):
            parts, digest = _parsed(line.rstrip("\r"), number)
            if manifest.setdefault(parts, digest) != digest:
                raise _refused(number, "names a file that an earlier line names with another digest")
    return manifest


def _parsed(line: str, number: int) -> tuple[Parts, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _refused(number, f"{shown(line[:80])} is not a digest and a name")
    name = match["name"]
    if match["escaped"]:
        name = re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name)
    parts = split(name)
    if not parts:
        raise _refused(number, f"{shown(name)} is not a name below the backup")
    return parts, match["digest"].lower()


def _refused(number: int, problem: str) -> SourceError:
    return SourceError(
        "manifest", f"line {number} {problem}", "Write it with: cd BACKUP && find . -type f -exec sha256sum {} +"
    )
