"""Reaping: what becomes of runs whose worker was lost, and of runs that are past their deadline.

Theory. First the worker is lost, by an event that the database accepts only while its lease has run out; then each of
its runs fails, in a transaction of its own. A crash in between leaves runs whose worker has no lease: the next reaping
finds exactly those, whoever does it. What was reported until then is a lower bound; the environment stays held.
A restore is never started again by itself: a second try is a new run, and somebody's decision.

Any worker may reap, and so may whoever may execute runs; each sees to what is in its own scopes. Owns the order of
these steps. Refuses to know how a lease is renewed (`workers`) and how an environment is released (`environments`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proofgap.access import ANY_ENVIRONMENT, Action
from proofgap.audit import Actor, canonical
from proofgap.facts import EndReason, RunEvent, RunStatus
from proofgap.hooks import ProjectForRecord
from proofgap.moves import move
from proofgap.outcome import ExecutionFacts, outcome_of
from proofgap.records import Moment, RunDetails, RunRecord
from proofgap_store import questions, workers
from proofgap_store.calls import made
from proofgap_store.dialect import dialect_of
from proofgap_store.engine import Connection, rows
from proofgap_store.fleet_shapes import Reaped
from proofgap_store.gate import Gate, Writing
from proofgap_store.read import run
from proofgap_store.transitions import Call, Plan, writing

_HOOKS = ProjectForRecord()
_LOST = outcome_of(ExecutionFacts(lease_lost=True))
_IN_SCOPE = """EXISTS (
    SELECT 1 FROM json_each(:scopes) AS scope
    WHERE scope.value ->> 0 = r.workspace AND scope.value ->> 1 IN (r.environment, :any))"""
_WITHOUT_LEASE = "r.worker IS NOT NULL AND NOT EXISTS (SELECT 1 FROM worker_lease AS l WHERE l.worker = r.worker)"
_TOO_LATE = "coalesce(CAST(r.details ->> '$.deadline_us' AS BIGINT) <= {clock}, FALSE)"
_ABANDONED = f"r.holds_env = 1 AND r.status = 'running' AND {_WITHOUT_LEASE}"
_WAITS = "r.status = 'queued' AND r.imported = 0"
_OVERDUE = f"{_WAITS} AND {_TOO_LATE}"
_ORPHANED = f"{_WAITS} AND {_WITHOUT_LEASE}"
_RUNS_ON = f"r.holds_env = 1 AND r.status = 'running' AND r.details ->> '$.cancel_requested_by' IS NULL AND {_TOO_LATE}"
_SELECT = (
    "SELECT r.id FROM restore_run AS r WHERE {condition} AND {scope} AND (CAST(:run AS TEXT) IS NULL OR r.id = :run)"
)


class Step(NamedTuple):
    """What is done to every run that meets a condition."""

    condition: str
    event: RunEvent
    given: RunDetails


FAIL = Step(
    _ABANDONED,
    _LOST.event,
    RunDetails(
        outcome_rule=_LOST.rule, end_reason=_LOST.end_reason, counts_are_lower_bounds=True, holds_environment=True
    ),
)
BLOCK_OVERDUE = Step(_OVERDUE, RunEvent.BLOCK, RunDetails(end_reason=EndReason.DEADLINE_PASSED))
BLOCK_ORPHANED = Step(_ORPHANED, RunEvent.BLOCK, RunDetails(end_reason=EndReason.WORKER_LOST))
STOP = Step(_RUNS_ON, RunEvent.REQUEST_CANCEL, RunDetails())


def reap(gate: Gate, clock: Callable[[], int], actor: Actor) -> Reaped:
    """Take from lost workers what they hold, and end what is past its deadline.

    Raises:
        ForbiddenError: the actor may not execute runs anywhere.

    """
    me = (actor.id,)
    scopes = gate.read(lambda connection: questions.audited(connection, actor.id, Action.EXECUTE), me)
    lost = [worker for worker in gate.read(workers.silent, me) if _lose(gate, worker, made(clock(), actor))]

    def done(step: Step) -> tuple[str, ...]:
        found = gate.read(lambda connection: _meeting(connection, step, scopes), me)
        return tuple(run_id for run_id in found if _take(gate, step, run_id, made(clock(), actor)))

    return Reaped(
        workers=tuple(lost),
        failed=done(FAIL),
        blocked=done(BLOCK_OVERDUE) + done(BLOCK_ORPHANED),
        stopping=done(STOP),
    )


def _lose(gate: Gate, worker: str, call: Call) -> bool:
    return gate.write(lambda connection: workers.losing(connection, worker, call), (call.actor.id,))


def _take(gate: Gate, step: Step, run_id: str, call: Call) -> bool:
    return gate.write(lambda connection: _moving(connection, step, run_id, call), (call.actor.id,))


def _meeting(
    connection: Connection, step: Step, scopes: tuple[questions.Scope, ...], run_id: str | None = None
) -> list[str]:
    """Read the runs that meet the condition of a step."""
    condition = step.condition.format(clock=dialect_of(connection).clock)
    statement = _SELECT.format(condition=condition, scope=_IN_SCOPE)
    found = rows(connection, statement, scopes=canonical(scopes).decode(), any=ANY_ENVIRONMENT, run=run_id)
    return [row["id"] for row in found]


def _moving(connection: Connection, step: Step, run_id: str, call: Call) -> Writing[bool] | bool:
    """Compute the step for one run, unless it does not meet the condition any more."""
    scopes = questions.audited(connection, call.actor.id, Action.EXECUTE)
    if not _meeting(connection, step, scopes, run_id):
        return False
    found = run(connection, run_id, call.actor.id)
    plan = Plan(run_id, move(found.record, step.event, step.given, moment=_moment(call), hooks=_HOOKS))
    moved = writing(call, found.head, plan, found.law)
    return Writing(events=moved.events, answer=lambda _written: True, law=moved.law)


def _moment(call: Call) -> Moment:
    return Moment(at_us=call.rec_us, actor=call.actor.id, new_id="none")  # every run here has its operation run


def is_lost(record: RunRecord) -> bool:
    """Tell whether a run failed because its worker was lost while it held the environment."""
    return record.status is RunStatus.FAILED and record.details.holds_environment
