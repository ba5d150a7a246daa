"""Who may do and see what: roles, and what each allows. Pure; who holds which role is the store's business.

Authorisation removes positive claims, never warnings: a role decides which operation runs and evidence count for a
viewer, never whether a failure is shown. Source: ``docs/operations.md``, "Roles".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from proofgap.errors import ForbiddenError, NotFoundError
from proofgap.facts import Facts, RunEvent, RunStatus, Viewer
from proofgap.records import RunRecord


class Role(StrEnum):
    """What a principal is in a workspace and environment."""

    VIEWER = "viewer"  # sees runs, but no operation runs and no evidence
    OPERATOR = "operator"  # creates, prepares, queues, approves, cancels, releases; sees operation runs and evidence
    WORKER = "worker"  # fires what happens to a run, reports items, adds evidence; sees operation runs
    AUDITOR = "auditor"  # changes nothing; sees everything, the log, and the true reason of a denial
    ADMIN = "admin"  # all of it, and grants


class Action(StrEnum):
    """What roles are asked for."""

    VIEW = "view runs"
    READ_LOG = "read the log of a run"
    READ_EVIDENCE = "read evidence"
    CREATE = "create runs"
    PREPARE = "prepare, queue and cancel runs"
    APPROVE = "approve runs"
    EXECUTE = "execute runs"
    ADD_EVIDENCE = "add evidence"
    RELEASE = "release held environments"
    VIEW_AS = "see what others are shown"
    AUDIT = "read the log of everything in scope"
    ADMINISTER = "grant roles, declare environments and import"


class Place(NamedTuple):
    """Where something is asked for: what a denial is recorded with. ``None``: not known, or all of them."""

    workspace: str | None = None
    environment: str | None = None
    run: str | None = None


ANY_ENVIRONMENT = "*"
NOWHERE = Place()
_ALL = frozenset(Role)
_HANDS = frozenset({Role.OPERATOR, Role.WORKER, Role.ADMIN})
MAY = MappingProxyType(
    {
        Action.VIEW: _ALL,
        Action.READ_LOG: _ALL - {Role.VIEWER},
        Action.READ_EVIDENCE: frozenset({Role.OPERATOR, Role.AUDITOR, Role.ADMIN}),
        Action.CREATE: _HANDS,
        Action.PREPARE: _HANDS,
        Action.APPROVE: frozenset({Role.OPERATOR, Role.ADMIN}),
        Action.EXECUTE: frozenset({Role.WORKER, Role.ADMIN}),
        Action.ADD_EVIDENCE: frozenset({Role.WORKER, Role.ADMIN}),
        Action.RELEASE: frozenset({Role.OPERATOR, Role.ADMIN}),
        Action.VIEW_AS: frozenset({Role.AUDITOR, Role.ADMIN}),
        Action.AUDIT: frozenset({Role.AUDITOR, Role.ADMIN}),
        Action.ADMINISTER: frozenset({Role.ADMIN}),
    }
)
TOKEN_ROLES = _ALL - {Role.ADMIN}
"""What a token may be: whoever holds a file must not be able to let in others."""

_OF_TOKENS = "tk_"
_IN_PERSON = frozenset({Action.APPROVE})  # a second person is one, and no file that the first one holds
_EXECUTES = frozenset(
    {
        *(RunEvent.START, RunEvent.REPORT, RunEvent.COMPLETE, RunEvent.COMPLETE_WITH_ERRORS),
        *(RunEvent.COMPLETE_PARTIALLY, RunEvent.FAIL),
    }
)
_SEES_OPERATIONS = frozenset({Role.OPERATOR, Role.WORKER, Role.AUDITOR, Role.ADMIN})


def is_token(principal: str) -> bool:
    """Tell whether a principal is an API token: no person can be called so."""
    return principal.startswith(_OF_TOKENS)


def token_id(name: str, suffix: str) -> str:
    """Give the id of a new token: what it is called, and what makes it another than the one before."""
    return f"{_OF_TOKENS}{name}_{suffix}"


def action_of(event: RunEvent, status: RunStatus) -> Action:
    """Say what a principal must be allowed to do to fire an event on a run of this status.

    Ending a run that executes is for whoever executes it; everybody else asks for it (``request_cancel``).
    """
    if event is RunEvent.APPROVE:
        return Action.APPROVE
    ends_execution = event is RunEvent.CANCEL and status is RunStatus.RUNNING
    return Action.EXECUTE if event in _EXECUTES or ends_execution else Action.PREPARE


def authorize(
    principal: str, roles: Iterable[Role], action: Action, subject: tuple[str, str], place: Place = NOWHERE
) -> None:
    """Let a principal through, or not.

    Args:
        principal: who asks.
        roles: the roles they hold where the subject is.
        action: what they want to do.
        subject: the kind of the subject and its id.
        place: where the subject is.

    Raises:
        NotFoundError: they hold no role there: a foreign id answers exactly like an unknown one.
        ForbiddenError: they can see the subject, but may not do this; an approval is a person's, and no token's.

    """
    held = frozenset(roles)
    if not held:
        raise NotFoundError(*subject)
    if not may(principal, held, action):
        raise ForbiddenError(principal, action, sorted(MAY[action]), subject=subject, place=place)


def may(principal: str, roles: Iterable[Role], action: Action) -> bool:
    """Tell whether a principal with these roles may do something."""
    is_somebody = action not in _IN_PERSON or not is_token(principal)
    return is_somebody and not MAY[action].isdisjoint(roles)


def as_seen(record: RunRecord, viewer: Viewer) -> RunRecord:
    """Give a record as a viewer may see it: what is withheld from them is not there.

    Which worker executes a run is a fact of its operation run, and so is the claim of that worker.
    """
    operation = record.operation if record.operation is not None and record.operation.id in viewer.may_view else None
    details = record.details if operation is not None else replace(record.details, worker=None, claim=None)
    return replace(
        record,
        details=details,
        operation=operation,
        operation_run_id=None if operation is None else operation.id,
        evidence=tuple(row for row in record.evidence if row.id in viewer.may_view),
    )


def viewer_of(principal: str, roles: Iterable[Role], facts: Facts) -> Viewer:
    """Say which of the linked records these roles authorise a principal for."""
    held = frozenset(roles)
    operations = {facts.operation.id} if facts.operation is not None and held & _SEES_OPERATIONS else set()
    evidence = {row.id for row in facts.evidence} if held & MAY[Action.READ_EVIDENCE] else set()
    return Viewer(id=principal, may_view=frozenset(operations | evidence))
