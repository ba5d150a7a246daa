"""The settings in force: each with its value, and with what set it."""

from __future__ import annotations

import json

import pytest


def settings(cli, *options):
    """Give the settings by their names."""
    lines = cli.ok("config", "--json", *options).out.splitlines()
    return {found["name"]: found for found in map(json.loads, lines)}


def test_each_setting_says_whether_an_option_a_variable_or_nobody_set_it(cli, monkeypatch):
    monkeypatch.setenv("PROOFGAP_WORKSPACE", "w2")
    found = settings(cli, "--ledger", "sqlite:////srv/other.db")
    assert ("sqlite:////srv/other.db", "--ledger") == (found["ledger"]["value"], found["ledger"]["source"])
    assert ("w2", "PROOFGAP_WORKSPACE") == (found["workspace"]["value"], found["workspace"]["source"])
    assert ("local", "default") == (found["environment"]["value"], found["environment"]["source"])
    assert (None, "default") == (found["key"]["value"], found["key"]["source"])


def test_every_variable_that_settings_knows_is_listed(cli):
    from proofgap_app import settings as module  # noqa: PLC0415 - under the name of the helper above

    known = {value for name, value in vars(module).items() if name.endswith("_VARIABLE")}
    assert known == {found["variable"] for found in settings(cli).values()}


def test_no_ledger_is_made_or_needed(cli):
    assert "proofgap.db" in cli.ok("config").out
    assert [] == list(cli.folder.iterdir())


@pytest.mark.parametrize(
    "place", ["me:canary@db/proofgap", "me@db/p?password=canary", "db/p?user=me&sslpassword=canary"]
)
def test_a_password_in_the_url_is_not_shown(cli, place):
    for options in ((), ("--json",)):
        found = cli.ok("config", "--ledger", f"postgresql://{place}", *options)
        assert "postgresql://" in found.out
        assert "canary" not in found.out + found.err


@pytest.mark.parametrize("variable", ["PROOFGAP_LOG", "PROOFGAP_ENGINE"])
def test_a_setting_that_is_none_is_refused_by_name(cli, monkeypatch, variable):
    monkeypatch.setenv(variable, "canary")
    refused = cli("config", "--json")
    assert (2, variable) == (refused.code, refused.problem["fields"]["field"])
