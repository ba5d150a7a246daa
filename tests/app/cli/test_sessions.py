"""Sessions on the command line: who is signed in, and the end of that."""

from __future__ import annotations

import pytest

from proofgap.audit import Actor
from proofgap_store import Ledger


@pytest.fixture
def signed_in(cli):
    """A command line whose user is signed in at the console, twice."""
    cli.ok("init")
    with Ledger.open(cli.url, create=False) as ledger:
        for _ in range(2):
            ledger.sessions.begin(Actor(id="owner"), 3600)
    return cli


def test_the_list_says_who_is_signed_in_and_by_which_means(signed_in):
    lines = signed_in.ok("session", "list", "--json").out.splitlines()
    assert 2 == len(lines)
    assert all('"principal":"owner"' in line and '"means":"openid"' in line for line in lines)
    assert "owner" in signed_in.ok("session", "list").out


def test_signing_out_ends_every_session_and_says_how_many(signed_in):
    assert {"principal": "owner", "ended": 2} == signed_in.ok("session", "end", "owner", "--json").json
    assert "Nobody is signed in." in signed_in.ok("session", "list").err


def test_whoever_is_not_signed_in_is_not_found(signed_in):
    signed_in.ok("session", "end", "owner")
    for user in ("owner", "nobody"):
        assert 7 == signed_in("session", "end", user).code
