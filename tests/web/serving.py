"""A real server on a free port of this machine, and a client that is no more than a socket and the standard library."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from proofgap_app.web.serving import Server, bound, configured
from proofgap_app.web.site import create_site
from proofgap_app.web.site_settings import SiteSettings


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client(NamedTuple):
    """Sends requests to one server."""

    port: int
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    @contextmanager
    def asking(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> Iterator[http.client.HTTPConnection]:
        """Send one request, and leave when the block ends, whether it was answered or not."""
        sent = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            yield connection
        finally:
            connection.close()

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send one request; a body that is no bytes is written as JSON. Header names: - is written _."""
        with self.asking(method, path, body, **headers) as connection:
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): answer.getheader(name) for name in answer.headers}, answer.read()
            )

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Answer:
        return self.send("POST", path, body, **headers)


@contextmanager
def served(ledger, identify, **changed: Any) -> Iterator[Client]:
    """Serve a ledger on a free port until the block ends; ``identify`` makes, of the settings, what tells who comes."""
    listener = bound("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = SiteSettings(origin=f"http://127.0.0.1:{port}", **changed)
    site = create_site(ledger, settings, identify(settings))
    server = Server(configured(site, settings), site.state.stop)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield Client(port)
    finally:
        server.stop()
        thread.join()
        listener.close()
