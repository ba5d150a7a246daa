"""What commands have in common: their shared options, and how words on the command line become values.

Owns the options for the ledger, for output and for firing events, and the reading of files, times and JSON. Every
text is checked before anything is done with it. Refuses to know commands.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, TypeVar

from cyclopts import Parameter, Token
from msgspec.structs import replace

from proofgap.errors import BadInputError
from proofgap.facts import Struct, instant_text
from proofgap.intake import LINE_BYTES_MAX, convert, parse_json
from proofgap.records import RecoveryPointBasis, RunDetails, microseconds
from proofgap.text import check_id, check_text, check_words, shown
from proofgap_app import settings
from proofgap_app.settings import LogStyle

STANDARD_INPUT = "-"
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_FACTS_LINE = 1

AnyFile = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A file, or ``-`` for standard input."""


def _whole(_type: object, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    if not re.fullmatch(r"-?[0-9]{1,16}", text):
        raise ValueError(f"'{shown(text)}' is no whole number")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
"""A whole number, as it is: the command line library would round 1.5 to 2."""

S = TypeVar("S", bound=Struct)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the ledger is, and how to answer.

    Attributes:
        ledger: URL of the ledger, such as sqlite:////srv/proofgap.db or postgresql://USER@HOST/DATABASE; else PROOFGAP_LEDGER, else a file in your data folder.
        log: how log lines look on standard error; else PROOFGAP_LOG, else auto.
        json: write JSON, and errors as problem objects.

    """

    ledger: str | None = None
    log: LogStyle | None = None
    json: bool = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a run belongs.

    Attributes:
        workspace: the workspace; else PROOFGAP_WORKSPACE, else default.
        environment: the managed environment; else PROOFGAP_ENVIRONMENT, else local.

    """

    workspace: str | None = None
    environment: str | None = None

    def chosen(self) -> tuple[str, str]:
        """Give workspace and environment, checked."""
        workspace, environment = settings.workspace(self.workspace), settings.environment(self.environment)
        return check_id("--workspace", workspace), check_id("--environment", environment)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """How to fire an event.

    Attributes:
        key: an idempotency key: the same key with the same request gives the first answer again.
        if_version: refuse unless the run has this version.
        note: why, in your words. The log holds a commitment to it only, and it can be erased.

    """

    key: str | None = None
    if_version: Whole | None = None
    note: str | None = None


ACCESS, SCOPE, FIRING = Access(), Scope(), Firing()


def key_of(firing: Firing) -> str | None:
    """Give the idempotency key, checked."""
    return None if firing.key is None else check_id("--key", firing.key)


def note_of(firing: Firing) -> str | None:
    """Give the note, checked."""
    return None if firing.note is None else check_words("--note", firing.note)


def checked(values: S) -> S:
    """Let facts from the command line through, if every text in them may come in.

    Raises:
        BadInputError: names the option.

    """
    for name in values.__struct_fields__:
        value = getattr(values, name)
        if type(value) is str:
            check_text(option(name), value)
        elif isinstance(value, int) and not isinstance(value, bool):
            _check_number(option(name), value)
    return values


def option(field: str) -> str:
    """Give the option of a field."""
    return "--" + field.replace("_", "-")


@contextmanager
def naming(**options: str) -> Iterator[None]:
    """Let errors of the ledger name the option that a field came from: people know no other name of it."""
    try:
        yield
    except BadInputError as error:
        raise BadInputError(options.get(error.field, error.field), error.problem, error.remedy) from error


def _check_number(field: str, value: int) -> None:
    if not 0 <= value < 2**53:
        raise BadInputError(field, f"{shown(str(value))} is out of range", "Hand in a whole number from 0 to 2^53 - 1.")


def facts_from(text: str, shape: type[S], field: str) -> S:
    """Read facts from JSON on the command line.

    Raises:
        BadInputError: names the option and the field.

    """
    try:
        return convert(parse_json(text, _FACTS_LINE), shape, _FACTS_LINE)
    except BadInputError as error:
        inner = error.field.removeprefix("line 1").removeprefix(": ")
        raise BadInputError(f"{field}: {inner}" if inner else field, error.problem, error.remedy) from None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What the restore is held against; what is not stated is never measured against anything.

    Attributes:
        rto: within which time the restore is to be done, such as 4h.
        rpo: how old the recovery point may be, such as 24h.
        recovery_point: the moment whose data the backup holds, in RFC 3339; otherwise the time of its file, marked so.

    """

    rto: str | None = None
    rpo: str | None = None
    recovery_point: str | None = None

    def on(self, details: RunDetails) -> RunDetails:
        """Give the details with what was stated."""
        point = None if self.recovery_point is None else microseconds(moment("--recovery-point", self.recovery_point))
        return replace(
            details,
            rto_us_stated=_duration_us("--rto", self.rto),
            rpo_us_stated=_duration_us("--rpo", self.rpo),
            recovery_point_us=_from_1970("--recovery-point", point),
            recovery_point_basis=None if point is None else RecoveryPointBasis.STATED,
        )


def _duration_us(field: str, text: str | None) -> int | None:
    return None if text is None else round(seconds(field, text) * 1_000_000)


def _from_1970(field: str, point_us: int | None) -> int | None:
    if point_us is not None and point_us < 0:
        raise BadInputError(field, "is before 1970", "Hand in a time from 1970 on.")
    return point_us


OBJECTIVES = Objectives()


def is_duration(text: str) -> bool:
    """Tell whether this is written as a duration, such as ``4h``."""
    return _DURATION.fullmatch(text) is not None


def seconds(field: str, text: str) -> float:
    """Read a duration such as ``90s``, ``10m`` or ``2h``.

    Raises:
        BadInputError: it is none.

    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadInputError(
            field, f"'{shown(text)}' is no duration", "Use a number with ms, s, m, h or d, such as 10m."
        )
    return int(found[1]) * _SECONDS[found[2]]


def key_and_value(given: str) -> tuple[str, str]:
    """Read an option for a driver.

    Raises:
        BadInputError: it is no KEY=VALUE.

    """
    key, equals, value = given.partition("=")
    if not (key and equals):
        raise BadInputError("option", f"'{shown(key)}' is no KEY=VALUE", "Write it with an equals sign.")
    return key, value


def moment(field: str, text: str) -> str:
    """Read an RFC 3339 time.

    Raises:
        BadInputError: it is none.

    """
    try:
        return instant_text(text)
    except ValueError:
        remedy = "Use RFC 3339 with an offset, such as 2026-11-21T02:24:05Z."
        raise BadInputError(field, f"'{shown(text)}' is no time", remedy) from None


def lines_of(file: str) -> Iterator[bytes]:
    """Read a file, or standard input, line by line; no line is read further than its limit.

    Raises:
        BadInputError: it cannot be read.

    """
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise BadInputError("FILE", "standard input is closed", "Name a file.")
        yield from _lines(sys.stdin.buffer)
        return
    try:
        with Path(file).open("rb") as stream:
            yield from _lines(stream)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is none"
        raise BadInputError(
            "FILE", f"'{shown(file)}' cannot be read: {reason}", "Name a readable file, or -."
        ) from None


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(LINE_BYTES_MAX + 2):
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def records_of(file: str, shape: type[S]) -> list[S]:
    """Read a file of JSON lines into records, all of them before anything is done with one.

    Raises:
        BadInputError: names line, field, value, reason and remedy of the first bad one.

    """
    return [convert(parse_json(line, number), shape, number) for number, line in enumerate(lines_of(file), 1)]
