"""News over HTTP: a stream and a long poll, for whoever may view the run, as long as they may."""

from __future__ import annotations

import re
import socket
import time
from contextlib import contextmanager
from threading import Event, Semaphore, Thread

import msgspec
import pytest

from proofgap.access import Role
from proofgap.facts import RunEvent
from proofgap_app.web.api import events
from proofgap_app.web.people import identify
from proofgap_app.web.replies import cursor
from proofgap_app.web.site_settings import Limits
from proofgap_store import Ledger, NewToken
from proofgap_store.gate import Gate
from tests.app.restoring import wait_for
from tests.conformance.lives import ADA, live, prove, settle
from tests.web.serving import served
from tests.web.world import created, led, named

ROOT = "/v1/workspaces/default"


class Stream:
    """A stream as a socket gives it."""

    def __init__(self, client, path, **headers):
        sent = {"Host": f"127.0.0.1:{client.port}", **client.headers, **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in sent.items())
        self.socket = socket.create_connection(("127.0.0.1", client.port), timeout=30)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = msgspec.json.encode([line.decode() for line in iter(self.file.readline, b"\r\n")]).decode()

    def message(self):
        """Give the next message by its fields; ``None``: the stream has ended."""
        fields = {}
        while (line := self.file.readline()) not in {b"", b"0\r\n"}:  # the last chunk of a body is an empty one
            name, colon, value = line.decode().rstrip("\r\n").partition(": ")
            if colon and name in {"event", "id", "data"}:
                fields[name] = value
            if line in {b"\n", b"\r\n"} and "data" in fields:
                return fields
        return None

    def close(self):
        self.file.close()
        self.socket.close()


@contextmanager
def following(client, path, **headers):
    """Follow a stream until the block ends."""
    stream = Stream(client, path, **headers)
    try:
        yield stream
    finally:
        stream.close()


def test_a_stream_names_the_run_and_the_event_and_nothing_of_what_it_came_to(world):
    run = created(world)
    with following(world.as_("olga"), f"{ROOT}/restore-runs/{run}/stream") as stream:
        assert 200 == stream.status
        assert "text/event-stream" in stream.headers
        assert "default-src 'self'" in stream.headers
        receipt = world.ledger.fire(run, RunEvent.SCOPE, ADA)
        message = stream.message()
    data = msgspec.json.decode(message["data"])
    assert ("decision", {"run", "event_id"}, run) == (message["event"], {*data}, data["run"])
    assert receipt.event_id == data["event_id"] == int(message["id"])


def test_a_stream_goes_on_where_the_last_one_ended(world):
    run = created(world)
    before = world.ledger.feed.settled()
    receipt = world.ledger.fire(run, RunEvent.SCOPE, ADA)
    with following(world.as_("olga"), f"{ROOT}/restore-runs/{run}/stream", Last_Event_ID=str(before)) as stream:
        assert receipt.event_id == int(stream.message()["id"])


def test_whoever_comes_from_before_the_ledger_was_restored_hears_what_is_new(world):
    """They name an event that is not there any more: were it waited for, they would hear nothing, and take that for quiet."""
    run, olga = created(world), world.as_("olga")
    gone = world.ledger.feed.settled() + 1_000
    place = olga.get(f"{ROOT}/events?after={cursor(str(gone))}").json["next"]
    with following(olga, f"{ROOT}/restore-runs/{run}/stream", Last_Event_ID=str(gone)) as stream:
        receipt = world.ledger.fire(run, RunEvent.SCOPE, ADA)
        assert receipt.event_id == int(stream.message()["id"])
    assert [{"run": run, "event_id": receipt.event_id}] == olga.get(f"{ROOT}/events?after={place}").json["items"]


def test_a_stream_says_that_it_is_there_also_while_other_runs_move(world, monkeypatch):
    """Whoever hears nothing takes it for lost: a connection that died says nothing either."""
    monkeypatch.setattr(events, "_PING_SECONDS", 0.4)
    run, other = created(world), created(world)
    with following(world.as_("olga"), f"{ROOT}/restore-runs/{run}/stream") as stream:
        stopping = Event()

        def move() -> None:
            while not stopping.wait(0.1):
                world.ledger.fire(other, RunEvent.SCOPE, ADA)

        moving = Thread(target=move)
        moving.start()
        heard = [stream.message(), stream.message()]
        stopping.set()
        moving.join()
    assert heard == [{"event": "ping", "data": "{}"}] * 2


