"""Claiming: one worker gets one waiting run, and nobody else does.

Theory. A claim is the event ``start``, nothing beside it: the run moves from queued to running by the machine, through
the gate, and the event keeps whose it is and the digest of the token. Choosing and starting are one transaction. Workers
who compete choose runs of different environments, where the database can pass over locked rows, and wait for each other
where it cannot: so the runs of one environment start in their order. Whoever loses a race chooses anew; nothing was
refused, so nothing is recorded.

Owns the choice: by priority, then by when it was queued, where the worker may, of its drivers, not past its deadline,
not kept for another worker, not in a held environment. Refuses to know leases (`workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proofgap.access import Action, Place, authorize
from proofgap.audit import canonical
from proofgap.facts import RunEvent
from proofgap.hooks import ProjectForRecord
from proofgap.moves import move
from proofgap.records import Moment, RunDetails
from proofgap_store.dialect import dialect_of
from proofgap_store.engine import Connection, rows
from proofgap_store.fencing import claim_of
from proofgap_store.fleet_shapes import Claim, WorkerState
from proofgap_store.gate import Writing
from proofgap_store.read import Found, run, run_that
from proofgap_store.transitions import Call, Plan, writing
from proofgap_store.workers import Employed, WorkerLostError, employed_and_served

_HOOKS = ProjectForRecord()
_NEXT = """
WITH scope AS MATERIALIZED (SELECT value ->> 0 AS workspace, value ->> 1 AS environment FROM json_each(:scopes)),
  driver AS MATERIALIZED (SELECT value AS name FROM json_each(:drivers))
SELECT r.id FROM restore_run AS r JOIN environment AS e ON e.workspace = r.workspace AND e.id = r.environment
WHERE r.status = 'queued' AND r.imported = 0 {named}
  AND (EXISTS (SELECT 1 FROM scope AS s WHERE s.workspace = r.workspace AND s.environment IN (r.environment, :any))) IS TRUE
  AND (EXISTS (
    SELECT 1 FROM restore_run AS h WHERE h.workspace = r.workspace AND h.environment = r.environment AND h.holds_env = 1)
  ) IS FALSE
  AND coalesce(r.worker, :worker) = :worker
  AND (:drivers = '[]' OR r.details ->> '$.driver' IN (SELECT name FROM driver))
  AND coalesce(CAST(r.details ->> '$.deadline_us' AS BIGINT) > {clock}, TRUE)
ORDER BY r.priority DESC, r.last_event_id LIMIT 1 {lock}
"""
_NAMED = "AND r.id = :run"
_MINE = "SELECT id FROM restore_run WHERE worker = :worker AND holds_env = 1 AND status = 'running' AND details ->> '$.claim' = :claim"


class Wanted(NamedTuple):
    """Who wants a run, which one (``None``: the next one), and the token that it will be fenced by."""

    worker: str
    run: str | None
    token: str
    is_again: bool  # the token may have been used for a claim whose answer got lost


def claiming(connection: Connection, wanted: Wanted, call: Call) -> Writing[Claim | None] | Claim | None:
    """Choose a run and compute its start; or give the claim that was made with the same token before.

    Raises:
        NotFoundError: the actor registered no such worker.
        WorkerLostError: the worker is not active any more.

    """
    worker, scopes = employed_and_served(connection, wanted.worker, call.actor.id)
    if worker.state is not WorkerState.ACTIVE:
        raise WorkerLostError(worker.id, worker.state)
    before = _before(connection, worker, wanted)
    if before is not None:
        return Claim(run=run(connection, before, call.actor.id).record, worker=worker.id, token=wanted.token)
    if worker.busy >= worker.wanted.concurrency:
        return None
    chosen = _next(connection, worker, scopes, wanted.run)
    return None if chosen is None else _starting(chosen, wanted, call)


def has_next(connection: Connection, wanted: Wanted, principal: str) -> bool:
    """Tell whether there is anything to claim, or anything to say: asked first, where whoever chooses takes the one lock."""
    worker, scopes = employed_and_served(connection, wanted.worker, principal)
    if worker.state is not WorkerState.ACTIVE or _before(connection, worker, wanted) is not None:
        return True
    return _next(connection, worker, scopes, wanted.run) is not None


def _before(connection: Connection, worker: Employed, wanted: Wanted) -> str | None:
    """Read which run the worker claimed with this token before, if the answer got lost."""
    may_be = wanted.is_again and worker.busy
    found = rows(connection, _MINE, worker=worker.id, claim=claim_of(wanted.token)) if may_be else []
    return found[0]["id"] if found else None


def _next(
    connection: Connection, worker: Employed, scopes: Sequence[tuple[str, str]], run_id: str | None
) -> Found | None:
    """Choose a run and read it, in one statement: what changed since makes its start stale."""
    dialect = dialect_of(connection)
    named = {} if run_id is None else {"run": run_id}
    which = _NEXT.format(clock=dialect.clock, lock=dialect.skip_locked, named=_NAMED if named else "")
    parameters = {"scopes": canonical(scopes).decode(), "drivers": canonical(worker.wanted.drivers).decode()}
    return run_that(connection, which, worker.principal, worker=worker.id, **parameters, **named)


def _starting(found: Found, wanted: Wanted, call: Call) -> Writing[Claim | None]:
    run_id = found.record.id
    place = Place(found.record.workspace, found.record.environment, run_id)
    authorize(call.actor.id, found.roles, Action.EXECUTE, ("restore run", run_id), place)
    given = RunDetails(worker=wanted.worker, claim=claim_of(wanted.token))
    moment = Moment(at_us=call.rec_us, actor=call.actor.id, new_id="none")  # its operation run came with the queue
    step = move(found.record, RunEvent.START, given, moment=moment, hooks=_HOOKS)
    started = writing(call, found.head, Plan(run_id, step), found.law)
    answer = Claim(run=step.record, worker=wanted.worker, token=wanted.token)
    return Writing(events=started.events, answer=lambda _written: answer, law=started.law, rows=started.rows)
