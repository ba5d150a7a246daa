"""What every answer bears, whichever it is, and which requests come in at all: sent byte by byte, as nobody's library would."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from contextlib import closing, contextmanager, suppress
from threading import Event, Semaphore, Thread

import pytest
import structlog
from starlette.responses import PlainTextResponse, StreamingResponse

from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_app.web import serving
from proofgap_app.web.problems import MEANINGS, Code
from proofgap_app.web.site_settings import Limits
from proofgap_app.web.table import Route, Scope
from proofgap_store import Ledger
from tests.web.serving import served
from tests.web.world import named

LIMITS = Limits(
    body_bytes_max=10_000,
    body_seconds_max=0.5,
    bodies_max=8,
    head_seconds_max=0.5,
    head_bytes_max=4_096,
    stuck_seconds_max=0.3,
    idle_seconds_max=1,
    requests_max=4,
)
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture(scope="module")
def site():
    """A site over an empty ledger, on which everybody is ada, with little patience."""
    with Ledger.open("sqlite://", owner="ada") as ledger, served(ledger, named, limits=LIMITS) as client:
        yield client


def raw(site, sent, *more, wait=5.0):
    """Send bytes as they are, and give everything that comes back until the server closes or falls silent."""
    with closing(socket.create_connection(("127.0.0.1", site.port), timeout=wait)) as connection:
        for part in (sent, *more):
            connection.sendall(part.replace(b"{port}", str(site.port).encode()))
        found = b""
        try:
            while part := connection.recv(65_536):
                found += part
        except (TimeoutError, ConnectionResetError):
            pass
        return found


HOST = b"Host: 127.0.0.1:{port}\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/healthz", {}, 200),
        ("HEAD", "/healthz", {}, 200),
        ("GET", "/sign-in", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("GET", "/nothing", {"Accept": "text/html"}, 404),
        ("GET", "/v1/nothing", {"Accept": "text/html"}, 404),
        ("DELETE", "/healthz", {}, 405),
        ("PATCH", "/v1/workspaces/w/restore-runs", {}, 405),
        ("GET", "/openapi.json", {}, 401),
        ("GET", "/openapi.json", {"Authorization": "Bearer ada"}, 200),
        ("GET", "/healthz", {"Host": "evil.example"}, 421),
        ("POST", "/sign-out", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("POST", "/sign-out", {"Authorization": "Bearer ada", "Content_Length": "10001"}, 413),
        ("OPTIONS", "/healthz", {"Origin": "https://evil.example"}, 405),
        ("OPTIONS", "*", {"Accept": "text/html"}, 404),
        ("CONNECT", "evil.example:443", {"Accept": "text/html"}, 404),
        ("GET", "*", {"Accept": "text/html", "Host": "evil.example"}, 421),
    ],
)
def test_every_answer_bears_the_same_headers_whatever_its_status(site, method, path, headers, status):
    answer = site.send(method, path, **headers)
    assert status == answer.status
    assert HEADERS == {name: answer.headers.get(name) for name in HEADERS}
    assert "cache-control" in answer.headers
    assert not {"server", "access-control-allow-origin", "x-powered-by"} & {*answer.headers}
    if status == 405:
        assert answer.headers["allow"]


def test_a_problem_is_one_of_the_codes_and_its_type_leads_to_a_page(site):
    answer = site.get("/nothing")
    assert ("application/problem+json", "not-found", 404) == (
        answer.headers["content-type"],
        answer.json["code"],
        answer.json["status"],
    )
    page = site.get(answer.json["type"])
    assert (200, "404 not-found") == (page.status, page.body.decode().splitlines()[0])
    assert {*MEANINGS} == {*Code}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Length": "10001"}, 413),
        ({"Host": "evil.example"}, 421),
        ({"Host": "[<script>"}, 421),
        ({"Host": "127.0.0.1:<b>"}, 421),
    ],
)
def test_whoever_looks_with_a_browser_is_told_by_a_page_what_kept_them_out_and_a_program_by_a_problem(
    site, headers, status
):
    """Nobody has asked who they are by then, so no page says it; what they sent is not in it either."""
    page, problem = site.post("/sign-out", Accept="text/html", **headers), site.post("/sign-out", **headers)
    assert (status, status, "text/html; charset=utf-8") == (page.status, problem.status, page.headers["content-type"])
    assert HEADERS == {name: page.headers.get(name) for name in HEADERS}
    said = page.body.decode()
    assert f"<h1>{problem.json['title']}</h1>" in said
    assert [text for text in ("evil.example", "<script>", "<b>", "ada") if text in said] == []


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "cross-site"}, {"Host": "evil.example"}])
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_what_is_refused_before_its_body_is_read_ends_the_connection(site, headers, accept):
    """Else as much of it as somebody sends would be taken in, and thrown away."""
    assert "close" == site.post("/sign-out", b"some of it", Accept=accept, **headers).headers["connection"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\n" + CLOSE,  # no host
        b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + CLOSE,  # another port
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}.evil.example\r\n" + CLOSE,
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n" + CLOSE,
        b"GET /healthz HTTP/1.1\r\nHost: user@127.0.0.1:{port}\r\n" + CLOSE,
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE,
    ],
)
def test_a_request_that_names_another_host_does_not_come_in(site, sent):
    answer = raw(site, sent + b"\r\n")
    assert answer.split()[1] in {b"400", b"421"}
    assert b"running" not in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /sign-out HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n"
        + HOST
        + b"\r\n",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nabcde",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET /healthz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\xff" * 100 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_or_two_requests_in_one_is_refused_and_the_connection_ends(site, sent):
    answer = raw(site, sent)
    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 401", b""}
    assert 1 >= answer.count(b"HTTP/1.1 ")
    assert b"running" not in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no host
        b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS client
    ],
)
def test_what_is_no_http_is_answered_as_a_problem_with_the_headers_of_every_answer(site, sent):
    head, _, body = raw(site, sent).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    pairs = [line.lower().split(": ", 1) for line in lines]
    assert "HTTP/1.1 400 " == status
    assert len(pairs) == len(dict(pairs))
    assert {name: value.lower() for name, value in HEADERS.items()}.items() <= dict(pairs).items()
    assert ("no-store", "close") == (dict(pairs)["cache-control"], dict(pairs)["connection"])
    assert "malformed-request" == json.loads(body)["code"]


@pytest.mark.parametrize(
    "path",
    [
        b"/sign-in?next=/%0d%0aSet-Cookie:%20a=1",
        b"/%0d%0aX-Evil:%201",
        b"/problems/%0d%0aX-Evil:%201",
        b"/sign-in?token=%0d%0aX-Evil:%201",
    ],
)
def test_a_line_break_in_a_request_is_no_line_of_the_answer(site, path):
    head = raw(site, b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n").partition(b"\r\n\r\n")[0].lower()
    assert b"\nx-evil" not in head
    assert b"\nset-cookie" not in head


def test_headers_that_never_end_are_not_waited_for(site):
    assert b"" == raw(site, b"GET /healthz HTTP/1.1\r\n")
    assert b"" == raw(site, b"")
    answered = raw(site, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /healthz HTTP/1.1\r\n")
    assert 1 == answered.count(b"HTTP/1.1 200")  # the second request is not waited for either


def test_headers_that_are_too_long_are_refused(site):
    sent = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 10_000 + b"\r\n\r\n"
    long_path = b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    for head in (sent, long_path):
        assert raw(site, head)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 413"}


def test_a_body_that_does_not_arrive_is_not_waited_for(site):
    head = b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Authorization: Bearer ada\r\nContent-Length: 100\r\n\r\n"
    assert b"HTTP/1.1 408" == raw(site, head, b"abc")[:12]


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Content-Length: 10001\r\n\r\n" + b"a" * 10_001,
        b"Transfer-Encoding: chunked\r\n\r\n"
        b"2000\r\n" + b"a" * 0x2000 + b"\r\n" + b"2000\r\n" + b"a" * 0x2000 + b"\r\n0\r\n\r\n",
    ],
)
def test_a_body_that_is_too_large_is_refused_before_it_is_read(site, body):
    answer = raw(site, b"POST /sign-out HTTP/1.1\r\n" + HOST + b"Authorization: Bearer ada\r\n" + body)
    assert answer[:12] in {b"HTTP/1.1 413", b"HTTP/1.1 400"}


def test_a_websocket_is_not_served(site):
    sent = (
        b"GET /healthz HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"101" not in raw(site, sent, wait=1.0)[:12]


def test_what_nobody_thought_of_is_answered_logged_under_its_id_and_tells_nothing(monkeypatch, capsys):
    def explode(_call):
        message = "the password is hunter2"
        raise RuntimeError(message)

    def half(_call):
        def body():
            yield b"begun"
            raise RuntimeError

        return StreamingResponse(body())

    routes = tuple(
        Route(method="GET", path=path, handler=handler, scope=Scope.PUBLIC, summary="x")
        for path, handler in (
            ("/explode", explode),
            ("/half", half),
            ("/fine", lambda _call: PlainTextResponse("fine")),
        )
    )
    monkeypatch.setattr("proofgap_app.web.pages.router", lambda _settings: routes)
    logs.configure(LogStyle.TEXT)
    with (
        Ledger.open("sqlite://", owner="ada") as ledger,
        served(ledger, lambda _settings: lambda _request: None) as client,
    ):
        answer = client.get("/explode")
        assert (500, "internal-error") == (answer.status, answer.json["code"])
        assert HEADERS == {name: answer.headers.get(name) for name in HEADERS}
        assert b"hunter2" not in answer.body
        assert answer.json["trace_id"] in capsys.readouterr().err
        page = client.get("/explode", Accept="text/html")
        assert (500, HEADERS) == (page.status, {name: page.headers.get(name) for name in HEADERS})
        assert b"hunter2" not in page.body
        assert f"<code>{re.search('trace_id=([0-9a-f]+)', capsys.readouterr().err)[1]}</code>" in page.body.decode()
        with pytest.raises(http.client.IncompleteRead):
            client.get("/half")
        assert 200 == client.get("/fine").status
    structlog.reset_defaults()


@contextmanager
def working_at(site, number):
    """Keep a server at work on so many requests until the block ends."""
    begun, go_on = Semaphore(0), Event()

    def slow(*_given):
        begun.release()
        go_on.wait()
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proofgap_app.web.site.document", slow)
        ada = site._replace(headers={"Authorization": "Bearer ada"})
        held = [Thread(target=ada.get, args=("/openapi.json",)) for _ in range(number)]
        for one in held:
            one.start()
        try:
            assert all(begun.acquire(timeout=10) for _ in held)
            yield
        finally:
            go_on.set()
            for one in held:
                one.join()


def test_more_requests_at_once_than_it_takes_are_sent_away_for_a_second(site):
    """Each of them is worked at still; the next one is told to come again, and does not wait."""
    with working_at(site, LIMITS.requests_max):
        answer = site.get("/healthz")
        page = site.get("/sign-in", Accept="text/html")
    assert ("unavailable", "1") == (answer.json["code"], answer.headers["retry-after"])
    assert (503, "1", True) == (
        page.status,
        page.headers["retry-after"],
        b"<h1>The ledger cannot be used now</h1>" in page.body,
    )
    assert 200 == site.get("/healthz").status


def test_that_the_server_runs_is_said_also_while_all_its_threads_wait_for_the_ledger():
    """Somebody may write for long: whoever watches the server would else take it for dead, and end it."""
    with (
        Ledger.open("sqlite://", owner="ada") as ledger,
        served(ledger, named, limits=Limits(threads_max=2)) as site,
        working_at(site, 2),
        closing(socket.create_connection(("127.0.0.1", site.port), timeout=5)) as watching,
    ):
        watching.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode())
        assert b"HTTP/1.1 200" == watching.recv(12)


def test_a_port_is_taken_once():
    with closing(serving.bound("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        serving.bound("127.0.0.1", listener.getsockname()[1])


def test_an_answer_is_sent_at_once():
    """The loop sends small parts without delay only where it knows that the socket is TCP."""
    with closing(serving.bound("127.0.0.1", 0)) as listener:
        assert socket.IPPROTO_TCP == listener.proto


def test_bodies_that_never_come_keep_nobody_out_who_sends_none(site):
    """Twice as many requests as there may be at once announce a body, and wait; more than may arrive are sent away."""
    head = f"POST /sign-out HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: 9\r\n\r\n".encode()
    slow = [socket.create_connection(("127.0.0.1", site.port), timeout=5) for _ in range(LIMITS.bodies_max + 1)]
    try:
        for one in slow:
            one.sendall(head)
        refused = {one.recv(12) for one in slow[-1:]}
        answers = {site.get("/healthz").status for _ in range(4)}
    finally:
        for one in slow:
            one.close()
    assert ({b"HTTP/1.1 503"}, {200}) == (refused, answers)


def test_whoever_takes_in_no_answer_keeps_nobody_out(site):
    """As many connections as there may be requests at once ask for more than fits on the way, and read nothing."""
    asked = f"GET /static/ibm-plex-sans-latin-400-normal.woff2 HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode()
    stuck = [socket.socket() for _ in range(LIMITS.requests_max)]
    try:
        for one in stuck:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", site.port))
            one.settimeout(0.5)
            with suppress(TimeoutError, ConnectionError):
                one.sendall(asked * 400)
        assert any(_is_cut(stuck[-1]) for _ in range(50))
        assert 200 == site.get("/healthz").status
    finally:
        for one in stuck:
            one.close()


def _is_cut(one):
    """Tell, after a moment, whether the server ended a connection of which nothing is read: it takes no byte more."""
    time.sleep(0.1)
    try:
        one.send(b"GET")
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False
