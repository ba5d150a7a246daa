"""Workers: how they come to be known, how they say that they are alive, and how they end.

Theory. A worker is registered by an event, which gives it a row and a lease. A beat moves the time in the lease, by the
clock of the database, and nothing else: it is the one write of the ledger that no event records, because a beat says
nothing any more once the next one is there. What matters is what follows from silence, and that is an event:
``worker.lost`` is accepted only while the lease has run out, and takes it away, in one statement, so that a beat that
comes later finds none. Whoever has no lease holds no run.

Owns these verbs and the reading of workers. Refuses to know what becomes of a lost worker's runs (`reaping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import json
from msgspec.structs import replace

from proofgap.access import ANY_ENVIRONMENT, Action
from proofgap.admission import admitted
from proofgap.audit import EventType, canonical, system_stream
from proofgap.errors import BadInputError, NotFoundError, ProofgapError
from proofgap.text import check_id
from proofgap_store import questions, views
from proofgap_store.audit_log import Draft, alone
from proofgap_store.clock import new_id
from proofgap_store.dialect import Statement, dialect_of
from proofgap_store.engine import Connection, Row, execute, rows, together
from proofgap_store.environments import seen, where
from proofgap_store.fleet_shapes import Beat, NewWorker, WorkerInfo, WorkerState
from proofgap_store.gate import Writing
from proofgap_store.read import GRANTS, granted, law
from proofgap_store.transitions import Call

_NEW = json.Decoder(NewWorker)
_WORKERS = """
SELECT w.id, w.principal, w.details, w.state, l.beat_at_us, l.beat_at_us + l.lease_us AS lease_until_us, (
  SELECT group_concat(id) FROM restore_run WHERE worker = w.id AND holds_env = 1 AND status = 'running') AS running
FROM worker AS w LEFT JOIN worker_lease AS l ON l.worker = w.id
"""
_ONE = f"{_WORKERS} WHERE w.id = :worker"
_EMPLOYED = """
SELECT w.id, w.principal, w.details, w.state, (
  SELECT count(*) FROM restore_run WHERE worker = w.id AND holds_env = 1 AND status = 'running') AS busy
