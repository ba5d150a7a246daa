"""What whoever operates the server asks: whether it runs, whether it can work, and what a problem means.

Owns the answers that have nothing to do with a run. Refuses to show anything of the ledger to somebody unknown.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import PlainTextResponse, Response

from proofgap.access import Action
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap_app.web.calls import Call
from proofgap_app.web.metrics import MEDIA_TYPE
from proofgap_app.web.problems import MEANINGS, Code
from proofgap_app.web.replies import reply
from proofgap_app.web.table import Route, Scope
from proofgap_store import GuardsError


class State(Struct):
    """Whether the server runs."""

    state: str = "running"


class Readiness(Struct):
    """Whether the server can work, as far as that is known without writing anything."""

    state: str = "ready"


def healthz(_call: Call) -> Response:
    """Say that the server runs; the ledger is not looked at, nor waited for where others wait for it."""
    return reply(State())


def readyz(call: Call) -> Response:
    """Say that the ledger can be read, and that its guards stand, without which nothing is written.

    Anybody may ask, so nothing is written for it: that a disk is full shows where something is to be (503).

    Raises:
        UnavailableError, GuardsError: it cannot.

    """
    differences = call.ledger.guards()
    if differences:
        raise GuardsError(*differences)
    return reply(Readiness())


def problem(call: Call) -> Response:
    """Say what a code means: the page that the type of every problem names."""
    name = call.named("code")
    if name not in set(Code):
        raise NotFoundError("problem", name)
    meaning = MEANINGS[Code(name)]
    return PlainTextResponse(f"{meaning.status} {name}\n\n{meaning.title}.\n{meaning.remedy}\n")


def metrics(call: Call) -> Response:
    """Give the numbers of the ledger, for whoever audits any part of it; they name no run and no person."""
    return Response(call.around.metrics.text(call.actor), media_type=MEDIA_TYPE)


def openapi(call: Call) -> Response:
    """Give the OpenAPI document of this site."""
    return reply(call.around.described())


ROUTES = (
    Route(
        method="GET", path="/healthz", handler=healthz, scope=Scope.PUBLIC, summary="Whether the server runs", gives=State,
        is_at_once=True,
    ),
    Route(
        method="GET", path="/readyz", handler=readyz, scope=Scope.PUBLIC, summary="Whether the server can work", gives=Readiness,
        problems=(Code.UNAVAILABLE,),
    ),
    Route(
        method="GET", path="/problems/{code}", handler=problem, scope=Scope.PUBLIC, summary="What a problem means",
        media=("text/plain",), problems=(Code.NOT_FOUND,),
    ),
    Route(
        method="GET", path="/metrics", handler=metrics, scope=Scope.LEDGER, asks=(Action.AUDIT,), summary="Numbers for monitoring",
        media=("text/plain",), problems=(Code.FORBIDDEN,),
    ),
    Route(
        method="GET", path="/openapi.json", handler=openapi, scope=Scope.SIGNED_IN, summary="This document", gives=dict[str, Any],
    ),
)  # fmt: skip
