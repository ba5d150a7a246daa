"""``proofgap serve``: the console and the HTTP API, on one ledger, until it is stopped.

Owns what must hold before a server may listen: on this machine only, unless a proxy in front of it speaks TLS and
people sign in by a provider. Refuses to know what is served (`proofgap_app.web`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode, urlsplit

from cyclopts import App, Parameter

from proofgap.errors import BadInputError, ProofgapError
from proofgap.text import check_id, check_text
from proofgap_app.cli import output, worker
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, Whole
from proofgap_store import Ledger

PORT = 8470
_PORT_MAX = 65_535
_LINK_SECONDS = 600
_SIGN_SECONDS = 5.0
_LOOK_SECONDS = 30.0  # a third of the lease that workers have unless told otherwise
_PATIENCE_SECONDS = 600.0
_NEEDED = ("starlette", "uvicorn", "jinja2")

app = App(
    name="serve",
    help="Serve the console and the HTTP API.",
    help_prologue="""Examples:
  proofgap serve
  proofgap serve --port 0 --json
  proofgap serve --host 0.0.0.0 --behind-tls-proxy --origin https://proofgap.example \\
      --issuer https://login.example --client-id proofgap --client-secret-file /etc/proofgap/secret
""",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the server listens, and what browsers call it.

    Attributes:
        host: the address to listen on; 127.0.0.1 unless given.
        port: the port; 0 takes any that is free.
        origin: what browsers call the site, such as https://proofgap.example; the address itself, unless given.
        behind_tls_proxy: say that a proxy in front of the server speaks TLS: the server itself does not.

    """

    host: str = "127.0.0.1"
    port: Whole = PORT
    origin: str | None = None
    behind_tls_proxy: bool = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The OpenID provider by which people sign in.

    Attributes:
        issuer: URL of the OpenID provider by which people sign in, where others than you are to.
        client_id: what the provider calls this site.
        client_secret_file: the file that holds the secret that the provider gave to this site.
        claim: the claim that becomes a person's id; sub unless given. Use none that people choose for themselves.

    """

    issuer: str | None = None
    client_id: str | None = None
    client_secret_file: str | None = None
    claim: str = "sub"


@app.default
def serve(
    *,
    no_worker: bool = False,
    listening: Listening = Listening(),
    provider: Provider = Provider(),
    access: Access = ACCESS,
) -> int:
    """Serve the console and the HTTP API until the process is told to stop; then end what is under way first.

    Prints a link that signs you in once, unless people sign in by a provider. Signs the log every few seconds, and executes
    what is queued, as proofgap worker does.

    Args:
        no_worker: execute nothing here; workers of their own do.

    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise BadInputError("", "the web is not installed", "Install it: pip install 'proofgap[web]'.")
    _refuse_open(listening, provider)
    with opened(access, create=True) as ledger:
        _serve(ledger, listening, provider, with_worker=not no_worker, as_json=access.json)
    return 0


def _refuse_open(listening: Listening, provider: Provider) -> None:
    """Refuse to listen where others reach the server, unless nobody can read along and everybody signs in."""
    check_text("--host", listening.host)
    if not 0 <= listening.port <= _PORT_MAX:
        raise BadInputError("--port", f"{listening.port} is no port", f"Use 0 to {_PORT_MAX}.")
    if listening.behind_tls_proxy and not (listening.origin or "").startswith("https://"):
        raise BadInputError("--origin", "must be https:// behind a proxy that speaks TLS", "Say what browsers call it.")
    if is_loopback(listening.host) and not listening.behind_tls_proxy and not _is_elsewhere(listening.origin):
        return
    if not listening.behind_tls_proxy:
        field, value = ("--origin", listening.origin) if is_loopback(listening.host) else ("--host", listening.host)
        remedy = "Put a proxy that speaks TLS in front of it, and say so: --behind-tls-proxy --origin https://..."
        raise BadInputError(field, f"'{value}' is reached by others, and the server speaks no TLS", remedy)
    if provider.issuer is None:
        raise BadInputError("--issuer", "is needed where others reach the server", "Name the provider to sign in with.")


