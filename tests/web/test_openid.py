"""Signing in by a provider: a real one, in a process of its own, that tells the truth or lies in every way there is."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from proofgap.errors import BadInputError
from proofgap_app.web.people import identify
from proofgap_app.web.site_settings import Limits, SignIn
from proofgap_store import Ledger
from tests.conformance.lives import ADA, log, settle
from tests.web.provider import CLIENT, SECRET
from tests.web.serving import Client, served


@pytest.fixture(scope="module")
def provider():
    """The address of a provider that runs."""
    command = [sys.executable, str(Path(__file__).with_name("provider.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture(scope="module")
def ledger():
    """A ledger with everybody in their role."""
    with Ledger.open("sqlite://", owner=ADA.id) as opened:
        yield settle(opened)


@pytest.fixture(scope="module")
def site(ledger, provider):
    """A site on which people sign in by the provider."""
    sign_in = SignIn(issuer=provider, client_id=CLIENT, client_secret=SECRET)
    with served(ledger, lambda settings: identify(ledger, settings), sign_in=sign_in) as client:
        yield client


def lie(provider, **changed):
    """Let the provider's next word be another."""
    urlopen(Request(f"{provider}/lie", json.dumps(changed).encode(), method="POST")).close()  # noqa: S310 - our own provider


def cookies(answer):
    """Give what a browser keeps of an answer."""
    return answer.headers["set-cookie"].partition(";")[0]


def sent_back(site, wanted="/runs"):
    """Begin to sign in; give the cookie, and the path by which the provider sends the browser back."""
    begun = site.get(f"/sign-in/provider?{urlencode({'next': wanted})}")
    assert 303 == begun.status, begun
    place = urlsplit(begun.headers["location"])
    there = Client(place.port).get(f"{place.path}?{place.query}")
    back = urlsplit(there.headers["location"])
    return cookies(begun), f"{back.path}?{back.query}"


def test_whoever_the_provider_vouches_for_is_let_in(site, ledger):
    kept, back = sent_back(site)
    answer = site.get(back, Cookie=kept)
    assert (303, "/runs") == (answer.status, answer.headers["location"]), answer
    assert 303 == site.post("/sign-out", Cookie=cookies(answer), Sec_Fetch_Site="same-origin").status
    event = next(event for event in reversed(log(ledger)) if event.type == "access.signed_in")
    assert ("d.weber", "openid") == (event.entry["actor"]["id"], event.data["means"])
    assert "D. Weber" not in event.payload


def test_the_way_to_the_provider_bears_what_binds_the_answer_to_this_browser(site):
    begun = site.get("/sign-in/provider")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert {"state", "nonce", "code_challenge", "scope", "redirect_uri"} <= {*asked}
    assert [["code"], ["S256"], ["openid profile"]] == [
        asked[name] for name in ("response_type", "code_challenge_method", "scope")
    ]
    assert "HttpOnly" in begun.headers["set-cookie"]


LIES = {
    "for another site": {"claims": {"aud": "somebody-else"}},
    "for several sites, made for another": {"claims": {"aud": ["proofgap", "x"], "azp": "x"}},
    "by another issuer": {"claims": {"iss": "https://evil.example"}},
    "of another sign-in": {"claims": {"nonce": "another"}},
    "of no sign-in": {"claims": {"nonce": None}},
    "that is old": {"now": 1},
    "that never ends": {"claims": {"exp": None}},
    "signed by another key": {"key": "other"},
    "not signed at all": {"alg": "none"},
    "signed with the public key for a secret": {"alg": "HS256"},
    "of nobody": {"claims": {"sub": None}},
    "of somebody without a name": {"claims": {"sub": ""}},
    "of a name that steers a terminal": {"claims": {"sub": "a\u001b[2J"}},
    "of a name that is a number": {"claims": {"sub": 7}},
    "of somebody called like a token": {"claims": {"sub": "tk_ci_0a"}},
}


