"""Tokens on the command line: the secret is shown once, or goes into a file of its owner's."""

from __future__ import annotations

import stat

import pytest

from proofgap_store import Ledger


def bearer(cli, secret):
    """Ask the ledger whose secret this is."""
    with Ledger.open(cli.url, create=False) as ledger:
        return ledger.sessions.bearer(secret)


@pytest.fixture
def ready(cli):
    """A command line with a ledger."""
    cli.ok("init")
    return cli


def test_a_secret_is_shown_once_and_lets_the_token_in(ready):
    made = ready.ok("token", "create", "ci", "--role", "worker", "--role", "viewer", "--json").json
    assert made["token"] == bearer(ready, made["secret"])
    listed = ready.ok("token", "list", "--json").json
    assert ("owner", ["viewer", "worker"], True) == (listed["created_by"], listed["roles"], listed["active"])
    assert listed["used_at"] is not None
    assert made["secret"] not in ready.ok("token", "list").out


def test_a_secret_in_a_file_is_its_owners_and_is_not_shown(ready, tmp_path):
    file = tmp_path / "worker.token"
    shown = ready.ok("token", "create", "ci", "--role", "worker", "--token-file", str(file))
    secret = file.read_text("ascii").strip()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert secret not in shown.out + shown.err
    assert bearer(ready, secret)


def test_a_file_that_is_there_is_not_written_over_and_no_token_is_made(ready, tmp_path):
    file = tmp_path / "kept"
    file.write_text("mine")
    for taken in (file, tmp_path / "nowhere" / "file"):
        assert 2 == ready("token", "create", "ci", "--role", "worker", "--token-file", str(taken)).code
    assert "mine" == file.read_text()
    assert "" == ready.ok("token", "list", "--json").out


def test_a_revoked_token_is_out_and_the_list_says_so(ready):
    made = ready.ok("token", "create", "ci", "--role", "worker", "--json").json
    ready.ok("token", "revoke", made["token"])
    assert bearer(ready, made["secret"]) is None
    assert "revoked" in ready.ok("token", "list").out
    assert 7 == ready("token", "revoke", made["token"]).code
    assert 7 == ready("token", "revoke", "tk_nobody").code


@pytest.mark.parametrize(
    "arguments",
    [
        ("ci",),
        ("ci", "--role", "admin"),
        ("ci", "--role", "emperor"),
        ("c i", "--role", "worker"),
        ("ci", "--role", "worker", "--days", "0"),
        ("ci", "--role", "worker", "--days", "367"),
    ],
)
def test_what_makes_no_token_is_bad_input_in_one_line(ready, arguments):
    result = ready("token", "create", *arguments)
    assert (2, 1) == (result.code, len(result.err.splitlines()))


def test_somebody_who_is_no_admin_makes_no_token(ready):
    ready.ok("grant", "olga", "operator")
    ready.as_user("olga")
    assert 4 == ready("token", "create", "ci", "--role", "worker").code
    assert 4 == ready("token", "list").code
    ready.as_user("sam")
    assert 7 == ready("token", "create", "ci", "--role", "worker").code


def test_a_link_is_for_whoever_asks_for_it(ready):
    link = ready.ok("token", "link", "--origin", "http://127.0.0.1:9000/", "--json").json["link"]
    assert link.startswith("http://127.0.0.1:9000/sign-in?token=proofgap_link_")
    with Ledger.open(ready.url, create=False) as ledger:
        assert "owner" == ledger.sessions.begin_by_link(link.rpartition("=")[2], 60).principal
