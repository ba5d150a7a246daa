"""When evidence stops counting: the rule of an environment, and the event by which a snapshot expires.

Theory. A snapshot says when it expires; its environment can say how long any snapshot counts. The earlier of both is
put on record when the snapshot is activated. Nothing expires by the clock alone: the snapshot is moved by an event like
any other, at the latest before anybody is shown a decision that would rest on it.

Owns the rule and that event. Refuses to know what a decision makes of it (`proofgap.decision`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from proofgap.audit import Actor
from proofgap.errors import BadInputError, ProofgapError
from proofgap.facts import SnapshotEvent, SnapshotStatus
from proofgap.hooks import ProjectForRecord
from proofgap.moves import move_snapshot
from proofgap.records import RunRecord, SnapshotDetails
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Gate, Writing
from proofgap_store.read import Found, run
from proofgap_store.transitions import Call, Plan, writing

VALID_US_MAX = 36_500 * 86_400_000_000  # a hundred years
RULE = Actor(id="system:expiry", kind="system", via="library")
"""Who lets evidence expire: nobody asks for it, the rule on record does."""

_HOOKS = ProjectForRecord()
_DUE = """
SELECT run FROM evidence_snapshot
WHERE status = 'active' AND imported = 0 AND CAST(details ->> '$.expires_at_us' AS BIGINT) <= :now ORDER BY run
"""


class EvidenceOverError(ProofgapError):
    """Evidence has stopped counting, and must expire before anything is shown that would rest on it."""

    remedy = "Let it expire, and look again."

    def __init__(self, runs: Sequence[str]) -> None:
        """Name the runs."""
        self.runs = runs
        super().__init__(f"evidence of {', '.join(runs)} has stopped counting. {self.remedy}")


def check_valid(valid_us: int | None) -> None:
    """Hold a rule to its form: how long evidence counts, in microseconds; ``None`` for ever.

    Raises:
        BadInputError: it is no whole number from 1 to a hundred years.

    """
    if valid_us is not None and (type(valid_us) is not int or not 0 < valid_us <= VALID_US_MAX):
        raise BadInputError("evidence_valid_us", f"{valid_us!r} is out of range", "Use 1 to a hundred years, or None.")


def limited(found: Found, snapshot_id: str, given: SnapshotDetails, now_us: int) -> SnapshotDetails:
    """Put on record when a snapshot expires that is being activated: as it says itself, or as the rule says, if that is earlier.

    Raises:
        BadInputError: that time is over.

    """
    captured = next((row.captured_at_us for row in found.record.evidence if row.id == snapshot_id), None)
    valid_us = found.evidence_valid_us
    by_rule = None if valid_us is None or captured is None else captured + valid_us
    times = [time for time in (given.expires_at_us, by_rule) if time is not None]
    if times and min(times) <= now_us:
        raise BadInputError("expires_at_us", "is over already", "Read the target again: this evidence does not count.")
    return replace(given, expires_at_us=min(times, default=None))


def expired(record: RunRecord, now_us: int) -> str | None:
    """Give the snapshot whose time is over; at most one of an operation run is active, and imported ones stay as they came."""
    if record.imported:
        return None
    for row in record.evidence:
        ends = row.details.expires_at_us
        if row.status is SnapshotStatus.ACTIVE and ends is not None and ends <= now_us:
            return row.id
    return None


def due(connection: Connection, now_us: int) -> list[str]:
    """Read which runs have evidence that has stopped counting."""
    return [row["run"] for row in rows(connection, _DUE, now=now_us)]


def expire(gate: Gate, runs: Sequence[str], now_us: int) -> None:
    """Let the evidence of these runs expire; what somebody else moved meanwhile stays as it is."""
    for run_id in runs:
        gate.write(partial(_expiring, run_id=run_id, now_us=now_us))


def _expiring(connection: Connection, run_id: str, now_us: int) -> Writing[None] | None:
    found = run(connection, run_id, RULE.id)
    snapshot_id = expired(found.record, now_us)
    if snapshot_id is None:
        return None
    step = move_snapshot(found.record, snapshot_id, SnapshotEvent.EXPIRE, SnapshotDetails(), hooks=_HOOKS)
    made = writing(Call(RULE, now_us, now_us, None, ""), found.head, Plan(snapshot_id, step), found.law)
    return Writing(events=made.events, rows=made.rows, law=made.law, answer=lambda _written: None)
