"""Registered backup sources on the command line."""

from __future__ import annotations

import pytest


@pytest.fixture
def ready(cli):
    """A command line with a ledger."""
    cli.ok("init")
    return cli


def test_a_source_is_registered_listed_and_retired(ready):
    made = ready.ok(
        *("source", "register", "nightly", "restic:/srv/repo#latest", "--password-file", "/etc/restic"),
        *("--select", "etc/*", "--json"),
    ).json
    assert "nightly" == made["source"]
    found = ready.ok("source", "list", "--json").json
    assert ("nightly", "restic", "/srv/repo#latest", "/etc/restic", ["etc/*"], "owner") == tuple(
        found[name] for name in ("name", "driver", "backup", "password_file", "select", "registered_by")
    )
    assert "nightly" in ready.ok("source", "list").out
    assert "is retired" in ready.ok("source", "retire", "nightly").out
    assert "No sources to show" in ready.ok("source", "list").err
    assert 7 == ready("source", "retire", "nightly").code


def test_a_path_is_made_a_whole_one_and_need_not_be_there(ready, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ready.ok("source", "register", "app", "app.tar.gz")
    assert f"{tmp_path}/app.tar.gz" == ready.ok("source", "list", "--json").json["backup"]


def test_who_administers_nothing_registers_nothing(ready):
    ready.ok("grant", "olga", "operator")
    ready.as_user("olga")
    assert 4 == ready("source", "register", "app", "/a").code


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("no name", "/a"), "NAME"),
        (("app", "sftp://me:canary@host/r"), "BACKUP"),
        (("app", "/a", "--option", "x"), "--option"),
    ],
    ids=["name", "secret", "option"],
)
def test_what_is_no_source_is_refused_by_the_name_of_its_option(ready, options, field):
    refused = ready("source", "register", *options, "--json")
    assert (2, field) == (refused.code, refused.problem["fields"]["field"])
    assert "canary" not in refused.out + refused.err
