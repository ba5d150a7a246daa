"""Numbers for monitoring: what was recorded since the server began, as far as whoever asks may audit it."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import NotAllowedError
from proofgap.facts import RunEvent
from proofgap_app.web.people import identify
from proofgap_store import Ledger, NewRun, NewToken
from tests import postgresql
from tests.conformance.lives import ADA, live, open_memory, settle
from tests.web.serving import served
from tests.web.world import created, named

CREATED = 'proofgap_transitions_total{type="restore.run.created"}'
OF_THE_LEDGER = {
    *("proofgap_workers", "proofgap_unsigned_events", "proofgap_integration_lag_seconds"),
    "proofgap_log_copy_failures_total",
}
BOB, BEA = Actor(id="bob"), Actor(id="bea")


def numbers(client):
    """Give every number by its name."""
    answer = client.get("/metrics")
    assert 200 == answer.status
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    """A ledger on each database with two workspaces, and somebody who audits one of them and somebody who audits both."""
    if request.param == "sqlite":
        with open_memory() as opened:
            yield two_workspaces(settle(opened))
    else:
        files = {"key": tmp_path / "key", "head": tmp_path / "head"}
        with postgresql.database() as url:
            login = postgresql.as_member(url, "app", "sequencer", "privacy")
            with Ledger.open(login, owner=ADA.id, synchronous="NORMAL", **files) as opened:
                yield two_workspaces(settle(opened))


def two_workspaces(ledger):
    ledger.access.declare_environment(("away", "local"), ADA)
    for scope in (("default", "local"), ("away", "local")):
        ledger.access.grant(BEA.id, Role.AUDITOR, scope, ADA)
    ledger.access.grant(BOB.id, Role.AUDITOR, ("away", "local"), ADA)
    return ledger


def test_numbers_are_those_of_the_places_that_somebody_audits(ledger):
    """Whoever audits one workspace is not told how much goes on in another, nor in the ledger as a whole."""
    with served(ledger, named) as client:
        as_ = {name: client._replace(headers={"Authorization": f"Bearer {name}"}) for name in ("bob", "bea")}
        before = {name: numbers(client) for name, client in as_.items()}
        for _ in range(3):
            live(ledger, "queued")
        live(ledger, "queued", workspace="away")
        after = {name: numbers(client) for name, client in as_.items()}
    assert {"bob": 1, "bea": 4} == {name: after[name][CREATED] - before[name][CREATED] for name in as_}
    assert {"bob": 1, "bea": 4} == {name: after[name]["proofgap_queue_depth"] for name in as_}
    assert OF_THE_LEDGER <= {*after["bea"]}
    assert not OF_THE_LEDGER & {*after["bob"]}
    assert after["bea"]["proofgap_unsigned_events"] > 0
    assert after["bea"]["proofgap_integration_lag_seconds"] > 0


def test_what_somebody_is_refused_counts_where_it_was_tried(ledger):
    name = 'proofgap_refusals_total{type="restore.run.transition_refused"}'
    run = ledger.create(NewRun(), ADA).run_id
    with served(ledger, named) as client:
        as_ = {name: client._replace(headers={"Authorization": f"Bearer {name}"}) for name in ("bob", "bea")}
        with pytest.raises(NotAllowedError):
            ledger.fire(run, RunEvent.START, ADA)
        assert {"bob": 0, "bea": 1} == {who: numbers(client)[name] for who, client in as_.items()}


def test_a_token_for_one_workspace_is_told_the_numbers_of_that_workspace(ledger):
    """A token holds roles in one workspace only: whoever scrapes several has a token for each."""
    new = NewToken(
        name="scrape", workspace="away", environment="*", roles=(Role.AUDITOR,), expires_at_us=ledger._clock() + 10**12
    )
    ledger.access.grant(ADA.id, Role.ADMIN, ("away", "*"), ADA)
    secret = ledger.sessions.create_token(new, ADA).secret
    with served(ledger, lambda settings: identify(ledger, settings)) as client:
        scraper = client._replace(headers={"Authorization": f"Bearer {secret}"})
        before = numbers(scraper)
        live(ledger, "draft")
        live(ledger, "draft", workspace="away")
        found = numbers(scraper)
    assert 1 == found[CREATED] - before[CREATED]
    assert not OF_THE_LEDGER & {*found}


def test_metrics_name_no_run(world):
    created(world)
    text = world.as_("udo").get("/metrics").body.decode()
    assert not any(run in text for run in world.runs.values())
