"""How a computed step becomes one write: its events, the rows that belong to them, and the receipt.

Owns idempotency keys, the order of events within a write, and the record of refused attempts. Refuses to know which
moves are legal: the step it is given was computed by the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from proofgap.access import Action, Place, authorize
from proofgap.audit import NOTE, Actor, canonical, digest
from proofgap.errors import ForbiddenError, KeyReusedError, ProofgapError, RefusedError, StaleError
from proofgap.hooks import Projection
from proofgap.lifecycle import allowed_events
from proofgap.records import Check, Item, Machine, RunRecord, Step
from proofgap_store.audit_log import Head, Written, link
from proofgap_store.documents import move_draft, projection_draft, refusal_draft
from proofgap_store.engine import Connection
from proofgap_store.gate import Gate, Insert, Writing
from proofgap_store.read import Found, noted, receipt, run
from proofgap_store.shapes import Receipt
from proofgap_store.tracing import Attempted, traced

_ITEM = "INSERT INTO result_item VALUES (:run, :key, :result, :document, :event_id)"
_CHECK = "INSERT INTO evidence_check VALUES (:snapshot, :number, :result, :document, :event_id)"
_RECEIPT = "INSERT INTO receipt VALUES (:actor, :key, :fingerprint, :body, :event_id)"
_RECEIPTS = msgspec.json.Decoder(Receipt)


class Call(NamedTuple):
    """One call of a verb: who, when it happened, when it is recorded, and under which idempotency key."""

    actor: Actor
    at_us: int
    rec_us: int
    key: str | None
    fingerprint: str  # of everything that was asked for, except the note: it could be guessed from a digest
    note: str | None = None  # why, in the actor's words

    def private(self) -> tuple[tuple[str, str], ...]:
        """Give what an event of this call commits to and does not say."""
        return () if self.note is None else ((NOTE, self.note),)


class Plan(NamedTuple):
    """What a verb wants to write: the step, the record it is about, and the rows that belong to its events."""

    subject: str
    step: Step[Projection]
    rows: Callable[[int], Sequence[Insert]] = lambda _event_id: ()
    rows_digest: str | None = None  # of what those rows hold


class Attempt(NamedTuple):
    """What is tried on a run, and what the actor must be allowed to do for it."""

    run_id: str
    event: str
    action: Callable[[RunRecord], Action]
    subject: str  # the run itself, or its evidence snapshot

    def named(self) -> tuple[str, str]:
        """Name the subject as whoever asked knows it."""
        return ("restore run" if self.subject == self.run_id else "evidence snapshot"), self.subject


def fingerprint(*parts: object) -> str:
    """Give the digest of a request: the same request gives the same one."""
    return digest(parts)


def carry_out(gate: Gate, attempt: Attempt, call: Call, compute: Callable[[Found], Plan]) -> Receipt:
    """Let an actor in, compute the step, write it; or give the receipt of the same call made before.

    A refusal is recorded in a transaction of its own, and raised.
    """

    def prepare(connection: Connection) -> Writing[Receipt] | Receipt:
        found = run(connection, attempt.run_id, call.actor.id)
        place = Place(found.record.workspace, found.record.environment, found.record.id)
        authorize(call.actor.id, found.roles, attempt.action(found.record), attempt.named(), place)
        return replayed(connection, call) or writing(call, found.head, compute(found), found.law)

    def act() -> Receipt:
        try:
            return gate.write(prepare, (call.actor.id,), is_linked=True)
        except (RefusedError, StaleError, ForbiddenError) as error:
            record_refusal(gate, attempt, call, error)
            raise

    return traced(gate.tracer, Attempted(attempt.event, attempt.run_id, attempt.subject), act)


def replayed(connection: Connection, call: Call) -> Receipt | None:
    """Give the receipt that this actor got under this key before, if any.

    Raises:
        KeyReusedError: the key was used for another request.

    """
    found = None if call.key is None else receipt(connection, call.actor.id, call.key)
    if found is None or call.key is None:
        return None
    if found["fingerprint"] != call.fingerprint or not _may_be_noted(connection, found["event_id"], call.note):
        raise KeyReusedError(call.key)
    return replace(_RECEIPTS.decode(found["body"]), replayed=True)


def _may_be_noted(connection: Connection, event_id: int, note: str | None) -> bool:
    """Tell whether an event's note may be this one: compared where it is kept; one that was erased may be any."""
    kept = noted(connection, event_id)
    return kept.value == note if kept.is_known else note is not None


