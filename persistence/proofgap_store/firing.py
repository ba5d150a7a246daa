"""How a run moves: what `Ledger.fire` does.

Owns the computation, from the run as it stands to the plan that is written. Refuses to know which moves are legal
(`proofgap.moves`), and what a call must look like (`ledger`).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from proofgap.access import action_of
from proofgap.effects import tally
from proofgap.errors import StaleError
from proofgap.facts import RunEvent
from proofgap.hooks import ProjectForRecord
from proofgap.moves import move
from proofgap.records import Item, Moment, RunDetails
from proofgap_store.calls import digest_of_items
from proofgap_store.clock import new_id
from proofgap_store.environments import demand_free
from proofgap_store.fencing import demand_token
from proofgap_store.gate import Gate
from proofgap_store.read import Found
from proofgap_store.shapes import Receipt
from proofgap_store.transitions import Attempt, Call, Plan, carry_out, item_rows

_HOOKS = ProjectForRecord()


class Fired(NamedTuple):
    """What is to happen to a run, and what must hold for it."""

    run: str
    event: RunEvent
    given: RunDetails
    items: tuple[Item, ...]
    expected_version: int | None
    token: str | None


def fire(gate: Gate, fired: Fired, call: Call) -> Receipt:
    """Fire an event on a run."""
    operation = new_id("op")

    def compute(found: Found) -> Plan:
        if fired.expected_version not in {None, found.record.version}:
            raise StaleError(fired.run, fired.expected_version, found.record.version)
        demand_token(found.record, fired.event, fired.token)
        demand_free(found, fired.event)
        facts = tally(found.record.details, fired.items) if fired.items else fired.given
        moment = Moment(  # no caller moves the clock
            at_us=call.rec_us, actor=call.actor.id, new_id=operation, maker=found.maker
        )
        step = move(found.record, fired.event, facts, moment=moment, hooks=_HOOKS)
        return Plan(fired.run, step, partial(item_rows, fired.run, fired.items), digest_of_items(fired.items))

    attempt = Attempt(fired.run, fired.event, lambda record: action_of(fired.event, record.status), fired.run)
    return carry_out(gate, attempt, call, compute)
