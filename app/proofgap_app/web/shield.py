"""What stands before every route: which requests come in at all, and which headers go out with every answer.

Plain ASGI, each layer one question. From the outside in: headers on every answer, and the answer to what was refused or
what nobody caught (`Outside`), how many at once (`Crowd`), whose name the request calls (`Names`), from which site it was sent
(`SameSite`), how much of a body and how slowly (`Bodies`).

Owns these layers. Refuses to know routes and people.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import traceback
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proofgap_app import tracing
from proofgap_app.settings import is_debugging
from proofgap_app.web.problems import Code, HttpError, Problem, code_of, is_failure, problem_of
from proofgap_app.web.site_settings import SiteSettings

_WATCHED = frozenset({Code.UNAUTHENTICATED, Code.SIGN_IN_FAILED, Code.CROSS_SITE, Code.WRONG_HOST})
_VERSIONS = frozenset({"1.0", "1.1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
_HEADERS = {
    "content-security-policy": _CSP,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_YEAR_SECONDS = 31_536_000
_LOG = structlog.get_logger("proofgap")


Answers = Callable[[Scope, Exception], Response]
"""Makes the answer to an error that no route has answered for."""


def told(error: Exception, scope: Scope) -> Problem:
    """Give the problem of an error; a failure of the server is logged under the id that the problem names."""
    trace_id = failure_id() if is_failure(code_of(error)) else None
    if trace_id is not None:
        log_failure(error, scope, trace_id)
    log_refusal(error, scope)
    return problem_of(error, instance=place_of(scope), trace_id=trace_id)


def place_of(scope: Scope) -> str:
    """Give the path of a request as it was sent: percent-encoded, so that it can be shown."""
    sent: bytes = scope["raw_path"]
    return sent.decode("ascii", errors="replace")


def failure_id() -> str:
    """Give the id under which a failure is found again: that of the trace, where the request is traced."""
    return tracing.ids().get("trace_id") or secrets.token_hex(8)


def log_failure(error: Exception, scope: Scope, trace_id: str) -> None:
    """Say on standard error what failed; the traceback only where it is asked for: it may hold what people sent."""
    if not structlog.is_configured():  # as the ledger has it: a program that did not set up its log is told nothing
        return
    _LOG.error("web.failed", trace_id=trace_id, method=scope.get("method"), path=place_of(scope), error=repr(error))
    if is_debugging():
        traceback.print_exception(error, file=sys.stderr)


def log_refusal(error: Exception, scope: Scope) -> None:
    """Say on standard error that somebody was not let in; of what they sent, only where they sent it to."""
    if structlog.is_configured() and code_of(error) in _WATCHED:
        _LOG.warning("web.refused", code=code_of(error), method=scope.get("method"), path=place_of(scope))


def headers_of_site(settings: SiteSettings) -> list[tuple[bytes, bytes]]:
    """Give the headers that go out with every answer."""
    secure = {"strict-transport-security": f"max-age={_YEAR_SECONDS}; includeSubDomains"}
    headers = _HEADERS | (secure if settings.is_secure else {})
    return [(name.encode(), value.encode()) for name, value in headers.items()]


class Outside:
    """Puts the headers on every answer, and answers for what a layer refused and nobody else caught: then the connection ends."""

    def __init__(self, app: ASGIApp, settings: SiteSettings, answers: Answers) -> None:
        """Wrap an application."""
        self.app, self.headers, self.answers = app, headers_of_site(settings), answers
        self.names = {name for name, _ in self.headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = self._complete(message["headers"])
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            if has_begun:  # the client must see that the answer is not whole: the connection is cut
                log_failure(error, scope, failure_id())
                raise
            answer = self.answers(scope, error)
            answer.headers["connection"] = "close"  # what is left of its body is not read
            await answer(scope, receive, send_with_headers)

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        own = [pair for pair in headers if pair[0] not in self.names]
        unsaid = [] if any(name == b"cache-control" for name, _ in own) else [(b"cache-control", b"no-store")]
        return [*own, *self.headers, *unsaid]


SEAT = "proofgap.seat"
"""Where a request finds its own place in the crowd."""


class Seat:
    """The place of one request among those that are under way."""

    def __init__(self, crowd: Crowd) -> None:
        """Take it."""
        self.crowd, self.is_taken = crowd, False
        self.take()

    def take(self) -> None:
        """Count as one that is under way."""
        self.crowd.requests += 0 if self.is_taken else 1
        self.is_taken = True

    def leave(self) -> None:
        """Count no longer."""
        self.crowd.requests -= 1 if self.is_taken else 0
        self.is_taken = False


class Crowd:
    """Lets so many requests work at once; whoever has begun to wait for news, and a stream that has begun, counts no longer.

    Those have a limit of their own (`bell`): however many wait, they keep nobody out.
    """

    def __init__(self, app: ASGIApp, settings: SiteSettings) -> None:
        """Wrap an application."""
        self.app, self.requests_max, self.requests = app, settings.limits.requests_max, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.requests >= self.requests_max:
            raise HttpError(Code.UNAVAILABLE, "Too many requests are under way.", {"retry-after": "1"})
        seat = scope[SEAT] = Seat(self)

        async def send_and_leave(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_stream(message):
                seat.leave()
            await send(message)

        try:
            await self.app(scope, receive, send_and_leave)
        finally:
            seat.leave()


def _is_stream(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")


class Names:
    """Lets in what calls the site by its name: any other name is a page of somebody else that found its way here."""

    def __init__(self, app: ASGIApp, settings: SiteSettings) -> None:
        """Wrap an application."""
        self.app, self.hosts, self.head_bytes_max = app, settings.hosts, settings.limits.head_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            self._check(scope, Headers(scope=scope))
        await self.app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if scope["http_version"] not in _VERSIONS:
            raise HttpError(Code.MALFORMED_REQUEST, "This server speaks HTTP/1.1.")
        head = [scope["raw_path"], scope["query_string"], *(part for pair in headers.raw for part in pair)]
        if sum(map(len, head)) > self.head_bytes_max:  # the reader of HTTP holds only what comes in pieces against it
            raise HttpError(Code.TOO_LARGE, f"Headers may have {self.head_bytes_max} bytes.")
        named = headers.getlist("host")
        if len(named) != 1 or named[0].lower() not in self.hosts:
            raise HttpError(Code.WRONG_HOST, "The Host header does not name this site.")
        if (
            "transfer-encoding" in headers and "content-length" in headers
        ):  # RFC 9112, section 6.1: an attempt to smuggle
            raise HttpError(Code.MALFORMED_REQUEST, "The length of the body is given twice.")


class SameSite:
    """Lets in what changes something only from a page of this site, or from a program that brings a token itself."""

    def __init__(self, app: ASGIApp, settings: SiteSettings) -> None:
        """Wrap an application."""
        self.app, self.origin, self.hosts = app, settings.origin, settings.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and scope["method"] not in _SAFE and not self._is_own(Headers(scope=scope)):
            raise HttpError(Code.CROSS_SITE, "A request that changes something must come from this site.")
        await self.app(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        """Tell by what browsers say, and pages cannot forge: Sec-Fetch-Site, else Origin. Programs send neither."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site in {"same-origin", "none"}
        if origin is not None:
            scheme, _, host = origin.partition("://")
            return host.lower() in self.hosts and scheme == self.origin.partition("://")[0]
        return "cookie" not in headers


