"""What an audit event says, in a few words: for lists and tails of the log.

Owns the words. An event that does not hold what belongs to its type is told by its type alone: this is where a forged
one must do no harm. Refuses to judge.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from proofgap.audit import EventType
from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap_app.cli import output
from proofgap_app.settings import is_terminal
from proofgap_store import LoggedEvent

_SECONDS_LENGTH = 19
_NAME_WIDTH = 21
_GAP = 2
_TOLD = {  # what needs no words but those that the event holds
    EventType.EVIDENCE_REVIEWED: "reviewed: {snapshot}",
    EventType.TOKEN_CREATED: "token {token}",
    EventType.TOKEN_REVOKED: "token {token}",
    EventType.LINK_MADE: "a link to sign in with, once",
    EventType.SIGNED_IN: "by {means}",
    EventType.SIGNED_OUT: "session {session:.12}",
    EventType.MOVED: "to {target}, {size} leaves",
    EventType.ARRIVED: "from {source}, {size} leaves",
    EventType.WORKER_REGISTERED: "{worker}: {details[name]}",
    EventType.WORKER_RETIRED: "{worker}",
    EventType.WORKER_LOST: "{worker}",
    EventType.ENVIRONMENT_RELEASED: "held by {holder}",
    EventType.SOURCE_REGISTERED: "{source}: {details[backup]}",
    EventType.SOURCE_RETIRED: "{source}",
    EventType.DRILL_DECLARED: "{drill}: {details[cron]}",
    EventType.DRILL_RETIRED: "{drill}",
    EventType.DRILL_FIRED: "{drill}",
    EventType.DRILL_MISSED: "{drill}, ticks: {ticks}",
}


def moment(microseconds: object) -> str:
    """Write a time of the log as people read it: UTC, to the second."""
    exact = exact_moment(microseconds)
    return exact[:_SECONDS_LENGTH].replace("T", " ") + "Z" if exact != output.ABSENT else exact


def exact_moment(microseconds: object) -> str:
    """Write a time of the log as RFC 3339 with microseconds."""
    try:
        return utc_text(instant(microseconds)) if isinstance(microseconds, int) else output.ABSENT
    except OverflowError:
        return output.ABSENT


def words(event: LoggedEvent) -> str:
    """Say in a few words what happened."""
    if event.is_pruned:
        return "payload pruned"
    data = event.entry.get("data")
    if not isinstance(data, dict):
        return ""
    if event.entry.get("type") in _TOLD:
        return _filled(_TOLD[event.entry["type"]], data)
    return _decided(data)


def _decided(data: dict[str, Any]) -> str:
    """Say what was shown, granted, taken out or refused."""
    match data:
        case {"decision": {"state": state, "rule": rule}, "viewer": {"id": viewer}, "trigger": trigger}:
            return f"{state} (rule {rule}), {_occasion(trigger, viewer)}"
        case {"rows": [*found], "viewer": viewer}:
            return f"{output.amount(len(found), 'run')} shown to {viewer}"
        case {"principal": principal, "role": role}:
            return f"{role}: {principal}"
        case {"sha256": _, "file": file, "count": int(count), "format": form}:
            return f"{output.amount(count, 'event')} to {file} ({form})"
        case {"guard": guard, "event": fired, "source": source}:
            return f"{fired} refused while {source}" + (f": {str(guard).replace('_', ' ')}" if guard else "")
        case _:
            return _moved(data)


def _filled(template: str, data: dict[str, Any]) -> str:
    try:
        return template.format(**data)
    except (LookupError, TypeError, ValueError):
        return ""


def _key_hash(key: str) -> str:
    """Shorten a verifier key to what tells it from others: the hash in it (C2SP signed-note)."""
    _, _, rest = key.partition("+")
    return rest.partition("+")[0] or key


def _occasion(trigger: object, viewer: object) -> str:
    return f"shown to {viewer}" if trigger == "show" else "for the record"


def _moved(data: dict[str, Any]) -> str:
    match data:
        case {"event": str(fired), "source": source, "target": target}:
            return f"{fired}: {target}" if source == target else f"{fired}: {source} → {target}"
        case {"target": target}:
            return f"{target}"
        case {"machine": machine, "definition": str(definition)}:
            return f"{machine} {definition[:12]}"
        case {"approvals_required": approvals}:
            return f"approvals required: {approvals}{_valid(data)}"
        case {"kind": kind, "link": link}:
            return f"{str(kind).replace('_', ' ')} {link}"
        case _:
            return _kept(data)


def _valid(data: dict[str, Any]) -> str:
    valid_us = data.get("evidence_valid_us")
    return f", evidence counts for {valid_us / 1_000_000:,.0f} s" if isinstance(valid_us, int) else ""


def _kept(data: dict[str, Any]) -> str:
    """Say what was done to the log itself."""
    match data:
        case {"redacted": redacted, "path": path, "reason": reason}:
            return f"{path} of event {redacted}: {reason}"
        case {"first": first, "last": last, "kept_as": kept_as}:
            return f"leaves {first} to {last}, kept as {kept_as}"
        case {"hold": hold}:
            return f"{hold}: {data['reason']}" if "reason" in data else f"{hold}"
        case {"reason": reason}:
            return f"{reason}"
        case _:
            return _let_in(data)


def _let_in(data: dict[str, Any]) -> str:
    """Say who was not let in, and which key counts."""
    match data:
        case {"action": action, "kind": kind, "subject": subject}:
            return " ".join(["may not", *(str(part) for part in (action, kind, subject) if part)])
        case {"key": str(key), "previous": previous}:
            return f"{'first' if previous is None else 'next'} key: {_key_hash(key)}"
        case _:
            return ""


def actor_of(event: LoggedEvent) -> str:
    """Name who did it; of a pruned event nobody knows."""
    actor = None if event.is_pruned else event.entry.get("actor")
    return str(actor.get("id")) if isinstance(actor, dict) else output.ABSENT


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Write values under their names, none of them cut: aligned on a terminal, separated by tabs otherwise."""
    known = list(rows)
    width = max([_NAME_WIDTH, *(len(name) + _GAP for name, _ in known)])
    for name, value in known:
        if is_terminal(sys.stdout):
            output.data(f"{name:<{width}}{output.cell(value)}")
        else:
            output.columns((name, value))


def document(event: LoggedEvent) -> dict[str, Any]:
    """Give an event as JSON output holds it."""
    return {"event_id": event.event_id, "leaf": event.leaf, "entry": event.entry, "openings": event.openings}
