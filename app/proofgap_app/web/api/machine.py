"""The machine of a run, as programs read it and as people see it: which statuses there are, and what moves them.

Read off the machine itself. Owns the choice of the form. Refuses to know what is drawn (`proofgap.diagram`).
"""

from __future__ import annotations

from functools import cache

from starlette.responses import Response

from proofgap import diagram
from proofgap.facts import Struct
from proofgap.lifecycle import MACHINES, allowed_events, edges
from proofgap.records import Machine
from proofgap.tables import final_statuses, statuses
from proofgap_app.drawing import Picture, draw
from proofgap_app.web import replies
from proofgap_app.web.calls import JSON, Call
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.table import Route, Scope

MERMAID, SVG = "text/vnd.mermaid", "image/svg+xml"
_FORMS = (JSON, MERMAID, SVG)


class Status(Struct):
    """A status, and the events that it takes."""

    status: str
    final: bool
    events: tuple[str, ...]


class Edge(Struct):
    """A move: from a status, by an event, to a status, if its guards agree."""

    source: str
    event: str
    target: str
    guards: tuple[str, ...]


class MachineDefined(Struct):
    """The machine of a run; ``guards`` says when each of them refuses."""

    machine: Machine
    states: tuple[Status, ...]
    edges: tuple[Edge, ...]
    guards: dict[str, str]


def get(call: Call) -> Response:
    """Give the machine in the form that is asked for: JSON, Mermaid or SVG."""
    form = _chosen(call.header("accept") or "*/*")
    headers = {"vary": "Accept", "cache-control": "private, max-age=300"}
    if form == JSON:
        return replies.reply(_definition(), headers=headers)
    content = diagram.mermaid(Machine.RUN).encode() if form == MERMAID else _drawn()
    return Response(content, headers=headers, media_type=form)


def _chosen(accepted: str) -> str:
    """Give the first form that is accepted, in the order in which they are named (RFC 9110 weights are not weighed).

    Raises:
        HttpError: none of ours is.

    """
    named = [part.partition(";")[0].strip().lower() for part in accepted.split(",")]
    for wanted in named:
        for form in _FORMS:
            if wanted in {form, "*/*", f"{form.partition('/')[0]}/*"}:
                return form
    raise HttpError(Code.NOT_ACCEPTABLE, f"There are {', '.join(_FORMS)}.")


@cache
def _definition() -> MachineDefined:
    machine = Machine.RUN
    final = final_statuses(machine)
    reasons = MACHINES[machine].guard_reasons
    return MachineDefined(
        machine=machine,
        states=tuple(
            Status(status=status, final=status in final, events=allowed_events(machine, status))
            for status in statuses(machine)
        ),
        edges=tuple(
            Edge(source=source, event=event, target=target, guards=tuple(name for name in guards if name in reasons))
            for source, event, target, guards in edges(machine)
        ),
        guards=dict(reasons),
    )


@cache
def _drawn() -> bytes:
    return draw(diagram.dot(Machine.RUN), Picture.SVG)


ROUTES = (
    Route(
        method="GET",
        path="/v1/workspaces/{ws}/machine",
        handler=get,
        scope=Scope.SIGNED_IN,
        summary="Read the machine of a run, as JSON, Mermaid or SVG",
        gives=MachineDefined,
        media=_FORMS,
        problems=(Code.NOT_ACCEPTABLE,),
    ),
)
