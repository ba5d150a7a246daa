"""Decisions: what a run means to whoever asks, and what somebody was shown once.

That a decision was shown is an event, written before the answer is given. A past one is read out of the log; it is not
made anew. Owns the two routes. Refuses to know how a decision is made (`proofgap.decision`).
"""

from __future__ import annotations

from starlette.responses import Response

from proofgap.access import Action
from proofgap.audit import digest
from proofgap.decision import Decision
from proofgap.errors import NotFoundError
from proofgap.facts import RunStatus, Struct, utc_text
from proofgap.records import instant
from proofgap_app.web import replies
from proofgap_app.web.api.runs import ONE, looked_up
from proofgap_app.web.calls import Call
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.table import Route, Scope
from proofgap_store.questions import PrunedError, is_number

_ETAG_LENGTH = 32


class DecisionShown(Struct):
    """A decision as one viewer was shown it, and the audit event that says so."""

    run: str
    status: RunStatus
    viewer: str
    as_of: str
    event_id: int
    decision: Decision


def current(call: Call) -> Response:
    """Show the caller what a run means to them. Asking is an event, whether or not they know the answer already."""
    if "prefetch" in (call.header("sec-purpose") or ""):
        raise HttpError(
            Code.MALFORMED_REQUEST, "A decision is not fetched before somebody wants it: showing it is an event."
        )
    record = looked_up(call).record
    shown = call.ledger.show(record.id, call.actor.id, call.actor)
    found = DecisionShown(
        run=record.id,
        status=shown.record.status,
        viewer=shown.viewer.id,
        as_of=utc_text(instant(shown.at_us)),
        event_id=shown.event_id,
        decision=shown.decision,
    )
    version = digest([shown.record.version, shown.viewer.id, shown.decision])[:_ETAG_LENGTH]
    return replies.versioned(call, found, f'W/"{version}"')


def past(call: Call) -> Response:
    """Read a decision as it was shown once: to the caller, or to anybody where the caller reads the log."""
    record = looked_up(call).record
    number = call.named("event_id")
    if not is_number(number):
        raise NotFoundError("decision", number)
    try:
        event = call.ledger.feed.shown(record.id, int(number), call.actor)
    except PrunedError:
        raise NotFoundError("decision", number) from None
    data = event.entry["data"]
    return replies.reply(
        {
            "run": record.id,
            "status": data["facts"]["run"]["status"],
            "viewer": data["viewer"]["id"],
            "as_of": utc_text(instant(event.entry["at_us"])),
            "event_id": event.event_id,
            "decision": data["decision"],
        }
    )


ROUTES = (
    Route(
        method="GET",
        path=ONE + "/decision",
        handler=current,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Show what a run means to the caller; an audit event",
        gives=DecisionShown,
        problems=(Code.NOT_FOUND,),
        headers=("If-None-Match",),
        brings=("ETag",),
        is_event=True,
    ),
    Route(
        method="GET",
        path=ONE + "/decisions/{event_id}",
        handler=past,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Read a decision as it was shown once",
        gives=DecisionShown,
        problems=(Code.NOT_FOUND,),
    ),
)
