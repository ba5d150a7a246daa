"""How commands write: data on standard output, everything else on standard error.

Owns streams, JSON lines, tables, and what an absent value looks like. Refuses to know what is written. Nothing that
could steer a terminal gets out: unfit characters are escaped, in JSON as well. A standard error that cannot be
written changes no result; a standard output that cannot be written is an error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from proofgap.text import safe
from proofgap_app.settings import is_terminal

if TYPE_CHECKING:
    from rich.console import Console

ABSENT = "-"
_INDENT = 2
_GAP = 2
_WHOLE_COLUMNS = 2  # the first ones say what it is and what it means: they are never broken


def data(text: str) -> None:
    """Write a line of data to standard output."""
    _out().write(safe(text).encode("utf-8", "backslashreplace") + b"\n")


def raw(text: str) -> None:
    """Write a line that is ours word for word, such as a script with tabs in it."""
    _out().write(text.encode() + b"\n")


def json_line(value: object) -> None:
    """Write a value as one line of JSON to standard output."""
    _out().write(as_json(value) + b"\n")


def as_json(value: object) -> bytes:
    """Encode a value as JSON; in ASCII only where its text holds characters that a reader could not see."""
    line = msgspec.json.encode(value)
    text = line.decode()
    return line if text.isprintable() else json.dumps(json.loads(text), separators=(",", ":")).encode()


def note(text: str) -> None:
    """Write one line for people to standard error; that it cannot be written changes nothing."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(safe(text).encode("utf-8", "backslashreplace").decode() + "\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        return


def cell(value: object) -> str:
    """Give a value as it stands in a table: absent is a dash, never 0."""
    return ABSENT if value is None or value == "" else safe(str(value))


def amount(number: int, noun: str) -> str:
    """Give a number with its noun, in the singular where there is one of it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def columns(row: Iterable[object]) -> None:
    """Write one row of data, separated by tabs."""
    _out().write("\t".join(map(cell, row)).encode("utf-8", "backslashreplace") + b"\n")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows: on a terminal with a head, aligned where no word is broken, else as blocks; elsewhere separated by tabs."""
    if not is_terminal(sys.stdout):
        for row in rows:
            columns(row)
        return
    cells = [tuple(map(cell, row)) for row in rows]
    if is_wide(_width(head, cells)):
        _aligned(head, cells)
    else:
        blocks(_block(head, row) for row in cells)


def _width(head: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Give how many columns of text a table takes at least, in which no word is broken."""
    whole = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    words = [max(len(word) for text in column for word in text.split()) for column in zip(head, *rows, strict=True)]
    return sum((*whole[:_WHOLE_COLUMNS], *words[_WHOLE_COLUMNS:])) + _GAP * (len(head) - 1)


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - only people get tables
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(head):
        shown.add_column(name, no_wrap=number < _WHOLE_COLUMNS)
    for row in rows:
        shown.add_row(*map(Text, row))
    rich_print(shown)


def _block(head: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    """Give a row as lines for a narrow terminal: what it is, and below it what is known of it, by name."""
    known = zip(head[1:], row[1:], strict=True)
    return f"{head[0]}: {row[0]}", *(f"{name}: {text}" for name, text in known if text != ABSENT)


def is_wide(width_min: int) -> bool:
    """Tell whether a table of so many columns of text fits: always, where it goes to no terminal."""
    if not is_terminal(sys.stdout):
        return True
    return _console().width >= width_min


def blocks(rows: Iterable[Sequence[str]]) -> None:
    """Write each row as a block: its first line, and indented below it the others, wrapped where the terminal ends."""
    from rich.text import Text  # noqa: PLC0415 - only people get blocks

    console = _console()
    flush()
    for first, *others in rows:
        console.print(Text(safe(first), style="bold"), soft_wrap=True)  # whole, so that it can be copied
        for line in others:
            for part in Text(safe(line)).wrap(console, console.width - _INDENT, overflow="fold"):
                part.rstrip()
                console.print(Text(" " * _INDENT) + part)


def rich_print(renderable: object) -> None:
    """Write something that rich can draw to the terminal."""
    flush()
    _console().print(renderable)


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - only people get colours

    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)


def flush() -> None:
    """Hand over everything that was written.

    Raises:
        OSError: standard output cannot be written.

    """
    if sys.stdout is not None:
        sys.stdout.flush()


def settle() -> None:
    """Make sure that the end of the process cannot fail on a stream that is broken anyway."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)


def _out() -> IO[bytes]:
    if sys.stdout is None:
        raise OSError("standard output is closed")
    return sys.stdout.buffer
