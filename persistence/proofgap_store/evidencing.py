"""How evidence is asked for and moves: what `Ledger.begin_evidence` and `Ledger.fire_evidence` do.

Owns the computation of these two, from the run as it stands to the plan that is written. Refuses to know which moves are
legal (`proofgap.moves`) and what a call must look like (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proofgap.access import Action
from proofgap.admission import admitted
from proofgap.audit import digest
from proofgap.effects import summary
from proofgap.facts import SnapshotEvent
from proofgap.hooks import ProjectForRecord
from proofgap.moves import begin_snapshot, move_snapshot
from proofgap.records import Check, RunRecord, SnapshotDetails, queued_snapshot
from proofgap_store import expiry
from proofgap_store.clock import new_id
from proofgap_store.fencing import demand_token
from proofgap_store.gate import Gate
from proofgap_store.read import Found, run_of_snapshot
from proofgap_store.shapes import Receipt
from proofgap_store.transitions import Attempt, Call, Plan, carry_out, check_rows

FOUND_LENGTH_MAX = 65_536
"""What is found in a backup may have longer names, in characters, than what people write."""

_HOOKS = ProjectForRecord()


class Finding(NamedTuple):
    """What happens to a snapshot, and what was found."""

    snapshot: str
    event: SnapshotEvent
    given: SnapshotDetails
    checks: tuple[Check, ...]


def sound(given: SnapshotDetails, checks: Sequence[Check]) -> tuple[SnapshotDetails, tuple[Check, ...]]:
    """Give what was found, if it is fit and says nothing that its checks contradict; asked before a snapshot is begun, nothing is begun.

    Raises:
        BadInputError: it is not.

    """
    fit = admitted("given", given), admitted("checks", tuple(checks), length_max=FOUND_LENGTH_MAX)
    summary(*fit)
    return fit


def begin(gate: Gate, run_id: str, captured_at_us: int | None, call: Call, token: str | None) -> Receipt:
    """Ask for a snapshot of a run whose execution has ended."""
    snapshot_id = new_id("ev")

    def compute(found: Found) -> Plan:
        demand_token(found.record, "begin_evidence", token)
        captured = call.at_us if captured_at_us is None else captured_at_us
        snapshot = queued_snapshot(found.record, snapshot_id, captured)
        return Plan(snapshot_id, begin_snapshot(found.record, snapshot, hooks=_HOOKS))

    return carry_out(gate, Attempt(run_id, "begin_evidence", _adds_evidence, run_id), call, compute)


def fire(gate: Gate, finding: Finding, call: Call, token: str | None) -> Receipt:
    """Fire an event on a snapshot; its checks are written with it."""
    owner = gate.read(lambda connection: run_of_snapshot(connection, finding.snapshot), (call.actor.id,))

    def compute(found: Found) -> Plan:
        demand_token(found.record, finding.event, token)
        facts = summary(finding.given, finding.checks)
        if finding.event is SnapshotEvent.ACTIVATE:
            facts = expiry.limited(found, finding.snapshot, facts, call.rec_us)
        step = move_snapshot(found.record, finding.snapshot, finding.event, facts, hooks=_HOOKS)
        rows_digest = digest(finding.checks) if finding.checks else None
        return Plan(
            finding.snapshot, step, lambda event_id: check_rows(finding.snapshot, finding.checks, event_id), rows_digest
        )

    return carry_out(gate, Attempt(owner, finding.event, _adds_evidence, finding.snapshot), call, compute)


def _adds_evidence(_record: RunRecord) -> Action:
    return Action.ADD_EVIDENCE
