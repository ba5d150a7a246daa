r"""What a dump says that its tables hold: entries, number and digest of rows, values of sequences, read from its SQL text.

Theory. A plain dump is SQL text; ``pg_restore`` turns any other into the same text. Its ``COPY`` blocks are the rows, one in a
line, exactly as ``COPY ... TO`` of another database gives them, so they can be compared without loading them. Tables have no
order, so a digest is the sum of the SHA-512 of the rows: equal for equal rows in any order, different for any other rows. Times
with a zone are written in the zone of whoever dumped; they are brought to UTC before they are digested.

A dump is a program, and ``psql`` executes commands in it that reach beyond the database (``\!``, ``\connect``): they are found here.

Owns the text. Refuses to know where it comes from and what is restored of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_TOC_ENTRY = re.compile(rb"-- TOC entry (\d+) \(")
_HEAD = re.compile(rb"-- (?:Data for )?Name: (.*); Type: (.*); Schema: (.*); Owner: (.*)")
_COPY = re.compile(rb"(?i)copy\s.+\sfrom\s+stdin\b(.*);\s*$")
_IDENTIFIER = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
_COPIED = re.compile(rf"COPY ({_IDENTIFIER})\.({_IDENTIFIER}) \(({_IDENTIFIER}(?:, {_IDENTIFIER})*)?\) FROM stdin;")
_SETVAL = re.compile(r"SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?\d+), (true|false)\);")
_ENCODING = re.compile(rb"SET client_encoding = '([\w-]+)';")
_TOKEN = re.compile(rb"--|/\*|(?<![\w\"])[eE]'|'|\"|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$|\\")
_ESCAPED_END = re.compile(rb"(?:[^\\']|\\.|'')*+'(?!')")
_OURS = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]+\s*")
_ZONED = re.compile(
    rb"(?<![\d-])(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)((?:\.\d+)?)([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?(?![\d:])"
)
_BEGUN = b"-- PostgreSQL database dump"
_COMPLETE = b"-- PostgreSQL database dump complete"
_MODULUS = 1 << 512


class TableName(NamedTuple):
    """A table, and those of its columns that the dump has."""

    schema: str
    table: str
    columns: tuple[str, ...]


class Rows:
    """Rows that were read so far, as ``COPY`` writes them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = self._sum = 0

    def add(self, row: bytes) -> None:
        """Take one row, without its end of line."""
        digest = hashlib.sha512(_in_utc(row)).digest()
        self.count += 1
        self._sum = (self._sum + int.from_bytes(digest, "big")) % _MODULUS

    @property
    def sha256(self) -> str:
        """The digest of all rows, in any order."""
        return hashlib.sha256(b"%d\n" % self.count + self._sum.to_bytes(64, "big")).hexdigest()


@dataclass(slots=True)
class Data:
    """The rows of one table. ``name`` is ``None`` where the dump does not say it in the way that its own tool does."""

    name: TableName | None
    rows: Rows = field(default_factory=Rows)
    is_whole: bool = False


class SequenceState(NamedTuple):
    """Where a sequence stands."""

    last_value: int
    is_called: bool


class Head(NamedTuple):
    """What a comment in the text says of the entry that begins there."""

    number: int
    text: str
    line: int


@dataclass(slots=True)
class Figures:
    """Everything that was found in the text of a dump; data and sequences by the number of their entry."""

    heads: list[Head] = field(default_factory=list)
    data: dict[int, Data] = field(default_factory=dict)
    sequences: dict[int, tuple[str, SequenceState]] = field(default_factory=dict)
    encoding: str = "UTF8"
    refused: str | None = None  # a command of psql, and in which line
    is_dump: bool = False  # pg_dump wrote it; if not, it is any SQL
    is_complete: bool = False  # the last line that pg_dump writes was there


