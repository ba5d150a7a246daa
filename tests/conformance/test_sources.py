"""Registered backup sources: who may register and see them, and that the list is what the log says."""

from __future__ import annotations

import pytest

from proofgap.audit import Actor
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.records import RunDetails
from tests.conformance.lives import ADA, HOME, OLGA, SAM, UDO, VERA, WIM, last, log_since, open_scope, tables

NIGHTLY = RunDetails(
    backup="/srv/repo#latest",
    driver="restic",
    options=("host=a",),
    password_file="/etc/restic",  # noqa: S106 - where it is, and not what
    select=("etc/*",),
)


def test_whoever_may_create_runs_sees_what_the_administrator_registered(ledger):
    ledger.desk.register_source("nightly", HOME, NIGHTLY, ADA)
    ledger.desk.register_source("app", HOME, RunDetails(backup="/backup/app.tar"), ADA)
    for actor in (ADA, OLGA, WIM):
        found = ledger.desk.sources(HOME, actor)
        assert [("app", "/backup/app.tar"), ("nightly", "/srv/repo#latest")] == [
            (source.name, source.details.backup) for source in found
        ]
    assert (NIGHTLY, "ada") == (found[1].details, found[1].by)
    assert () == ledger.verify().findings


def test_registering_a_name_again_replaces_what_it_stood_for_and_both_are_in_the_log(ledger):
    before = last(ledger)
    for backup in ("/old", "/new"):
        ledger.desk.register_source("app", HOME, RunDetails(backup=backup), ADA)
    assert ["/new"] == [source.details.backup for source in ledger.desk.sources(HOME, OLGA)]
    events = log_since(ledger, before)
    assert [("source.registered", "/old"), ("source.registered", "/new")] == [
        (event.type, event.data["details"]["backup"]) for event in events
    ]


def test_a_retired_source_is_off_the_list_and_can_be_registered_again(ledger):
    ledger.desk.register_source("app", HOME, RunDetails(backup="/a"), ADA)
    ledger.desk.retire_source("app", HOME, ADA)
    assert () == ledger.desk.sources(HOME, OLGA)
    with pytest.raises(NotFoundError):
        ledger.desk.retire_source("app", HOME, ADA)
    ledger.desk.register_source("app", HOME, RunDetails(backup="/b"), ADA)
    assert ["/b"] == [source.details.backup for source in ledger.desk.sources(HOME, OLGA)]


@pytest.mark.parametrize("actor", [OLGA, WIM, UDO, VERA], ids=lambda actor: actor.id)
def test_nobody_but_an_administrator_registers_or_retires(ledger, actor):
    ledger.desk.register_source("app", HOME, RunDetails(backup="/a"), ADA)
    with pytest.raises(ForbiddenError):
        ledger.desk.register_source("app", HOME, RunDetails(backup="/evil"), actor)
    with pytest.raises(ForbiddenError):
        ledger.desk.retire_source("app", HOME, actor)
    assert ["/a"] == [source.details.backup for source in ledger.desk.sources(HOME, OLGA)]


@pytest.mark.parametrize(("actor", "error"), [(UDO, ForbiddenError), (VERA, ForbiddenError), (SAM, NotFoundError)])
def test_whoever_may_create_no_run_there_sees_no_source(ledger, actor, error):
    ledger.desk.register_source("app", HOME, RunDetails(backup="/a"), ADA)
    with pytest.raises(error):
        ledger.desk.sources(HOME, actor)


def test_sources_of_another_place_are_not_there(ledger):
    boss = Actor(id="boss")
    open_scope(ledger, ("w2", "e2"), boss)
    ledger.desk.register_source("app", ("w2", "e2"), RunDetails(backup="/theirs"), boss)
    assert () == ledger.desk.sources(HOME, ADA)
    for verb in (
        lambda: ledger.desk.sources(("w2", "e2"), ADA),
        lambda: ledger.desk.retire_source("app", ("w2", "e2"), ADA),
        lambda: ledger.desk.register_source("app", ("w2", "none"), RunDetails(backup="/a"), boss),
    ):
        with pytest.raises(NotFoundError):
            verb()


@pytest.mark.parametrize(
    ("name", "details", "field"),
    [
        ("no name", RunDetails(backup="/a"), "name"),
        ("app", RunDetails(), "backup"),
        ("app", RunDetails(backup="/a", target="/t"), "target"),
        ("app", RunDetails(backup="/a", selected=3), "selected"),
        ("app", RunDetails(backup="sftp://me:canary@host/repo"), "backup"),
        ("app", RunDetails(backup="/a", options=("password=canary",)), "options"),
    ],
    ids=["name", "backup", "target", "selected", "secret", "secret-option"],
)
def test_what_is_no_source_is_refused_by_name_and_nothing_is_recorded(ledger, name, details, field):
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.desk.register_source(name, HOME, details, ADA)
    assert (field, before) == (caught.value.field, tables(ledger))
    assert "canary" not in str(caught.value)
