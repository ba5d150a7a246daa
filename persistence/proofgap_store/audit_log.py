"""The append path: how audit events are linked to their stream and inserted, all of them or none.

Owns the insert. The insert *is* the transition: triggers move the records it speaks of, or refuse it. Refuses to
know what an event means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from proofgap.audit import (
    ACTOR_NAME,
    FORMAT_VERSION,
    GENESIS,
    Actor,
    Entry,
    EventType,
    canonical,
    commitment,
    leaf_hash,
)
from proofgap.errors import ProofgapError
from proofgap.text import check_id
from proofgap_store.clock import new_event_id, new_salt
from proofgap_store.dialect import Statement
from proofgap_store.engine import Connection, execute, rows
from proofgap_store.shapes import Opening


class SwallowedError(ProofgapError):
    """The database took a row and did not keep it; the transaction was rolled back."""

    def __init__(self) -> None:
        """Say what to look for."""
        self.remedy = "Look for foreign triggers with: proofgap doctor."
        super().__init__(f"the database did not keep what was written, so nothing was done. {self.remedy}")


class Head(NamedTuple):
    """The end of a stream: the number of its next event, and the leaf hash of its last one."""

    stream: str
    next_seq: int
    prev: str


class Draft(NamedTuple):
    """An event before it has its place in a stream; ``private`` is what it commits to and does not say, by path."""

    type: EventType
    workspace: str | None
    environment: str | None
    run: str | None
    operation: str | None
    data: dict[str, Any]
    private: tuple[tuple[str, str], ...] = ()


class Linked(NamedTuple):
    """An event with its place in its stream: ready to be inserted, its leaf hash, and what opens its commitments."""

    type: EventType
    workspace: str | None
    environment: str | None
    run: str | None
    data: dict[str, Any]
    payload: str
    leaf: str
    openings: dict[str, Opening]


class Written(NamedTuple):
    """An inserted event."""

    event_id: int
    event: Linked


_OPEN = """
INSERT INTO audit_private SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, value ->> 3 FROM json_each(:openings)
"""
_HEAD = "SELECT seq, head FROM audit_stream WHERE stream = :stream"


def head_of(connection: Connection, stream: str) -> Head:
    """Read the end of a stream; a stream that does not exist yet begins with the genesis hash."""
    found = rows(connection, _HEAD, stream=stream)
    return Head(stream, found[0]["seq"] + 1, found[0]["head"]) if found else Head(stream, 0, GENESIS)


def link(head: Head, drafts: Sequence[Draft], actor: Actor, at_us: int, rec_us: int) -> list[Linked]:
    """Give every draft its place after the head; it needs no database, so it is done before the write lock is taken.

    Raises:
        BadInputError: the name of the actor is none.

    """
    named = () if actor.name is None else ((ACTOR_NAME, check_id(ACTOR_NAME, actor.name)),)
    linked, prev = [], head.prev
    for number, draft in enumerate(drafts, head.next_seq):
        openings = {path: Opening(salt=new_salt(), value=value) for path, value in (*named, *draft.private)}
        entry = Entry(
            v=FORMAT_VERSION,
            type=draft.type,
            id=new_event_id(),
            stream=head.stream,
            seq=number,
            prev=prev,
            ws=draft.workspace,
            env=draft.environment,
            run=draft.run,
            op=draft.operation,
            at_us=at_us,
            rec_us=rec_us,
            actor=actor.author(),
            data=draft.data,
            commit={path: commitment(found.salt, found.value) for path, found in openings.items()},
        )
        payload = canonical(entry)
        prev = leaf_hash(payload)
        place = (draft.workspace, draft.environment, draft.run)
        linked.append(Linked(draft.type, *place, draft.data, payload.decode(), prev, openings))
    return linked


def alone(connection: Connection, stream: str, draft: Draft, actor: Actor, rec_us: int) -> list[Linked]:
    """Give one event its place at the end of a stream; it happens when it is recorded."""
    return link(head_of(connection, stream), [draft], actor, rec_us, rec_us)


def inserting(events: Sequence[Linked]) -> Statement:
    """Give the one statement that inserts events; each of its rows is a number that the database gave."""
    parameters = {f"p{n}": event.payload for n, event in enumerate(events)}
    parameters |= {f"l{n}": event.leaf for n, event in enumerate(events)}
    return _insert(len(events)), parameters


def kept(connection: Connection, events: Sequence[Linked], found: Sequence[tuple[int]]) -> list[Written]:
    """Hold what an insert gave back against what went in; then keep what opens the events.

    Raises:
        SwallowedError: fewer rows came to be than went in.
        Exception: of the driver, if a guard or a trigger refused; `transaction` makes it `RefusedByDatabaseError`.

    """
    numbers = sorted(number for (number,) in found)
    if len(numbers) != len(events):
        raise SwallowedError
    written = [Written(number, event) for number, event in zip(numbers, events, strict=True)]
    _keep_openings(connection, written)
    return written


def append(connection: Connection, events: Sequence[Linked]) -> list[Written]:
    """Insert events, and read back what the database gave each of them. Errors: those of `kept`."""
    return kept(connection, events, execute(connection, *inserting(events)).fetchall())


def _keep_openings(connection: Connection, written: Sequence[Written]) -> None:
    found = [
        (number, path, opening.salt, opening.value)
        for number, event in written
        for path, opening in event.openings.items()
    ]
    if not found:
        return
    if execute(connection, _OPEN, {"openings": msgspec.json.encode(found).decode()}).rowcount != len(found):
        raise SwallowedError


@lru_cache(maxsize=8)  # a transition writes two to four events, an import any number
def _insert(count: int) -> str:
    """Write the statement that inserts so many events."""
    values = ", ".join(f"(:p{n}, :l{n})" for n in range(count))
    return f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id"  # noqa: S608 - names only
