"""Signing in and out: by a one-time link, by a provider (`openid`), and back to the page that was wanted.

Owns these routes. Refuses to let anybody be sent to another site, and to know how a session is kept (`people`).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap_app.web import pages
from proofgap_app.web.calls import Call
from proofgap_app.web.people import forgotten, kept
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.table import Route, Scope
from proofgap_store import Entrance

_LOCAL = re.compile(r"/(?![/\\])[!-~]*")
HTML = ("text/html",)


class Arrival(Struct):
    """How somebody comes to sign in: with the token of a one-time link, or with none; and where they wanted to go."""

    token: str | None = None
    next: str = "/"


def sign_in(call: Call, query: Arrival) -> Response:
    """Begin a session by a link; without one that is good, show the ways to sign in."""
    wanted = local(query.next)
    if query.token is None or call.request.method == "HEAD":  # whoever only looks uses no link up
        return pages.sign_in_page(call, wanted)
    if "prefetch" in (call.header("sec-purpose") or call.header("purpose") or ""):
        raise HttpError(Code.MALFORMED_REQUEST, "A link that is good once is not fetched before somebody wants it.")
    try:
        entrance = call.ledger.sessions.begin_by_link(query.token, call.settings.session_seconds_max)
    except NotFoundError:
        return pages.sign_in_page(call, wanted, HTTPStatus.NOT_FOUND)
    return let_in(call, entrance, wanted)


def sign_out(call: Call) -> Response:
    """End the session that the request came with."""
    principal = call.principal
    if principal is not None and principal.session is not None:
        call.ledger.sessions.end(principal.session, principal.actor)
    response = see_other("/sign-in", forgotten(call.settings))
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def let_in(call: Call, entrance: Entrance, wanted: str) -> Response:
    """Give a browser its new session, and end the one that it had before."""
    former = call.around.identify(call.request)
    if former is not None and former.session is not None:
        call.ledger.sessions.end(former.session, former.actor)
    return see_other(local(wanted), kept(call.settings, entrance))


def local(wanted: str) -> str:
    """Give a place of this site: what was asked for, if it is one, else the start."""
    is_local = _LOCAL.fullmatch(wanted) is not None and not urlsplit(wanted).netloc
    return wanted if is_local else "/"


def see_other(place: str, cookie: str | None = None) -> Response:
    """Send a browser on to a page, with a cookie or without."""
    headers = {} if cookie is None else {"set-cookie": cookie}
    return RedirectResponse(place, HTTPStatus.SEE_OTHER, headers)


ROUTES = (
    Route(
        method="GET", path="/sign-in", handler=sign_in, scope=Scope.PUBLIC, summary="Sign in", media=HTML, is_page=True
    ),
    Route(
        method="POST",
        path="/sign-out",
        handler=sign_out,
        scope=Scope.SIGNED_IN,
        summary="Sign out",
        status=HTTPStatus.SEE_OTHER,
        media=HTML,
        is_page=True,
    ),
)