def test_looking_at_a_run_is_no_news_of_it(world):
    """Else a page that is told, and looks, would tell itself again for ever."""
    run = created(world)
    with following(world.as_("olga"), f"{ROOT}/restore-runs/{run}/stream") as stream:
        world.as_("udo").get(f"{ROOT}/restore-runs/{run}/decision")
        receipt = world.ledger.fire(run, RunEvent.SCOPE, ADA)
        assert receipt.event_id == int(stream.message()["id"])


def test_evidence_is_news_for_those_only_who_may_read_it(world):
    run = live(world.ledger, "completed")
    path = f"{ROOT}/restore-runs/{run}/stream"
    with following(world.as_("vera"), path) as vera, following(world.as_("olga"), path) as olga:
        prove(world.ledger, run)
        assert olga.message() is not None
        vera.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            vera.message()
    found = world.as_("vera").get(f"{ROOT}/events?limit=200").json["items"]
    everything = world.as_("udo").get(f"{ROOT}/events?limit=200").json["items"]
    ids = {
        name: {row["event_id"] for row in rows if row["run"] == run}
        for name, rows in (("vera", found), ("udo", everything))
    }
    assert max(ids["vera"]) < max(ids["udo"])


@pytest.mark.parametrize("run", ["rr_nobody", "away"])
def test_there_is_no_stream_of_a_run_that_is_not_there(world, run):
    with following(world.as_("olga"), f"{ROOT}/restore-runs/{world.runs.get(run, run)}/stream") as stream:
        assert 404 == stream.status


def test_a_poll_waits_for_what_comes_and_goes_on_after_it(world):
    olga = world.as_("olga")
    place, rounds = "", 0
    while (page := olga.get(f"{ROOT}/events?limit=200{place}").json)["items"]:
        place, rounds = f"&after={page['next']}", rounds + 1
    found = []
    waiting = Thread(target=lambda: found.append(olga.get(f"{ROOT}/events?wait=30&after={page['next']}").json))
    waiting.start()
    run = created(world)
    waiting.join()
    assert [run] == [row["run"] for row in found[0]["items"]]
    assert [] == olga.get(f"{ROOT}/events?after={found[0]['next']}").json["items"]
    assert rounds > 0


def test_a_poll_sees_no_other_workspace(world):
    def seen(name, workspace):
        return {row["run"] for row in world.as_(name).get(f"/v1/workspaces/{workspace}/events?limit=200").json["items"]}

    assert set() == seen("olga", "away") == seen("sam", "default") == seen("olga", "nowhere")
    assert {world.runs["away"]} == seen("viewer-away", "away")


def test_whoever_loses_the_role_or_the_token_loses_the_stream():
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        run = live(ledger, "draft")
        new = NewToken(
            name="ci",
            workspace="default",
            environment="local",
            roles=(Role.VIEWER,),
            expires_at_us=ledger._clock() + 10**9,
        )
        issued = ledger.sessions.create_token(new, ADA)
        with served(ledger, lambda settings: identify(ledger, settings), poll_seconds=0.05) as client:
            known = client._replace(headers={"Authorization": f"Bearer {issued.secret}"})
            with following(known, f"{ROOT}/restore-runs/{run}/stream") as stream:
                assert 200 == stream.status
                ledger.sessions.revoke_token(issued.token, ADA)
                ledger.fire(run, RunEvent.SCOPE, ADA)
                assert stream.message() is None


def test_streams_of_one_principal_are_few_and_a_server_that_stops_ends_them():
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        run = live(ledger, "draft")
        with served(ledger, named, limits=Limits(streams_of_principal_max=2), poll_seconds=0.05) as client:
            olga = client._replace(headers={"Authorization": "Bearer olga"})
            path = f"{ROOT}/restore-runs/{run}/stream"
            streams = [Stream(olga, path) for _ in range(2)]
            with following(olga, path) as third:
                assert 429 == third.status
                assert "retry-after: 5" in third.headers
            with following(client._replace(headers={"Authorization": "Bearer udo"}), path) as other:
                assert 200 == other.status
        assert [None, None] == [stream.message() for stream in streams]
        for stream in streams:
            stream.close()