FROM worker AS w WHERE w.id = :worker
"""
_ACTIVE = f"{_WORKERS} WHERE w.state = 'active' ORDER BY w.id"
_SILENT = "SELECT worker, beat_at_us FROM worker_lease WHERE beat_at_us + lease_us < {clock} ORDER BY worker"
_BEAT = """
UPDATE worker_lease SET beat_at_us = CASE WHEN {clock} > beat_at_us THEN {clock} ELSE beat_at_us END
WHERE worker = :worker RETURNING beat_at_us
"""
_ASKED = """
SELECT id FROM restore_run
WHERE worker = :worker AND holds_env = 1 AND status = 'running' AND details ->> '$.cancel_requested_by' IS NOT NULL ORDER BY id
"""
_MINE = "SELECT id FROM restore_run WHERE worker = :worker AND id IN (SELECT value FROM json_each(:runs))"

_PLACES = (
    "SELECT id, workspace, environment FROM restore_run WHERE id IN (SELECT value FROM json_each(:runs)) ORDER BY id"
)


class Employed(NamedTuple):
    """A worker as far as a claim or a beat needs to know it; ``busy`` is how many runs it executes."""

    id: str
    principal: str
    wanted: NewWorker
    state: WorkerState
    busy: int


class WorkerLostError(ProofgapError):
    """A worker is not active any more: it was found to be silent for longer than its lease, or it retired."""

    remedy = "Stop its tools at once, and register anew."

    def __init__(self, worker: str, state: str) -> None:
        """Name the worker, and where it stands."""
        self.worker, self.state = worker, state
        super().__init__(f"worker {worker!r} is {state}. {self.remedy}")


def registering(connection: Connection, new: NewWorker, call: Call) -> Writing[WorkerInfo] | WorkerInfo:
    """Compute the event that registers a worker, whose principal is the actor.

    Raises:
        BadInputError: a label names no scope.
        NotFoundError, ForbiddenError: the actor may not execute runs anywhere, or not where a label says.

    """
    new = admitted("new", new)
    check_id("name", new.name)
    questions.audited(connection, call.actor.id, Action.EXECUTE)
    mine = seen(connection, call.actor.id, Action.EXECUTE)
    for label in new.environments:
        if not served(mine, (label,)):
            views.permit(connection, Action.EXECUTE, scope_of(label), call.actor.id)
    worker = new_id("wk")
    data = {"worker": worker, "details": new, "lease_us": new.lease_us}
    draft = Draft(EventType.WORKER_REGISTERED, None, None, None, None, data)

    def answer(_written: object) -> WorkerInfo:
        return WorkerInfo(
            id=worker,
            principal=call.actor.id,
            wanted=new,
            state=WorkerState.ACTIVE,
            beat_at_us=None,
            lease_until_us=None,
        )

    events = alone(connection, stream_of(worker), draft, call.actor, call.rec_us)
    return Writing(events=events, answer=answer, law=law(connection))


def retiring(connection: Connection, worker: str, call: Call) -> Writing[None] | None:
    """Compute the event that retires a worker; one that is not active any more stays as it is.

    Raises:
        NotFoundError: the actor registered no such worker.
        BadInputError: it still executes runs.

    """
    found = owned(connection, worker, call.actor.id)
    if found.state is not WorkerState.ACTIVE:
        return None
    if found.running:
        problem = f"still executes {', '.join(found.running)}"
        raise BadInputError("worker", problem, "End these runs first; or end the process: then it will be found lost.")
    draft = Draft(EventType.WORKER_RETIRED, None, None, None, None, {"worker": worker})
    events = alone(connection, stream_of(worker), draft, call.actor, call.rec_us)
    return Writing(events=events, answer=lambda _written: None)


def losing(connection: Connection, worker: str, call: Call) -> Writing[bool] | bool:
    """Compute the event that says that a worker was silent for too long; false if it is not so any more."""
    beat_at_us = silent(connection).get(worker)
    if beat_at_us is None:
        return False
    draft = Draft(EventType.WORKER_LOST, None, None, None, None, {"worker": worker, "beat_at_us": beat_at_us})
    events = alone(connection, stream_of(worker), draft, call.actor, call.rec_us)
    return Writing(events=events, answer=lambda _written: True)


def silent(connection: Connection) -> dict[str, int]:
    """Read the workers whose lease has run out by the database's clock, each with its last beat."""
    found = rows(connection, _SILENT.format(clock=dialect_of(connection).clock))
    return {row["worker"]: row["beat_at_us"] for row in found}


def beat(connection: Connection, worker: str, runs: Sequence[str], principal: str) -> Beat:
    """Move the time of a worker's lease, and say what it must know; a worker without a lease is told that it is lost.

    Raises:
        NotFoundError: the actor registered no such worker.

    """
    employed(connection, worker, principal)
    moved = rows(connection, _BEAT.format(clock=dialect_of(connection).clock), worker=worker)
    mine = _ids(connection, _MINE, worker=worker, runs=canonical(list(runs)).decode()) if moved and runs else []
    return Beat(
        worker=worker,
        at_us=moved[0]["beat_at_us"] if moved else now_us(connection),
        is_lost=not moved,
        lost=tuple(run for run in runs if run not in mine),
        cancel_requested=tuple(_ids(connection, _ASKED, worker=worker)) if moved else (),
    )


def _ids(connection: Connection, statement: str, **parameters: object) -> list[str]:
    return [row["id"] for row in rows(connection, statement, **parameters)]


def now_us(connection: Connection) -> int:
    """Ask the database what time it is."""
    number: int = rows(connection, f"SELECT {dialect_of(connection).clock} AS now_us")[0]["now_us"]
    return number


def owned(connection: Connection, worker: str, principal: str) -> WorkerInfo:
    """Read a worker for whoever registered it.

    Raises:
        NotFoundError: the actor registered no such worker.

    """
    found = rows(connection, _ONE, worker=check_id("worker", worker))
    if not found or found[0]["principal"] != principal:
        raise NotFoundError("worker", worker)
    return _info(found[0])


