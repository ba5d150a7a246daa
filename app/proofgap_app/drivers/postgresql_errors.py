"""What ``pg_restore`` and ``psql`` say on their error output, by the entry that it is about.

Theory. ``pg_restore`` names the entry before the first error in it, and goes on; "errors ignored on restore: N" is its last word where
it went to its end, and N is neither a number of entries nor of anything else that was to be restored. An error that it cannot
go on from is said without an entry. With ``--verbose`` it says what it begins with. ``psql`` names the line of the file.

Owns these forms. Refuses to know what an error means for an item.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_ENTRY = re.compile(r"pg_restore: from TOC entry (\d+); ")
_ERROR = re.compile(r"pg_restore: error: (.*)")
_IN_ENTRY = ("could not execute query: ", "COPY failed for table ", "could not execute command: ")
_BEGUN = re.compile(r"pg_restore: (?:creating|processing|executing) (.*)")
_IGNORED = re.compile(r"pg_restore: warning: errors ignored on restore: (\d+)")
_PSQL_ERROR = re.compile(r"(?:ERROR|FATAL|PANIC|error): *(.*)")
_OWNER = re.compile(r"Command was: ALTER .* OWNER TO ")
_LINES_MAX = 12


@dataclass(slots=True)
class Problem:
    """One error; ``entry`` is the number of the entry, for a plain dump the line, or ``None`` where it is about no entry."""

    entry: int | None
    lines: list[str]

    @property
    def text(self) -> str:
        """What was said."""
        return " ".join(self.lines)

    @property
    def is_about_owner(self) -> bool:
        """Whether only the owner of something could not be set."""
        return any(map(_OWNER.match, self.lines))

    @property
    def says_that_it_exists(self) -> bool:
        """Whether something could not be made because it is there; told by the words, in English only."""
        return " already exists" in self.lines[0]


class ErrorReader:
    """Reads the lines of the error output. ``begun`` is called with each entry that is begun."""

    def __init__(self, begun: Callable[[str], None], file: str) -> None:
        """Begin with nothing said. ``file`` is the path that ``psql`` was given."""
        self._begun = begun
        self._placed = re.compile(rf"psql:{re.escape(file)}:(\d+): (.*)")
        self._entry: int | None = None
        self._last: Problem | None = None
        self._last_of_psql: tuple[int, str] | None = None
        self._by_entry: dict[int, list[Problem]] = {}
        self.problems: list[Problem] = []
        self.went_on = False

    def read(self, line: str) -> None:
        """Take the next line."""
        if (entry := _ENTRY.match(line)) is not None:
            self._entry = int(entry[1])
        elif (error := _ERROR.match(line)) is not None:
            self._note(self._entry if error[1].startswith(_IN_ENTRY) else None, error[1])
            return
        elif (placed := self._placed.match(line)) is not None:
            self._read_psql(int(placed[1]), placed[2])
            return
        elif (begun := _BEGUN.match(line)) is not None:
            self._begun(begun[1])
        elif _IGNORED.match(line) is not None:
            self.went_on = True
        elif line.startswith("psql: error: "):
            self._note(None, line)
            return
        elif not line.startswith("pg_restore: "):
            self._continue(line)
            return
        self._last = None

    def of(self, entry: int) -> list[Problem]:
        """Give the errors of one entry."""
        return self._by_entry.get(entry, [])

    def stopped(self) -> None:
        """Learn that ``psql`` stopped at an error: it is the last thing that it said, in whichever language."""
        if not self.problems and self._last_of_psql is not None:
            self._note(*self._last_of_psql)

    def _read_psql(self, line: int, text: str) -> None:
        self._last_of_psql, self._last = (line, text), None
        if (error := _PSQL_ERROR.match(text)) is not None:
            self._note(line, error[1])

    def _note(self, entry: int | None, text: str) -> None:
        self._last = Problem(entry, [text])
        self.problems.append(self._last)
        if entry is not None:
            self._by_entry.setdefault(entry, []).append(self._last)

    def _continue(self, line: str) -> None:
        """Keep what follows an error."""
        if self._last is not None and line.strip() and len(self._last.lines) < _LINES_MAX:
            self._last.lines.append(line.strip())
