"""How a session ends that did not end by itself: by whoever signed in, or by an administrator.

An administrator ends the sessions of whoever holds, or ever held, a role in a place that they administer, and sees when
these were used. Links that were made and not used go with them: else the next session would begin at once. For
everybody else there is no session, whether there is one or not.

Owns the event of a session's end, and the list of those in force. Refuses to know how they begin (`signing_in`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import convert

from proofgap.access import ANY_ENVIRONMENT, Role
from proofgap.audit import EventType
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap.text import check_id
from proofgap_store.audit_log import Draft, head_of, link
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.gate import Insert, Writing
from proofgap_store.signing_in import STREAM
from proofgap_store.transitions import Call

_MINE = "SELECT id, principal FROM access_session WHERE id = :id AND principal = :actor"
_OPEN = """
SELECT s.*, e.at_us AS began_at_us, e.payload ->> '$.data.means' AS means
FROM access_session AS s JOIN audit_event AS e ON e.event_id = s.event_id
WHERE s.expires_at_us > :now AND (s.principal = :actor OR EXISTS (
  SELECT 1 FROM access_grant AS theirs JOIN access_grant AS mine ON mine.workspace = theirs.workspace
  WHERE theirs.principal = s.principal AND mine.principal = :actor AND mine.role = :admin AND mine.active = 1
    AND (mine.environment IN (theirs.environment, :any) OR theirs.environment = :any)))
ORDER BY s.principal, s.event_id
"""
_LINKS = "SELECT id FROM access_link WHERE principal = :principal"
_END_SESSION = "DELETE FROM access_session WHERE id = :id"
_END_LINK = "DELETE FROM access_link WHERE id = :id"


class OpenSession(Struct):
    """A session in force, without what could begin another. Times in microseconds since 1970 UTC.

    ``means`` is link or openid; ``seen_at_us`` is exact to a minute.
    """

    principal: str
    means: str
    began_at_us: int
    seen_at_us: int
    expires_at_us: int


def listing(connection: Connection, actor: str, now_us: int) -> tuple[OpenSession, ...]:
    """Read the sessions in force that somebody may end: their own, and of whom they administer."""
    fields = OpenSession.__struct_fields__
    found = _open(connection, actor, now_us)
    return tuple(convert({name: row[name] for name in fields}, OpenSession) for row in found)


def ending(connection: Connection, session_id: str, call: Call) -> Writing[int] | int:
    """Compute the end of one session of the actor's own; one that is over already has had its end."""
    found = rows(connection, _MINE, id=session_id, actor=call.actor.id)
    return _writing(connection, found, (), call) if found else 0


def ending_all(connection: Connection, principal: str, call: Call) -> Writing[int] | int:
    """Compute the end of every session of somebody, and of what they could begin another with; answers how many.

    Raises:
        NotFoundError: there is none that the actor may end.

    """
    principal = check_id("principal", principal)
    found = [row for row in _open(connection, call.actor.id, call.rec_us) if row["principal"] == principal]
    if not found:
        raise NotFoundError("session of", principal)
    links = [(_END_LINK, {"id": row["id"]}) for row in rows(connection, _LINKS, principal=principal)]
    return _writing(connection, found, links, call)


def _open(connection: Connection, actor: str, now_us: int) -> list[Row]:
    return rows(connection, _OPEN, actor=actor, now=now_us, admin=Role.ADMIN, any=ANY_ENVIRONMENT)


def _writing(connection: Connection, ended: Sequence[Row], beside: Sequence[Insert], call: Call) -> Writing[int]:
    drafts = [_draft(row, call.actor.id) for row in ended]
    gone = [(_END_SESSION, {"id": row["id"]}) for row in ended]
    return Writing(
        events=link(head_of(connection, STREAM), drafts, call.actor, call.at_us, call.rec_us),
        answer=len,
        rows=lambda _written: [*gone, *beside],
    )


def _draft(ended: Row, actor: str) -> Draft:
    """Say whose session it was, where another than they ended it."""
    other = {} if ended["principal"] == actor else {"principal": ended["principal"]}
    return Draft(EventType.SIGNED_OUT, None, None, None, None, {"session": ended["id"], **other})