def employed(connection: Connection, worker: str, principal: str) -> Employed:
    """Read of a worker what a claim needs, for whoever registered it. Raises as `owned`."""
    return _employed(worker, principal, execute(connection, *_asking(worker)).fetchall())


def employed_and_served(
    connection: Connection, worker: str, principal: str
) -> tuple[Employed, Sequence[tuple[str, str]]]:
    """Read a worker, and the scopes that it serves, in one round trip. Raises as `owned`."""
    found, held = together(connection, _asking(worker), (GRANTS, {"principal": principal}))
    asking = _employed(worker, principal, found)
    return asking, served(where(granted(held), Action.EXECUTE), asking.wanted.environments)


def _asking(worker: str) -> Statement:
    return _EMPLOYED, {"worker": check_id("worker", worker)}


def _employed(worker: str, principal: str, found: Sequence[tuple[str, str, str, str, int]]) -> Employed:
    if not found or found[0][1] != principal:
        raise NotFoundError("worker", worker)
    _, _, details, state, busy = found[0]
    return Employed(worker, principal, _NEW.decode(details), WorkerState(state), busy)


def active(connection: Connection) -> tuple[WorkerInfo, ...]:
    """Read the workers that have a lease."""
    return tuple(_info(row) for row in rows(connection, _ACTIVE))


def as_seen(connection: Connection, worker: WorkerInfo, principal: str) -> WorkerInfo | None:
    """Give of a worker what somebody sees: its labels where they see runs, and its runs where they may read the log, which names it.

    ``None``: it serves nothing that they see.
    """
    seen_by, told = seen(connection, principal), seen(connection, principal, Action.READ_LOG)
    places = served(seen(connection, worker.principal, Action.EXECUTE), worker.wanted.environments)
    if not any(_overlap(place, mine) for place in places for mine in seen_by):
        return None
    labels = tuple(
        label for label in worker.wanted.environments if any(_overlap(scope_of(label), mine) for mine in seen_by)
    )
    running = tuple(
        row["id"]
        for row in rows(connection, _PLACES, runs=canonical(worker.running).decode())
        if any(_overlap((row["workspace"], row["environment"]), mine) for mine in told)
    )
    is_told = any(_overlap(place, mine) for place in places for mine in told)
    return replace(worker, wanted=replace(worker.wanted, environments=labels), running=running if is_told else None)


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or ANY_ENVIRONMENT in {one[1], other[1]})


def _info(row: Row) -> WorkerInfo:
    return WorkerInfo(
        id=row["id"],
        principal=row["principal"],
        wanted=_NEW.decode(row["details"]),
        state=WorkerState(row["state"]),
        beat_at_us=row["beat_at_us"],
        lease_until_us=row["lease_until_us"],
        running=tuple(sorted(row["running"].split(","))) if row["running"] else (),
    )


def served(allowed: Sequence[tuple[str, str]], labels: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Give the scopes that a worker with these labels serves: where its principal may execute runs, narrowed by them."""
    if not labels:
        return allowed
    pairs = [(mine, wanted) for mine in allowed for wanted in map(scope_of, labels) if mine[0] == wanted[0]]
    return sorted(
        {
            (mine[0], wanted[1] if mine[1] == ANY_ENVIRONMENT else mine[1])
            for mine, wanted in pairs
            if _overlap(mine, wanted)
        }
    )


def scope_of(label: str) -> tuple[str, str]:
    """Read a label.

    Raises:
        BadInputError: it is no ``WORKSPACE/ENVIRONMENT``.

    """
    workspace, _, environment = label.partition("/")
    if not workspace or not environment:
        raise BadInputError("environments", f"{label!r} is no scope", "Write WORKSPACE/ENVIRONMENT, or WORKSPACE/*.")
    return check_id("environments", workspace), check_id("environments", environment)


def stream_of(worker: str) -> str:
    """Name the stream of a worker: what is said of it is never pruned, and no two workers wait for each other."""
    return system_stream(f"worker/{worker}")
