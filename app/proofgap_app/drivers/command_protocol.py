"""The lines that a program of the user's says on its standard output, and how each is read.

Theory. The program is believed in what it says of single items, and in nothing else: it never says how the run ended. Each
line is one JSON object, read as strictly as any JSON that comes in (`proofgap.intake`); one that is not understood is a
problem with a number, and is never guessed at. Only a program that says ``done`` went to its end: one that falls silent, and
ends with 0 all the same, did not.

Owns the shapes and the reading; ``docs/command-driver.md`` is their reference. Refuses to know how the program is started, and
what its words mean for the run.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from proofgap.errors import BadInputError
from proofgap.facts import Count, ItemResult
from proofgap.intake import convert, parse_json
from proofgap.records import Completeness, Level
from proofgap.text import check_code
from proofgap_app.drivers.base import Action, Depth, Unit

PROBLEMS_SHOWN_MAX = 20
"""Of how many lines that are not understood it is said what is wrong with them; the others are only counted."""


class Verb(StrEnum):
    """What the program is asked to do: its first argument."""

    PLAN = "plan"  # list what the backup holds
    PREVIEW = "preview"  # say what would become of each item; write nothing
    RESTORE = "restore"
    CHECK = "check"  # compare the target with the backup; write nothing


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """One line."""


class Problem(Line, frozen=True, tag="problem"):
    """Something went wrong that belongs to no item."""

    message: str


class Progress(Line, frozen=True, tag="progress"):
    """How far the work is, from its beginning."""

    bytes: Count = 0
    items: Count = 0


class Done(Line, frozen=True, tag="done"):
    """The program went to its end."""


class About(Line, frozen=True, tag="plan"):
    """What the plan is about. ``identity`` names the backup and changes with it; ``marker`` is handed to the checks."""

    tool: str | None = None
    unit: Unit = Unit.ITEM
    completeness: Completeness = Completeness.UNKNOWN
    identity: str | None = None
    marker: str | None = None


class Planned(Line, frozen=True, tag="item"):
    """One thing that the backup holds; ``refused`` is the reason why it will not be restored."""

    key: str
    bytes: Count | None = None
    sha256: str | None = None
    refused: str | None = None


class Foreseen(Line, frozen=True, tag="item"):
    """What would become of one item."""

    key: str
    action: Action
    reason_code: str | None = None


class Looked(Line, frozen=True, tag="preview"):
    """How deep the preview looked, and a text that changes whenever anything in the target does."""

    depth: Depth = Depth.METADATA
    fingerprint: str | None = None


class Restored(Line, frozen=True, tag="item"):
    """What became of one item."""

    key: str
    result: ItemResult
    action: Action | None = None
    reason_code: str | None = None
    message: str | None = None
    bytes: Count | None = None
    sha256: str | None = None


class Subject(Line, frozen=True, tag="subject"):
    """One comparison of the target with the backup; whether it passed is not for the program to say."""

    subject: str
    method: str
    level: Level
    expected: str | None = None
    observed: str | None = None


Said: TypeAlias = Problem | Progress | Done | About | Planned | Foreseen | Looked | Restored | Subject

SHAPES: MappingProxyType[Verb, Any] = MappingProxyType(
    {
        Verb.PLAN: Problem | Progress | Done | About | Planned,
        Verb.PREVIEW: Problem | Progress | Done | Looked | Foreseen,
        Verb.RESTORE: Problem | Progress | Done | Restored,
        Verb.CHECK: Problem | Progress | Done | Subject,
    }
)
"""What may be said in answer to each verb."""


class Reader:
    """Reads the lines of one answer. ``malformed`` counts those that are not understood, ``problems`` says what is wrong."""

    def __init__(self, verb: Verb) -> None:
        """Begin with no line read."""
        self._shape = SHAPES[verb]
        self._number = self.malformed = 0
        self.problems: list[str] = []

    def read(self, line: str) -> Said | None:
        """Give what a line says; ``None`` when it is not understood."""
        self._number += 1
        try:
            said: Said = convert(parse_json(line, self._number), self._shape, self._number)
            _demand_fit(said, f"line {self._number}")
        except BadInputError as error:
            self.malformed += 1
            if self.malformed <= PROBLEMS_SHOWN_MAX:
                self.problems.append(f"what the program said is not understood: {error}")
            return None
        return said


def _demand_fit(said: Said, place: str) -> None:
    """Refuse names that cannot be told apart, and reasons that are no codes. Raises `BadInputError`."""
    match said:
        case Planned(key=name, refused=reason) | Foreseen(key=name, reason_code=reason):
            pass
        case Restored(key=name, reason_code=reason):
            pass
        case Subject(subject=name):
            reason = None
        case _:
            return
    if not name or name != name.strip():
        raise BadInputError(place, "its key or subject is empty, or begins or ends with a space", "Name it.")
    if reason is not None:
        check_code(f"{place}, reason", reason)
