"""A dump of PostgreSQL, whichever form it has: which entries it holds, which backup it is, and what it says its tables hold.

Theory. Three forms have a table of contents, which ``pg_restore --list`` prints: custom, directory and tar. A plain dump is SQL
text, whose comments announce the same entries. An entry has one name everywhere: its number, and the line of the table of
contents behind it. One that was broken off has an entry more, which nobody can list.

Owns reading the dump. Refuses to know the target.
"""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from proofgap_app.drivers.archives import file_identity, file_unchanged, unreadable
from proofgap_app.drivers.base import Identity, Plan, PlannedItem, Progress, Request, SourceError
from proofgap_app.drivers.detect import head_of
from proofgap_app.drivers.directory_archive import DirectoryArchive
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.postgresql_dump import DumpReader, Figures
from proofgap_app.drivers.postgresql_tools import PG_RESTORE, tool_of
from proofgap_app.drivers.process import capture, stream

_LISTED = re.compile(r"(\d+); \d+ \d+ (.*)")
DATA = "TABLE DATA "
"""What the line of an entry begins with that has rows."""

_TOC_FILE = "toc.dat"
_CHUNK_BYTES = 1 << 20
_TAR_MARK = slice(257, 262)


class Form(StrEnum):
    """What kind of file it is."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"


class Entry(NamedTuple):
    """One entry of a dump."""

    number: int
    text: str  # such as "TABLE DATA public customer alice"

    @property
    def key(self) -> str:
        """The key of its item."""
        return f"{self.number} {shown(self.text)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A dump as it was read: what its tables hold, and what is wrong with it."""

    figures: Figures
    problems: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it could be read to its end."""
        return not self.problems


def form_of(backup: Path) -> Form:
    """Tell the form by the content. Raises `SourceError` when it is no dump."""
    if backup.is_dir():
        if (backup / _TOC_FILE).is_file():
            return Form.DIRECTORY
        raise _no_dump(backup, f"is a directory without {_TOC_FILE}")
    head = head_of(backup)
    if head.startswith(b"PGDMP"):
        return Form.CUSTOM
    if head[_TAR_MARK] == b"ustar":
        return Form.TAR
    if b"\0" in head:
        raise _no_dump(backup, "is neither an archive of pg_dump nor SQL text")
    return Form.PLAIN


def identity_of(backup: Path) -> Identity:
    """Say which backup it is: for a directory, by its listing, and by the time of its table of contents."""
    if not backup.is_dir():
        return file_identity(backup)
    return replace(DirectoryArchive(backup).identity(), mtime_ns=(backup / _TOC_FILE).stat().st_mtime_ns)


def is_unchanged(plan: Plan) -> bool:
    """Tell whether nothing suggests that the backup is another one by now."""
    backup = plan.request.backup_path
    try:
        return identity_of(backup) == plan.identity if backup.is_dir() else file_unchanged(backup, plan.identity)
    except OSError:
        return False


def entries_of(request: Request, flags: tuple[str, ...]) -> list[Entry]:
    """List the table of contents of an archive. Raises `SourceError` when that is not possible."""
    tool = tool_of(PG_RESTORE, request)
    found = capture(tool.command("--list", *flags, request.backup))
    if found.ended.exit_code:
        problem = f"{shown(request.backup)} cannot be listed ({tool.message(' '.join(found.err))})"
        raise SourceError("backup", problem, "Hand in an undamaged copy, and a pg_restore as new as what made it.")
    listed = (_LISTED.fullmatch(line) for line in found.out)
    return [Entry(int(line[1]), line[2]) for line in listed if line is not None]


def read_archive(request: Request, entries: Iterable[int], progress: Progress) -> Read:
    """Read the data of an archive's entries, as far as they can be read."""
    reader, tool = DumpReader(numbered=True), tool_of(PG_RESTORE, request)
    done = 0

    def take(chunk: bytes) -> None:
        nonlocal done
        done += len(chunk)
        reader.take(chunk)
        progress(done, 0)

    with use_list(entries) as listed:
        arguments = ("--file=-", "--verbose", "--data-only", f"--use-list={listed}", request.backup)
        ended, errors = stream(tool.command(*arguments), take)
    problems = [line for line in errors if " error: " in line or " warning: " in line]
    if ended.exit_code and not problems:
        problems = errors[-1:] or [f"pg_restore ended with exit code {ended.exit_code}"]
    figures = reader.end()
    problems += [f"the rows of entry {number} break off" for number, data in figures.data.items() if not data.is_whole]
    return Read(figures=figures, problems=tuple(map(tool.message, problems)))


def read_plain(request: Request, progress: Progress) -> Read:
    """Read a plain dump. Raises `SourceError` when it cannot be read, or tells psql to do more than to execute SQL."""
    reader, done = DumpReader(numbered=False), 0
    try:
        with request.backup_path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                done += len(chunk)
                reader.take(chunk)
                progress(done, 0)
    except OSError as error:
        raise unreadable(request.backup_path, error) from error
    figures = reader.end()
    if figures.refused is not None:
        problem = f"the dump has the command {shown(figures.refused)} for psql, and a restore must not execute it"
        raise SourceError("backup", problem, "Make a dump without it, such as one without --create.")
    is_cut = (figures.is_dump and not figures.is_complete) or any(not data.is_whole for data in figures.data.values())
    return Read(figures=figures, problems=("the dump ends before its last line",) if is_cut else ())


def read(plan: Plan, progress: Progress) -> Read:
    """Read what the plan's dump says that its tables hold."""
    if form_of(plan.request.backup_path) is Form.PLAIN:
        return read_plain(plan.request, progress)
    return read_archive(plan.request, selected(plan), progress)


def selected(plan: Plan) -> list[int]:
    """Give the numbers of the entries that are to be restored, in the order of the dump."""
    return [item.position for item in plan.items if item.position is not None]


def rows_bytes(backup: Path, items: Iterable[PlannedItem]) -> int | None:
    """Give how many bytes of rows the entries have; ``None`` where no name and size says it: in custom archives, and compressed."""
    form = form_of(backup)
    if form is Form.PLAIN:
        return backup.stat().st_size  # with the statements around the rows
    if form is Form.CUSTOM:
        return None
    sizes = (
        {file.name: file.stat().st_size for file in backup.iterdir()} if form is Form.DIRECTORY else _members(backup)
    )
    found = [sizes.get(f"{item.position}.dat") for item in items if text_of(item).startswith(DATA)]
    return None if None in found else sum(size or 0 for size in found)


def _members(archive: Path) -> dict[str, int]:
    try:
        with tarfile.open(archive, "r:") as members:
            return {member.name: member.size for member in members}
    except tarfile.TarError:
        return {}


def text_of(item: PlannedItem) -> str:
    """Give the line of an item's entry in the table of contents, without its number."""
    return "".join(item.parts)


def written_to(plan: Plan) -> list[str] | None:
    """Give the lines of all entries that are to be restored; ``None`` for SQL text, which may write anywhere."""
    if form_of(plan.request.backup_path) is Form.PLAIN:
        return None
    return [text_of(item) for item in plan.items if item.position is not None]


@contextmanager
def use_list(entries: Iterable[int]) -> Iterator[str]:
    """Write a list of entries for ``pg_restore --use-list``; give its path."""
    descriptor, path = tempfile.mkstemp(prefix="proofgap-toc-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.writelines(f"{number};\n" for number in entries)
        yield path
    finally:
        Path(path).unlink()


def _no_dump(backup: Path, what: str) -> SourceError:
    return SourceError("backup", f"{shown(backup)} {what}", "Hand in what pg_dump wrote.")
