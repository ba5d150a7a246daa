"""Work handed out over HTTP: workers, claims with a lease and a fencing token, heartbeats, the queue.

A worker registers, beats several times a lease, and claims what waits; what it then fires on the run bears the token of
the claim in the header ``Fencing-Token``. A claim is asked for again with the same token: whose answer got lost gets the
same run, and no second one. Owns these routes. Refuses to know who gets which run (`proofgap_store.claiming`).
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Annotated

import msgspec
from anyio.to_thread import run_sync
from starlette.responses import Response

from proofgap.access import Action
from proofgap.errors import BadInputError
from proofgap.facts import Count, EndReason, Struct, utc_text
from proofgap.records import instant
from proofgap.text import check_id
from proofgap_app.web import replies
from proofgap_app.web.api import runs
from proofgap_app.web.calls import Call, Name
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_store import Beat, Claim, NewWorker
from proofgap_store.fencing import new_token

_BASE = "/v1/workspaces/{ws}"
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])")
_RUNS_MAX = 1_000
_SECOND_US = 1_000_000


class WorkerWanted(Struct):
    """A worker that is to be registered; it serves these environments and drivers, or all that it may where it names none.

    ``concurrency`` is how many runs it executes at once, ``lease_seconds`` how long it may be silent.
    """

    name: Name
    environments: tuple[Name, ...] = ()
    drivers: tuple[str, ...] = ()
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    lease_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 90


class Worker(Struct):
    """A registered worker."""

    id: str
    lease_seconds: int


class BeatWanted(Struct):
    """The runs that a worker believes to execute."""

    runs: tuple[Name, ...] = ()


class BeatSeen(Struct):
    """What a worker must know: whether it is lost, runs that are not its own any more, runs that are to be stopped."""

    at: str
    is_lost: bool
    lost: tuple[str, ...]
    cancel_requested: tuple[str, ...]


class ClaimWanted(Struct):
    """Who wants a run: any, or the one that is named; ``token`` is that of an answer that got lost."""

    worker: Name
    run: Name | None = None
    token: Name | None = None


class Claimed(Struct):
    """A run that the worker has to execute now, and the token that everything it fires on it must bear."""

    run: runs.Run
    worker: str
    token: str


class Waiting(Struct):
    """A run that waits, and the run that holds its environment now, if any."""

    run: str
    environment: str
    driver: str | None
    priority: int
    queued_at: str
    held_by: str | None


class Held(Struct):
    """An environment in which nothing may start, and the run that is the reason."""

    environment: str
    run: str
    status: str
    since: str
    end_reason: EndReason | None
    needs_release: bool


class QueueSeen(Struct):
    """What waits in a workspace, in the order in which it will be taken, and what is held."""

    waiting: tuple[Waiting, ...]
    held: tuple[Held, ...]


class ReleaseWanted(Struct):
    """Why an environment is released, in the actor's words."""

    note: str | None = None


class Released(Struct):
    """The event that released an environment."""

    event_id: Count


def register(call: Call, body: WorkerWanted) -> Response:
    """Register a worker; its lease begins now."""
    served = tuple(f"{call.workspace}/{check_id('environments', name)}" for name in body.environments)
    new = NewWorker(
        name=check_id("name", body.name),
        environments=served or (f"{call.workspace}/*",),
        drivers=body.drivers,
        concurrency=body.concurrency,
        lease_us=body.lease_seconds * _SECOND_US,
    )
    found = call.ledger.fleet.register(new, call.actor)
    answer = Worker(id=found.id, lease_seconds=body.lease_seconds)
    return replies.reply(answer, HTTPStatus.CREATED)


def retire(call: Call) -> Response:
    """End a worker that executes nothing any more."""
    call.ledger.fleet.retire(call.named("worker"), call.actor)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def beat(call: Call, body: BeatWanted) -> Response:
    """Say that a worker is alive, and hear what it must know."""
    if len(body.runs) > _RUNS_MAX:
        raise BadInputError("runs", f"holds {len(body.runs)} runs", f"Name at most {_RUNS_MAX}.")
    named = tuple(check_id("runs", run) for run in body.runs)  # those that are none of its own are named in the answer
    heard: Beat = call.ledger.fleet.beat(call.named("worker"), call.actor, named)
    return replies.reply(
        BeatSeen(
            at=utc_text(instant(heard.at_us)),
            is_lost=heard.is_lost,
            lost=heard.lost,
            cancel_requested=heard.cancel_requested,
        )
    )