class Bodies:
    """Takes in the whole body before anybody looks at it: so much, and within so many seconds.

    What still arrives is no request that is under way: it has a limit of its own, so that bodies that never come keep
    nobody out who sends none.
    """

    def __init__(self, app: ASGIApp, settings: SiteSettings) -> None:
        """Wrap an application."""
        self.app, self.limits, self.arriving = app, settings.limits, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = await self._arrived(scope, receive)
        if body is not None:
            await self.app(scope, _replayed(body, receive), send)

    async def _arrived(self, scope: Scope, receive: Receive) -> bytes | None:
        headers = Headers(scope=scope)
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return await self._gathered(receive)  # none was announced, so none is waited for
        if self.arriving >= self.limits.bodies_max:
            raise HttpError(Code.UNAVAILABLE, "Too many requests arrive just now.", {"retry-after": "1"})
        seat: Seat = scope[SEAT]
        seat.leave()
        self.arriving += 1
        try:
            return await self._whole(headers, receive)
        finally:
            self.arriving -= 1
            seat.take()

    async def _whole(self, headers: Headers, receive: Receive) -> bytes | None:
        """Give the body; ``None``: the client is gone.

        Raises:
            HttpError: it is too large, or too slow.

        """
        announced = headers.get("content-length", "0")
        if len(announced) > len(str(self.limits.body_bytes_max)) or int(announced) > self.limits.body_bytes_max:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.limits.body_seconds_max):
                return await self._gathered(receive)
        except TimeoutError:
            raise HttpError(Code.TOO_SLOW, "The body did not arrive in time.") from None

    async def _gathered(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.limits.body_bytes_max:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> HttpError:
        return HttpError(Code.TOO_LARGE, f"A request may have {self.limits.body_bytes_max} bytes.")


def _replayed(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


LAYERS = (Crowd, Names, SameSite, Bodies)
"""Every layer behind `Outside`, from the outside in."""
