"""Erasing personal data: the opening of a commitment goes, the commitment stays, and an event says so.

Owns who may, and the event; a trigger deletes the opening when the event comes, and nothing else ever does. Whoever
has the value and the salt from elsewhere can still show that they belong to the event. Refuses to judge reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofgap.access import Action
from proofgap.audit import Actor, EventType
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap.text import check_code, check_id
from proofgap_store import questions
from proofgap_store.audit_log import Draft, Written, alone
from proofgap_store.engine import Connection
from proofgap_store.gate import Writing
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.read import law


class Redaction(Struct):
    """What was erased, and the event that says so."""

    redacted: int  # the event that committed to it
    path: str
    reason: str
    event_id: int


class Erasure(Struct):
    """What to erase: a path of one event, named by its number or its id; and the code of the reason."""

    event: str
    path: str
    reason: str


def redacting(connection: Connection, wanted: Erasure, actor: Actor, rec_us: int) -> Writing[Redaction] | Redaction:
    """Compute the event that erases an opening.

    Raises:
        NotFoundError: there is no such event or opening, it was erased before, or it is not visible.
        ForbiddenError: the actor administers nothing.

    """
    check_code("reason", wanted.reason)
    found = questions.one(connection, wanted.event, actor.id, Action.ADMINISTER)
    if check_id("path", wanted.path) not in found.openings:
        done = "erased" if wanted.path in found.entry.get("commit", {}) else ""
        raise NotFoundError(f"opening of audit event {found.event_id}", wanted.path, done=done)
    data: dict[str, Any] = {"redacted": found.event_id, "path": wanted.path, "reason": wanted.reason}
    entry = found.entry
    draft = Draft(EventType.REDACTED, entry["ws"], entry["env"], entry["run"], None, data)

    def answer(written: Sequence[Written]) -> Redaction:
        return Redaction(event_id=written[0].event_id, **data)

    return Writing(events=alone(connection, AUDIT_STREAM, draft, actor, rec_us), answer=answer, law=law(connection))
