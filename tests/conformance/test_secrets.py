"""Secrets never get into the log, whichever way they come: what is there is kept for ever, and read by many."""

from __future__ import annotations

import pytest

from proofgap.errors import BadInputError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_store import NewDrill, NewRun
from tests.conformance.lives import OLGA, live, log

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
