"""Environments as something that restores happen in: which are held, by what, and how an operator releases one.

Theory. A run holds its environment from its start to its end, so that no two restores are live in one place; the
database keeps that by a partial unique index. When a worker is lost its run has failed, yet its tool may still be
writing: the environment stays held until somebody who has looked says that it is free. That is an event.

Owns the guard of ``start``, the release, and what is read of queue and holds. Refuses to know leases (`workers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import convert, json

from proofgap.access import ANY_ENVIRONMENT, MAY, Action, Place, Role, authorize
from proofgap.audit import EventType, canonical, system_stream
from proofgap.errors import GuardRefusedError, NotFoundError
from proofgap.facts import RunEvent, RunStatus
from proofgap.lifecycle import allowed_events
from proofgap.records import Machine, RunDetails
from proofgap_store.administration import check_scope
from proofgap_store.audit_log import Draft, head_of, link
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.fleet_shapes import Held, Waiting
from proofgap_store.gate import Writing
from proofgap_store.read import Found, grants, law, roles
from proofgap_store.transitions import Call

_STREAM = system_stream("environments")
_DETAILS = json.Decoder(RunDetails)
_IN_SCOPE = """EXISTS (
    SELECT 1 FROM json_each(:scopes) AS scope
    WHERE scope.value ->> 0 = r.workspace AND scope.value ->> 1 IN (r.environment, :any))"""
_HELD = f"""
SELECT r.workspace, r.environment, r.id AS run, r.status, r.details, CAST(e.payload ->> '$.rec_us' AS BIGINT) AS since_us
FROM restore_run AS r JOIN audit_event AS e ON e.event_id = r.last_event_id
WHERE r.holds_env = 1 AND {_IN_SCOPE} ORDER BY r.workspace, r.environment
"""  # noqa: S608 - put together from our own text only
_WAITING = f"""
SELECT r.id AS run, r.workspace, r.environment, r.priority, r.details, r.worker,
  CAST(e.payload ->> '$.rec_us' AS BIGINT) AS queued_at_us, (
  SELECT h.id FROM restore_run AS h WHERE h.workspace = r.workspace AND h.environment = r.environment AND h.holds_env = 1
) AS held_by
FROM restore_run AS r JOIN audit_event AS e ON e.event_id = r.last_event_id
WHERE r.status = 'queued' AND r.imported = 0 AND {_IN_SCOPE}
ORDER BY r.priority DESC, r.last_event_id LIMIT :limit
"""  # noqa: S608 - as above
_HOLDER = """
SELECT id, status FROM restore_run WHERE workspace = :workspace AND environment = :environment AND holds_env = 1
"""


def demand_free(found: Found, event: RunEvent) -> None:
    """Keep a run from starting where another one is live, where a tool of a lost worker may be, or past the worker it is kept for.

    Raises:
        GuardRefusedError: the environment is held; names the run. Or the run is kept for a worker; names it.

    """
    if event is not RunEvent.START or found.record.status is not RunStatus.QUEUED:
        return
    if found.held_by is not None:
        because = f"run {found.held_by} holds the environment; wait for its end, or release it: proofgap queue"
        raise _no_start("environment_is_free", because)
    if found.record.details.worker is not None:
        because = f"it is kept for worker {found.record.details.worker}, which starts it by claiming it"
        raise _no_start("is_not_kept_for_a_worker", because)


def _no_start(guard: str, because: str) -> GuardRefusedError:
    others = [name for name in allowed_events(Machine.RUN, RunStatus.QUEUED) if name != RunEvent.START]
    return GuardRefusedError(Machine.RUN, RunEvent.START, RunStatus.QUEUED, others, guard=guard, because=because)


def releasing(connection: Connection, scope: tuple[str, str], call: Call) -> Writing[int] | int:
    """Compute the event that releases an environment which the run of a lost worker holds.

    Raises:
        NotFoundError: nothing holds it, or it is not visible.
        ForbiddenError: the actor's roles do not allow it.
        GuardRefusedError: the run that holds it is still running: that one can be cancelled.

    """
    check_scope(scope)
    named = ("environment", "/".join(scope))
    held = roles(connection, call.actor.id, *scope)
    authorize(call.actor.id, held, Action.RELEASE, named, Place(*scope))
    holder = next(iter(rows(connection, _HOLDER, workspace=scope[0], environment=scope[1])), None)
    if holder is None:
        raise NotFoundError("held environment", named[1])
    if holder["status"] == RunStatus.RUNNING:
        because = f"run {holder['id']} is live in it; ask it to stop instead: proofgap run cancel {holder['id']}"
        raise GuardRefusedError(
            Machine.RUN, "release", RunStatus.RUNNING, (), guard="execution_has_ended", because=because
        )
    draft = Draft(EventType.ENVIRONMENT_RELEASED, *scope, holder["id"], None, {"holder": holder["id"]}, call.private())
    events = link(head_of(connection, _STREAM), [draft], call.actor, call.at_us, call.rec_us)
    return Writing(events=events, answer=lambda written: written[0].event_id, law=law(connection))


def held(connection: Connection, principal: str) -> tuple[Held, ...]:
    """Read which environments are held, of those that somebody sees."""
    found = rows(connection, _HELD, scopes=_scopes(connection, principal), any=ANY_ENVIRONMENT)
    return tuple(_as_held(row) for row in found)


def _as_held(row: Row) -> Held:
    details = _DETAILS.decode(row.pop("details"))
    return convert(row | {"worker": details.worker, "end_reason": details.end_reason}, Held)


def waiting(connection: Connection, principal: str, limit: int) -> tuple[Waiting, ...]:
    """Read what waits, of what somebody sees, in the order in which it will be taken."""
    found = rows(connection, _WAITING, scopes=_scopes(connection, principal), any=ANY_ENVIRONMENT, limit=limit)
    return tuple(_as_waiting(row) for row in found)


def _as_waiting(row: Row) -> Waiting:
    details = _DETAILS.decode(row.pop("details"))
    return convert(row | {"driver": details.driver, "deadline_us": details.deadline_us}, Waiting)


def _scopes(connection: Connection, principal: str) -> str:
    return canonical(seen(connection, principal)).decode()


def seen(connection: Connection, principal: str, action: Action = Action.VIEW) -> Sequence[tuple[str, str]]:
    """Read the scopes where somebody may do something."""
    return where(grants(connection, principal), action)


def where(held: Mapping[tuple[str, str], frozenset[Role]], action: Action) -> Sequence[tuple[str, str]]:
    """Give the scopes where roles allow something."""
    return sorted(scope for scope, roles_there in held.items() if roles_there & MAY[action])
