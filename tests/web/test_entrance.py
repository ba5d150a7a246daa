"""Who is let in, and by what: links, sessions and tokens, over a real socket."""

from __future__ import annotations

import json

import pytest
import structlog

from proofgap.audit import Actor
from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_app.web.entrance import local
from proofgap_app.web.people import identify
from proofgap_store import Ledger, NewToken
from tests.conformance.lives import ADA, settle
from tests.web.serving import served

HOUR = 3600


@pytest.fixture(scope="module")
def ledger():
    """A ledger with everybody in their role."""
    with Ledger.open("sqlite://", owner=ADA.id) as opened:
        yield settle(opened)


@pytest.fixture(scope="module")
def site(ledger):
    """A site on which everybody is known by token or session."""
    with served(ledger, lambda settings: identify(ledger, settings)) as client:
        yield client


def cookie(answer):
    """Give what the browser keeps."""
    return answer.headers["set-cookie"].partition(";")[0]


def signed_in(site, ledger, name="olga"):
    """Sign somebody in by a link; give their cookie."""
    link = ledger.sessions.offer(Actor(id=name, via="page"), HOUR)
    return cookie(site.get(f"/sign-in?token={link.secret}"))


def test_a_link_signs_in_once_and_leads_to_the_page_that_was_wanted(site, ledger):
    link = ledger.sessions.offer(ADA, HOUR)
    answer = site.get(f"/sign-in?token={link.secret}&next=/runs/x%3Fa=1")
    assert (303, "/runs/x?a=1") == (answer.status, answer.headers["location"])
    kept = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in kept.split(";")}
    assert "Secure" not in kept  # by plain HTTP the browser would throw it away
    assert link.secret not in kept
    assert 404 == site.get(f"/sign-in?token={link.secret}").status


def test_a_link_that_is_spent_is_said_to_be_and_how_another_is_had_without_ending_the_server(site, ledger):
    link = ledger.sessions.offer(ADA, HOUR)
    site.get(f"/sign-in?token={link.secret}")
    spent, none = site.get(f"/sign-in?token={link.secret}").body.decode(), site.get("/sign-in").body.decode()
    assert "This link is not good, or not any more" in spent
    assert "This link is not good" not in none
    for page in (spent, none):
        assert f"proofgap token link --origin http://127.0.0.1:{site.port}" in page
        assert "top it" not in page
    assert link.secret not in spent


def test_whoever_only_looks_at_a_link_does_not_use_it_up(site, ledger):
    link = ledger.sessions.offer(ADA, HOUR)
    assert 200 == site.send("HEAD", f"/sign-in?token={link.secret}").status
    assert 400 == site.get(f"/sign-in?token={link.secret}", Sec_Purpose="prefetch;prerender").status
    assert 303 == site.get(f"/sign-in?token={link.secret}").status


@pytest.mark.parametrize(
    "elsewhere",
    [
        *(
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "",
            "x",
        ),
        *("/\t/evil.example", "/a\r\nset-cookie: x=1", "/\u00e9", "///evil.example", "/ /x"),
    ],
)
def test_nobody_is_sent_to_another_site(elsewhere):
    assert "/" == local(elsewhere)


def test_a_session_ends_when_its_owner_says_so(site, ledger):
    kept = signed_in(site, ledger)
    sent = {"Cookie": kept, "Sec_Fetch_Site": "same-origin"}
    answer = site.post("/sign-out", **sent)
    assert (303, "/sign-in") == (answer.status, answer.headers["location"])
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert 401 == site.post("/sign-out", **sent).status


def test_whoever_signs_in_again_leaves_the_session_that_was_before(site, ledger):
    former = signed_in(site, ledger)
    link = ledger.sessions.offer(Actor(id="olga", via="page"), HOUR)
    again = cookie(site.get(f"/sign-in?token={link.secret}", Cookie=former))
    assert 401 == site.post("/sign-out", Cookie=former, Sec_Fetch_Site="same-origin").status
    assert 303 == site.post("/sign-out", Cookie=again, Sec_Fetch_Site="same-origin").status


