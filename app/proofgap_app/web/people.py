"""Who sent a request: the holder of a token, or somebody whose browser holds a session. Looked up anew each time.

Owns how both are sent. Refuses to know what they may do: that is asked of the ledger, by every verb.
"""

from __future__ import annotations

from http.cookies import SimpleCookie

from starlette.requests import Request

from proofgap.audit import Actor
from proofgap_app.web.calls import CHALLENGE, Identify, Means, Principal
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.site_settings import SiteSettings
from proofgap_store import Entrance, Ledger

API = "/v1/"
"""What the path of everything begins with that is for programs."""

_BY_SCRIPT = "empty"  # what Sec-Fetch-Dest says where a script asks: a fetch, or a stream of events
_REFUSED = {"www-authenticate": f'{CHALLENGE["www-authenticate"]}, error="invalid_token"'}


def identify(ledger: Ledger, settings: SiteSettings) -> Identify:
    """Give what tells who sent a request, by the tokens and sessions of a ledger."""

    def who(request: Request) -> Principal | None:
        sent = request.headers.get("authorization")
        if sent is not None:
            return _holder(ledger, sent)
        cookie = request.cookies.get(settings.cookie)
        return None if cookie is None else _person(ledger, settings, cookie, request)

    return who


def _holder(ledger: Ledger, sent: str) -> Principal:
    """Give the token that was sent.

    Raises:
        HttpError: it is none that is in force. Whoever sends one means to be known by it.

    """
    scheme, _, secret = sent.partition(" ")
    found = ledger.sessions.bearer(secret.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise HttpError(Code.UNAUTHENTICATED, "The token is not in force: it is unknown, expired or revoked.", _REFUSED)
    return Principal(Actor(id=found, kind="token", via="api"), Means.TOKEN)


def _person(ledger: Ledger, settings: SiteSettings, cookie: str, request: Request) -> Principal | None:
    """Give who holds a session. A page that is left open follows its run for ever: that is no use of the session."""
    is_used = request.headers.get("sec-fetch-dest") != _BY_SCRIPT
    found = ledger.sessions.session(cookie, settings.session_idle_seconds_max, is_used=is_used)
    if found is None:
        return None
    via = "api" if request.scope["path"].startswith(API) else "page"
    return Principal(Actor(id=found.principal, via=via, name=found.name), Means.SESSION, found.id)


def kept(settings: SiteSettings, entrance: Entrance) -> str:
    """Give the value of Set-Cookie by which a browser keeps a session."""
    return _cookie(settings, entrance.secret, settings.session_seconds_max)


def forgotten(settings: SiteSettings) -> str:
    """Give the value of Set-Cookie by which a browser forgets it."""
    return _cookie(settings, "", 0)


def _cookie(settings: SiteSettings, value: str, seconds: int) -> str:
    """Write the cookie: no script can read it, no other site can send it, and by TLS no other site can set it."""
    cookie: SimpleCookie = SimpleCookie({settings.cookie: value})
    morsel = cookie[settings.cookie]
    morsel["path"], morsel["httponly"], morsel["samesite"], morsel["max-age"] = "/", True, "Lax", str(seconds)
    if settings.is_secure:
        morsel["secure"] = True
    return morsel.OutputString()
