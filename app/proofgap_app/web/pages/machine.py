"""The machines as the pages show them: the picture, with the path of one run where one is named, and the same as a table.

The picture and the table are read off the machines that run. Refuses to know how anything looks (`proofgap.diagram`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from starlette.responses import Response

from proofgap import diagram
from proofgap.facts import Struct
from proofgap.records import Machine
from proofgap.tables import TITLES, machine_edges
from proofgap.text import check_id
from proofgap_app.drawing import Picture, draw
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.about import Table
from proofgap_app.web.pages.frames import answered, frame_anywhere
from proofgap_app.web.table import Route, Scope

_SVG = "image/svg+xml"
_PICTURES_MAX = 64  # there are as many paths as there are ways back and forth before a run is queued


class Of(Struct):
    """Whose path is wanted; none, unless a run is named."""

    run: str = ""


class Drawn(NamedTuple):
    """A machine on the page."""

    title: str
    picture: str
    table: Table


def machines(call: Call, query: Of) -> Response:
    """Show how runs, operation runs and evidence move, and which way one run went."""
    run_id = check_id("run", query.run) if query.run else None
    steps = None if run_id is None else call.ledger.desk.steps(run_id, call.actor.id)
    path = " → ".join(words.plain(step.status) for step in steps or ())
    shown = [Drawn(TITLES[one], _address(one, run_id), _moves(one)) for one in Machine]
    return answered("machine.html", frame=frame_anywhere(call), machines=shown, run_id=run_id, path=path)


def picture(call: Call, query: Of) -> Response:
    """Draw a machine; the path of a run only on the machine of runs, and only for whoever may read its log."""
    one = (
        Machine(call.request.path_params["machine"])
        if call.request.path_params["machine"] in set(Machine)
        else Machine.RUN
    )
    steps = (
        call.ledger.desk.steps(check_id("run", query.run), call.actor.id) if query.run and one is Machine.RUN else None
    )
    return Response(_drawn(one, tuple(step.status for step in steps or ())), media_type=_SVG)


@lru_cache(maxsize=_PICTURES_MAX)
def _drawn(one: Machine, path: tuple[str, ...]) -> bytes:
    return draw(diagram.dot(one, path=path), Picture.SVG)


def _address(one: Machine, run_id: str | None) -> str:
    return addresses.with_query(f"{addresses.MACHINE}/{one}.svg", run=run_id if one is Machine.RUN else None)


def _moves(one: Machine) -> Table:
    rows = tuple((edge.source, edge.event, edge.target, ", ".join(edge.conditions)) for edge in machine_edges(one))
    return Table(("From", "Event", "To", "If"), rows)


ROUTES = (
    Route(method="GET", path=addresses.MACHINE, handler=machines, scope=Scope.SIGNED_IN, summary="How runs move", media=("text/html",), is_page=True),
    Route(method="GET", path=f"{addresses.MACHINE}/{{machine}}.svg", handler=picture, scope=Scope.SIGNED_IN, summary="A machine as a picture", media=(_SVG,), is_page=True),
)  # fmt: skip
