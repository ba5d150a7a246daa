"""Transitions: an event is fired on the version that the caller saw, or refused; and the history of both.

Owns how an event is sent. Refuses to know which are legal (`proofgap.lifecycle`) and who may fire them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from proofgap.access import Action
from proofgap.audit import NOTE, Author
from proofgap.facts import RunEvent, Struct, utc_text
from proofgap.records import RunDetails, instant
from proofgap_app.web import replies
from proofgap_app.web.api import receipts
from proofgap_app.web.api.receipts import Fired
from proofgap_app.web.api.runs import ONE, looked_up
from proofgap_app.web.calls import Call, facts_at
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_store import LoggedEvent
from proofgap_store.questions import is_number

PATH = ONE + "/transitions"


class EventWanted(Struct):
    """An event that is to be fired: the facts that come with it, and why, in somebody's words."""

    event: RunEvent
    given: RunDetails = RunDetails()
    note: str | None = None


class Transition(Struct):
    """What moved a run, or was refused (``refused``): who, when, and what it met.

    Of an event that was pruned only its place is known; the rest is null.
    """

    event_id: int
    type: str
    at: str
    actor: Author | None
    event: str | None
    source: str | None
    target: str | None
    version: int | None
    refused: bool
    guard: str | None
    note: str | None


class Transitions(Struct):
    """One page of a history, oldest first; ``next`` is what to hand in as ``after``, and null at the end."""

    items: tuple[Transition, ...]
    next: str | None


class PageAsked(Struct):
    """Which part of a list."""

    after: replies.Cursor | None = None
    limit: replies.Limit = replies.LIMIT


def fire(call: Call, body: EventWanted) -> Response:
    """Fire an event on a run: all of it happens, or none of it."""
    key = receipts.key_of(call)
    version = receipts.version_of(call)
    run = looked_up(call).record.id
    token = receipts.fence_of(call)
    with facts_at("given", RunDetails):
        receipt = call.ledger.fire(
            run,
            body.event,
            call.actor,
            given=body.given,
            key=key,
            expected_version=version,
            note=body.note,
            token=token,
        )
    return receipts.answer(receipt, {})


def history(call: Call, query: PageAsked) -> Response:
    """Read what moved a run, and what was refused, oldest first."""
    run = looked_up(call).record.id
    found = call.ledger.feed.moves(run, call.actor, after=event_number(query.after), limit=query.limit + 1)
    page = found[: query.limit]
    following = replies.cursor(str(page[-1].event_id)) if len(found) > len(page) else None
    return replies.paged(call, [_transition(event) for event in page], following, {"limit": str(query.limit)})


def event_number(after: str | None) -> int:
    """Read a place in the log: the number of an event.

    Raises:
        BadInputError: it is none.

    """
    place = "0" if after is None else replies.place_of(after)
    if not is_number(place):
        replies.no_place()
    return int(place)


def _transition(event: LoggedEvent) -> Transition:
    entry = event.entry
    data: dict[str, Any] = entry.get("data", {})
    opened = event.openings.get(NOTE)
    return Transition(
        event_id=event.event_id,
        type=entry["type"],
        at=utc_text(instant(entry["at_us"])),
        actor=None if event.is_pruned else Author(**entry["actor"]),
        event=data.get("event"),
        source=data.get("source"),
        target=data.get("target"),
        version=data.get("version"),
        refused=entry["type"].endswith("_refused"),
        guard=data.get("guard"),
        note=None if opened is None else opened.value,
    )


ROUTES = (
    Route(
        method="POST",
        path=PATH,
        handler=fire,
        scope=Scope.RUN,
        asks=(Action.PREPARE, Action.EXECUTE, Action.APPROVE),
        summary="Fire an event on a run",
        gives=Fired,
        status=HTTPStatus.CREATED,
        problems=(
            *(Code.KEY_MISSING, Code.KEY_REUSED, Code.PRECONDITION_REQUIRED, Code.VERSION_MISMATCH),
            *(Code.TRANSITION_NOT_ALLOWED, Code.GUARD_FAILED, Code.FORBIDDEN, Code.NOT_FOUND),
        ),
        headers=(receipts.KEY, receipts.VERSION, f"{receipts.FENCE}?"),
        brings=("ETag", "Idempotent-Replayed?"),
    ),
    Route(
        method="GET",
        path=PATH,
        handler=history,
        scope=Scope.RUN,
        asks=(Action.READ_LOG,),
        summary="Read what moved a run, and what was refused",
        gives=Transitions,
        brings=("Link?",),
        problems=(Code.FORBIDDEN, Code.NOT_FOUND),
    ),
)
