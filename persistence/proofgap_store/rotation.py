"""Putting a new signing key in force: the order of the steps, and who may.

First everything that waits is signed with the old key. Then the new key is kept beside the old one, the log names it
with the old key's endorsement, and it takes the old one's place. A crash between any two steps leaves a ledger that
signs, with the one key or with the other. Refuses to know how keys are kept (`keys`) and when to sign (`sequencer`).
"""

from __future__ import annotations

from collections.abc import Sequence

from proofgap.access import Action, authorize
from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.notes import VerifierKey
from proofgap.proofs import Log, Policy, policy_text
from proofgap_store import keys
from proofgap_store.administration import DEFAULT_SCOPE
from proofgap_store.audit_log import Written, alone
from proofgap_store.engine import Connection
from proofgap_store.gate import Writing
from proofgap_store.keys import AUDIT_STREAM, KeyFile, KeyPeriod
from proofgap_store.questions import audited
from proofgap_store.read import roles
from proofgap_store.sequencer import Sequencer


class LogKey(Struct):
    """A key of the log, as auditors pin it, and the event that put it in force.

    ``first_index`` is that event's place in the tree, ``None`` while it waits for one. ``is_endorsed`` tells whether
    the key before it signed for it; the first key has nobody before it, and that is ``None``.
    """

    key: str
    event_id: int
    first_index: int | None
    is_endorsed: bool | None


def key_periods(connection: Connection, principal: str) -> tuple[LogKey, ...]:
    """Read the keys that were in force, one after the other, for somebody who audits."""
    audited(connection, principal)
    return tuple(map(_log_key, keys.history(connection)))


def _log_key(period: KeyPeriod) -> LogKey:
    is_endorsed = None if period.previous is None else period.endorsement is not None
    return LogKey(key=period.key.text, event_id=period.event_id, first_index=period.idx, is_endorsed=is_endorsed)


def policy_of(connection: Connection, principal: str) -> str:
    """Write the policy that takes every key of this log, and asks for no witness (C2SP tlog-policy)."""
    audited(connection, principal)
    return policy_text(Policy(tuple(Log(period.key) for period in keys.history(connection))))


def rotate(sequencer: Sequencer, actor: Actor, *, lost: bool) -> LogKey:
    """Put a new key in force and let it take its place; give the key.

    Raises:
        ForbiddenError, NotFoundError: the actor is no admin of the environment that the ledger began with.
        BadInputError: the key is said to be lost, and is there.
        CustodyError: the old key is not there, or the new one cannot be kept.
        UnsignedError: what waits cannot be signed with the old key.

    """
    gate, key_file = sequencer.gate, sequencer.custody.key_file
    gate.read(lambda connection: _authorize(connection, actor))
    if not lost:
        sequencer.run()

    by = (actor, sequencer.clock())
    rotated: LogKey = gate.write(lambda connection: _rotating(connection, key_file, by, lost=lost))
    key_file.signer(gate.read(keys.history)[-1].key)  # a crash before this: whoever signs next does it
    return rotated


def _authorize(connection: Connection, actor: Actor) -> None:
    held = roles(connection, actor.id, *DEFAULT_SCOPE)
    authorize(actor.id, held, Action.ADMINISTER, ("environment", "/".join(DEFAULT_SCOPE)))


def _refuse_found(key_file: KeyFile, current: VerifierKey) -> None:
    """Refuse to give up a key that is there: whoever follows it without its endorsement looks like a forger."""
    if key_file.found(current) is not None:
        raise BadInputError("lost", f"is not so: the key is at {key_file.place}", "Leave it out.")


def _rotating(
    connection: Connection, key_file: KeyFile, by: tuple[Actor, int], *, lost: bool
) -> Writing[LogKey] | LogKey:
    """Compute the event; the new key is kept before the log names it."""
    (actor, now), current = by, keys.history(connection)[-1].key
    _authorize(connection, actor)
    old = None if lost else key_file.signer(current)
    if lost:
        _refuse_found(key_file, current)
    new = key_file.propose(current.name, current).verifier
    draft = keys.rotation_draft(new, old, current)
    events = alone(connection, AUDIT_STREAM, draft, actor, now)

    def answer(written: Sequence[Written]) -> LogKey:
        return LogKey(key=new.text, event_id=written[0].event_id, first_index=None, is_endorsed=old is not None)

    return Writing(events=events, answer=answer)
