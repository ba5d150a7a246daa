"""A worker over HTTP, in whatever language: it registers, beats, claims, and everything it fires bears its token."""

from __future__ import annotations

from threading import Thread

import pytest

from proofgap.facts import RunEvent
from tests.app.restoring import wait_for
from tests.conformance.lives import ADA
from tests.web.world import led

ROOT = "/v1/workspaces/default"
MINE, OTHER = "my-own-token", "not-the-token"


@pytest.fixture
def worker(world):
    """A registered worker, and the client that registered it."""
    wim = world.as_("wim")
    made = wim.post(f"{ROOT}/workers", {"name": "over-http", "lease_seconds": 60})
    assert 201 == made.status, made
    yield wim, made.json["id"]
    for run in wim.get(f"{ROOT}/restore-runs?decision=in_progress&limit=200").json["items"]:
        if run["run"]["details"].get("worker") == made.json["id"]:
            world.ledger.fire(run["run"]["id"], RunEvent.FAIL, ADA)


def claimed(wim, worker, **wanted):
    """Claim a run that waits already."""
    answer = wim.post(f"{ROOT}/claims", {"worker": worker, **wanted})
    assert 201 == answer.status, answer
    return answer.json


def end(wim, claim, event="complete"):
    """End a claimed run under its token."""
    run = claim["run"]
    headers = {
        "Idempotency_Key": f"end-{run['id']}",
        "If_Match": f'"{run["version"]}"',
        "Fencing_Token": claim["token"],
    }
    return wim.post(f"{ROOT}/restore-runs/{run['id']}/transitions", {"event": event}, **headers)


def test_a_worker_claims_what_waits_and_ends_it_under_its_token(world, worker):
    wim, named = worker
    run = led(world.ledger, "queued")
    claim = claimed(wim, named, run=run)
    assert (run, "running", named) == (claim["run"]["id"], claim["run"]["status"], claim["worker"])
    sent = {"Idempotency_Key": f"x-{run}", "If_Match": f'"{claim["run"]["version"]}"'}
    unfenced = wim.post(f"{ROOT}/restore-runs/{run}/transitions", {"event": "complete"}, **sent)
    assert (409, "guard-failed") == (unfenced.status, unfenced.json["code"])
    batch = [{"key": "a", "result": "succeeded"}]
    assert 409 == wim.post(f"{ROOT}/restore-runs/{run}/item-outcomes", batch, Fencing_Token=OTHER).status
    stored = wim.post(f"{ROOT}/restore-runs/{run}/item-outcomes", batch, Fencing_Token=claim["token"])
    assert 202 == stored.status
    claim["run"]["version"] = stored.json["version"]
    assert 201 == end(wim, claim).status


def test_an_answer_that_got_lost_is_asked_for_again_by_its_token(world, worker):
    wim, named = worker
    run = led(world.ledger, "queued")
    first = claimed(wim, named, run=run, token=MINE)
    again = claimed(wim, named, run=run, token=MINE)
    assert first == again
    assert 204 == wim.post(f"{ROOT}/claims", {"worker": named, "run": run}).status
    end(wim, first)


def test_a_claim_waits_for_a_run_and_says_so(world, worker):
    wim, named = worker
    found = []
    run = led(world.ledger, "previewed")
    waiting = Thread(
        target=lambda: found.append(wim.post(f"{ROOT}/claims", {"worker": named, "run": run}, Prefer="wait=30"))
    )
    waiting.start()
    world.ledger.fire(run, RunEvent.QUEUE, ADA)
    waiting.join()
    assert (201, "wait=30", run) == (
        found[0].status,
        found[0].headers["preference-applied"],
        found[0].json["run"]["id"],
    )
    end(wim, found[0].json)


def test_a_worker_that_leaves_while_it_waits_is_given_nothing(world, worker, waits):
    """What it would have been given, it would not know of, until its lease had run out."""
    wim, named = worker
    run = led(world.ledger, "previewed")
    with wim.asking("POST", f"{ROOT}/claims", {"worker": named, "run": run}, Prefer="wait=30"):
        wait_for(lambda: waits.begun[-1:] == [world.ledger.feed.settled()])
    wait_for(lambda: len(waits.over) == len(waits.begun), seconds=20)
    world.ledger.fire(run, RunEvent.QUEUE, ADA)
    assert "queued" == wim.get(f"{ROOT}/restore-runs/{run}").json["status"]


def test_a_heartbeat_says_what_is_to_be_stopped_and_what_is_not_its_own(world, worker):
    wim, named = worker
    run = led(world.ledger, "queued")
    claim = claimed(wim, named, run=run)
    world.ledger.fire(run, RunEvent.REQUEST_CANCEL, ADA)
    heard = wim.post(f"{ROOT}/workers/{named}/heartbeat", {"runs": [run, "rr_other"]}).json
    assert ([run], ["rr_other"], False) == (heard["cancel_requested"], heard["lost"], heard["is_lost"])
    claim["run"]["version"] += 1
    assert 201 == end(wim, claim, "complete_partially").status


def test_a_worker_that_retired_gets_nothing_more(world, worker):
    wim, named = worker
    assert 204 == wim.send("DELETE", f"{ROOT}/workers/{named}").status
    answer = wim.post(f"{ROOT}/claims", {"worker": named})
    assert (409, "worker-lost") == (answer.status, answer.json["code"])
    assert wim.post(f"{ROOT}/workers/{named}/heartbeat", {}).json["is_lost"]


def test_the_queue_is_that_of_the_workspace_and_says_what_is_held(world, worker):
    wim, named = worker
    run = led(world.ledger, "queued")
    claim = claimed(wim, named, run=led(world.ledger, "queued"))
    found = world.as_("vera").get(f"{ROOT}/queue").json
    assert run in {row["run"] for row in found["waiting"]}
    assert claim["run"]["id"] in {row["run"] for row in found["held"]}
    assert {"waiting": [], "held": []} == world.as_("viewer-away").get(f"{ROOT}/queue").json
    end(wim, claim)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {},
        {"name": "w", "concurrency": 0},
        {"name": "w", "lease_seconds": 0},
        {"name": "w", "environments": [""]},
    ],
)
def test_a_worker_that_is_none_is_refused(world, body):
    assert 422 == world.as_("wim").post(f"{ROOT}/workers", body).status


def test_nobody_works_in_the_name_of_another(world, worker):
    _, named = worker
    assert 404 == world.as_("ada").post(f"{ROOT}/claims", {"worker": named}).status
    assert 404 == world.as_("ada").post(f"{ROOT}/workers/{named}/heartbeat", {}).status
    assert 404 == world.as_("ada").send("DELETE", f"{ROOT}/workers/{named}").status
