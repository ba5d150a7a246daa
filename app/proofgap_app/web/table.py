"""The routes as data: method, path, what it asks of whoever comes, and where that is asked.

Everything that is said of a route is read off its row and off the signature of its handler: what is served, what the
OpenAPI document says, and what the tests of permissions hold it to. A handler takes a `Call`, and beside it ``query``,
``form`` or ``body`` where it has such parameters, each of the record type that its annotation names.

Owns how a row becomes a route. Refuses to know any handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, get_type_hints

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from proofgap.access import Action
from proofgap_app.web import calls
from proofgap_app.web.calls import Call, Surroundings
from proofgap_app.web.traced import ROUTE

Handler = Callable[..., Response] | Callable[..., Awaitable[Response]]
_READERS: Mapping[str, Callable[..., Any]] = {
    "query": lambda call, shape: calls.read_query(call.request, shape),
    "form": calls.read_form,
    "body": calls.read_json,
}


class Scope(StrEnum):
    """Where a route asks for what it asks for."""

    PUBLIC = "public"  # anybody; nobody need be signed in
    SIGNED_IN = "signed in"  # whoever is signed in, whatever their roles; nothing of the ledger is shown
    LEDGER = "ledger"  # somewhere in the ledger
    WORKSPACE = "workspace"  # in environments of the workspace of the path; the answer holds only what is visible
    ENVIRONMENT = "environment"  # in the environment that the request names
    RUN = "run"  # in the environment of the run of the path


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way in."""

    method: str
    path: str
    handler: Handler
    scope: Scope
    asks: tuple[Action, ...] = ()  # one of them; which, depends on the event that is fired
    summary: str
    gives: Any = None  # the record type of the answer; None: it is described by its media type
    status: int = 200
    takes: Mapping[str, Any] = field(
        default_factory=dict
    )  # of a body that the handler reads itself: shape by media type
    media: tuple[str, ...] = (calls.JSON,)
    problems: tuple[str, ...] = ()  # codes beyond those that the scope brings
    headers: tuple[str, ...] = ()  # that a request may or must bring
    brings: tuple[str, ...] = ()  # headers of its answer beside those of every answer; with "?": where they apply
    is_page: bool = False  # for people: left out of the OpenAPI document
    is_at_once: bool = False  # asks neither the ledger nor who comes, so it needs no thread, and waits for none
    is_event: bool = False  # that it was given is recorded: it is given whole, or not at all, so there is no HEAD

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.handler.__name__

    @cached_property
    def shapes(self) -> dict[str, Any]:
        """The record types that the handler takes beside the call, by ``query``, ``form`` and ``body``."""
        hints = get_type_hints(self.handler)
        return {name: hints[name] for name in inspect.signature(self.handler).parameters if name in _READERS}


def mounted(routes: Sequence[Route], around: Surroundings) -> list[StarletteRoute]:
    """Turn rows into routes; those of one path become one, so that a 405 names every method there is."""
    paths: dict[str, dict[str, Route]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = route
    return [_mounted(path, by_method, around) for path, by_method in paths.items()]


def _mounted(path: str, by_method: Mapping[str, Route], around: Surroundings) -> StarletteRoute:
    mounted = StarletteRoute(path, _endpoint(by_method, around), methods=[*by_method], name=path)
    if "GET" in by_method and by_method["GET"].is_event:
        mounted.methods = {*by_method}  # without HEAD, which every GET brings along otherwise
    return mounted


def _endpoint(by_method: Mapping[str, Route], around: Surroundings) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        route = by_method["GET" if request.method == "HEAD" else request.method]
        request.scope[ROUTE] = route.path
        body = await request.body()
        if route.is_at_once:
            return _answered(route, request, body, around)
        if inspect.iscoroutinefunction(route.handler):
            call = await run_sync(_called, route, request, body, around)
            given = await run_sync(_given, route, call)
            answered: Response = await route.handler(call, **given)
            return answered
        return await run_sync(_answered, route, request, body, around)

    return endpoint


def _answered(route: Route, request: Request, body: bytes, around: Surroundings) -> Response:
    call = _called(route, request, body, around)
    answered: Any = route.handler(call, **_given(route, call))
    return answered  # type: ignore[no-any-return]  # a handler that is no coroutine function gives a response


def _called(route: Route, request: Request, body: bytes, around: Surroundings) -> Call:
    """Find out who asks, before anything that they sent is looked at."""
    principal = None if route.scope is Scope.PUBLIC else around.identify(request)
    call = Call(request, around, principal, body)
    if route.scope is not Scope.PUBLIC:
        _ = call.actor  # raises where nobody is signed in
    if not route.is_page:  # whose paths are written as `pages.addresses` has it, and may be longer than any id
        for part in request.path_params:
            call.named(part)  # raises where it can be no id
    return call


def _given(route: Route, call: Call) -> dict[str, Any]:
    return {name: _READERS[name](call, shape) for name, shape in route.shapes.items()}
