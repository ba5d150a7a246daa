"""What an administrator declares to auditors when the ledger itself met something: a gap in its guards, a restore of it.

Owns the two declarations. Each is an event with the operator's own words, for ever. Neither makes anything well: a
verification shows both from then on. Refuses to judge whether a reason is good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from proofgap.access import Action
from proofgap.audit import Actor, EventType
from proofgap.checkpoints import Checkpoint, parse_checkpoint
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.merkle import EMPTY_ROOT
from proofgap.notes import parse_note
from proofgap.text import check_words
from proofgap_store import questions, tree
from proofgap_store.audit_log import Draft, Written, alone
from proofgap_store.custody import Custody
from proofgap_store.engine import Connection
from proofgap_store.gate import Gate, Writing
from proofgap_store.head_file import HeadFile
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.read import law
from proofgap_store.schema import drift
from proofgap_store.sequencer import Sequencer


class Gap(Struct):
    """Guards that were missing or foreign, and are as they were made again; and the event that says so."""

    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    reason: str
    event_id: int


class RestoredLedger(Struct):
    """Where a restored ledger stood, and what the head file had seen; ``None``: there was no head file."""

    head_size: int | None
    head_root: str | None
    size: int
    root: str
    reason: str
    event_id: int


def declaring_gap(connection: Connection, reason: str, actor: Actor, rec_us: int) -> Writing[Gap] | Gap:
    """Compute the event that names the guards that differ, to be written while they are put right.

    Raises:
        BadInputError: no guard differs, or no reason is given.
        ForbiddenError: the actor administers nothing.
        UnavailableError: a table differs, which cannot be put right.

    """
    check_words("reason", reason)
    questions.audited(connection, actor.id, Action.ADMINISTER)
    found = drift(connection)
    if not found:
        raise BadInputError("", "the guards of the ledger are as they were made", "There is nothing to declare.")
    data = {"missing": found.missing, "foreign": found.foreign, "reason": reason}
    draft = Draft(EventType.GAP_DECLARED, None, None, None, None, data)

    def answer(written: Sequence[Written]) -> Gap:
        return Gap(missing=found.missing, foreign=found.foreign, reason=reason, event_id=written[0].event_id)

    events = alone(connection, AUDIT_STREAM, draft, actor, rec_us)
    return Writing(events=events, answer=answer, law=law(connection), mends=found)


def declare_restore(
    gate: Gate, custody: Custody, clock: Callable[[], int], reason: str, actor: Actor
) -> RestoredLedger:
    """Record that this ledger is a restored copy, sign it as it stands, and let the head file begin anew from it.

    After a crash between event and head file the sequencer still refuses, and the same is declared once more.

    Raises:
        BadInputError: no reason is given, or the head file saw exactly the last checkpoint: nothing was restored.
        ForbiddenError: the actor administers nothing.
        UnsignedError, UnavailableError: no checkpoint could be signed; the declaration stands.

    """
    check_words("reason", reason)
    head = _seen(custody.head)
    declared = gate.write(lambda connection: _declaring_restore(connection, head, reason, actor, clock()))
    signed = Sequencer(gate=gate, custody=custody._replace(head=HeadFile(None)), clock=clock).run()
    if signed is not None:
        custody.head.reset(signed.note)
    return declared


def _seen(head: HeadFile) -> Checkpoint | None:
    """Read what the head file says. Its signature is not checked: an older copy need not know the key of a later day."""
    note = head.read()
    return None if note is None else parse_checkpoint(parse_note(note).text)


def _declaring_restore(
    connection: Connection, head: Checkpoint | None, reason: str, actor: Actor, rec_us: int
) -> Writing[RestoredLedger] | RestoredLedger:
    questions.audited(connection, actor.id, Action.ADMINISTER)
    last = tree.last_checkpoint(connection)
    if head is not None and last is not None and (head.size, head.root.hex()) == (last.size, last.root):
        raise BadInputError("", "the head file and the ledger agree", "There is nothing to declare.")
    data: dict[str, Any] = {
        "head_size": head and head.size,
        "head_root": head and head.root.hex(),
        "size": 0 if last is None else last.size,
        "root": EMPTY_ROOT.hex() if last is None else last.root,
        "reason": reason,
    }
    draft = Draft(EventType.RESTORE_DECLARED, None, None, None, None, data)
    return Writing(
        events=alone(connection, AUDIT_STREAM, draft, actor, rec_us),
        answer=lambda written: RestoredLedger(event_id=written[0].event_id, **data),
        law=law(connection),
    )
