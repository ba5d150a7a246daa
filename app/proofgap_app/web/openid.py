"""Signing in by an OpenID provider: authorization code with PKCE, and an ID token whose every word is checked.

What binds the answer to the browser that asked (state, nonce, PKCE verifier) is in a cookie for the ten minutes that it
may take; nothing is kept here meanwhile. The provider's addresses and keys are read anew for each sign-in, so that a
key it took away is not trusted any more. Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 9207 for ``iss``.

Owns these two routes. Refuses to know how a session is kept (`people`), and to take anybody's word but that of the one
provider that was set up.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from http import HTTPStatus
from http.cookies import SimpleCookie
from secrets import token_urlsafe
from typing import Any, NoReturn

import msgspec
from starlette.responses import Response

from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.text import ID_LENGTH_MAX, check_id, unfit
from proofgap_app.web.calls import Call
from proofgap_app.web.entrance import HTML, let_in, local, see_other
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.site_settings import SignIn, SiteSettings
from proofgap_app.web.table import Route, Scope

CALLBACK = "/sign-in/callback"
_SECONDS_MAX = 600
_TIMEOUT_SECONDS = 10.0
_LEEWAY_SECONDS = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures of a key that only the provider has: none, and none that is made with the secret of this site."""


class Begun(Struct):
    """Where somebody wants to go once they have signed in."""

    next: str = "/"


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider sent a browser back with; what else it says is passed over (RFC 6749, section 4.1.2)."""

    code: str | None = None
    state: str | None = None
    iss: str | None = None
    error: str | None = None


class Pending(Struct):
    """What a sign-in that is under way is known by."""

    state: str
    nonce: str
    verifier: str
    next: str


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a provider's own description."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    authorization_response_iss_parameter_supported: bool = False


def begin(call: Call, query: Begun) -> Response:
    """Send somebody to the provider."""
    provider = _provider(call)
    with call.around.signing_in.one():
        found = discover(provider)
    pending = Pending(state=token_urlsafe(), nonce=token_urlsafe(), verifier=token_urlsafe(48), next=local(query.next))
    with _client(call.settings, provider) as client:
        place, _ = client.create_authorization_url(
            found.authorization_endpoint, state=pending.state, nonce=pending.nonce, code_verifier=pending.verifier
        )
    return see_other(place, _remembered(call.settings, pending))


def answered(call: Call, query: Answered) -> Response:
    """Let somebody in whom the provider vouches for."""
    provider, pending = _provider(call), _pending(call)
    with call.around.signing_in.one():
        claims = _vouched(call, provider, pending, query)
    entrance = call.ledger.sessions.begin(_person(claims, provider), call.settings.session_seconds_max)
    response = let_in(call, entrance, pending.next)
    response.headers.append("set-cookie", _remembered(call.settings, None))
    return response


def _vouched(call: Call, provider: SignIn, pending: Pending, query: Answered) -> dict[str, Any]:
    """Trade the code for what the provider says of a person."""
    found = discover(provider)
    _demand_own(query, pending, found)
    with _client(call.settings, provider) as client:
        try:
            token = client.fetch_token(found.token_endpoint, code=query.code, code_verifier=pending.verifier)
        except _failures() as error:
            refuse(f"The provider did not take the code: {type(error).__name__}.")
    return checked_claims(token.get("id_token"), _keys(found), provider, pending.nonce)


def discover(provider: SignIn) -> Discovered:
    """Read what a provider says of itself.

    Raises:
        HttpError: it cannot be reached, or it is another one than was set up.

    """
    place = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found = msgspec.json.decode(_fetched(place), type=Discovered)
    except msgspec.MsgspecError:
        _away("says nothing of itself that can be read")
    if found.issuer != provider.issuer:
        refuse("The provider calls itself by another name than was set up.")
    return found


def checked_claims(token: object, keys: object, provider: SignIn, nonce: str) -> dict[str, Any]:
    """Read an ID token, if the provider signed it, for this site, just now, and for this sign-in.

    Raises:
        HttpError: it is none, or not all of that.

    """
    from joserfc import jwt  # noqa: PLC0415 - only who has a provider needs it
    from joserfc.errors import JoseError  # noqa: PLC0415 - as above
    from joserfc.jwk import KeySet  # noqa: PLC0415 - as above

    registry = jwt.JWTClaimsRegistry(
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        known: Any = keys
        read = jwt.decode(token if isinstance(token, str) else "", KeySet.import_key_set(known), algorithms=_ALGORITHMS)
        registry.validate(read.claims)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        refuse(f"The provider's word is not good: {type(error).__name__}.")
    found: dict[str, Any] = read.claims
    if isinstance(found["aud"], list) and len(found["aud"]) > 1 and found.get("azp") != provider.client_id:
        refuse("The provider's word is for another site.")
    return found


def refuse(detail: str) -> NoReturn:
    """Refuse a sign-in.

    Raises:
        HttpError: always.

    """
    raise HttpError(Code.SIGN_IN_FAILED, detail)


def _away(problem: str) -> NoReturn:
    raise HttpError(Code.UNAVAILABLE, f"The sign-in provider {problem}.", {"retry-after": "30"}) from None


def _provider(call: Call) -> SignIn:
    if call.settings.sign_in is None:
        raise HttpError(Code.NOT_FOUND, "People do not sign in by a provider here.")
    return call.settings.sign_in


def _client(settings: SiteSettings, provider: SignIn) -> Any:  # noqa: ANN401 - the library has no types
    from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]  # noqa: PLC0415 - only who has a provider needs it

    return OAuth2Client(
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        scope=" ".join(provider.scopes),
        redirect_uri=settings.origin + CALLBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="none" if provider.client_secret is None else "client_secret_basic",
        timeout=_TIMEOUT_SECONDS,
    )


def _failures() -> tuple[type[Exception], ...]:
    from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
    from httpx2 import HTTPError  # noqa: PLC0415 - as above

    return AuthlibBaseError, HTTPError, ValueError


def _fetched(place: str) -> bytes:
    """Read something of the provider's; it may not lead anywhere else."""
    import httpx2  # noqa: PLC0415 - as above

    try:
        found = httpx2.get(place, timeout=_TIMEOUT_SECONDS, follow_redirects=False)
        found.raise_for_status()
    except httpx2.HTTPError:
        _away("cannot be reached")
    content: bytes = found.content
    return content


