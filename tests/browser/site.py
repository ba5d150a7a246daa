"""The whole site over a ledger in a file, with people who are known by a cookie: how they sign in is tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from proofgap.audit import Actor
from proofgap_app.web.calls import Means, Principal
from proofgap_app.web.site_settings import Limits
from proofgap_store import Ledger
from tests.web.serving import Client, served

COOKIE = "who"


def identify(request: Request) -> Principal | None:
    """Believe the cookie."""
    who = request.cookies.get(COOKIE)
    return None if who is None else Principal(Actor(id=who, via="page"), Means.SESSION)


@contextmanager
def serving(ledger: Ledger) -> Iterator[Client]:
    """Serve a ledger; give a client of it."""
    limits = Limits(streams_of_principal_max=100)
    with served(ledger, lambda _settings: identify, limits=limits, poll_seconds=0.1) as client:
        yield client


def address(client: Client) -> str:
    """Give where browsers find it."""
    return f"http://127.0.0.1:{client.port}"


def as_(client: Client, who: str) -> Client:
    """Give a client that somebody uses who wants to read pages."""
    return client._replace(headers={"Cookie": f"{COOKIE}={who}", "Accept": "text/html"})