async def claim(call: Call, body: ClaimWanted) -> Response:
    """Claim the next run; wait for one as long as ``Prefer: wait=`` says."""
    token = new_token() if body.token is None else check_id("token", body.token)
    asked = _WAIT.search(call.header("prefer") or "")
    seconds = min(float(asked[1]), call.settings.limits.wait_seconds_max) if asked else 0.0
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    headers = {"preference-applied": f"wait={int(seconds)}"} if asked else {}
    with call.bell.listening(call.actor.id):
        while True:
            reached = call.bell.reached
            found = await run_sync(_claimed, call, body, token)
            if found is not None:
                return replies.reply(found, HTTPStatus.CREATED, headers)
            left = end - loop.time()
            if left <= 0 or call.bell.is_closed or not await call.is_heard_after(left, reached):
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
            await run_sync(call.demand_known)


def _claimed(call: Call, wanted: ClaimWanted, token: str) -> Claimed | None:
    found: Claim | None = call.ledger.fleet.claim(wanted.worker, call.actor, run=wanted.run, token=token)
    return None if found is None else Claimed(run=runs.written(found.run), worker=found.worker, token=found.token)


def queue(call: Call) -> Response:
    """Read what waits and what is held in a workspace, as far as the caller may view it."""
    found = call.ledger.fleet.queue(call.actor)
    return replies.reply(
        QueueSeen(
            waiting=tuple(
                Waiting(
                    run=row.run,
                    environment=row.environment,
                    driver=row.driver,
                    priority=row.priority,
                    queued_at=utc_text(instant(row.queued_at_us)),
                    held_by=row.held_by,
                )
                for row in found.waiting
                if row.workspace == call.workspace
            ),
            held=tuple(
                Held(
                    environment=row.environment,
                    run=row.run,
                    status=row.status,
                    since=utc_text(instant(row.since_us)),
                    end_reason=row.end_reason,
                    needs_release=row.needs_release,
                )
                for row in found.held
                if row.workspace == call.workspace
            ),
        )
    )


def release(call: Call, body: ReleaseWanted) -> Response:
    """Release an environment that the run of a lost worker holds, once no tool is at work there."""
    scope = (call.workspace, call.named("environment"))
    return replies.reply(Released(event_id=call.ledger.fleet.release_environment(scope, call.actor, note=body.note)))


ROUTES = (
    Route(
        method="POST",
        path=_BASE + "/workers",
        handler=register,
        scope=Scope.WORKSPACE,
        asks=(Action.EXECUTE,),
        summary="Register a worker",
        gives=Worker,
        status=HTTPStatus.CREATED,
        problems=(Code.FORBIDDEN, Code.NOT_FOUND),
    ),
    Route(
        method="DELETE",
        path=_BASE + "/workers/{worker}",
        handler=retire,
        scope=Scope.WORKSPACE,
        asks=(Action.EXECUTE,),
        summary="Retire a worker",
        status=HTTPStatus.NO_CONTENT,
        media=(),
        problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path=_BASE + "/workers/{worker}/heartbeat",
        handler=beat,
        scope=Scope.WORKSPACE,
        asks=(Action.EXECUTE,),
        summary="Renew a worker's lease, and hear what is to be stopped",
        gives=BeatSeen,
        problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path=_BASE + "/claims",
        handler=claim,
        scope=Scope.WORKSPACE,
        asks=(Action.EXECUTE,),
        summary="Claim the next run that waits",
        gives=Claimed,
        status=HTTPStatus.CREATED,
        problems=(Code.NOT_FOUND, Code.WORKER_LOST, Code.RATE_LIMITED),
        headers=("Prefer?",),
        brings=("Preference-Applied?",),
    ),
    Route(
        method="GET",
        path=_BASE + "/queue",
        handler=queue,
        scope=Scope.WORKSPACE,
        asks=(Action.VIEW,),
        summary="Read what waits and what is held",
        gives=QueueSeen,
    ),
    Route(
        method="POST",
        path=_BASE + "/environments/{environment}/release",
        handler=release,
        scope=Scope.ENVIRONMENT,
        asks=(Action.RELEASE,),
        summary="Release an environment that a lost worker's run holds",
        gives=Released,
        problems=(Code.GUARD_FAILED, Code.FORBIDDEN, Code.NOT_FOUND),
    ),
)
