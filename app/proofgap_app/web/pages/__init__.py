"""The pages that people read. Two functions are all that the site asks of them: `router` and `error_page`.

Refuses to know who may see what: a page calls the same verbs of the ledger as the API does.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from proofgap_app.web.calls import Call
from proofgap_app.web.problems import Problem
from proofgap_app.web.site_settings import SiteSettings
from proofgap_app.web.table import Route


def router(_settings: SiteSettings) -> Sequence[Route]:
    """Give the routes of the pages, each with what it asks of whoever comes."""
    return ()


def error_page(_request: Request, problem: Problem) -> Response:
    """Give the page of a problem, with its status."""
    return HTMLResponse(
        f"<!doctype html><title>{escape(problem.title)}</title><p>{escape(problem.detail)}", problem.status
    )


def sign_in_page(_call: Call, wanted: str) -> Response:
    """Give the page that says how to sign in; ``wanted`` is where to go then."""
    return HTMLResponse(f"<!doctype html><title>Sign in</title><p>Sign in to see {escape(wanted)}.")
