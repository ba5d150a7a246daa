"""How a person is let in by a browser: one-time links, and the sessions that begin with one or with a provider's word.

That a link was made, and that somebody signed in, are events of the stream ``system/sessions``. The rows are volatile:
they end by themselves, a lost one costs a sign-in, and nothing else follows from them. A link is used by whoever is
first: its row goes in the transaction in which the session begins.

Owns these events and rows. Refuses to know cookies and providers, and how a session ends (`signing_out`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from proofgap.audit import Actor, EventType, system_stream
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap.text import check_id
from proofgap_store.audit_log import Draft, alone
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Insert, Writing
from proofgap_store.tokens import hashed, refuse_token

STREAM = system_stream("sessions")
"""Where links, sign-ins and sign-outs are recorded."""

_SEEN_US = 60_000_000  # how exact the time of the last request is: a minute
_ADD_LINK = "INSERT INTO access_link VALUES (:id, :principal, :name, :expires_at_us, :event_id)"
_ADD_SESSION = "INSERT INTO access_session VALUES (:id, :principal, :name, :now, :expires_at_us, :event_id)"
_LINK = "SELECT principal, name, expires_at_us FROM access_link WHERE id = :id"
_SESSION = "SELECT * FROM access_session WHERE id = :id"
_STAMP = "UPDATE access_session SET seen_at_us = :now WHERE id = :id AND seen_at_us < :now"
_USE_LINK = "DELETE FROM access_link WHERE id = :id"
SWEEPS = (
    "DELETE FROM access_session WHERE expires_at_us <= :now",
    "DELETE FROM access_link WHERE expires_at_us <= :now",
)
"""What takes away the rows that ended by themselves."""


class Entrance(Struct):
    """What lets somebody in: the secret of a link or of a session, and until when (microseconds since 1970 UTC)."""

    secret: str
    principal: str
    expires_at_us: int


class Session(NamedTuple):
    """A session in force, by its id; ``is_fresh``: the time of its last request needs no new stamp."""

    id: str
    principal: str
    name: str | None
    expires_at_us: int
    is_fresh: bool


class Door(NamedTuple):
    """A link or a session that is to be: its new secret, and from when until when it is good."""

    secret: str
    now_us: int
    expires_at_us: int


def offering(connection: Connection, actor: Actor, door: Door) -> Writing[Entrance] | Entrance:
    """Compute the event and the row of a one-time link by which the actor signs in."""
    refuse_token(check_id("actor", actor.id))
    data = {"link": hashed(door.secret), "expires_at_us": door.expires_at_us}
    return _opening(connection, actor, door, (EventType.LINK_MADE, data, _ADD_LINK), ())


def by_link(connection: Connection, link: str, door: Door) -> Writing[Entrance] | Entrance:
    """Compute the event and the row of a session that begins with a link, which is used up by it.

    Raises:
        NotFoundError: there is no such link, it was used, or it is too late.

    """
    used = hashed(link)
    found = next(iter(rows(connection, _LINK, id=used)), None)
    if found is None or found["expires_at_us"] <= door.now_us:
        raise NotFoundError("sign-in link", "...")
    actor = Actor(id=found["principal"], via="page", name=found["name"])
    return _beginning(connection, actor, door, {"means": "link", "link": used}, ((_USE_LINK, {"id": used}),))


def by_provider(connection: Connection, actor: Actor, door: Door) -> Writing[Entrance] | Entrance:
    """Compute the event and the row of a session that begins with the word of a provider that is trusted."""
    refuse_token(check_id("actor", actor.id))
    return _beginning(connection, actor, door, {"means": "openid"}, ())


def _beginning(
    connection: Connection, actor: Actor, door: Door, how: dict[str, str], beside: tuple[Insert, ...]
) -> Writing[Entrance]:
    data = {"session": hashed(door.secret), "expires_at_us": door.expires_at_us, **how}
    return _opening(connection, actor, door, (EventType.SIGNED_IN, data, _ADD_SESSION), beside)


def _opening(
    connection: Connection,
    actor: Actor,
    door: Door,
    event: tuple[EventType, dict[str, Any], str],
    beside: tuple[Insert, ...],
) -> Writing[Entrance]:
    kind, data, statement = event
    row = {"id": hashed(door.secret), "principal": actor.id, "name": actor.name, "expires_at_us": door.expires_at_us}
    if kind is EventType.SIGNED_IN:
        row["now"] = door.now_us
    return Writing(
        events=alone(connection, STREAM, Draft(kind, None, None, None, None, data), actor, door.now_us),
        answer=lambda _written: Entrance(secret=door.secret, principal=actor.id, expires_at_us=door.expires_at_us),
        rows=lambda written: ((statement, {**row, "event_id": written[0].event_id}), *beside),
    )


def session(connection: Connection, secret: str, now_us: int, idle_us: int) -> Session | None:
    """Find the session of a secret; ``None``: there is none, it ended, or nobody used it for too long."""
    found = next(iter(rows(connection, _SESSION, id=hashed(secret))), None)
    if found is None or found["expires_at_us"] <= now_us or found["seen_at_us"] + idle_us <= now_us:
        return None
    is_fresh = now_us - found["seen_at_us"] < _SEEN_US
    return Session(found["id"], found["principal"], found["name"], found["expires_at_us"], is_fresh)


def stamp(session_id: str, now_us: int) -> tuple[str, dict[str, Any]]:
    """Give the statement that says when a session was last used: it is volatile, and no event."""
    return _STAMP, {"id": session_id, "now": now_us}
