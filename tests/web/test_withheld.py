"""What is withheld reads exactly like what is not there, on every way to it."""

from __future__ import annotations

import msgspec
import pytest

from proofgap.audit import Actor
from proofgap.findings import Code, Finding
from proofgap_store import Ledger, NewWorker
from tests.conformance.lives import ADA, facts, lines, live, operation, snapshot
from tests.web.world import created

ROOT = "/v1/workspaces/default/restore-runs"
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("page", ["/runs/{run}", "/runs/{run}/events", f"{ROOT}/{{run}}/transitions?limit=200"])
def test_the_log_tells_whoever_may_not_read_evidence_of_none(world, page):
    """Neither its events, nor a refusal about it, nor the decision that somebody else was shown."""
    run, active = world.runs["completed_with_evidence"], world.runs["snapshot"]
    world.as_("olga").get(f"/runs/{run}", Accept="text/html")
    sent = {"details": {}, "checks": []}
    assert 409 == world.as_("wim").send("PUT", f"{ROOT}/{run}/evidence/hollow", sent).status
    world.as_("vera").post(f"/runs/{run}/review", f"snapshot={active}".encode(), **FORM)

    def read(name):
        found = world.as_(name).get(page.format(run=run), Accept="text/html")
        assert 200 == found.status
        return found.body.decode()

    for sign in (active, "evidence: ", "completed_with_evidence", "generating"):
        assert sign not in read("wim")
    if "transitions" not in page:
        assert "evidence: " in read("olga")


def test_the_ledgers_history_tells_a_worker_of_no_evidence_and_an_operator_of_all(world):
    run = world.runs["completed_with_evidence"]
    world.ledger.show(run, "olga", Actor(id="olga"))
    seen = {name: repr([row.entry for row in world.ledger.history(run, name)]) for name in ("wim", "olga")}
    assert world.runs["snapshot"] not in seen["wim"]
    assert world.runs["snapshot"] in seen["olga"]


@pytest.mark.parametrize("name", ["vera", "wim"])
def test_reviewing_a_snapshot_that_is_withheld_fails_like_reviewing_none(world, name):
    run, active = world.runs["completed_with_evidence"], world.runs["snapshot"]

    def answer(named):
        found = world.as_(name).post(f"/runs/{run}/review", f"snapshot={named}".encode(), **FORM)
        return found.status, found.body

    assert answer(active) == answer("ev_nothing")
    assert 403 == answer(active)[0]


def test_a_snapshot_is_reviewed_on_the_page_of_its_own_run_only(world):
    answer = world.as_("olga").post(
        f"/runs/{created(world)}/review", f"snapshot={world.runs['snapshot']}".encode(), **FORM
    )
    assert 404 == answer.status


def test_who_audits_one_workspace_is_not_told_where_in_another_something_is_wrong(world, monkeypatch):
    away = f"run/{world.runs['away']}"
    finding = Finding(code=Code.LEAF_MISMATCH, detail=f"of {away}", event_id=7, stream=away)
    found = msgspec.structs.replace(world.ledger.verify(), findings=(finding,), counts={Code.LEAF_MISMATCH: 1})
    monkeypatch.setattr(Ledger, "verify", lambda _ledger: found)
    page = world.as_("udo").post("/audit/verify").body.decode()
    assert "LEAF_MISMATCH" in page
    assert world.runs["away"] not in page
    world.ledger.access.grant("una", "auditor", ("default", "*"), Actor(id="ada"))
    world.ledger.access.grant("una", "auditor", ("away", "local"), Actor(id="admin-away"))
    assert world.runs["away"] in world.as_("una").post("/audit/verify").body.decode()


def test_the_log_of_an_imported_run_tells_of_no_evidence_either(world):
    made = lines(facts("old-1", "completed", operation("o-old"), snapshot("s-old", "o-old")))
    world.ledger.import_facts(made, ADA)
    seen = {name: repr(world.ledger.history("old-1", name)) for name in ("wim", "olga")}
    assert "s-old" in seen["olga"]
    assert "s-old" not in seen["wim"]


SEES_WHO_EXECUTES = {"ada": True, "olga": True, "wim": True, "udo": True, "vera": False}


def test_which_worker_executes_a_run_is_told_to_whoever_may_view_its_operation_run(world):
    """The claim is the digest of a secret of that worker: whoever only sees runs needs neither."""
    ledger, place = world.ledger, ("default", "of-a-worker")
    ledger.access.declare_environment(place, ADA)
    run, worker = live(ledger, "queued", environment=place[1]), ledger.fleet.register(NewWorker(name="pg01"), ADA)
    assert ledger.fleet.claim(worker.id, ADA, run=run) is not None
    for name, sees in SEES_WHO_EXECUTES.items():
        client = world.as_(name)
        rows = {row["run"]["id"]: row["run"] for row in client.get(f"{ROOT}?environment={place[1]}").json["items"]}
        for found in (client.get(f"{ROOT}/{run}").json, rows[run]):
            told = {"worker", "claim"} & {*found["details"]}
            assert (found["operation_run_id"] is not None, told) == (sees, {"worker", "claim"} if sees else set())
    assert worker.id not in world.as_("vera").get(f"/runs/{run}", Accept="text/html").body.decode()
    assert 404 == world.as_("sam").get(f"{ROOT}/{run}").status


SEES_ALL_FACTS = {"ada": True, "olga": True, "wim": False, "udo": True, "vera": False}


@pytest.mark.parametrize("name", SEES_ALL_FACTS)
def test_a_digest_of_all_facts_is_for_whoever_may_see_them_all_since_it_changes_with_evidence_that_is_withheld(
    world, name
):
    """Nothing else that they read moves when somebody begins to collect evidence."""
    ledger, client = world.ledger, world.as_(name)
    run, digests = live(ledger, "completed"), []
    for _ in range(2):
        page = client.get(f"/runs/{run}", Accept="text/html").body.decode()
        event = client.get(f"{ROOT}/{run}/decision").json["event_id"]
        past = client.get(f"/runs/{run}/decisions/{event}", Accept="text/html").body.decode()
        found = client.get(f"/runs/{run}/decisions/{event}/decision.json").json["facts_digest"]
        logged = ledger.audit.get(event, Actor(id="ada")).entry["data"]["facts_digest"]
        assert [logged in page, logged in past, found == logged] == [SEES_ALL_FACTS[name]] * 3
        digests.append(logged)
        ledger.begin_evidence(run, ADA)
    assert digests[0] != digests[1]
    assert SEES_ALL_FACTS[name] or found is None
