"""The page of what went wrong. It never shows an old decision, and tells nobody what they may not know.

Owns the words of a run that is not there and of a decision that could not be computed; every other problem brings its
own. Refuses to know what failed.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from proofgap.access import MAY, Action
from proofgap.errors import ProofgapError
from proofgap_app.web.calls import Call, Surroundings
from proofgap_app.web.pages import addresses
from proofgap_app.web.pages.frames import Frame, frame_anywhere
from proofgap_app.web.pages.rendering import render
from proofgap_app.web.problems import MEANINGS, Code, Problem

_NO_RUN = (
    "Either no run has this ID, or it belongs to a workspace or environment you cannot view. "
    "The two cases look the same on purpose."
)

_SIGNED_OUT = "Nothing was done. Sign in in another tab, then go back from here and send it again: most browsers still hold what you typed."

_FORM_ONLY = "It takes what the button of a page sends, and shows nothing itself. Nothing was done."

_IN_SIGHT = frozenset(
    {
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.CONFLICT,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""What leads back to the run: it is answered to who can view it, or whether or not there is such a run."""


def page(path: str, problem: Problem, top: Frame | None) -> Response:
    """Give the page of a problem that a request for a path met; ``top``: the frame for whoever met it, where that is known."""
    run = _run_of(path)
    title, detail = problem.title, problem.detail
    if run is not None and problem.status == HTTPStatus.NOT_FOUND:
        title, detail = "No restore run to show", _NO_RUN
    elif run is not None and problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        title, detail = "Decision could not be computed", "Nothing is shown in its place; the log of the run stands."
    elif problem.code is Code.UNAUTHENTICATED:
        title, detail = "You are signed out", _SIGNED_OUT
    elif problem.code is Code.METHOD_NOT_ALLOWED:
        title, detail = "There is nothing to see at this address", _FORM_ONLY
    may_read_log = top is not None and bool(top.roles & MAY[Action.READ_LOG])
    has_log = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and may_read_log
    html = render(
        "problem.html",
        frame=top,
        problem=problem,
        title=title,
        detail=detail,
        log=addresses.run(run, "events") if run is not None and has_log else None,
        run=run if problem.status in _IN_SIGHT else None,
        is_signed_out=problem.code is Code.UNAUTHENTICATED,
        remedy=_remedy(problem),
    )
    return HTMLResponse(html, problem.status)


def frame_for(request: Request, problem: Problem, around: Surroundings) -> Frame | None:
    """Give the frame for whoever met the problem; ``None``: nobody who is known, or the ledger cannot say who."""
    if problem.code is Code.UNAVAILABLE:
        return None
    with suppress(ProofgapError):
        principal = around.identify(request)
        return None if principal is None else frame_anywhere(Call(request, around, principal))
    return None


def _remedy(problem: Problem) -> str:
    own = {Code.UNAUTHENTICATED, Code.METHOD_NOT_ALLOWED}
    brings_its_own = problem.errors or problem.allowed is not None or problem.code in own
    if brings_its_own:  # the general one is for programs
        return ""
    if problem.trace_id is None:
        return MEANINGS[problem.code].remedy
    return "Whoever runs the server finds what happened in its log, under the number of this error."


def _run_of(path: str) -> str | None:
    """Give the run that a path is about, if any; what is sent as a path need not be one, such as ``*``."""
    before, _, below = path.partition(f"{addresses.RUNS}/")
    run = "" if before else below.partition("/")[0]
    return addresses.text_of(run) if run else None