def writing(call: Call, head: Head, plan: Plan, law: int) -> Writing[Receipt]:
    """Put a plan into its one fixed order: moves, then the projection that they lead to, then their rows."""
    record = plan.step.record
    drafts = [
        *(move_draft(change, record) for change in plan.step.moves),
        projection_draft(plan.step.projection, record),
    ]
    mine = next(n for n, change in enumerate(plan.step.moves) if change.subject == plan.subject)
    drafts[mine].data.update(_bound(call, plan))
    drafts[mine] = drafts[mine]._replace(private=call.private())
    events = link(head, drafts, call.actor, call.at_us, call.rec_us)

    def answer(written: Sequence[Written]) -> Receipt:
        change, event = plan.step.moves[mine], written[mine]
        return Receipt(
            subject=plan.subject,
            run_id=record.id,
            event=change.event,
            source=change.source,
            status=change.target,
            version=change.version,
            event_id=event.event_id,
            leaf=event.event.leaf,
            decision=plan.step.projection.decision,
        )

    def rows(written: Sequence[Written]) -> Sequence[Insert]:
        return [*plan.rows(written[mine].event_id), *_receipt_rows(call, answer(written))]

    return Writing(events=events, answer=answer, rows=rows, law=law)


def _bound(call: Call, plan: Plan) -> dict[str, str]:
    """Name in the event what is written beside it, so that neither rows nor receipt can be exchanged unseen."""
    bound = {"rows_digest": plan.rows_digest, "key": call.key, "request": call.fingerprint or None}
    return {name: value for name, value in bound.items() if value is not None}


def record_refusal(gate: Gate, attempt: Attempt, call: Call, error: ProofgapError) -> None:
    """Record that something was tried and refused: a fact too, in a transaction of its own."""

    def prepare(connection: Connection) -> Writing[None] | None:
        found = run(connection, attempt.run_id, call.actor.id)
        draft = refusal_draft(_as_refusal(error, attempt, found.record), attempt.subject, found.record)
        drafts = [draft._replace(private=call.private())]
        return Writing(events=link(found.head, drafts, call.actor, call.at_us, call.rec_us), answer=lambda _: None)

    gate.write(prepare, (call.actor.id,))


def _as_refusal(error: ProofgapError, attempt: Attempt, record: RunRecord) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    guard = "expected_version" if isinstance(error, StaleError) else "role"
    machine = Machine.RUN if attempt.subject == attempt.run_id else Machine.EVIDENCE
    allowed = allowed_events(Machine.RUN, record.status) if machine is Machine.RUN else ()
    return RefusedError(machine, attempt.event, record.status, allowed, guard=guard)


def item_rows(run_id: str, items: Sequence[Item], event_id: int) -> list[Insert]:
    """Give the inserts of reported items; each names the event that it came with."""
    return [
        (_ITEM, {"run": run_id, "key": item.key, "result": item.result, "document": _text(item), "event_id": event_id})
        for item in items
    ]


def check_rows(snapshot_id: str, checks: Sequence[Check], event_id: int) -> list[Insert]:
    """Give the inserts of a snapshot's checks, numbered in the order they were made."""
    return [
        (
            _CHECK,
            {
                "snapshot": snapshot_id,
                "number": number,
                "result": check.result,
                "document": _text(check),
                "event_id": event_id,
            },
        )
        for number, check in enumerate(checks)
    ]


def _receipt_rows(call: Call, given: Receipt) -> list[Insert]:
    if call.key is None:
        return []
    body = {"actor": call.actor.id, "key": call.key, "fingerprint": call.fingerprint}
    return [(_RECEIPT, {**body, "body": _text(given), "event_id": given.event_id})]


def _text(value: object) -> str:
    return canonical(value).decode()