@pytest.mark.parametrize("name", LIES)
def test_a_word_is_not_taken(site, ledger, provider, name):
    kept, back = sent_back(site)
    lie(provider, **LIES[name])
    before = len(log(ledger))
    answer = site.get(back, Cookie=kept)
    assert answer.status in {403, 422}, answer
    assert "set-cookie" not in answer.headers
    assert before == len(log(ledger))


def test_an_answer_of_another_browser_or_provider_or_without_a_code_is_not_taken(site, ledger):
    kept, back = sent_back(site)
    other, _ = sent_back(site)
    path, _, query = back.partition("?")
    given = {name: values[0] for name, values in parse_qs(query).items()}
    before = len(log(ledger))
    tries = [
        (back, ""),
        (back, other),
        (back, kept.replace("=", "=x", 1)),
        (f"{path}?{urlencode({**given, 'state': 'x'})}", kept),
        (f"{path}?{urlencode({**given, 'iss': 'https://evil.example'})}", kept),
        (f"{path}?{urlencode({name: value for name, value in given.items() if name != 'iss'})}", kept),
        (f"{path}?{urlencode({name: value for name, value in given.items() if name != 'code'})}", kept),
        (f"{path}?{urlencode({**given, 'code': 'made-up'})}", kept),
        (f"{path}?{urlencode({'error': 'access_denied', 'state': given['state']})}", kept),
    ]
    for where, cookie in tries:
        answer = site.get(where, **({"Cookie": cookie} if cookie else {}))
        assert (403, "sign-in-failed") == (answer.status, answer.json["code"]), where
    assert before == len(log(ledger))


def test_a_code_is_good_once(site):
    kept, back = sent_back(site)
    assert 303 == site.get(back, Cookie=kept).status
    assert 403 == site.get(back, Cookie=kept).status


def test_nobody_is_sent_to_another_site_after_they_signed_in(site):
    kept, back = sent_back(site, "//evil.example")
    assert "/" == site.get(back, Cookie=kept).headers["location"]


def test_a_provider_that_is_another_one_or_away_lets_nobody_in(site, ledger, provider):
    lie(provider, issuer="https://evil.example")
    assert 403 == site.get("/sign-in/provider").status
    away = SignIn(issuer="http://127.0.0.1:1", client_id=CLIENT)
    with served(ledger, lambda settings: identify(ledger, settings), sign_in=away) as client:
        answer = client.get("/sign-in/provider")
        assert (503, "30") == (answer.status, answer.headers["retry-after"])


def test_without_a_provider_there_is_no_way_to_one(ledger):
    with served(ledger, lambda settings: identify(ledger, settings)) as client:
        assert 404 == client.get("/sign-in/provider").status
        assert 404 == client.get("/sign-in/callback?code=x&state=y").status


@pytest.mark.parametrize("issuer", ["http://login.example", "login.example", "ftp://login.example", "https://"])
def test_a_provider_that_anybody_could_play_is_refused(issuer):
    with pytest.raises(BadInputError):
        SignIn(issuer=issuer, client_id=CLIENT)


def test_whoever_begins_to_sign_in_over_and_over_keeps_nobody_else_out(ledger):
    """A provider that is slow to answer holds a thread for each who asks; nobody need be signed in for that."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = SignIn(issuer=f"http://127.0.0.1:{silent.getsockname()[1]}", client_id=CLIENT)
        with served(
            ledger, lambda settings: identify(ledger, settings), sign_in=slow, limits=Limits(threads_max=5)
        ) as site:
            found = []
            asking = [Thread(target=lambda: found.append(site.get("/sign-in/provider").status)) for _ in range(8)]
            for one in asking:
                one.start()
            held = [silent.accept()[0] for _ in range(4)]
            assert 404 == site.get("/problems/nothing").status
            while len(found) < 4:
                time.sleep(0.01)
            assert [429] * 4 == found
            for one in held:
                one.close()
            for one in asking:
                one.join()
    assert [429] * 4 + [503] * 4 == found
