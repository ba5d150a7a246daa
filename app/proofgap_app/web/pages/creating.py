"""A new run from the page: the environment, then what is restored into what; from a registered source, or as a run before.

Whatever is wrong is shown beside the field that it is about, all that was typed stays, and nothing is created. A server
that serves only whoever started it looks at backup and target as the command line does; one that serves others looks at
nothing for them. Owns how these requests are answered. Refuses to know the fields (`wanting`).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from proofgap.access import ANY_ENVIRONMENT, MAY, Action
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import Struct
from proofgap.records import RunDetails
from proofgap.text import check_id
from proofgap_app import drivers
from proofgap_app.web.calls import Call, form_fields
from proofgap_app.web.pages import addresses, forms, runs, wanting
from proofgap_app.web.pages.frames import answered, frame_anywhere
from proofgap_app.web.table import Route, Scope
from proofgap_app.worker import record
from proofgap_store import NewRun

_HTML = ("text/html",)
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Of(Struct):
    """Where a run is to be made, by which driver (empty: as the backup says), from which source, or as which run before it."""

    scope: str = ""
    driver: str | None = None
    source: str = ""
    like: str = ""


def new(call: Call, query: Of) -> Response:
    """Ask what is to be restored."""
    values = _from_source(call, query) if query.source else _like(call, query.like)
    values["scope"] = query.scope or values["scope"]
    return _asked(call, values if query.driver is None else _restored_by(query.driver, values))


def _restored_by(driver: str, values: Mapping[str, str]) -> dict[str, str]:
    """Give what stands in the form once another driver is chosen: all but the options that only the one before has."""
    if driver == values.get("driver"):
        return dict(values)
    kept = {wanting.OPTION + name for name in _declared(driver)}
    shared = {name: value for name, value in values.items() if not name.startswith(wanting.OPTION) or name in kept}
    return shared | {"driver": driver}


def _from_source(call: Call, query: Of) -> dict[str, str]:
    """Give what a registered source says of a run."""
    found = {source.name: source for source in call.ledger.desk.sources(runs.scope_of(query.scope), call.actor)}
    if query.source not in found:
        raise NotFoundError("source", check_id("source", query.source))
    return wanting.values_of(found[query.source].details) | {"scope": query.scope}


def _like(call: Call, run_id: str) -> dict[str, str]:
    """Give what a run before wanted, and where; of none, nothing is known."""
    if not run_id:
        return {"scope": ""}
    before = call.ledger.peek(check_id("like", run_id), call.actor)
    scope = runs.scope_value((before.workspace, before.environment))
    return wanting.values_of(before.details) | {"scope": scope}


def create_draft(call: Call) -> Response:
    """Create a run as a draft; or ask again by another driver, where that was pressed."""
    sent = form_fields(call)
    wanting.demand_fields_of_ours(sent)
    scope = runs.scope_of(sent.get("scope", ""))
    call.ledger.access.demand(Action.CREATE, scope, call.actor)
    if wanting.TOOL in sent:
        return _asked(call, _restored_by(sent[wanting.TOOL], sent))
    faults = wanting.faults_of(sent)
    if faults:
        return _asked(call, sent, faults)
    try:
        wanted = _settled(call, wanting.details_of(sent))
        new_run = NewRun(workspace=scope[0], environment=scope[1], is_dry_run=bool(sent.get("dry")), details=wanted)
        key = forms.key_of(sent.get(forms.ONCE, ""), new_run)
        run_id = call.ledger.create(new_run, call.actor, key=key).run_id
    except BadInputError as error:
        return _asked(call, sent, {wanting.place_of(error, _options(sent)): forms.said(error)})
    return RedirectResponse(addresses.run(run_id), HTTPStatus.SEE_OTHER)


def _settled(call: Call, details: RunDetails) -> RunDetails:
    """Give what is wanted as it goes on record: where this server may look, as the driver says it.

    Raises:
        BadInputError: no driver can mean this.

    """
    if call.settings.sign_in is not None:
        return details
    driver, request = drivers.chosen(*record.requested(details))
    return replace(details, backup=request.backup, target=request.target, driver=driver.name)


def _options(values: Mapping[str, str]) -> dict[str, str]:
    """Give the options to ask for: those that the driver declares, and those that are on record or were sent."""
    others = {key.removeprefix(wanting.OPTION): "" for key in values if key.startswith(wanting.OPTION)}
    return others | _declared(values.get("driver", ""))


def _declared(driver: str) -> dict[str, str]:
    """Give the options that a driver declares, as far as it is known here, and what each is for."""
    return dict(drivers.options_of(driver)) if driver and drivers.is_usable(driver) else {}


def _asked(call: Call, values: Mapping[str, str], faults: Mapping[str, str] = _NOTHING) -> Response:
    places = _places(call, values["scope"])
    chosen = next((place for place in places if place.is_on), None)
    if chosen is None:
        return answered("new.html", frame=frame_anywhere(call), places=places, chosen=None)
    values = dict(values) | {"scope": chosen.value}
    form = wanting.form_of(values, _options(values), faults)
    return answered(
        "new.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        frame=frame_anywhere(call),
        places=places,
        chosen=chosen,
        form=form,
        faulty=tuple(field for field in form.fields if field.fault),
        fault=faults.get("", ""),
        tools=_tools(values.get("driver", "")),
        sources=call.ledger.desk.sources(runs.scope_of(chosen.value), call.actor),
        earlier=call.ledger.desk.earlier(runs.scope_of(chosen.value), call.actor),
    )


def _places(call: Call, wanted: str) -> list[runs.Choice]:
    """Give the environments in which this person may create runs."""
    held = call.ledger.desk.roles(call.actor.id)
    scopes = sorted(
        scope for scope, roles in held.items() if roles & MAY[Action.CREATE] and scope[1] != ANY_ENVIRONMENT
    )
    only = runs.scope_value(scopes[0]) if len(scopes) == 1 else wanted
    return [
        runs.Choice(value, " / ".join(scope), value == only) for scope in scopes for value in [runs.scope_value(scope)]
    ]


def _tools(named: str) -> tuple[runs.Choice, ...]:
    """Give the tools to choose between: those that are installed here, and the one that was named."""
    known = ("", *sorted({*drivers.names(), *filter(None, [named])}))
    return tuple(runs.Choice(name, name or "as the backup says", name == named) for name in known)


ROUTES = (
    Route(method="GET", path=addresses.NEW, handler=new, scope=Scope.SIGNED_IN, summary="What is to be restored", media=_HTML, is_page=True),
    Route(method="POST", path=addresses.NEW, handler=create_draft, scope=Scope.ENVIRONMENT, asks=(Action.CREATE,), summary="Create a run", status=303, media=_HTML, is_page=True),
)  # fmt: skip
