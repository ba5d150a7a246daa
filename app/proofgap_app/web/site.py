"""The site: every route, behind the shield, over one ledger.

A request for a page gets errors as pages, any other as problems (RFC 9457). What changes in the ledger is committed
before the answer is given; verbs of the ledger run in threads, so that none holds up the others.

Owns how the parts are put together. Refuses to know what any of them does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from urllib.parse import urlencode

from anyio.to_thread import current_default_thread_limiter, run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from proofgap.errors import ProofgapError
from proofgap_app.web import api, entrance, openid, pages
from proofgap_app.web.bell import Bell
from proofgap_app.web.calls import Identify, Surroundings
from proofgap_app.web.metrics import Metrics
from proofgap_app.web.openapi import document
from proofgap_app.web.problems import Code, HttpError, answer, headers_of
from proofgap_app.web.shield import LAYERS, Outside, told
from proofgap_app.web.site_settings import SiteSettings
from proofgap_app.web.table import Route, mounted
from proofgap_app.web.traced import Traced
from proofgap_store import Ledger

_CODES = {HTTPStatus.NOT_FOUND: Code.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED}
_OF_PROGRAMS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")


def routes_of(settings: SiteSettings) -> tuple[Route, ...]:
    """Give every route of a site."""
    return (*pages.router(settings), *api.ROUTES, *entrance.ROUTES, *openid.ROUTES)  # people wait: their pages first


def create_site(ledger: Ledger, settings: SiteSettings, identify: Identify) -> Starlette:
    """Put a site together.

    Args:
        ledger: what it works on; whoever opened it closes it, after the site has ended.
        settings: how it is set up.
        identify: tells who sent a request.

    Returns:
        The site; its ``state.stop`` ends what waits for news, so that a server which is to stop can.

    """
    bell = Bell(ledger, settings)
    routes, metrics = routes_of(settings), Metrics(ledger)
    around = Surroundings(
        ledger=ledger,
        settings=settings,
        bell=bell,
        metrics=metrics,
        identify=identify,
        described=lambda: document(routes, settings.origin),
    )

    @asynccontextmanager
    async def lifespan(_site: Starlette) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = settings.limits.threads_max
        await run_sync(metrics.begin)
        yield
        bell.close()

    site = Starlette(
        routes=mounted(routes, around),
        middleware=[
            Middleware(Traced, settings=settings),
            Middleware(Outside, settings=settings, answers=_refused),
            *(Middleware(layer, settings=settings) for layer in LAYERS),
        ],
        exception_handlers={ProofgapError: partial(_problem, around), HTTPException: partial(_unserved, around)},
        lifespan=lifespan,
    )
    site.router.redirect_slashes = False
    site.state.stop = bell.close
    return site


async def _unserved(around: Surroundings, request: Request, error: Exception) -> Response:
    """Answer for what no route serves. A 405 keeps its Allow."""
    assert isinstance(error, HTTPException)  # noqa: S101 - the framework's own promise; says it to the type checkers
    code = _CODES.get(HTTPStatus(error.status_code), Code.MALFORMED_REQUEST)
    detail = (
        f"{request.method} is not served at this path." if code is Code.METHOD_NOT_ALLOWED else "There is nothing here."
    )
    return await _problem(around, request, HttpError(code, detail, error.headers))


async def _problem(around: Surroundings, request: Request, error: Exception) -> Response:
    problem = told(error, request.scope)
    if not is_for_people(request):
        return answer(problem, headers_of(error))
    if problem.code is Code.UNAUTHENTICATED and request.method in {"GET", "HEAD"}:
        return _sign_in_first(request)
    return await run_sync(pages.error_page, request, problem, headers_of(error), around)


def _refused(scope: Scope, error: Exception) -> Response:
    """Answer for what never came to a route, or failed as nobody thought: the ledger is not asked who met it."""
    request, problem = Request(scope), told(error, scope)
    if not is_for_people(request):
        return answer(problem, headers_of(error))
    return pages.error_page(request, problem, headers_of(error))


def _sign_in_first(request: Request) -> Response:
    """Send somebody to sign in, and back to the page that they wanted."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/sign-in?{urlencode({'next': request.url.path + query})}", HTTPStatus.SEE_OTHER)


def is_for_people(request: Request) -> bool:
    """Tell whether a page is wanted: whatever is not made for programs, from whoever takes HTML."""
    path: str = request.scope["path"]  # the address as a whole may be anything: the name of the host is part of it
    return not path.startswith(_OF_PROGRAMS) and "text/html" in request.headers.get("accept", "")
