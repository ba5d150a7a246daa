"""The log as its auditors read it on a page: filters, rows, one event whole, and what a verification found.

Pure functions from what the ledger gives. Refuses to judge: every word of a finding is the finding's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from proofgap.audit import EventType
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.findings import Finding
from proofgap.text import check_id, shown
from proofgap.wording import DecisionState
from proofgap_app.web.pages import addresses, trail, words
from proofgap_app.web.pages.about import Pair, pairs
from proofgap_app.web.pages.runs import Choice, day_us, end_of_day_us
from proofgap_store import LoggedEvent, LogListing, LogQuery, Verification

ROWS = 100
"""How many events a page has."""

_FINDINGS_SHOWN = 100
_INDENT = 2


class Wanted(Struct):
    """Which events are wanted, as a form sends it: an empty field asks for everything."""

    run: str = ""
    actor: str = ""
    type: str = ""
    state: str = ""
    refused: str = ""
    since: str = ""
    until: str = ""
    after: str = ""


class AuditPage(NamedTuple):
    """A page of the log."""

    rows: tuple[trail.Row, ...]
    following: str | None
    wanted: Wanted
    types: tuple[Choice, ...]
    states: tuple[Choice, ...]
    waiting: int
    keys: tuple[Pair, ...]


class EventPage(NamedTuple):
    """One event, whole."""

    event_id: int
    pairs: tuple[Pair, ...]
    payload: tuple[str, ...]
    openings: tuple[Pair, ...]
    run_page: str | None
    decision_page: str | None  # the decision that the event records, as it was shown


class VerifyPage(NamedTuple):
    """What a verification found, and what it was held against."""

    verdict: str
    anchor: str
    unseen: str
    pairs: tuple[Pair, ...]
    findings: tuple[tuple[str, str, str], ...]
    more: int


def query(wanted: Wanted) -> LogQuery:
    """Turn a filter into a question.

    Raises:
        BadInputError: a value is none that the log could hold.

    """
    for name, text, kinds in (("type", wanted.type, EventType), ("state", wanted.state, DecisionState)):
        if text and text not in set(kinds):
            raise BadInputError(name, f"'{shown(text)}' is none", "Choose one of the list.")
    return LogQuery(
        run=_named("run", wanted.run),
        actor=_named("actor", wanted.actor),
        types=(EventType(wanted.type),) if wanted.type else (),
        state=DecisionState(wanted.state) if wanted.state else None,
        refused=bool(wanted.refused),
        since_us=day_us("since", wanted.since),
        until_us=end_of_day_us("until", wanted.until),
    )


def _named(field: str, text: str) -> str | None:
    """Read an id that somebody typed, or copied with the spaces around it."""
    return check_id(field, text.strip()) if text.strip() else None


def page(found: LogListing, wanted: Wanted, waiting: int, keys: Iterable[tuple[str, int]]) -> AuditPage:
    """Give a page of the log."""
    asked = {name: getattr(wanted, name) for name in Wanted.__struct_fields__ if name != "after"}
    return AuditPage(
        rows=trail.rows_of_log(found.events),
        following=None if found.next is None else addresses.with_query(addresses.AUDIT, **asked, after=found.next),
        wanted=wanted,
        types=tuple(Choice(kind, kind, kind == wanted.type) for kind in sorted(EventType)),
        states=tuple(Choice(state, words.plain(state), state == wanted.state) for state in DecisionState),
        waiting=waiting,
        keys=tuple((f"Key of event {number}", key) for key, number in keys),
    )


def event_page(event: LoggedEvent) -> EventPage:
    """Give the page of one event, with its exact bytes laid out."""
    entry = event.entry
    run = entry.get("run")
    actor = entry.get("actor")
    facts = pairs(
        {
            "Type": entry.get("type"),
            "Id": entry.get("id"),
            "Stream and place": f"{entry.get('stream')}, {entry.get('seq')}",
            "Happened": _moment(entry.get("at_us")),
            "Recorded": _moment(entry.get("rec_us")),
            "By": ", ".join(str(part) for part in actor.values()) if isinstance(actor, dict) else None,
            "Workspace, environment": ", ".join(
                str(part) for name in ("ws", "env") if (part := entry.get(name)) is not None
            )
            or "none",
            "Run": run,
            "Leaf": event.leaf,
        }
    )
    text = msgspec.json.format(event.payload, indent=_INDENT).decode()
    return EventPage(
        event.event_id,
        facts if not event.is_pruned else (("Payload", "pruned: it is in the export that was kept"), *facts),
        tuple(text.split("\n")),
        tuple((path, opening.value) for path, opening in sorted(event.openings.items())),
        addresses.run(run) if isinstance(run, str) else None,
        _decision_page(event),
    )


def _decision_page(event: LoggedEvent) -> str | None:
    match {} if event.is_pruned else event.entry:
        case {"type": EventType.DECISION_PROJECTED, "run": str(run)}:
            return addresses.decision(run, event.event_id)
        case _:
            return None


def _moment(at_us: object) -> str:
    return words.moment(words.known_moment(at_us))


def verify_page(found: Verification, ended_us: int, *, is_all: bool) -> VerifyPage:
    """Give the page of a verification that ended at a moment; without places and details for whoever does not audit all that they could be in."""
    covered = pairs(
        {
            "Ended": words.moment(ended_us),
            "Events": f"{found.events:,}",
            "Under a signed root": f"{found.size:,}",
            "Root": found.root,
            "Pruned before leaf": found.pruned_before or "none pruned",
        }
    )
    return VerifyPage(
        verdict=found.verdict,
        anchor=found.anchor,
        unseen=found.unseen,
        pairs=covered,
        findings=tuple(_finding(one, is_all=is_all) for one in found.findings[:_FINDINGS_SHOWN]),
        more=sum(found.counts.values()) - min(len(found.findings), _FINDINGS_SHOWN),
    )


def _finding(finding: Finding, *, is_all: bool) -> tuple[str, str, str]:
    meaning = finding.code.meaning
    if not is_all:
        return (
            finding.code,
            f"{words.sentence(meaning.says)}. Where is told to whoever audits every environment. {meaning.hint}",
            "",
        )
    places = {"leaf": finding.index, "event": finding.event_id, "stream": finding.stream}
    where = ", ".join(f"{name} {place}" for name, place in places.items() if place is not None)
    return finding.code, f"{words.sentence(meaning.says)}: {finding.detail}. {meaning.hint}", where
