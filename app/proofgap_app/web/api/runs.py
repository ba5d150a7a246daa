"""Runs: created, listed, read as they stand. Reading one shows no decision, so it is no event; a list does, and is.

Owns how a run looks to a program. Refuses to know what it means (`decisions`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from proofgap.access import Action, action_of, may
from proofgap.audit import digest
from proofgap.decision import Decision
from proofgap.errors import NotFoundError
from proofgap.facts import RunEvent, RunStatus, Struct
from proofgap.lifecycle import allowed_events
from proofgap.records import Machine, RunDetails, RunRecord
from proofgap.text import check_id
from proofgap.wording import DecisionState
from proofgap_app.web import replies
from proofgap_app.web.api import receipts
from proofgap_app.web.api.receipts import Fired
from proofgap_app.web.calls import Call, Name, facts_at, form_of
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_store import ListedRun, Look, NewRun, Query

ROOT = "/v1/workspaces/{ws}/restore-runs"
ONE = ROOT + "/{run}"
_ETAG_LENGTH = 16


class RunWanted(Struct):
    """A run that is to be: where, whether nothing is to be written, and what is known of it so far."""

    environment: Name
    is_dry_run: bool = False
    details: RunDetails = RunDetails()


class Run(Struct):
    """A run as it stands. What may be said of it is its decision.

    Whoever may not view its operation run is not told of it, nor which worker executes it (``worker`` and ``claim``).
    """

    id: str
    workspace: str
    environment: str
    status: RunStatus
    version: int
    is_dry_run: bool
    imported: bool
    operation_run_id: str | None
    details: RunDetails


class RunSeen(Run):
    """A run, and the events that its status takes and whoever asks may fire; guards are left aside."""

    allowed_events: tuple[RunEvent, ...]


class RunListed(Struct):
    """One row of a list."""

    run: Run
    decision: Decision


class Runs(Struct):
    """One page of a list; ``next`` is what to hand in as ``after``, and null at the end."""

    items: tuple[RunListed, ...]
    next: str | None


class RunsAsked(Struct):
    """Which runs to list: newest first."""

    decision: DecisionState | None = None
    environment: str | None = None
    after: replies.Cursor | None = None
    limit: replies.Limit = replies.LIMIT


def create(call: Call, body: RunWanted) -> Response:
    """Create a run as a draft."""
    key = receipts.key_of(call)
    new = NewRun(
        workspace=call.workspace,
        environment=check_id("environment", body.environment),
        is_dry_run=body.is_dry_run,
        details=body.details,
    )
    with facts_at("details", RunDetails):
        receipt = call.ledger.create(new, call.actor, key=key)
    place = replies.path_of(ONE, ws=call.workspace, run=receipt.run_id)
    return receipts.answer(receipt, {"location": place})


def list_runs(call: Call, query: RunsAsked) -> Response:
    """List the runs that the caller may view, each with its decision for them. That they were shown is recorded."""
    page = call.ledger.list_runs(
        call.actor.id,
        call.actor,
        Query(
            workspace=call.workspace,
            environment=query.environment,
            state=query.decision,
            limit=query.limit,
            after=None if query.after is None else replies.place_of(query.after),
        ),
    )
    following = None if page.next is None else replies.cursor(page.next)
    asked = form_of({"decision": query.decision, "environment": query.environment, "limit": str(query.limit)})
    return replies.paged(call, [_listed(row) for row in page.rows], following, asked)


def get(call: Call) -> Response:
    """Read a run as it stands."""
    found = looked_up(call)
    shown = seen(found, call.actor.id)
    return replies.versioned(call, shown, f'"{found.record.version}-{digest(shown)[:_ETAG_LENGTH]}"')


def looked_up(call: Call) -> Look:
    """Read the run of the path; one of another workspace is not there.

    Raises:
        NotFoundError: there is none that the caller may view.

    """
    run = call.named("run")
    found = call.ledger.feed.look(run, call.actor)
    if found.record.workspace != call.workspace:
        raise NotFoundError("restore run", run)
    return found


def seen(found: Look, principal: str) -> RunSeen:
    """Write a run, and what somebody may fire on it."""
    record = found.record
    allowed = () if record.imported else allowed_events(Machine.RUN, record.status)
    mine = tuple(
        event for event in map(RunEvent, allowed) if may(principal, found.roles, action_of(event, record.status))
    )
    return RunSeen(**_fields(record), allowed_events=mine)


def written(record: RunRecord) -> Run:
    """Write a run as it stands."""
    return Run(**_fields(record))


def _listed(row: ListedRun) -> RunListed:
    return RunListed(run=written(row.record), decision=row.decision)


def _fields(record: RunRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Run.__struct_fields__}


ROUTES = (
    Route(
        method="POST",
        path=ROOT,
        handler=create,
        scope=Scope.ENVIRONMENT,
        asks=(Action.CREATE,),
        summary="Create a run as a draft",
        gives=Fired,
        status=HTTPStatus.CREATED,
        problems=(Code.KEY_MISSING, Code.KEY_REUSED, Code.FORBIDDEN, Code.NOT_FOUND),
        headers=(receipts.KEY,),
        brings=("ETag", "Location", "Idempotent-Replayed?"),
    ),
    Route(
        method="GET",
        path=ROOT,
        handler=list_runs,
        scope=Scope.WORKSPACE,
        asks=(Action.VIEW,),
        summary="List runs, newest first, each with its decision",
        gives=Runs,
        brings=("Link?",),
        is_event=True,
    ),
    Route(
        method="GET",
        path=ONE,
        handler=get,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Read a run as it stands",
        gives=RunSeen,
        problems=(Code.NOT_FOUND,),
        headers=("If-None-Match",),
        brings=("ETag",),
    ),
)
