"""Verifying prunings: each took the next prefix of a signed tree, nothing under a hold, and left what it committed to.

Owns which leaves may be tombstones, and that those that are there are the ones that were left. Refuses to know what
bytes are a tombstone (`proofgap.replay`) and to repair anything. Source: ``docs/audit-format.md``, "What is left of a
pruned event".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from proofgap.facts import Count
from proofgap.findings import Code, Finding
from proofgap.replay import Report, Tombstone, tombstone_of
from proofgap_store.engine import Connection, rows, walk
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.verification import decoded, encoded

_PRUNINGS = "SELECT event_id, payload FROM audit_event WHERE type = 'audit.pruned' ORDER BY event_id"
_HOLDS = """
SELECT event_id, type, payload FROM audit_event
WHERE type IN ('audit.held', 'audit.hold_released') AND event_id < :event ORDER BY event_id
"""
_CHECKPOINT = "SELECT 1 FROM audit_checkpoint WHERE size = :size AND root = :root"
_EVENTS = """
SELECT l.event_id, e.payload FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id
WHERE l.idx BETWEEN :first AND :last ORDER BY l.idx
"""


class _Said(msgspec.Struct, frozen=True):
    """What a pruning says that it did."""

    first: Count
    last: Count
    size: Count
    root: str
    tombstones: Count
    tombstones_sha256: str


class _Pruning(NamedTuple):
    """A pruning, and what it says; ``None`` if it does not say what it ought to."""

    event_id: int
    said: _Said | None


class _Scope(NamedTuple):
    """What a hold covers: ``None`` is anything."""

    ws: str | None
    env: str | None
    run: str | None

    def covers(self, left: Tombstone) -> bool:
        """Tell whether an event is under the hold."""
        return all(
            held is None or held == found for held, found in zip(self, (left.ws, left.env, left.run), strict=True)
        )


def pruned_leaves(connection: Connection) -> Sequence[range]:
    """Give the leaves whose events may be tombstones, as the log says."""
    found = (pruning.said for pruning in _prunings(connection))
    return [range(said.first, said.last + 1) for said in found if said is not None]


def _prunings(connection: Connection) -> Iterator[_Pruning]:
    for row in rows(connection, _PRUNINGS):
        event = decoded(row["payload"])
        try:
            said = msgspec.convert(event.get("data"), _Said)
        except msgspec.ValidationError:
            said = None
        is_own = (event.get("stream"), event.get("type")) == (AUDIT_STREAM, "audit.pruned")
        yield _Pruning(row["event_id"], said if is_own else None)


def check_prunings(connection: Connection, report: Report) -> None:
    """Hold every pruning against the one before it, the signed tree, the holds of its time, and what it left."""
    following = 0
    for event_id, said in _prunings(connection):
        problems = (
            ["it does not say what it took"] if said is None else _problems(connection, event_id, said, following)
        )
        for detail in problems:
            report(Finding(code=Code.PRUNE_INVALID, detail=detail, event_id=event_id, stream=AUDIT_STREAM))
        following = following if said is None else said.last + 1


def _problems(connection: Connection, event_id: int, said: _Said, following: int) -> Iterator[str]:
    if said.first != following or said.last < said.first:
        yield f"it took leaves {said.first} to {said.last}, and leaf {following} was the next one"
    if said.last >= said.size or not rows(connection, _CHECKPOINT, size=said.size, root=said.root):
        yield f"no checkpoint of {said.size} leaves with the root {said.root} covers leaf {said.last}"
    holds, count, digest = _holds(connection, event_id), 0, sha256()
    for number, payload, left in _left(connection, said):
        count += 1
        digest.update(payload + b"\n")
        for hold in (name for name, scope in holds.items() if scope.covers(left)):
            yield f"event {number} was under the hold {hold}"
    if (count, digest.hexdigest()) != (said.tombstones, said.tombstones_sha256):
        yield f"there are {count} tombstones of it, and not the {said.tombstones} that it left"


def _left(connection: Connection, said: _Said) -> Iterator[tuple[int, bytes, Tombstone]]:
    for event_id, text in walk(connection, _EVENTS, {"first": said.first, "last": said.last}):
        payload = encoded(text)
        left = tombstone_of(payload, event_id)
        if left is not None:
            yield event_id, payload, left


def _holds(connection: Connection, before: int) -> dict[str, _Scope]:
    """Give the holds that were in force when an event was written, by name."""
    found: dict[str, _Scope] = {}
    for row in rows(connection, _HOLDS, event=before):
        event: dict[str, Any] = decoded(row["payload"])
        data = event.get("data")
        name = str(data.get("hold")) if isinstance(data, dict) else ""
        if row["type"] == "audit.held":
            found[name] = _Scope(event.get("ws"), event.get("env"), event.get("run"))
        else:
            found.pop(name, None)
    return found
