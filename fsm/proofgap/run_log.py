"""The events of a bundle, read: who did what to the run, when, and what was known of it.

Owns how the events are sorted by what they are for, and how people, times and lengths of time are written. Refuses to
know which questions are asked of them (`decision_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from proofgap.audit import Entry, EventType, run_stream
from proofgap.bundles import Content, is_view_of
from proofgap.facts import TERMINAL_RUN_STATUSES
from proofgap.notes import VerifierKey
from proofgap.records import instant

NOT_REPORTED = "not reported"
"""What is written where nobody ever stated or reported anything: never 0."""

_ENTRIES = msgspec.json.Decoder(Entry)
_ENDED = frozenset(status.value for status in TERMINAL_RUN_STATUSES)
_MOVES = frozenset({EventType.RUN_CREATED, EventType.RUN_IMPORTED, EventType.RUN_TRANSITIONED})
_EVIDENCE = frozenset({EventType.EVIDENCE_CREATED, EventType.EVIDENCE_IMPORTED, EventType.EVIDENCE_TRANSITIONED})
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"))


class Occurrence(NamedTuple):
    """An event, and its place in the tree."""

    place: int
    entry: Entry

    @property
    def data(self) -> dict[str, Any]:
        """What belongs to its type."""
        return self.entry.data

    @property
    def when(self) -> str:
        """When it happened."""
        return time_text(self.entry.at_us)


class RunLog(NamedTuple):
    """The events of a bundle, sorted by what they are for."""

    content: Content
    key: VerifierKey
    moves: tuple[Occurrence, ...]  # of the run itself
    evidence: tuple[Occurrence, ...]
    stream: tuple[Occurrence, ...]  # everything in the run's stream
    views: tuple[Occurrence, ...]

    @property
    def born(self) -> Occurrence:
        """How the run began."""
        return self.moves[0]

    @property
    def requester(self) -> str:
        """Who asked for the run; and whoever made the token, where a token asked."""
        maker = self.details.get("requested_for")
        return who(self.born) if maker is None else f"{who(self.born)}, by a token of {maker}"

    @property
    def details(self) -> Mapping[str, Any]:
        """What is known of the run in the end."""
        details: dict[str, Any] = self.moves[-1].data["details"]
        return details

    @property
    def is_imported(self) -> bool:
        """Whether it is a record of another system: then its own times are not known."""
        return self.born.entry.type is EventType.RUN_IMPORTED

    @property
    def end(self) -> Occurrence | None:
        """How the run ended, if it has."""
        return next((event for event in self.moves if event.data["target"] in _ENDED and not self.is_imported), None)

    @property
    def decision(self) -> Mapping[str, Any]:
        """The last decision that was made for the record."""
        projected = [event for event in self.stream if event.entry.type is EventType.DECISION_PROJECTED]
        decision: dict[str, Any] = projected[-1].data["decision"]
        return decision

    @property
    def approvals(self) -> list[tuple[Occurrence, bool]]:
        """Every approval, and whether it is of the preview that counts in the end; another preview takes them all away."""
        given, kept = self.fired("approve"), self.details.get("approvals", ())
        shown = (self.details.get("preview") or {}).get("plan_digest")
        counts = [False] * (len(given) - len(kept)) + [each.get("plan_digest") == shown for each in kept]
        return list(zip(given, counts, strict=False))  # a forged bundle may say anything

    def fired(self, name: str) -> list[Occurrence]:
        """Give every time that an event of this name was fired on the run."""
        return [event for event in self.moves if event.data.get("event") == name]


def run_log(content: Content, key: VerifierKey) -> RunLog:
    """Read the events of a bundle that this key signs."""
    run = content.facts.run
    events = [Occurrence(logged.place, _ENTRIES.decode(logged.payload)) for logged in content.events]
    stream = tuple(event for event in events if event.entry.stream == run_stream(run))
    return RunLog(
        content,
        key,
        moves=tuple(event for event in stream if event.entry.type in _MOVES),
        evidence=tuple(event for event in stream if event.entry.type in _EVIDENCE),
        stream=stream,
        views=tuple(event for event in events if is_view_of(event.entry.stream, run)),
    )


def who(event: Occurrence) -> str:
    """Say who did it, what kind of actor that is, and the way in."""
    actor = event.entry.actor
    return f"{actor.id} ({actor.kind}, {actor.via})"


def time_text(at_us: int | None) -> str:
    """Write a moment, to the second."""
    return (
        NOT_REPORTED if at_us is None else f"{instant(at_us):%Y-%m-%d\N{NO-BREAK SPACE}%H:%M:%S\N{NO-BREAK SPACE}UTC}"
    )


def duration_text(length_us: int) -> str:
    """Write a length of time in its two largest units; what is shorter than a second, in milliseconds."""
    rest, parts = abs(length_us), list[str]()
    if rest < _UNITS[-1][0]:
        return f"{'-' if length_us < 0 else ''}{rest / 1000:.1f} ms"
    for size, unit in _UNITS:
        if rest >= size or parts:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return ("-" if length_us < 0 else "") + " ".join(parts[:2])
