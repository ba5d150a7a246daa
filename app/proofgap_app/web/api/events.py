"""News: server-sent events of one run, and a long poll over a workspace, for whoever cannot read those.

A message names the run that moved and the event by which it did, and nothing of what anybody may see of it. Whoever
wants to know reads the run then, as themselves. Before each message it is asked again who the listener is, and whether
they may still view the run.

Owns both forms. Refuses to know how it is found out that something is new (`bell`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Annotated

import msgspec
from anyio.to_thread import run_sync
from starlette.responses import Response, StreamingResponse

from proofgap.access import Action
from proofgap.errors import ProofgapError
from proofgap.facts import Struct
from proofgap_app.web import replies
from proofgap_app.web.api.runs import ONE, looked_up
from proofgap_app.web.api.transitions import event_number
from proofgap_app.web.calls import Call
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_store import Following, News
from proofgap_store.questions import is_number

_PING_SECONDS = 15.0
_RETRY_MS = 2000
_WAIT_MAX = 30
STREAM = "text/event-stream"


class NewsAsked(Struct):
    """From where on, and how many seconds to wait for something new at most."""

    after: replies.Cursor | None = None
    wait: Annotated[int, msgspec.Meta(ge=0, le=_WAIT_MAX)] = 0
    limit: replies.Limit = replies.LIMIT


class StreamAsked(Struct):
    """From where on to follow, for whoever brings no ``Last-Event-ID``; now, unless said."""

    after: replies.Cursor | None = None


class Moved(Struct):
    """A run that moved, and the last event by which it did."""

    run: str
    event_id: int


class NewsFound(Struct):
    """What moved, oldest first, and from where on to ask the next time."""

    items: tuple[Moved, ...]
    next: str


async def poll(call: Call, query: NewsAsked) -> Response:
    """Read which runs of a workspace moved; wait for it where nothing has."""
    wanted = Following(workspace=call.workspace, after=event_number(query.after), limit=query.limit)
    end = asyncio.get_running_loop().time() + min(query.wait, call.settings.limits.wait_seconds_max)
    upto: int | None = None  # the first time it is asked for, so that whoever does not wait hears what is new now
    with call.bell.listening(call.actor.id):
        while True:
            found = await run_sync(partial(call.ledger.feed.news, wanted, call.actor, upto=upto))
            left = end - asyncio.get_running_loop().time()
            if found.changes or (not found.more and (left <= 0 or call.bell.is_closed)):
                return _news(found)
            wanted = msgspec.structs.replace(wanted, after=found.next)
            if not found.more:
                if not await call.is_heard_after(left, found.next):
                    return _news(found)
                await run_sync(call.demand_known)
                upto = call.bell.reached


def _news(found: News) -> Response:
    items = tuple(Moved(run=change.run, event_id=change.event_id) for change in found.changes)
    answer = NewsFound(items=items, next=replies.cursor(str(found.next)))
    return replies.reply(answer, HTTPStatus.OK)


async def stream(call: Call, query: StreamAsked) -> Response:
    """Follow one run by server-sent events; ``Last-Event-ID`` goes on where the last stream ended."""
    wanted = await run_sync(_from_here, call, query)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if call.request.method == "HEAD":
        return Response(media_type=STREAM, headers=headers)
    call.bell.demand_room(call.actor.id)
    return StreamingResponse(_messages(call, wanted), media_type=STREAM, headers=headers)


def _from_here(call: Call, query: StreamAsked) -> Following:
    """Say from where on: the place that was handed in, and the end of the log where it holds no such place (any more)."""
    run = looked_up(call).record.id
    end = call.ledger.feed.settled()  # one that is still on its way may have a smaller number than what was seen
    sent = call.header("last-event-id") or ""
    place = int(sent) if is_number(sent) else end if query.after is None else event_number(query.after)
    return Following(workspace=call.workspace, run=run, after=min(end, place))


async def _messages(call: Call, wanted: Following) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    said = loop.time()
    end = said + call.settings.limits.stream_seconds_max
    with call.bell.listening(call.actor.id):
        yield f"retry: {_RETRY_MS}\n: {wanted.after}\n\n".encode()
        while loop.time() < end and not call.bell.is_closed:
            try:
                await run_sync(call.demand_known)
                found = await run_sync(partial(call.ledger.feed.news, wanted, call.actor, upto=call.bell.reached))
            except ProofgapError:  # they are not let in any more, or the ledger is gone: whoever comes again is told
                return
            for change in found.changes:
                data = msgspec.json.encode(Moved(run=change.run, event_id=change.event_id)).decode()
                yield f"event: decision\nid: {change.event_id}\ndata: {data}\n\n".encode()
                said = loop.time()
            wanted = msgspec.structs.replace(wanted, after=found.next)
            if not found.more:
                await call.bell.wait(found.next, min(said + _PING_SECONDS, end) - loop.time())
                if loop.time() - said >= _PING_SECONDS:  # the bell rings for other runs as well
                    yield b"event: ping\ndata: {}\n\n"
                    said = loop.time()


ROUTES = (
    Route(
        method="GET",
        path=ONE + "/stream",
        handler=stream,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Follow a run by server-sent events",
        media=(STREAM,),
        problems=(Code.NOT_FOUND, Code.RATE_LIMITED),
        headers=("Last-Event-ID?",),
    ),
    Route(
        method="GET",
        path="/v1/workspaces/{ws}/events",
        handler=poll,
        scope=Scope.WORKSPACE,
        asks=(Action.VIEW,),
        summary="Read which runs moved; wait for it where nothing has",
        gives=NewsFound,
        problems=(Code.RATE_LIMITED,),
    ),
)
