"""How a form about a run is answered: what it asks is done, or it comes back, or it is said what happened meanwhile.

What was sent is read after it is known that there is such a run to be seen. Nothing that was typed is lost: what is wrong
stands beside its field, and whoever was too late finds their words on the page that says so. Refuses to know what any
form does (`acting`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from starlette.responses import Response

from proofgap.access import Action
from proofgap.errors import BadInputError, GuardRefusedError, StaleError
from proofgap.facts import Struct
from proofgap.records import RunRecord
from proofgap_app.web.calls import Call, form_fields, read_form
from proofgap_app.web.pages import forms, overtaken, words
from proofgap_app.web.pages.about import About
from proofgap_app.web.pages.frames import answered, frame_around, run_named
from proofgap_store import Around


class Sent(Struct):
    """What a form about a run sends; which of it belongs to which form, `forms` says."""

    version: str = ""
    note: str = ""
    confirm: str = ""
    priority: str = ""
    deadline: str = ""
    overwrite: str = ""
    snapshot: str = ""
    stop: str = ""
    once: str = ""


class Act(NamedTuple):
    """What is done by a form: what it is called when it was not done, what it asks of whoever sends it, and the form."""

    undone: str
    asks: Action
    form: Callable[[RunRecord], forms.Form | None]


def done(call: Call, act: Act, do: Callable[[str, Sent], Response]) -> Response:
    """Do what a form sent, about a run that this person sees; or ask again, or say what happened meanwhile."""
    run_id = run_named(call)
    call.ledger.peek(run_id, call.actor)
    try:
        return do(run_id, read_form(call, Sent))
    except BadInputError as error:
        return _asked_again(call, act, run_id, error)
    except GuardRefusedError as error:
        return _refused(call, act, run_id, error)
    except StaleError as error:
        if error.expected is None:  # it moves all the time: there is nothing to look at yet
            raise
        around = call.ledger.desk.around(run_id, call.actor.id)
        wrote = form_fields(call).get("note", "")
        return too_late(call, around, overtaken.of_run(around.record, around.trail or (), error.expected, wrote))


def _asked_again(call: Call, act: Act, run_id: str, error: BadInputError) -> Response:
    """Give the form with what was sent in it, and what is wrong beside its field; what is not of a field goes on its way."""
    call.ledger.access.demand(act.asks, scope_of_run(call, run_id), call.actor)
    around = call.ledger.desk.around(run_id, call.actor.id)
    form = act.form(around.record)
    if form is None or error.field not in forms.asked_in(form):
        raise error
    again = forms.refilled(form, form_fields(call), {error.field: forms.said(error)})
    return asked(call, around, act.undone, again, HTTPStatus.UNPROCESSABLE_ENTITY)


def _refused(call: Call, act: Act, run_id: str, error: GuardRefusedError) -> Response:
    """Give the form with what was sent in it, and why a guard said no; what asks for nothing goes on its way."""
    around = call.ledger.desk.around(run_id, call.actor.id)
    form = act.form(around.record)
    if form is None or not forms.asked_in(form):
        raise error
    again = forms.refilled(form, form_fields(call), {"": f"{words.sentence(error.because)}."})
    return asked(call, around, act.undone, again, HTTPStatus.CONFLICT)


def too_late(call: Call, around: Around, page: About) -> Response:
    """Give the page that says what happened meanwhile (`overtaken`)."""
    return answered("about.html", HTTPStatus.PRECONDITION_FAILED, frame=frame_around(call, around), page=page)


def asked(
    call: Call, around: Around, here: str, form: forms.Form | None, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Give a form on a page of its own; ``None``: the run has ended, or never moves."""
    return answered(
        "asking.html", status, frame=frame_around(call, around), run_id=around.record.id, here=here, form=form
    )


def scope_of_run(call: Call, run_id: str) -> tuple[str, str]:
    """Give the workspace and the environment of a run."""
    record = call.ledger.peek(run_id, call.actor)
    return record.workspace, record.environment
