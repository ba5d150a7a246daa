"""The pages of one run that show a decision and its log: as it is now, as it was, and every event of it.

Owns how these requests are answered. That a decision is shown to somebody is recorded before they see it.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from proofgap.access import MAY, Action
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap.text import check_id
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses, past, run, trail
from proofgap_app.web.pages.frames import answered, event_named, frame, refuse_prefetch, run_named
from proofgap_app.web.replies import cursor, reply
from proofgap_app.web.table import Handler, Route, Scope
from proofgap_store import Around, LoggedEvent
from proofgap_store.questions import PrunedError

_HTML = ("text/html",)
_LOG_EVENTS = 100


class As(Struct):
    """Whose view is wanted: one's own, unless an auditor names somebody else's."""

    viewer: str = ""


class From(Struct):
    """At which event a part of a log begins."""

    start: str = ""


def start(_call: Call) -> Response:
    """Lead to the list of runs."""
    return RedirectResponse(addresses.RUNS, HTTPStatus.SEE_OTHER)


def run_page(call: Call, query: As) -> Response:
    """Show what one run means."""
    refuse_prefetch(call)
    run_id, viewer = run_named(call), check_id("viewer", query.viewer) if query.viewer else call.actor.id
    since = call.ledger.feed.settled()  # before anything is read: whatever comes after is news to the page
    shown = call.ledger.show(run_id, viewer, call.actor)
    around = call.ledger.desk.around(run_id, call.actor.id)
    record = shown.record
    links = run.links_for(record, may_act=bool(around.roles & MAY[Action.PREPARE]))
    stream = "" if record.imported else addresses.stream(record.workspace, run_id, cursor(str(since)))
    top = frame(call, around.roles, (record.workspace, record.environment))
    page = run.run_page(shown, around.trail, stream, links)
    if around.roles & MAY[Action.AUDIT]:
        page = page._replace(bundle=addresses.run(run_id, "bundle"))
    return answered("run.html", frame=top, page=page)


def past_decision(call: Call) -> Response:
    """Show a decision as it was shown: it is read from the log, and not decided anew."""
    run_id, event = run_named(call), _shown_once(call)
    around = call.ledger.desk.around(run_id, call.actor.id)
    top = frame(call, around.roles, (event.entry["ws"], event.entry["env"]))
    page = past.page(event, imported=around.record.imported, may_read_evidence=_may_read_evidence(around))
    return answered("run.html", frame=top, page=page)


def _may_read_evidence(around: Around) -> bool:
    return bool(around.roles & MAY[Action.READ_EVIDENCE])


def _shown_once(call: Call) -> LoggedEvent:
    """Read the decision that the path names; one that was pruned is not there to be shown.

    Raises:
        NotFoundError: there is none, or it is not for whoever asks.

    """
    number = event_named(call)
    try:
        return call.ledger.feed.shown(run_named(call), number, call.actor)
    except PrunedError:
        raise NotFoundError("decision", str(number)) from None


def past_decision_json(call: Call) -> Response:
    """Give a decision as it was shown, for programs and for keeping."""
    event = _shown_once(call)
    around = call.ledger.desk.around(run_named(call), call.actor.id)
    name = f'attachment; filename="decision-{event.event_id}.json"'
    document = past.document(event, may_read_evidence=_may_read_evidence(around))
    return reply(document, headers={"content-disposition": name})


def events(call: Call, query: From) -> Response:
    """Show every event of a run, the views of it as well."""
    run_id = run_named(call)
    part = call.ledger.desk.log(run_id, call.actor, after=trail.number("start", query.start, 1) - 1, limit=_LOG_EVENTS)
    around = call.ledger.desk.around(run_id, call.actor.id)
    following = (
        None if part.next is None else addresses.with_query(addresses.run(run_id, "events"), start=str(part.next + 1))
    )
    rows = trail.rows(run_id, part.events, is_log=True)
    return answered("events.html", frame=frame(call, around.roles), run_id=run_id, rows=rows, following=following)


def _route(
    path: str, handler: Handler, asks: Action, summary: str, media: tuple[str, ...] = _HTML, *, is_event: bool = False
) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        scope=Scope.RUN,
        asks=(asks,),
        summary=summary,
        media=media,
        is_page=True,
        is_event=is_event,
    )


ROUTES = (
    Route(method="GET", path="/", handler=start, scope=Scope.SIGNED_IN, summary="The way to the runs", status=303, is_page=True),
    _route("/runs/{run}", run_page, Action.VIEW, "What one run means", is_event=True),
    _route("/runs/{run}/decisions/{event_id}", past_decision, Action.VIEW, "A decision as it was shown"),
    _route("/runs/{run}/decisions/{event_id}/decision.json", past_decision_json, Action.VIEW, "A decision as it was shown", ("application/json",)),
    _route("/runs/{run}/events", events, Action.READ_LOG, "The log of a run"),
)  # fmt: skip
