"""The program of the user's that the driver `command` drives: which one it is, how it is asked, what it answered.

Theory. A request goes on record, and any worker may execute it, so it must not be able to name any program there is. It names
a file in one folder, which belongs to whoever runs the machine. The program gets what it needs in variables, and the keys of
the items in a file, one in a line: nothing that a shell would have to parse.

Owns the asking. Refuses to know what an answer means for the run.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from proofgap.errors import BadInputError
from proofgap.text import shown
from proofgap_app.drivers.base import Request, ShouldStop, SourceError
from proofgap_app.drivers.command_protocol import Done, Problem, Reader, Said, Verb
from proofgap_app.drivers.process import Ended, Stream, never, run
from proofgap_app.drivers.tool import Kind, Tool, tool_for
from proofgap_app.settings import commands_folder

WENT_TO_ITS_END = frozenset({0, 1})
"""Exit codes of a program that was not broken off: 0, and 1 for "to the end, with errors". Every other one is a failure."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LAST_WORDS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program of a request, as it was found: ``said`` is how it goes on record, with a digest of what it is."""

    path: Path
    request: Request
    said: str

    def tool(self, added: Mapping[str, str]) -> Tool:
        """Give the tool that runs it, with the variables of one call."""
        prefix = re.sub(r"\W", "_", self.path.stem).upper()
        kind = Kind(
            name=str(self.path),
            install=f"Put an executable file of that name into {commands_folder()}.",
            environment=(f"{prefix}_*",),
        )
        return tool_for(kind, self.request, _about(self.request) | dict(added))


class Answer(NamedTuple):
    """How the program answered, but for what it said of items, which whoever asked has heard already."""

    ended: Ended
    is_done: bool
    malformed: int
    problems: tuple[str, ...]
    last_words: str

    @property
    def went_to_its_end(self) -> bool:
        """Whether the program said that it is done, and ended as one that is."""
        return self.is_done and self.ended.exit_code in WENT_TO_ITS_END

    @property
    def how(self) -> str:
        """Say how it ended, for people."""
        code = self.ended.exit_code
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        done = "" if self.is_done else " before it said that it is done"
        return f"{ended}{done}{f': {self.last_words}' if self.last_words else ''}"


def program_of(request: Request, option: str = "program") -> Program:
    """Find the program that an option names.

    Raises:
        BadInputError: the option is missing, or names no file in the folder of programs.
        SourceError: there is no such program on this machine, or everybody may change it.

    """
    name = request.options.get(option, "")
    if not _NAME.fullmatch(name):
        problem = f"{option} is missing" if not name else f"{option}={shown(name)} is no name of a file"
        raise BadInputError("option", problem, f"Name a file in {commands_folder()}: --option {option}=NAME.")
    path = commands_folder() / name
    try:
        content, mode = path.read_bytes(), path.stat().st_mode | path.parent.stat().st_mode
    except OSError as error:
        problem = f"the program {shown(str(path))} cannot be read ({error.strerror})"
        raise SourceError("option", problem, "Put it there, or name the folder in PROOFGAP_COMMANDS.") from error
    if mode & 0o002 or not os.access(path, os.X_OK):
        problem = f"the program {shown(str(path))} is not executable, or it or its folder may be changed by everybody"
        raise SourceError("option", problem, f"Run: chmod 755 {shown(str(path))}")
    return Program(path=path, request=request, said=f"{name} sha256:{hashlib.sha256(content).hexdigest()[:16]}")


def ask(
    program: Program,
    verb: Verb,
    hear: Callable[[Said], None],
    *,
    keys: Iterable[str] = (),
    marker: str | None = None,
    should_stop: ShouldStop = never,
) -> Answer:
    """Run the program with a verb, and hand on what it says, line by line.

    Args:
        program: which one.
        verb: what it is asked to do.
        hear: called with everything that it says but ``problem`` and ``done``.
        keys: the items that it is about.
        marker: the plan's.
        should_stop: whether it is to be stopped.

    Raises:
        SourceError: it cannot be started.

    """
    with _written(keys) as items:
        tool = program.tool({"PROOFGAP_ITEMS": items, "PROOFGAP_MARKER": marker or ""})
        ear = _Ear(Reader(verb), hear, tool)
        try:
            ended = run(tool.command(verb), ear.on_line, should_stop)
        except OSError as error:
            problem = f"the program {shown(str(program.path))} cannot be started ({error.strerror})"
            raise SourceError("option", problem, "Begin a script with a line such as #!/bin/sh.") from error
    return ear.answer(ended)


class _Ear:
    """Listens to one answer."""

    def __init__(self, reader: Reader, hear: Callable[[Said], None], tool: Tool) -> None:
        self._reader, self._hear, self._tool = reader, hear, tool
        self._is_done = False
        self._problems: list[str] = []
        self._last_words: list[str] = []

    def on_line(self, stream: Stream, line: str) -> None:
        """Take one line."""
        if stream is Stream.ERR:
            self._last_words = [*self._last_words, line][-_LAST_WORDS_MAX:]
            return
        match said := self._reader.read(line):
            case Done():
                self._is_done = True
            case Problem(message=message):
                self._problems.append(self._tool.message(message))
            case None:
                pass
            case _:
                self._hear(said)

    def answer(self, ended: Ended) -> Answer:
        """Sum up."""
        problems = (*self._problems, *map(self._tool.message, self._reader.problems))
        return Answer(
            ended, self._is_done, self._reader.malformed, problems, self._tool.message(" ".join(self._last_words))
        )


def _about(request: Request) -> dict[str, str]:
    told = {
        "PROOFGAP_BACKUP": request.backup,
        "PROOFGAP_TARGET": request.target,
        "PROOFGAP_OVERWRITE": "yes" if request.overwrite else "no",
    }
    if request.password_file is not None:
        told["PROOFGAP_PASSWORD_FILE"] = str(request.password_file)
    return told


@contextmanager
def _written(keys: Iterable[str]) -> Iterator[str]:
    """Write the keys into a file, one in a line, and give its path."""
    with tempfile.NamedTemporaryFile("w", prefix="proofgap-items-", encoding="utf-8") as file:
        file.writelines(f"{key}\n" for key in keys)
        file.flush()
        yield file.name
