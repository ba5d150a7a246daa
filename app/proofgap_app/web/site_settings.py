"""How a site is set up: where people reach it, whom it lets in, and how much it takes in.

Owns the values and their limits. Refuses to know where they come from (`proofgap_app.cli.serve`).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from proofgap.errors import BadInputError
from proofgap.facts import Struct

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PORTS = {"http": 80, "https": 443}


class Limits(Struct):
    """How much one site takes in. Times are seconds, sizes are bytes."""

    body_bytes_max: int = 2 * 2**20
    body_seconds_max: float = 30.0
    bodies_max: int = 128  # that arrive at once
    head_seconds_max: float = 10.0  # from the first byte of a request to the end of its headers
    head_bytes_max: int = 16 * 2**10
    stuck_seconds_max: float = 30.0  # during which a client takes in nothing of an answer
    idle_seconds_max: float = 15.0  # of a connection between two requests
    requests_max: int = 64  # at once
    threads_max: int = 12  # that work on the ledger at once; its pool holds 15 connections
    streams_max: int = 256
    streams_of_principal_max: int = 8
    stream_seconds_max: float = 3600.0
    wait_seconds_max: float = 30.0


class SignIn(Struct):
    """The OpenID provider that people sign in with.

    ``claim`` names the claim that becomes a person's id: one that nobody can choose for themselves.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    claim: str = "sub"
    scopes: tuple[str, ...] = ("openid", "profile")

    def __post_init__(self) -> None:
        """Refuse a provider whose word anybody on the way could change."""
        parts = urlsplit(self.issuer)
        is_here = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not parts.hostname or not (parts.scheme == "https" or is_here):
            raise BadInputError(
                "--issuer", f"'{self.issuer}' is no https:// address", "Use the issuer as the provider writes it."
            )


class SiteSettings(Struct):
    """How a site is set up. ``origin`` is what a browser calls it, such as ``http://127.0.0.1:8470``."""

    origin: str
    limits: Limits = Limits()
    sign_in: SignIn | None = None
    session_seconds_max: int = 12 * 3600
    session_idle_seconds_max: int = 3600
    poll_seconds: float = 0.5  # between two looks for what is new in the log

    def __post_init__(self) -> None:
        """Refuse an origin that is none: what is compared with it would never match."""
        parts = urlsplit(self.origin)
        if parts.scheme not in _PORTS or not parts.hostname or self.origin != f"{parts.scheme}://{parts.netloc}":
            raise BadInputError("origin", f"'{self.origin}' is no origin", "Use one such as https://proofgap.example.")

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the site by TLS."""
        return self.origin.startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that are this site; any other is somebody else's name for it."""
        parts = urlsplit(self.origin)
        named = {parts.netloc.lower()}
        if f"[{parts.hostname}]" in _LOOPBACK or parts.hostname in _LOOPBACK:
            named |= {host if parts.port is None else f"{host}:{parts.port}" for host in _LOOPBACK}
        if parts.port is None:
            named |= {f"{host}:{_PORTS[parts.scheme]}" for host in named}
        return frozenset(named)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie. By TLS no other site can set it; on a machine's own address each port has its own."""
        port = urlsplit(self.origin).port
        return "__Host-proofgap" if self.is_secure else f"proofgap-{port or _PORTS['http']}"
