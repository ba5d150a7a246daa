"""The form of an audit event: what it holds, its canonical bytes, and the hash that links it to the one before.

Owns the closed set of event types, canonical form v1 and the link of a stream. Refuses to know where events are
stored (`proofgap_store`) and who may read them.

Canonical form: UTF-8 JSON in the profile of RFC 8785 that every JSON library writes alike: sorted ASCII keys, no
spaces, no floats, whole numbers below 2**53, no NUL and no lone surrogates. Leaf hash: `merkle`.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from proofgap import merkle
from proofgap.errors import BadInputError
from proofgap.facts import Struct

FORMAT_VERSION = 1
GENESIS = "0" * 64
"""What the first event of a stream names as its predecessor."""

_ENCODER = msgspec.json.Encoder(order="sorted")


class EventType(StrEnum):
    """Everything that is ever written to the log."""

    RUN_CREATED = "restore.run.created"
    RUN_IMPORTED = "restore.run.imported"
    RUN_TRANSITIONED = "restore.run.transitioned"
    RUN_TRANSITION_REFUSED = "restore.run.transition_refused"
    OPERATION_CREATED = "restore.operation.created"
    OPERATION_IMPORTED = "restore.operation.imported"
    OPERATION_TRANSITIONED = "restore.operation.transitioned"
    EVIDENCE_CREATED = "restore.evidence.created"
    EVIDENCE_IMPORTED = "restore.evidence.imported"
    EVIDENCE_TRANSITIONED = "restore.evidence.transitioned"
    EVIDENCE_REVIEWED = "restore.evidence.reviewed"
    LINK_CONFLICTED = "restore.link.conflicted"
    DECISION_PROJECTED = "restore.decision.projected"
    DECISIONS_LISTED = "restore.decision.listed"
    ACCESS_GRANTED = "access.granted"
    ACCESS_REVOKED = "access.revoked"
    ACCESS_DENIED = "access.denied"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a kind of event
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - as above
    LINK_MADE = "access.link_made"
    SIGNED_IN = "access.signed_in"
    SIGNED_OUT = "access.signed_out"
    ENVIRONMENT_DECLARED = "environment.declared"
    MACHINE_DEFINED = "machine.defined"
    KEY_ROTATED = "audit.key_rotated"
    GAP_DECLARED = "audit.gap_declared"
    LOG_EXPORTED = "audit.exported"
    REDACTED = "audit.redacted"
    HELD = "audit.held"
    HOLD_RELEASED = "audit.hold_released"
    PRUNED = "audit.pruned"
    RESTORE_DECLARED = "audit.restore_declared"
    MOVED = "audit.moved"
    ARRIVED = "audit.arrived"
    WORKER_REGISTERED = "worker.registered"
    WORKER_RETIRED = "worker.retired"
    WORKER_LOST = "worker.lost"
    ENVIRONMENT_RELEASED = "environment.released"
    SOURCE_REGISTERED = "source.registered"
    SOURCE_RETIRED = "source.retired"
    DRILL_DECLARED = "drill.declared"
    DRILL_RETIRED = "drill.retired"
    DRILL_FIRED = "drill.fired"
    DRILL_MISSED = "drill.missed"


REFUSALS = frozenset({EventType.RUN_TRANSITION_REFUSED, EventType.ACCESS_DENIED})
"""What somebody wanted and did not get: by the machine, a guard or for want of a role."""


class Author(Struct):
    """Who did something, as an event names them: what may stand in the log for ever."""

    id: str
    kind: str
    via: str


class Actor(Struct):
    """Who does something: a stable id (never an e-mail address), what kind of actor, and the way in.

    ``name`` is how people call them. It is personal data: no event holds it, only a commitment to it.
    """

    id: str
    kind: str = "user"  # user, worker, token or system
    via: str = "library"  # cli, api, page, worker or library
    name: str | None = None

    def author(self) -> Author:
        """Give what an event may say of them."""
        return Author(id=self.id, kind=self.kind, via=self.via)


class Entry(Struct):
    """One audit event. ``seq`` counts from 0 without gaps within ``stream``; ``prev`` is the leaf hash before it.

    ``at_us`` is when it happened and ``rec_us`` when it was recorded, in microseconds since 1970-01-01 UTC. ``commit``
    names what was said but is not written here, by path: the SHA-256 of salt and value, whose opening can be deleted.
    """

    v: int
    type: EventType
    id: str
    stream: str
    seq: int
    prev: str
    ws: str | None
    env: str | None
    run: str | None
    op: str | None
    at_us: int
    rec_us: int
    actor: Author
    data: dict[str, Any]
    commit: dict[str, str]


def canonical(value: object) -> bytes:
    """Encode a value in canonical form v1. That values fit the form (no floats, no NUL) is checked where they enter.

    Raises:
        BadInputError: the value holds text that is not Unicode (a lone surrogate).

    """
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise BadInputError("text", "holds a lone surrogate", "Hand in valid Unicode text.") from error


def digest(value: object) -> str:
    """Give the SHA-256 of a value's canonical bytes, in hex."""
    return sha256(canonical(value)).hexdigest()


ACTOR_NAME, NOTE = "actor.name", "data.note"
"""The paths of what is committed to: how the actor is called, and why something was done, in somebody's words."""


def commitment(salt: str, value: str) -> str:
    """Give the commitment to a value: the SHA-256 of its salt (16 bytes, here in hex) and its UTF-8 bytes, in hex.

    It says nothing of the value to whoever does not have the salt; with the salt, it fits no other value.
    """
    return sha256(bytes.fromhex(salt) + value.encode()).hexdigest()


def leaf_hash(payload: bytes) -> str:
    """Give the RFC 6962 leaf hash of an event's bytes, in hex."""
    return merkle.leaf_hash(payload).hex()


def run_stream(run_id: str) -> str:
    """Name the stream of a run: its transitions, its evidence, its projections for the record."""
    return f"run/{run_id}"


def view_stream(subject: str, viewer: str) -> str:
    """Name the stream of what one person was shown of one run (or list), so that no view waits for a worker."""
    return f"view/{_part(subject)}/{_part(viewer)}"


def _part(text: str) -> str:
    """Write a part of a stream's name so that no two pairs of parts give the same name."""
    return text.replace("%", "%25").replace("/", "%2F")


def system_stream(name: str) -> str:
    """Name a stream of the ledger's own affairs."""
    return f"system/{name}"
