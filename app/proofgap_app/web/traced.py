"""The outermost layer, where anything is traced: one span for each request, in the trace that its sender began.

Source of names: the semantic conventions of OpenTelemetry for HTTP servers. Of an address only the path is told: a query
may hold the token of a link. Owns what is said of a request. Refuses to know what it was for.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proofgap_app import tracing
from proofgap_app.web.site_settings import SiteSettings

ROUTE = "proofgap.route"
"""Where the route that answers leaves its pattern: a name that is the same for every run."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Traced:
    """Traces each request."""

    def __init__(self, app: ASGIApp, settings: SiteSettings) -> None:
        """Wrap an application."""
        self.app, self.scheme = app, settings.origin.partition(":")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not tracing.is_on():
            await self.app(scope, receive, send)
            return
        status = 0
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        begun = {"http.request.method": method, "url.scheme": self.scheme, "url.path": scope["path"]}

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message["status"] if message["type"] == "http.response.start" else status
            await send(message)

        with tracing.span(method, begun, Headers(scope=scope)) as span:
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                _end(span, method, scope.get(ROUTE), status)


def _end(span: tracing.Span, method: str, route: str | None, status: int) -> None:
    if route is not None:
        span.rename(f"{method} {route}")
        span.tell({"http.route": route})
    if status:
        span.tell({"http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.fail(str(status))