def _is_elsewhere(origin: str | None) -> bool:
    """Tell whether an origin is another machine's name for this one: something in front of the server lets others in."""
    parts = urlsplit(origin or "")
    return parts.hostname is not None and f"{parts.scheme}://{parts.netloc}" == origin and not _is_here(parts.hostname)


def _is_here(name: str) -> bool:
    try:
        return is_loopback(name)
    except BadInputError:  # a name, and no address
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise BadInputError("--host", f"'{host}' is no address", "Use one such as 127.0.0.1 or ::1.") from None


def _serve(ledger: Ledger, listening: Listening, provider: Provider, *, with_worker: bool, as_json: bool) -> None:
    from proofgap_app.web import clerk, serving  # noqa: PLC0415 - the web is an extra
    from proofgap_app.web.people import identify  # noqa: PLC0415 - as above
    from proofgap_app.web.site import create_site  # noqa: PLC0415 - as above
    from proofgap_app.web.site_settings import SignIn, SiteSettings  # noqa: PLC0415 - as above

    sign_in = None
    if provider.issuer is not None:
        sign_in = SignIn(
            issuer=check_text("--issuer", provider.issuer),
            client_id=check_id("--client-id", provider.client_id or ""),
            client_secret=_secret(provider.client_secret_file),
            claim=check_id("--claim", provider.claim),
        )
    host = "127.0.0.1" if listening.host == "localhost" else listening.host
    try:
        listener = serving.bound(host, listening.port)
    except OSError as error:
        problem = f"cannot listen on {host}, port {listening.port}: {error.strerror}"
        raise BadInputError("--port", problem, "Name another port; 0 takes any that is free.") from error
    with listener:
        here = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        settings = SiteSettings(origin=listening.origin or here, sign_in=sign_in)
        site = create_site(ledger, settings, identify(ledger, settings))
        server = serving.Server(serving.configured(site, settings), site.state.stop)
        _announce(ledger, settings.origin, has_provider=sign_in is not None, as_json=as_json)
        lost = clerk.looking_for_lost(ledger, me(), _LOOK_SECONDS, output.note)  # a worker does so itself
        with clerk.signing(ledger, _SIGN_SECONDS, output.note), _working(ledger) if with_worker else lost:
            server.run(sockets=[listener])


@contextmanager
def _working(ledger: Ledger) -> Iterator[None]:
    """Let one worker execute what is queued, until the block ends; then what is under way ends first, unless asked again."""
    crew = worker.crew_of(ledger, worker.as_worker(me()), worker.wanted(), _PATIENCE_SECONDS)

    def work() -> None:
        try:
            crew.work()
        except ProofgapError as error:
            output.note(f"proofgap: nothing that is queued is executed here: {error}")

    thread = Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        crew.drain()
        try:
            thread.join()
        except KeyboardInterrupt:
            crew.halt()
            thread.join()


def start_link(ledger: Ledger, origin: str) -> str:
    """Make a link by which the person at the keyboard signs in once, within ten minutes."""
    token = ledger.sessions.offer(me(), _LINK_SECONDS).secret
    return f"{origin}/sign-in?{urlencode({'token': token})}"


def _announce(ledger: Ledger, origin: str, *, has_provider: bool, as_json: bool) -> None:
    """Say where the site is, and how to come in, before the first request is answered."""
    link = None if has_provider else start_link(ledger, origin)
    if as_json:
        output.json_line({"origin": origin, "link": link})
    else:
        output.data(f"Serving {origin}")
        if link is not None:
            output.data(f"Open, once, within ten minutes:  {link}")
        output.note("Stop it with Ctrl-C.")
    output.flush()


def _secret(name: str | None) -> str | None:
    """Read the secret of this site from its file; it is never an option, which others on the machine could read.

    Raises:
        BadInputError: the file holds none.
        OSError: it cannot be read.

    """
    if name is None:
        return None
    found = Path(check_text("--client-secret-file", name)).read_text("utf-8").strip()
    return check_text("--client-secret-file", found) if found else _empty(name)


def _empty(name: str) -> str:
    raise BadInputError("--client-secret-file", f"'{name}' is empty", "Name the file that holds the secret.")
