"""The operator's pages: what a person reads and presses in a browser, written on the server.

Three functions are all that the site asks of them: `router`, `error_page` and `sign_in_page`. Each page has a view model (a pure
function from what the ledger shows to what the template prints) and a template. Refuses to know how somebody signed
in, and every rule of the product: what a run means is `proofgap.decision`, what may be done is the ledger's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from proofgap_app.web.calls import Call, Surroundings
from proofgap_app.web.pages import acting, assets, auditing, behind, creating, failing, listing, machine, reading
from proofgap_app.web.pages.frames import answered
from proofgap_app.web.problems import Problem
from proofgap_app.web.site_settings import SiteSettings
from proofgap_app.web.table import Route


def router(_settings: SiteSettings) -> Sequence[Route]:
    """Give the routes of the pages, each with what it asks of whoever comes."""
    return (
        *assets.ROUTES,
        *reading.ROUTES,
        *behind.ROUTES,
        *listing.ROUTES,
        *auditing.ROUTES,
        *machine.ROUTES,
        *creating.ROUTES,
        *acting.ROUTES,
    )


def error_page(
    request: Request, problem: Problem, headers: Mapping[str, str], around: Surroundings | None = None
) -> Response:
    """Give the page of a problem, with its status and its headers; ``around``: to ask the ledger who met it."""
    frame = None if around is None else failing.frame_for(request, problem, around)
    page = failing.page(request.scope["path"], problem, frame)
    page.headers.update(headers)
    return page


def sign_in_page(call: Call, wanted: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Give the page that says how to sign in; ``wanted`` is where to go then, and 404 that the link of whoever comes is none."""
    settings, is_spent = call.settings, status is HTTPStatus.NOT_FOUND
    return answered(
        "sign_in.html",
        status,
        frame=None,
        wanted=wanted,
        provider=settings.sign_in,
        is_spent=is_spent,
        origin=settings.origin,
    )
