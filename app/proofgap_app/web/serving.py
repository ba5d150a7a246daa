"""How a site meets the network: a socket, and a server that waits for nobody for ever.

uvicorn gives time to a connection between two requests, and waits for ever in the middle of its headers, and for a
client that takes in no answer; `Protocol` does not. It also answers what is no HTTP by itself, and so without the headers of the site. On the way down, streams are told first, so that no reader of one holds the server up.

Owns the server. Refuses to know what it serves.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import ClassVar

import h11
from starlette.applications import Starlette
from typing_extensions import override
from uvicorn import Config
from uvicorn import Server as UvicornServer
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from proofgap_app.web.problems import Code, HttpError, answer, problem_of
from proofgap_app.web.shield import headers_of_site
from proofgap_app.web.site_settings import SiteSettings

_BACKLOG = 128
_GRACE_SECONDS = 10


class Protocol(H11Protocol):
    """HTTP/1.1 as h11 reads it, with an end to the patience for headers, and for whoever takes in no answer."""

    head_seconds_max: ClassVar[float] = 10.0
    stuck_seconds_max: ClassVar[float] = 30.0
    site_headers: ClassVar[list[tuple[bytes, bytes]]] = []
    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its base
        super().connection_made(transport)
        self._wait()

    @override
    def data_received(self, data: bytes) -> None:
        self._wait()
        super().data_received(data)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        if self._is_answering():
            self._be_patient()

    @override
    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, as a problem and with the headers of every answer; the connection ends."""
        refused = answer(
            problem_of(HttpError(Code.MALFORMED_REQUEST, msg)), {"cache-control": "no-store", "connection": "close"}
        )
        start = h11.Response(status_code=refused.status_code, headers=[*refused.raw_headers, *self.site_headers])
        for event in (start, h11.Data(data=bytes(refused.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        self._is_taken_in()
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    @override
    def resume_writing(self) -> None:
        self._is_taken_in()
        super().resume_writing()

    def _watch(self, waiting: int) -> None:
        """Look after a while whether the client took in any of the bytes that wait for it."""
        self._stuck = self.loop.call_later(self.stuck_seconds_max, self._look_at_client, waiting)

    def _look_at_client(self, waited: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < waited:
            self._watch(waiting)
        else:  # it holds a request that is under way, which others would have to wait for
            self.transport.abort()

    def _is_taken_in(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        """Start the clock, unless it runs already or there is a request that is being answered."""
        if self._late is None and not self._is_answering():
            self._late = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _be_patient(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.close()


class Server(UvicornServer):
    """A server that tells those who wait for news that it stops."""

    def __init__(self, config: Config, on_stop: Callable[[], None] = lambda: None) -> None:
        """Wrap a configuration; ``on_stop`` is called once, in whichever thread stops the server."""
        super().__init__(config)
        self.on_stop = on_stop

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in good order when asked to, at once when asked again; being asked to is no failure."""
        self.force_exit = self.should_exit
        self.stop()

    def stop(self) -> None:
        """Stop: no new connections; requests that are under way are answered."""
        self.on_stop()
        self.should_exit = True


def bound(host: str, port: int) -> socket.socket:
    """Take an address; port 0 is any that is free.

    Raises:
        OSError: it is taken, or not of this machine.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # without it, each answer waits 40 ms (Nagle)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def configured(site: Starlette, settings: SiteSettings) -> Config:
    """Say how the server is to serve a site."""
    limits = settings.limits
    logging.getLogger("uvicorn.error").disabled = True  # what fails is logged by the shield, in our form
    given = {
        "head_seconds_max": limits.head_seconds_max,
        "stuck_seconds_max": limits.stuck_seconds_max,
        "site_headers": headers_of_site(settings),
    }
    protocol = type("BoundProtocol", (Protocol,), given)
    return Config(
        site,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,  # what is committed is logged by the ledger; nothing else is said
        access_log=False,  # it would write the one-time token of a start link
        server_header=False,
        proxy_headers=False,  # what a client says of itself is not believed
        h11_max_incomplete_event_size=limits.head_bytes_max,
        timeout_keep_alive=int(limits.idle_seconds_max),
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
