"""The same server on a ledger on PostgreSQL: one day of a worker, an operator and an auditor, by token and by session."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.facts import RunEvent
from proofgap_app.web.bell import Bell
from proofgap_app.web.people import identify
from proofgap_store import Ledger, NewToken
from tests import postgresql
from tests.app.restoring import wait_for
from tests.conformance.lives import ADA, live, prove, settle
from tests.store.test_postgresql import denial
from tests.web.serving import served
from tests.web.test_events import following
from tests.web.world import named

ROOT = "/v1/workspaces/default"


@pytest.fixture
def url():
    """A database for one ledger."""
    with postgresql.database() as given:
        yield given


@pytest.fixture
def ledger(url, tmp_path):
    """A ledger on PostgreSQL, with everybody in their role."""
    with (
        Ledger.open(url, owner=ADA.id, synchronous="NORMAL", key=tmp_path / "key", head=tmp_path / "head") as opened,
    ):
        yield settle(opened)


def test_a_run_is_led_from_draft_to_its_decision_and_followed_on_the_way(ledger):
    new = NewToken(
        name="all",
        workspace="default",
        environment="local",
        roles=(Role.OPERATOR, Role.WORKER, Role.AUDITOR),
        expires_at_us=ledger._clock() + 10**9,
    )
    issued = ledger.sessions.create_token(new, ADA)
    with served(ledger, lambda settings: identify(ledger, settings), poll_seconds=0.05) as site:
        client = site._replace(headers={"Authorization": f"Bearer {issued.secret}"})
        run = client.post(f"{ROOT}/restore-runs", {"environment": "local"}, Idempotency_Key="new").json["run"]
        with following(client, f"{ROOT}/restore-runs/{run}/stream") as stream:
            for number, event in enumerate(("scope", "check", "preview", "queue"), 1):
                sent = {"Idempotency_Key": event, "If_Match": f'"{number}"'}
                assert 201 == client.post(f"{ROOT}/restore-runs/{run}/transitions", {"event": event}, **sent).status
            assert run in stream.message()["data"]
        worker = client.post(f"{ROOT}/workers", {"name": "w"}).json["id"]
        claim = client.post(f"{ROOT}/claims", {"worker": worker}).json
        fence = {"Fencing_Token": claim["token"]}
        batch = [{"key": "a", "result": "succeeded"}]
        stored = client.post(f"{ROOT}/restore-runs/{run}/item-outcomes", batch, **fence).json
        sent = {"Idempotency_Key": "end", "If_Match": f'"{stored["version"]}"', **fence}
        assert 201 == client.post(f"{ROOT}/restore-runs/{run}/transitions", {"event": "complete"}, **sent).status
        assert (
            "completed_proof_incomplete" == client.get(f"{ROOT}/restore-runs/{run}/decision").json["decision"]["state"]
        )
        assert [run] == [row["run"] for row in client.get(f"{ROOT}/events").json["items"]]
        assert len(client.get(f"{ROOT}/restore-runs/{run}/transitions").json["items"]) == stored["version"] + 1
        exported = client.get(f"{ROOT}/audit-events/export")
        assert (200, True) == (exported.status, run.encode() in exported.body)
        assert b"proofgap_workers 1\n" in client.get("/metrics").body
        link = ledger.sessions.offer(Actor(id="vera", via="page"), 60)
        kept = site.get(f"/sign-in?token={link.secret}").headers["set-cookie"].partition(";")[0]
        assert [run] == [row["run"]["id"] for row in site.get(f"{ROOT}/restore-runs", Cookie=kept).json["items"]]
        ledger.sessions.revoke_token(issued.token, ADA)
        assert 401 == client.get(f"{ROOT}/restore-runs").status


def test_the_log_tells_whoever_may_not_read_evidence_of_none_there_either(ledger):
    run = live(ledger, "completed")
    snapshot = prove(ledger, run)
    around = ledger.desk.around(run, "wim")
    assert snapshot not in repr((ledger.history(run, "wim"), ledger.desk.log(run, Actor(id="wim")), around.trail))
    assert snapshot in repr(ledger.history(run, "olga"))
    assert ledger.feed.moves(run, Actor(id="wim"))
    assert ledger.audit.is_all(ADA)


def test_what_was_behind_a_write_that_was_under_way_is_told_when_that_is_over(ledger, url, monkeypatch):
    """Else a page would show an old decision until somebody happens to write something else."""
    run, look, looks = live(ledger, "draft"), Bell._look, []

    async def looked(self):
        await look(self)
        looks.append(self.reached)

    monkeypatch.setattr(Bell, "_look", looked)
    with (
        served(ledger, named, poll_seconds=0.05) as client,
        following(client, f"{ROOT}/restore-runs/{run}/stream", Authorization="Bearer olga") as stream,
        closing(psycopg.connect(url)) as held,
    ):
        held.execute("SET search_path = proofgap")
        held.execute("INSERT INTO audit_event (payload, leaf) VALUES (%s, %s)", denial(ledger))
        moved, before = ledger.fire(run, RunEvent.SCOPE, ADA).event_id, len(looks)
        wait_for(lambda: len(looks) > before + 1)  # the first may have begun before the event was there
        assert looks[-1] < moved
        held.rollback()
        assert str(moved) == stream.message().get("id")