class DumpReader:
    """Reads the text of a dump, in pieces of any size."""

    def __init__(self, *, numbered: bool) -> None:
        """Say whether its entries have the numbers of an archive (``pg_restore --verbose``); if not, they are counted."""
        self.found = Figures()
        self._numbered = numbered
        self._rest: list[bytes] = []
        self._line = self._entry = 0
        self._quote: bytes | None = None
        self._copying: Data | None = None

    def take(self, chunk: bytes) -> None:
        """Read on."""
        first, *lines = chunk.split(b"\n")
        self._rest.append(first)
        for line in lines:
            self._read(b"".join(self._rest))
            self._rest = [line]

    def end(self) -> Figures:
        """Give what was found."""
        if last := b"".join(self._rest):
            self._read(last)
        return self.found

    def _read(self, line: bytes) -> None:
        self._line += 1
        if self._copying is not None:
            self._copy(line)
        elif self._quote is not None:
            self._scan(line)
        elif line.startswith(b"--"):
            self._comment(line)
        elif (copy := _COPY.match(line)) is not None:
            self._begin_copy(line, is_plain=not copy[1].strip())
        else:
            self._statement(line)

    def _copy(self, line: bytes) -> None:
        assert self._copying is not None  # noqa: S101 - only called then
        if line.rstrip(b"\r") == b"\\.":
            self._copying.is_whole = True
            self._copying = None
        else:
            self._copying.rows.add(line)

    def _comment(self, line: bytes) -> None:
        if self._numbered and (number := _TOC_ENTRY.match(line)) is not None:
            self._entry = int(number[1])
        elif (head := _HEAD.fullmatch(line.rstrip(b"\r"))) is not None:
            if not self._numbered:
                self._entry += 1
            name, kind, schema, owner = (part.decode("utf-8", "replace") for part in head.groups())
            self.found.heads.append(Head(self._entry, f"{kind} {schema} {name} {owner}", self._line))
        elif line.startswith(_BEGUN):
            self.found.is_dump = True
            self.found.is_complete = line.startswith(_COMPLETE)

    def _begin_copy(self, line: bytes, *, is_plain: bool) -> None:
        name = _COPIED.fullmatch(line.decode("utf-8", "surrogateescape").rstrip("\r")) if is_plain else None
        columns = tuple(map(_unquoted, re.findall(_IDENTIFIER, name[3] or ""))) if name else ()
        data = Data(TableName(_unquoted(name[1]), _unquoted(name[2]), columns) if name else None)
        self._copying = data
        if self._entry in self.found.data:
            data.name = None  # an entry with two tables: nobody knows which rows are meant
        self.found.data[self._entry] = data

    def _statement(self, line: bytes) -> None:
        if (encoding := _ENCODING.match(line)) is not None:
            self.found.encoding = encoding[1].decode()
        elif (setval := _SETVAL.match(line.decode("utf-8", "surrogateescape"))) is not None:
            state = SequenceState(int(setval[2]), setval[3] == "true")
            self.found.sequences[self._entry] = (setval[1].replace("''", "'"), state)
        if _OURS.fullmatch(line) is None:
            self._scan(line)

    def _scan(self, line: bytes) -> None:
        """Follow quotes and comments, so that a command of psql is told from a backslash in a text."""
        place = 0
        while place < len(line):
            if self._quote is not None:
                place = self._leave(line, place)
                continue
            token = _TOKEN.search(line, place)
            if token is None or token[0] == b"--":
                return
            if token[0] == b"\\":
                self.found.refused = self.found.refused or f"{_word(line, token.start())} in line {self._line}"
                return
            self._quote, place = token[0], token.end()

    def _leave(self, line: bytes, place: int) -> int:
        """Find the end of a quote in a line; give where to go on."""
        quote = self._quote or b""
        if quote in {b"e'", b"E'"}:
            found = _ESCAPED_END.match(line, place)
            end = -1 if found is None else found.end()
        else:
            closing = {b"/*": b"*/"}.get(quote, quote)
            start = line.find(closing, place)
            end = -1 if start < 0 else start + len(closing)
        if end < 0:
            return len(line)
        self._quote = None
        return end


def _word(line: bytes, start: int) -> str:
    return line[start:].split()[0][:20].decode("utf-8", "replace")


def _unquoted(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def _in_utc(row: bytes) -> bytes:
    return _ZONED.sub(_moved, row) if b":" in row else row


def _moved(found: re.Match[bytes]) -> bytes:
    """Give a time with a zone as it is in UTC; one that the calendar here does not reach stays as it is."""
    *fields, fraction, sign, hours, minutes, seconds = found.groups()
    if (hours, minutes) == (b"00", None):
        return found[0]
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
    try:
        local = datetime(*map(int, fields), tzinfo=UTC)  # type: ignore[misc, arg-type]  # six numbers, by the pattern
        moved = local - offset if sign == b"+" else local + offset
    except (ValueError, OverflowError):
        return found[0]
    return moved.strftime("%Y-%m-%d %H:%M:%S").encode() + (fraction or b"") + b"+00"
