"""The list of runs: how it is asked for. That runs are shown in it is recorded before anybody sees them."""

from __future__ import annotations

from starlette.responses import Response

from proofgap.access import ANY_ENVIRONMENT, MAY, Action
from proofgap_app.web import replies
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses, runs
from proofgap_app.web.pages.frames import answered, frame, held_anywhere, refuse_prefetch
from proofgap_app.web.table import Route, Scope
from proofgap_store.clock import now_us

_POLLED_MAX = 4
"""How many workspaces a list listens to: each takes one of the few connections that a browser opens to one site."""


def run_list(call: Call, query: runs.Wanted) -> Response:
    """Show the runs that this person may see, newest first."""
    refuse_prefetch(call)
    since = call.ledger.feed.settled()  # before anything is read: whatever comes after is news to the page
    found = call.ledger.list_runs(call.actor.id, call.actor, runs.query(query))
    roles = call.ledger.desk.roles(call.actor.id)
    page = runs.page(found, query, [scope for scope in roles if scope[1] != ANY_ENVIRONMENT], now_us())
    workspaces = {scope[0] for scope in roles} if not page.workspace else {page.workspace}
    is_live = 0 < len(workspaces) <= _POLLED_MAX and not query.after
    held = held_anywhere(roles)
    return answered(
        "runs.html",
        frame=frame(call, held),
        page=page,
        may_create=bool(held & MAY[Action.CREATE]),
        poll=" ".join(map(addresses.news, sorted(workspaces))) if is_live else None,
        after=replies.cursor(str(since)),
    )


ROUTES = (
    Route(
        method="GET", path="/runs", handler=run_list, scope=Scope.LEDGER, asks=(Action.VIEW,), summary="The list of runs",
        media=("text/html",), is_page=True, is_event=True,
    ),
)  # fmt: skip
