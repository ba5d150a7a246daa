"""Legal holds: which events may not be pruned, since when and why.

Owns putting holds and releasing them, and who may. A hold covers a run, an environment or a workspace; where it ends
up is a row that follows from the log. A hold stops pruning (`pruning`), and nothing else: not even a redaction.
Refuses to know what is pruned.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import convert
from msgspec.structs import replace

from proofgap.access import ANY_ENVIRONMENT, Action, authorize
from proofgap.audit import Actor, EventType
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import Struct
from proofgap.text import check_code, check_id
from proofgap_store import administration, questions, views
from proofgap_store.audit_log import Draft, Written, alone
from proofgap_store.clock import new_id
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Writing
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.questions import Scope
from proofgap_store.read import law

_HOLDS = """
SELECT h.id, h.workspace, h.environment, h.run, h.active, e.payload ->> '$.data.reason' AS reason, e.event_id,
       CAST(e.payload ->> '$.rec_us' AS BIGINT) AS held_us
FROM audit_hold AS h JOIN audit_event AS e ON e.type = 'audit.held' AND e.payload ->> '$.data.hold' = h.id
WHERE CAST(:hold AS TEXT) IS NULL OR h.id = :hold ORDER BY e.event_id
"""


class Hold(Struct):
    """What is held: a run; or an environment; or, without one, a whole workspace."""

    id: str
    workspace: str
    environment: str | None
    run: str | None
    active: bool
    reason: str
    event_id: int
    held_us: int


class HoldOn(Struct):
    """What to hold: a run; else an environment of a workspace; else a whole workspace."""

    run: str | None = None
    workspace: str | None = None
    environment: str | None = None


def holding(connection: Connection, wanted: HoldOn, reason: str, actor: Actor, rec_us: int) -> Writing[Hold] | Hold:
    """Compute the event that puts a hold.

    Raises:
        BadInputError: nothing is named, or too much, or the reason is no code.
        NotFoundError, ForbiddenError: there is no such thing, or the actor does not administer it.

    """
    check_code("reason", reason)
    workspace, environment = _admitted(connection, wanted, actor.id)
    hold = new_id("hold")
    draft = Draft(EventType.HELD, workspace, environment, wanted.run, None, {"hold": hold, "reason": reason})

    def answer(written: Sequence[Written]) -> Hold:
        return Hold(
            id=hold, workspace=workspace, environment=environment, run=wanted.run, active=True, reason=reason,
            event_id=written[0].event_id, held_us=rec_us,
        )  # fmt: skip

    return Writing(events=alone(connection, AUDIT_STREAM, draft, actor, rec_us), answer=answer, law=law(connection))


def _admitted(connection: Connection, wanted: HoldOn, principal: str) -> tuple[str, str | None]:
    """Give the scope of what is to be held, if the principal administers it."""
    if wanted.run is not None:
        if wanted.workspace is not None or wanted.environment is not None:
            raise BadInputError("run", "has its workspace and environment already", "Name the run alone.")
        found = views.visible(connection, wanted.run, principal, Action.ADMINISTER).record
        return found.workspace, found.environment
    if wanted.workspace is None:
        raise BadInputError("workspace", "is missing", "Name a run, or a workspace, or an environment of one.")
    check_id("workspace", wanted.workspace)
    if wanted.environment is not None:
        check_id("environment", wanted.environment)
    _demand(connection, (wanted.workspace, wanted.environment), principal)
    return wanted.workspace, wanted.environment


def _demand(connection: Connection, scope: tuple[str, str | None], principal: str) -> None:
    workspace, environment = scope
    named = ("workspace", workspace) if environment is None else ("environment", f"{workspace}/{environment}")
    held = administration.roles_over(connection, principal, (workspace, environment or ANY_ENVIRONMENT))
    authorize(principal, held, Action.ADMINISTER, named)


def releasing(connection: Connection, hold: str, actor: Actor, rec_us: int) -> Writing[Hold] | Hold:
    """Compute the event that releases a hold.

    Raises:
        NotFoundError: there is no such hold in force, or it is not visible.
        ForbiddenError: the actor does not administer what it holds.

    """
    found = next(iter(_read(connection, check_id("hold", hold))), None)
    if found is None or not _is_visible(found, questions.audited(connection, actor.id)):
        raise NotFoundError("hold in force", hold)
    if not found.active:
        raise NotFoundError("hold in force", hold, done="released")
    _demand(connection, (found.workspace, found.environment), actor.id)
    draft = Draft(EventType.HOLD_RELEASED, found.workspace, found.environment, found.run, None, {"hold": hold})

    def answer(_written: Sequence[Written]) -> Hold:
        return replace(found, active=False)

    return Writing(events=alone(connection, AUDIT_STREAM, draft, actor, rec_us), answer=answer, law=law(connection))


def listing(connection: Connection, principal: str) -> tuple[Hold, ...]:
    """Read the holds over what somebody audits, those that were released as well, oldest first."""
    scopes = questions.audited(connection, principal)
    return tuple(hold for hold in _read(connection, None) if _is_visible(hold, scopes))


def _read(connection: Connection, hold: str | None) -> list[Hold]:
    return [convert(row | {"active": bool(row["active"])}, Hold) for row in rows(connection, _HOLDS, hold=hold)]


def _is_visible(hold: Hold, scopes: Sequence[Scope]) -> bool:
    """Tell whether somebody audits what is held, or part of it."""
    covered = {ANY_ENVIRONMENT, hold.environment}
    return any(
        workspace == hold.workspace and (hold.environment is None or environment in covered)
        for workspace, environment in scopes
    )
