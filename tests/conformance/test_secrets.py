"""Secrets never get into the log, whichever way they come: what is there is kept for ever, and read by many."""

from __future__ import annotations

import pytest

from proofgap.bundles import ITEMS
from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item, RunDetails
from proofgap_store import NewDrill, NewRun
from tests.conformance.bundled import both, made
from tests.conformance.lives import ADA, OLGA, live, log, tables

CANARY = "hunter22canary"
PLACES = (f"sftp://me:{CANARY}@host/repo", f"https://host/repo?token={CANARY}", f"postgresql://h/d?password={CANARY}")
OPTIONS = (f"password={CANARY}", f"api-key={CANARY}", f"repo=https://me:{CANARY}@host/")
WANTED = RunDetails(backup="b", target="t", driver="restic")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", ["backup", "target"])
def test_a_place_that_holds_a_password_is_refused_and_nothing_is_recorded(ledger, field, place):
    """At birth, when a run is scoped, and in a drill: from the command line, the API or a program."""
    run_id, details = (
        live(ledger, "draft"),
        RunDetails(**{"backup": "b", "target": "t", "driver": "restic", field: place}),
    )
    before = len(log(ledger))
    for attempt in (
        lambda: ledger.create(NewRun(details=details), OLGA),
        lambda: ledger.fire(run_id, RunEvent.SCOPE, OLGA, given=details),
        lambda: ledger.fleet.declare_drill(NewDrill(cron="* * * * *", details=details), OLGA),
    ):
        with pytest.raises(BadInputError, match=field) as refused:
            attempt()
        assert CANARY not in str(refused.value)
    assert len(log(ledger)) == before


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_is_or_holds_a_secret_is_refused_and_nothing_is_recorded(ledger, option):
    """As above."""
    run_id = live(ledger, "draft")
    before = len(log(ledger))
    for attempt in (
        lambda: ledger.fire(run_id, RunEvent.SCOPE, OLGA, given=RunDetails(options=(option,))),
        lambda: ledger.fleet.declare_drill(NewDrill(cron="* * * * *", details=WANTED, options=(option,)), OLGA),
    ):
        with pytest.raises(BadInputError, match="option") as refused:
            attempt()
        assert CANARY not in str(refused.value)
    assert len(log(ledger)) == before


@pytest.mark.parametrize("option", ["compact", "", "=yes"])
def test_an_option_that_is_no_key_and_value_is_refused_and_nothing_is_recorded(ledger, option):
    """No driver could be told of it, and no form could show it."""
    run_id, details = live(ledger, "draft"), RunDetails(options=(option,))
    before = len(log(ledger))
    for attempt in (
        lambda: ledger.create(NewRun(details=details), OLGA),
        lambda: ledger.fire(run_id, RunEvent.SCOPE, OLGA, given=details),
        lambda: ledger.fleet.declare_drill(NewDrill(cron="* * * * *", details=WANTED, options=(option,)), OLGA),
    ):
        with pytest.raises(BadInputError, match="KEY=VALUE"):
            attempt()
    assert len(log(ledger)) == before


def test_what_a_worker_says_of_an_item_is_without_secrets_wherever_it_is_read(ledger, tmp_path):
    """In the ledger's own rows, so in every page, answer and export of them; and the log is still whole."""
    run_id = live(ledger, "running")
    said = Item(key="a", result=ItemResult.FAILED, message=f"cannot open sftp://me:{CANARY}@host/ --password {CANARY}")
    ledger.fire(run_id, RunEvent.REPORT, ADA, items=[said], key="k")
    assert ledger.fire(run_id, RunEvent.REPORT, ADA, items=[said], key="k").replayed
    (kept,) = ledger.items(run_id, ADA.id)
    assert kept.message == "cannot open sftp://me:***@host/ --password ***"
    ledger.fire(run_id, RunEvent.COMPLETE_PARTIALLY, ADA, given=RunDetails(exit_code=1))
    assert CANARY not in repr(tables(ledger))
    bundle = made(ledger, run_id, tmp_path / "b.zip")
    assert CANARY.encode() not in b"".join(bundle.files.values())
    assert b"--password ***" in bundle.files[ITEMS]
    assert both(bundle.files, bundle.policy) == set()
    assert ledger.verify().counts == {}
