"""SQL dumps: read statement by statement, and executed with everything forbidden that a dump does not need.

Theory. A dump is a program, and it is executed with the rights of whoever restores. An authorizer therefore refuses
other database files, extensions, virtual tables and most pragmas. A dump is applied whole or not at all: it says so itself
(it is one transaction), and half a table would look like a table.

Owns the splitting and the guard. Refuses to know where the database lies that it is loaded into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from proofgap_app.drivers.archives import DamagedError, unreadable
from proofgap_app.drivers.base import SourceError
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.sqlite_content import target_trouble
from proofgap_store.sqlite_library import sqlite

_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/ | (?P<end>;) | .""",
    re.DOTALL | re.VERBOSE,
)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_PRAGMAS_ALLOWED = frozenset({"foreign_keys", "encoding", "user_version", "application_id", "page_size", "auto_vacuum"})
_FUNCTIONS_REFUSED = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
_INSTRUCTIONS_PER_TICK = 10_000
_WORDS_MAX = 120


class StoppedError(Exception):
    """Somebody asked to stop."""


def load_dump(dump: Path, connection: sqlite.Connection, tick: Callable[[int], bool]) -> None:
    """Execute a dump. ``tick`` is called often with the bytes read so far, and says whether to stop.

    Raises `DamagedError` where the dump breaks off or a statement fails, `SourceError` for a forbidden statement,
    `StoppedError`. The caller must then throw the database away.
    """
    guard = _Guard()
    done = 0
    connection.set_authorizer(guard)
    connection.set_progress_handler(lambda: tick(done), _INSTRUCTIONS_PER_TICK)
    for number, (statement, end) in enumerate(_statements(dump), start=1):
        done = end
        if tick(done):
            raise StoppedError
        _execute(connection, statement, number, guard)
    if connection.in_transaction:
        raise DamagedError("source_truncated", "the dump ends before its COMMIT")
    connection.set_authorizer(None)
    connection.set_progress_handler(None, 0)


class _Guard:
    """The authorizer; remembers what it refused, because SQLite's own message does not say."""

    def __init__(self) -> None:
        self.refused: str | None = None

    def __call__(self, action: int, first: str | None, second: str | None, _name: str | None, _by: str | None) -> int:
        found = _forbidden(action, first, second)
        if found is None:
            return sqlite.SQLITE_OK
        self.refused = found
        return sqlite.SQLITE_DENY


def _forbidden(action: int, first: str | None, second: str | None) -> str | None:
    if action in {sqlite.SQLITE_ATTACH, sqlite.SQLITE_DETACH}:
        return "another database file"
    if action == sqlite.SQLITE_CREATE_VTABLE:
        return "a virtual table"
    if action == sqlite.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS_ALLOWED:
        return f"PRAGMA {first}"
    if action == sqlite.SQLITE_TRANSACTION and first == "ROLLBACK":
        return "ROLLBACK, the mark of a dump that was broken off when it was made"
    if action == sqlite.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS_REFUSED:
        return f"the function {second}"
    return None


def _execute(connection: sqlite.Connection, statement: str, number: int, guard: _Guard) -> None:
    try:
        connection.execute(statement)
    except (sqlite.DatabaseError, sqlite.Warning, ValueError) as error:
        if guard.refused is not None:
            raise _refusal(number, guard.refused) from error
        if str(error) == "interrupted":
            raise StoppedError from error
        if isinstance(error, sqlite.DatabaseError) and target_trouble(error) is not None:
            raise
        raise DamagedError("source_damaged", f"statement {number} fails: {shown(str(error))[:_WORDS_MAX]}") from error


def _refusal(number: int, what: str) -> SourceError:
    remedy = "Restore it by hand, or make a dump without it."
    return SourceError("backup", f"statement {number} of the dump uses {shown(what)}, and a restore must not", remedy)


def _statements(dump: Path) -> Iterator[tuple[str, int]]:
    """Give each statement, and how many bytes of the dump are read by its end."""
    pending: list[str] = []
    done = number = 0
    for line in _lines(dump):
        done += len(line.encode())
        if not pending and line.startswith("."):
            raise _refusal(number + 1, line.split()[0])
        pending.append(line)
        if line.rstrip().endswith(";") and sqlite.complete_statement("".join(pending)):
            for statement in _split("".join(pending)):
                number += 1
                yield statement, done
            pending.clear()
    rest = "".join(pending)
    if sqlite.complete_statement(rest):
        # A comment behind the last semicolon kept it from being seen as an end.
        for statement in _split(rest):
            yield statement, done
    elif _COMMENTS.sub("", rest).strip():
        raise DamagedError("source_truncated", "the dump ends inside a statement")


def _lines(dump: Path) -> Iterator[str]:
    try:
        with dump.open(encoding="utf-8", newline="\n") as file:
            yield from file
    except OSError as error:
        raise unreadable(dump, error) from error
    except UnicodeDecodeError as error:
        raise DamagedError("source_damaged", f"the dump is not UTF-8 near byte {error.start}") from error


def _split(text: str) -> Iterator[str]:
    """Give the statements in a text that ends with one; semicolons in literals, comments and triggers do not count."""
    if text.count(";") == 1:
        yield text
        return
    start = 0
    for token in _TOKEN.finditer(text):
        if token["end"] and sqlite.complete_statement(text[start : token.end()]):
            yield text[start : token.end()]
            start = token.end()