def test_however_many_wait_for_news_they_keep_nobody_out(waits):
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        with served(ledger, named, limits=Limits(requests_max=2), poll_seconds=0.05) as client:
            ada = client._replace(headers={"Authorization": "Bearer ada"})
            after = ada.get(f"{ROOT}/events?limit=200").json["next"]
            answers = []
            waiting = [
                Thread(target=lambda: answers.append(ada.get(f"{ROOT}/events?wait=30&after={after}").status))
                for _ in range(4)
            ]
            for number, one in enumerate(waiting, start=1):
                one.start()
                while len(waits.begun) + len(answers) < number:
                    time.sleep(0.01)
            found = ada.get("/healthz").status
            live(ledger, "draft")
            for one in waiting:
                one.join()
    assert (200, [200] * 4) == (found, answers)


def test_news_wakes_all_who_wait_and_keeps_nobody_out_meanwhile(waits, monkeypatch):
    """All of them look at the log at once: as many as may wait, which is more than there may be requests."""
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        looking, go_on, news = Semaphore(0), Event(), type(ledger.feed).news

        def slow(self, wanted, actor, *, upto=None):
            if upto is not None:  # whoever has waited
                looking.release()
                go_on.wait()
            return news(self, wanted, actor, upto=upto)

        monkeypatch.setattr(type(ledger.feed), "news", slow)
        with served(ledger, named, limits=Limits(requests_max=2), poll_seconds=0.05) as client:
            ada = client._replace(headers={"Authorization": "Bearer ada"})
            after = ada.get(f"{ROOT}/events?limit=200").json["next"]
            poll = f"{ROOT}/events?wait=30&after={after}"
            waiting = [Thread(target=ada.get, args=(poll,)) for _ in range(2)]
            for number, one in enumerate(waiting, start=1):
                one.start()
                wait_for(lambda number=number: len(waits.begun) == number)
            try:
                live(ledger, "draft")
                assert all(looking.acquire(timeout=10) for _ in waiting)
                found = ada.get("/healthz").status
            finally:
                go_on.set()
                for one in waiting:
                    one.join()
    assert 200 == found


def test_whoever_leaves_while_they_wait_takes_nobodys_place(waits):
    """A list whose reader has gone on would else keep the next ones from following, for as long as it would have waited."""
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        limits = Limits(streams_of_principal_max=1)
        with served(ledger, named, limits=limits, poll_seconds=0.05) as client:
            ada = client._replace(headers={"Authorization": "Bearer ada"})
            after = ada.get(f"{ROOT}/events?limit=200").json["next"]
            with ada.asking("GET", f"{ROOT}/events?wait=30&after={after}"):
                wait_for(lambda: bool(waits.begun))
                assert 429 == ada.get(f"{ROOT}/events").status
            wait_for(lambda: ada.get(f"{ROOT}/events").status == 200, seconds=20)


def test_whoever_loses_the_session_while_they_wait_is_told_nothing(waits):
    gone = []

    def leaving(_settings):
        who = named(_settings)
        return lambda request: None if gone else who(request)

    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        settle(ledger)
        with served(ledger, leaving, poll_seconds=0.05) as client:
            ada = client._replace(headers={"Authorization": "Bearer ada"})
            after = ada.get(f"{ROOT}/events?limit=200").json["next"]
            answers = []
            waiting = Thread(target=lambda: answers.append(ada.get(f"{ROOT}/events?wait=30&after={after}")))
            waiting.start()
            while not waits.begun:
                time.sleep(0.01)
            gone.append(True)
            live(ledger, "draft")
            waiting.join()
    assert 401 == answers[0].status


@pytest.mark.parametrize("path", ["/runs/{run}", "/runs?state=in_progress"])
def test_a_page_hears_of_what_moved_after_its_facts_were_read_and_before_it_was_recorded_as_shown(
    world, monkeypatch, path
):
    """The page does not show it, though its number is below that of the page: else it would stay old until the next event."""
    run, insert, moved = led(world.ledger, "running"), Gate._insert, []

    def move_first(self, *given):
        monkeypatch.setattr(Gate, "_insert", insert)
        moved.append(world.ledger.fire(run, RunEvent.COMPLETE, ADA).event_id)
        return insert(self, *given)

    monkeypatch.setattr(Gate, "_insert", move_first)
    page = world.as_("olga").get(path.format(run=run)).body.decode()
    assert "Execution in progress" in page
    place = re.search(r'(?:stream\?after|data-after)="?=?"?([^"&]+)', page)[1]
    found = world.as_("olga").get(f"{ROOT}/events?after={place}").json["items"]
    assert [{"run": run, "event_id": moved[0]}] == found
