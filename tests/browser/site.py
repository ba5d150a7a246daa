"""The whole site on a socket of this machine, over a ledger in a file, with people who are known by a cookie."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from proofgap.audit import Actor
from proofgap_app.web.calls import Means, Principal
from proofgap_app.web.serving import Server, bound, configured
from proofgap_app.web.site import create_site
from proofgap_app.web.site_settings import Limits, SiteSettings
from proofgap_store import Ledger

COOKIE = "who"


def identify(request: Request) -> Principal | None:
    """Believe the cookie: how people sign in is tested elsewhere."""
    who = request.cookies.get(COOKIE)
    return None if who is None else Principal(Actor(id=who, via="page"), Means.SESSION)


@contextmanager
def serving(ledger: Ledger, **settings: object) -> Iterator[str]:
    """Serve a ledger; give the address."""
    listener = bound("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    chosen = SiteSettings(origin=address, limits=Limits(streams_of_principal_max=100), **settings)
    server = Server(configured(create_site(ledger, chosen, identify), chosen))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.stop()
        thread.join(20)
        listener.close()
