"""The audit trail of a run as rows that a person reads: what happened, who did it, under which number it is recorded.

Owns the words. An event that does not hold what belongs to its type is told by its type alone: this is where a forged
one must do no harm. Refuses to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from proofgap.audit import NOTE, EventType
from proofgap.errors import BadInputError
from proofgap.secret import redacted
from proofgap.text import shown
from proofgap_app.web.pages import addresses, words
from proofgap_store import HistoryEvent
from proofgap_store.questions import is_number

_FACTS = {
    "selected": "{:,} selected",
    "source_completeness": "source {}",
    "exit_code": "exit code {}",
    "end_reason": "{}",
    "items": "{:,} item rows",
}
_NEW = {  # which of the known facts are news with which event; the others were said before
    "scope": ("selected",),
    "check": ("selected", "source_completeness"),
    "report": ("items",),
}
_ENDING = ("exit_code", "end_reason")
_PREVIEWED = {"created": "{:,} to create", "overwritten": "{:,} to overwrite", "skipped": "{:,} not restored"}
_GOES_ON = frozenset({"scope", "check", "preview", "approve", "queue", "start", "report", "request_cancel"})
_MACHINES = ("operation", "evidence")
_DETAIL_MAX = 90
HEAD = ("When", "What", "With what, or why", "Who")
"""What stands above the cells of a row."""


class Row(NamedTuple):
    """One event; ``kind`` is its mark: ``projection``, ``transition`` or ``refusal``."""

    event_id: int
    at_us: int | None
    time: str
    day: str
    kind: str
    what: str
    detail: str
    is_code: bool  # the detail is a code
    actor: str
    page: str


def rows(run_id: str, events: Iterable[HistoryEvent], *, is_log: bool = False) -> tuple[Row, ...]:
    """Give a row for each event of a run; its number leads into the log of the run, where nothing is cut (``is_log``)."""
    log = addresses.run(run_id, "events")
    length_max = None if is_log else _DETAIL_MAX
    return tuple(_row(event, addresses.event(log, event.event_id), length_max) for event in events)


def cells(row: Row) -> tuple[str, ...]:
    """Write a row into a table, under `HEAD`."""
    return f"{row.day} {row.time} UTC", row.what, row.detail, row.actor


def rows_of_log(events: Iterable[HistoryEvent]) -> tuple[Row, ...]:
    """Give a row for each event of the whole log, with its run; its number leads to everything that the event says."""
    return tuple(_with_run(event, _row(event, addresses.audit_event(event.event_id))) for event in events)


def _with_run(event: HistoryEvent, row: Row) -> Row:
    run = event.entry.get("run")
    return row._replace(detail=", ".join(part for part in (run, row.detail) if part)) if isinstance(run, str) else row


def came_from(events: Iterable[HistoryEvent], status: str) -> str | None:
    """Give the status from which a run came to the one it is in, where an event says so."""
    for event in events:
        match {} if event.is_pruned else event.entry:
            case {"type": EventType.RUN_TRANSITIONED, "data": {"source": str(source), "target": target}}:
                if target == status and source != status:
                    return source
            case _:
                continue
    return None


def _row(event: HistoryEvent, page: str, length_max: int | None = _DETAIL_MAX) -> Row:
    entry = event.entry
    at = words.known_moment(entry.get("at_us"))
    what, detail, is_code = ("Payload pruned", "", False) if event.is_pruned else _told(event)
    return Row(
        event.event_id,
        at,
        words.NOT_REPORTED if at is None else words.clock(at),
        "" if at is None else words.day(at),
        _kind(entry.get("type")),
        what,
        detail if length_max is None else words.short(detail, length_max),
        is_code,
        _actor(entry.get("actor")),
        page,
    )


def _kind(type_: object) -> str:
    match type_:
        case EventType.DECISION_PROJECTED | EventType.DECISIONS_LISTED:
            return "projection"
        case EventType.RUN_TRANSITION_REFUSED | EventType.ACCESS_DENIED | EventType.LINK_CONFLICTED:
            return "refusal"
        case _:
            return "transition"


def _actor(actor: object) -> str:
    match actor:
        case {"id": str(name)}:
            return name
        case _:
            return words.NOT_REPORTED


def _told(event: HistoryEvent) -> tuple[str, str, bool]:
    """Say what happened, and with what."""
    entry = event.entry
    match entry.get("data"):
        case {"decision": {"state": state}, "viewer": {"id": viewer}, "trigger": trigger}:
            return _projected(trigger, viewer), f"{state}", True
        case {"guard": guard, "event": fired, "source": source, "machine": _}:
            because = "not possible there" if guard is None else words.plain(str(guard))
            return f"Refused: {fired} while {source}", because, False
        case {"target": str(target), "event": fired, "source": source}:
            what = f"{_machine(entry)}{_moved(fired, source, target)}"
            return what, ", ".join(_details(event, entry["data"])), False
        case dict() as data:
            return _of_the_ledger(entry, data)
        case _:
            return _named(entry), "", False


def _of_the_ledger(entry: dict[str, Any], data: dict[str, Any]) -> tuple[str, str, bool]:
    """Say what happened to the ledger itself: who was let in, what was listed, which link was none."""
    match data:
        case {"rows": [*listed], "viewer": viewer}:
            return f"Runs listed for {viewer}", words.amount(len(listed), "run"), False
        case {"principal": principal, "role": role}:
            return _named(entry), f"{role}: {principal}", False
        case {"snapshot": snapshot, "verdict": _}:
            return "Evidence reviewed", f"{snapshot}", False
        case {"action": action, "kind": kind, "subject": subject}:
            return _named(entry), " ".join(str(part) for part in (action, kind, subject) if part), False
        case {"kind": kind, "link": link}:
            return "Link out of scope", f"{words.plain(str(kind))} {link}", False
        case _:
            return _named(entry), "", False


def _named(entry: dict[str, Any]) -> str:
    """Name an event by its type."""
    return words.sentence(words.plain(str(entry.get("type", "")).replace(".", " ")))


def _machine(entry: dict[str, Any]) -> str:
    """Name the machine that moved, unless it is the run itself."""
    kind = str(entry.get("type")).removeprefix("restore.").partition(".")[0]
    return f"{kind}: " if kind in _MACHINES else ""


def _projected(trigger: object, viewer: object) -> str:
    return f"Decision shown to {viewer}" if trigger == "show" else "Decision projected"


def _moved(fired: object, source: object, target: str) -> str:
    if fired is None:
        return f"created as {target}"
    return f"{words.plain(str(fired))} ({target})" if source == target else f"{source} → {target}"


def _details(event: HistoryEvent, data: dict[str, Any]) -> Iterator[str]:
    """Say what became known with a move, as far as the event holds it."""
    fired = data.get("event")
    if _machine(event.entry):
        yield str(data.get("subject"))
        return
    found = data.get("details")
    details: dict[str, Any] = found if isinstance(found, dict) else {}
    for name in _NEW.get(str(fired), _ENDING if _is_end(fired) else ()):
        if name in details:
            yield _fact(_FACTS[name], details[name])
    if fired == "preview" and isinstance(details.get("preview"), dict):
        yield from (
            _fact(form, details["preview"][name]) for name, form in _PREVIEWED.items() if name in details["preview"]
        )
    if fired == "start" or _is_end(fired):
        yield from (f"operation {name}" for name in [event.entry.get("op")] if name)
    if NOTE in event.openings:
        yield f"“{redacted(event.openings[NOTE].value)}”"


def _is_end(fired: object) -> bool:
    return fired is not None and str(fired) not in _GOES_ON


def _fact(form: str, value: object) -> str:
    try:
        return words.plain(form.format(value))
    except (TypeError, ValueError):  # a forged event holds something else where a number belongs
        return f"{value}"


def number(name: str, text: str, otherwise: int) -> int:
    """Read the number of an event that a query names; ``otherwise`` where it names none.

    Raises:
        BadInputError: it is no number of an event.

    """
    if not text:
        return otherwise
    if not is_number(text):
        raise BadInputError(name, f"'{shown(text)}' is no number of an event", "Use a whole number, such as 1.")
    return int(text)