def _keys(found: Discovered) -> object:
    try:
        keys: object = msgspec.json.decode(_fetched(found.jwks_uri))
    except msgspec.MsgspecError:
        _away("shows no keys that can be read")
    return keys


def _demand_own(query: Answered, pending: Pending, found: Discovered) -> None:
    """Hold an answer to the sign-in that this browser began, and to the provider that it was sent to."""
    if query.state is None or not hmac.compare_digest(query.state.encode(), pending.state.encode()):
        refuse("The answer belongs to no sign-in that this browser began.")
    if query.error is not None:
        refuse("The provider did not let you in.")
    must_name = found.authorization_response_iss_parameter_supported
    if (must_name or query.iss is not None) and query.iss != found.issuer:
        refuse("The answer is from another provider.")
    if not query.code:
        refuse("The answer holds no code.")


def _person(claims: dict[str, Any], provider: SignIn) -> Actor:
    """Give who the provider says it is; a name that cannot be shown is left out.

    Raises:
        HttpError: the claim that names people is missing, or can be no id.

    """
    try:
        named = check_id(provider.claim, claims.get(provider.claim, ""))
    except BadInputError:
        refuse(f"The provider does not say who you are: {provider.claim} is no id.")
    name = claims.get("name")
    is_fit = (
        isinstance(name, str) and 0 < len(name.strip()) <= ID_LENGTH_MAX and name == name.strip() and not unfit(name)
    )
    return Actor(id=named, via="page", name=name if is_fit else None)


def _remembered(settings: SiteSettings, pending: Pending | None) -> str:
    """Write the cookie of a sign-in that is under way; ``None``: it is over."""
    value = "" if pending is None else urlsafe_b64encode(msgspec.json.encode(pending)).decode()
    cookie: SimpleCookie = SimpleCookie({_cookie_of(settings): value})
    morsel = cookie[_cookie_of(settings)]
    morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Lax"
    morsel["max-age"] = str(0 if pending is None else _SECONDS_MAX)
    if settings.is_secure:
        morsel["secure"] = True
    return morsel.OutputString()


def _cookie_of(settings: SiteSettings) -> str:
    return f"{settings.cookie}-begun"


def _pending(call: Call) -> Pending:
    sent = call.request.cookies.get(_cookie_of(call.settings), "")
    try:
        return msgspec.json.decode(b64decode(sent, altchars=b"-_", validate=True), type=Pending)
    except (msgspec.MsgspecError, ValueError):
        refuse("This browser began no sign-in, or it took too long.")


ROUTES = (
    Route(
        method="GET",
        path="/sign-in/provider",
        handler=begin,
        scope=Scope.PUBLIC,
        summary="Go to the provider",
        status=HTTPStatus.SEE_OTHER,
        media=HTML,
        is_page=True,
    ),
    Route(
        method="GET",
        path=CALLBACK,
        handler=answered,
        scope=Scope.PUBLIC,
        summary="Come back from the provider",
        status=HTTPStatus.SEE_OTHER,
        media=HTML,
        is_page=True,
    ),
)