def test_who_was_not_let_in_is_in_the_log_of_the_server_without_what_they_sent(site, capsys):
    logs.configure(LogStyle.JSON)
    site.post("/sign-out?x=secret", Authorization="Bearer proofgap_token_secret")
    structlog.reset_defaults()
    (line,) = capsys.readouterr().err.splitlines()
    assert ("web.refused", "unauthenticated", "/sign-out") == tuple(
        json.loads(line)[name] for name in ("event", "code", "path")
    )
    assert "secret" not in line


def test_nobody_is_signed_in_by_a_cookie_or_token_that_was_made_up(site):
    for headers in (
        {"Cookie": f"proofgap-{site.port}=proofgap_session_x", "Sec_Fetch_Site": "same-origin"},
        {"Authorization": "Bearer proofgap_token_x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YWRhOmFkYQ=="},
        {},
    ):
        answer = site.post("/sign-out", **headers)
        assert 401 == answer.status, headers
        assert answer.headers["www-authenticate"].startswith('Bearer realm="proofgap"')
        assert "unauthenticated" == answer.json["code"]


def test_a_page_that_needs_somebody_sends_them_to_sign_in_and_back(site):
    answer = site.get("/audit?run=a", Accept="text/html")
    assert (303, "/sign-in?next=%2Faudit%3Frun%3Da") == (answer.status, answer.headers["location"])


def test_whoever_sends_a_form_once_signed_out_is_told_that_nothing_was_done_and_not_led_away_from_what_they_typed(site):
    answer = site.post("/runs/a/cancel", b"note=long", Accept="text/html", Sec_Fetch_Site="same-origin")
    assert (401, True) == (answer.status, answer.headers["www-authenticate"].startswith("Bearer"))
    page = answer.body.decode()
    assert "Nothing was done. Sign in in another tab" in page
    assert "Send a token" not in page
    assert 'href="/sign-in" target="_blank"' in page
    assert "Back to the run" not in page


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},  # another scheme is another origin
        {},  # a browser that says nothing of where the request is from
    ],
)
def test_a_request_that_another_site_made_a_browser_send_changes_nothing(site, ledger, sent):
    kept = signed_in(site, ledger)
    answer = site.post("/sign-out", Cookie=kept, **{name: value.format(port=site.port) for name, value in sent.items()})
    assert (403, "cross-site-request") == (answer.status, answer.json["code"])
    assert 303 == site.post("/sign-out", Cookie=kept, Origin=f"http://127.0.0.1:{site.port}").status


def test_a_token_is_let_in_until_it_is_revoked(site, ledger):
    new = NewToken(
        name="ci", workspace="default", environment="local", roles=("viewer",), expires_at_us=ledger._clock() + 10**9
    )
    issued = ledger.sessions.create_token(new, ADA)
    sent = {"Authorization": f"bearer {issued.secret}"}
    assert 303 == site.post("/sign-out", **sent).status  # there is no session to end
    ledger.sessions.revoke_token(issued.token, ADA)
    assert 401 == site.post("/sign-out", **sent).status


def test_a_page_that_is_left_open_does_not_keep_its_session_in_use():
    """Its stream asks every few seconds who is there, and a list polls: the idle end would never come."""
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        moments = [ledger._clock()]
        ledger._clock = lambda: moments[0]
        with served(ledger, lambda settings: identify(ledger, settings)) as site:
            kept = signed_in(site, ledger, ADA.id)
            asked = {"Cookie": kept, "Sec_Fetch_Site": "same-origin"}
            for _ in range(2):
                moments[0] += 50 * 60_000_000
                assert 200 == site.get("/machine", **asked).status
            for _ in range(2):
                moments[0] += 29 * 60_000_000
                assert 200 == site.get("/machine", Sec_Fetch_Dest="empty", **asked).status
            moments[0] += 3 * 60_000_000
            assert 401 == site.get("/machine", **asked).status
