"""The API as a worker, an operator and an auditor use it: what is answered, and that it is safe to send again."""

from __future__ import annotations

import html
import re
import tempfile
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import count
from threading import Event, Semaphore
from urllib.parse import quote

import pytest

from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item
from proofgap_store import exporting
from tests.conformance.lives import ADA, UDO, live
from tests.web.world import created, led

ROOT = "/v1/workspaces/default/restore-runs"


NUMBERS = count()


def key():
    """Give a new idempotency key."""
    return f"k{next(NUMBERS)}"


def fire(client, run, event, version, **sent):
    """Fire an event on a version of a run."""
    headers = {"Idempotency_Key": key(), "If_Match": f'"{version}"'}
    return client.post(f"{ROOT}/{run}/transitions", {"event": event, **sent}, **headers)


def test_a_run_is_led_from_draft_to_its_decision(world):
    olga, wim = world.as_("olga"), world.as_("wim")
    made = olga.post(ROOT, {"environment": "local", "details": {"backup": "b.tar"}}, Idempotency_Key=key())
    run = made.json["run"]
    assert (201, f"{ROOT}/{run}", '"1"') == (made.status, made.headers["location"], made.headers["etag"])
    version = 1
    for client, event in ((olga, "scope"), (olga, "check"), (olga, "preview"), (olga, "queue"), (wim, "start")):
        answer = fire(client, run, event, version)
        assert 201 == answer.status, answer
        version = answer.json["version"]
    batch = b'{"key": "a", "result": "succeeded"}\n{"key": "b", "result": "succeeded"}\n'
    stored = wim.post(f"{ROOT}/{run}/item-outcomes", batch, Content_Type="application/x-ndjson")
    assert (202, 2) == (stored.status, stored.json["stored"])
    assert 201 == fire(wim, run, "complete", stored.json["version"]).status
    decision = olga.get(f"{ROOT}/{run}/decision").json
    assert ("completed_proof_incomplete", "olga") == (decision["decision"]["state"], decision["viewer"])
    assert ["Execution proof available"] == decision["decision"]["claims"]["allowed"]
    check = {"subject": "a", "method": "sha256", "level": "L5", "result": "passed"}
    put = world.as_("wim").send("PUT", f"{ROOT}/{run}/evidence/first", {"checks": [check]})
    assert (201, "active") == (put.status, put.json["status"])
    again = world.as_("wim").send("PUT", f"{ROOT}/{run}/evidence/first", {"checks": [check]})
    assert (200, put.json) == (again.status, again.json)
    found = olga.get(f"{ROOT}/{run}/evidence/{put.json['snapshot_id']}").json
    assert [check] == found["checks"]
    assert "completed_with_evidence" == olga.get(f"{ROOT}/{run}/decision").json["decision"]["state"]


def test_a_retry_of_a_success_gets_the_same_answer_although_the_run_moved_on(world):
    run, olga = created(world), world.as_("olga")
    sent = {"Idempotency_Key": f"once-{run}", "If_Match": '"1"'}
    first = olga.post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent)
    again = olga.post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent)
    assert (201, 201) == (first.status, again.status)
    assert first.body == again.body
    assert ("true", None) == (again.headers["idempotent-replayed"], first.headers.get("idempotent-replayed"))
    other = olga.post(f"{ROOT}/{run}/transitions", {"event": "cancel"}, **sent)
    assert (422, "idempotency-key-reused") == (other.status, other.json["code"])


def test_of_two_workers_who_fire_at_once_one_gets_through(world):
    run = created(world)

    def scope(name):
        return fire(world.as_(name), run, "scope", 1)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(scope, ("olga", "wim")))
    assert [201, 412] == sorted(answer.status for answer in answers)
    lost = next(answer for answer in answers if answer.status == 412)
    assert ("version-mismatch", 2) == (lost.json["code"], lost.json["current_version"])


def test_two_retries_at_once_are_one_event(world):
    run = created(world)

    def scope(_number):
        sent = {"Idempotency_Key": f"twice-{run}", "If_Match": '"1"'}
        return world.as_("olga").post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(scope, range(4)))
    assert [201] * 4 == [answer.status for answer in answers]
    assert 1 == len({answer.body for answer in answers})
    assert 3 == sum("idempotent-replayed" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"If_Match": '"1"'}, 400, "idempotency-key-missing"),
        ({"Idempotency_Key": "n1"}, 428, "precondition-required"),
        ({"Idempotency_Key": "n2", "If_Match": "*"}, 428, "precondition-required"),
        ({"Idempotency_Key": "n3", "If_Match": '"9"'}, 412, "version-mismatch"),
        ({"Idempotency_Key": "n4", "If_Match": 'W/"1"'}, 412, "version-mismatch"),
        ({"Idempotency_Key": "n5", "If_Match": '"1", "2"'}, 412, "version-mismatch"),
        ({"Idempotency_Key": "x" * 201, "If_Match": '"1"'}, 422, "invalid-request"),
        ({"Idempotency_Key": "", "If_Match": '"1"'}, 422, "invalid-request"),
    ],
)
def test_an_event_without_key_or_version_changes_nothing(world, sent, status, code):
    run = created(world)
    answer = world.as_("olga").post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent)
    assert (status, code) == (answer.status, answer.json["code"])
    assert 1 == world.as_("olga").get(f"{ROOT}/{run}").json["version"]


def test_a_refused_event_says_what_would_be_allowed_and_is_recorded(world):
    run = created(world)
    answer = fire(world.as_("wim"), run, "start", 1)
    assert (409, "transition-not-allowed") == (answer.status, answer.json["code"])
    assert ("draft", ["scope", "cancel"]) == (answer.json["current_state"], answer.json["allowed"])
    last = world.as_("udo").get(f"{ROOT}/{run}/transitions").json["items"][-1]
    assert (True, "start", "draft") == (last["refused"], last["event"], last["source"])


def test_a_guard_that_says_no_is_named(world):
    answer = world.as_("wim").send("PUT", f"{ROOT}/{created(world)}/evidence/early", {"checks": []})
    assert (409, "guard-failed") == (answer.status, answer.json["code"])
    assert answer.json["guard"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"event": "explode"}, "/event"),
        ({}, "/event"),
        ({"event": "scope", "speed": 1}, "/speed"),
        ({"event": "scope", "given": {"backup": 7}}, "/given/backup"),
        ({"event": "scope", "given": {"counts": {"total": -1}}}, "/given/counts/total"),
        ({"event": "scope", "note": "bell\u0007"}, "/note"),
        ({"event": "scope", "given": {"backup": "a\u202eb"}}, "/given/backup"),
        ({"event": "scope", "given": {"counts": {"total": 1}}}, "/given/counts"),
        ({"event": "scope", "given": {"options": ["compact"]}}, "/given/options"),
        ({"event": "scope", "given": {"options": ["password=x"]}}, "/given/options"),
        ([], ""),
    ],
)
def test_what_is_wrong_with_a_body_is_named_by_its_place(world, body, pointer):
    run = created(world)
    sent = {"Idempotency_Key": key(), "If_Match": '"1"'}
    answer = world.as_("olga").post(f"{ROOT}/{run}/transitions", body, **sent)
    assert (422, "invalid-request") == (answer.status, answer.json["code"]), answer
    assert [pointer] == [mistake["pointer"] for mistake in answer.json["errors"]] or not pointer


@pytest.mark.parametrize(
    ("details", "pointer"),
    [({"backup": "a\u202eb"}, "/details/backup"), ({"requested_by": "ada"}, "/details/requested_by")],
)
def test_what_is_wrong_with_a_new_run_is_named_by_its_place_in_the_body(world, details, pointer):
    sent = {"environment": "local", "details": details}
    answer = world.as_("olga").post(ROOT, sent, Idempotency_Key=key())
    assert (422, [pointer]) == (answer.status, [mistake["pointer"] for mistake in answer.json["errors"]])


PASSED = {"subject": "a", "method": "sha256", "level": "L2", "result": "passed"}


def test_evidence_that_has_the_name_of_another_is_a_conflict_and_the_name_may_be_as_long_as_any_id(world):
    """A key that nobody sent was said to be used, or to be too long."""
    run, wim, name = live(world.ledger, "completed"), world.as_("wim"), "n" * 200
    path = f"{ROOT}/{run}/evidence/{name}"
    assert [201, 200] == [wim.send("PUT", path, {"checks": [PASSED]}).status for _ in range(2)]
    other = wim.send("PUT", path, {"checks": [{**PASSED, "subject": "another"}]})
    assert (409, "conflict") == (other.status, other.json["code"])
    assert "There is another comparison under the name" in other.json["detail"]
    assert 1 == len(world.as_("olga").get(f"{ROOT}/{run}/evidence").json["items"])


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"checks": [PASSED | {"result": "failed"}], "details": {"verdict": "match"}}, "/details/verdict"),
        ({"checks": [PASSED], "details": {"level": "L6"}}, "/details/level"),
        ({"checks": [PASSED], "details": {"checks_total": 1}}, "/details/checks_total"),
        ({"checks": [PASSED | {"subject": "a\u202eb"}]}, "/checks/subject"),
    ],
)
def test_evidence_that_is_refused_leaves_none_behind_that_seems_to_be_under_way(world, sent, pointer):
    run, client = led(world.ledger, "completed"), world.as_("wim")
    answer = client.send("PUT", f"{ROOT}/{run}/evidence/odd", sent)
    assert (422, [pointer]) == (answer.status, [mistake["pointer"] for mistake in answer.json["errors"]])
    assert [] == world.as_("olga").get(f"{ROOT}/{run}/evidence").json["items"]
    assert 201 == client.send("PUT", f"{ROOT}/{run}/evidence/odd", {"checks": [PASSED]}).status


def test_evidence_that_is_over_already_is_closed_as_failed(world):
    run, client = led(world.ledger, "completed"), world.as_("wim")
    answer = client.send("PUT", f"{ROOT}/{run}/evidence/old", {"checks": [PASSED], "details": {"expires_at_us": 1}})
    assert (422, "/details/expires_at_us") == (answer.status, answer.json["errors"][0]["pointer"])
    assert ["failed"] == [row["status"] for row in world.as_("olga").get(f"{ROOT}/{run}/evidence").json["items"]]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"event": NaN}', "application/json", 400),
        (b'{"event": "scope"}', "text/plain", 415),
        (b"event=scope", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_no_json_is_refused(world, body, kind, status):
    run = created(world)
    sent = {"Idempotency_Key": key(), "If_Match": '"1"', "Content_Type": kind}
    assert status == world.as_("olga").post(f"{ROOT}/{run}/transitions", body, **sent).status


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=1&limit=2",
        "speed=1",
        "after=%FF",
        "after=!!",
        "decision=great",
        "environment=%00",
        "limit=1;2",
        "%",
    ],
)
def test_a_query_that_is_not_understood_is_refused(world, query):
    assert world.as_("olga").get(f"{ROOT}?{query}").status in {400, 422}


def test_every_run_is_on_exactly_one_page_of_a_list(world):
    olga, seen, path = world.as_("olga"), [], f"{ROOT}?limit=3"
    while path:
        answer = olga.get(path)
        seen += [row["run"]["id"] for row in answer.json["items"]]
        link = answer.headers.get("link")
        assert (link is None) == (answer.json["next"] is None)
        path = link and link.partition(">")[0].lstrip("<")
    assert len(seen) == len({*seen})
    assert {*seen} >= {run for name, run in world.runs.items() if name not in {"away", "snapshot"}}
    assert world.runs["away"] not in seen


def test_a_list_is_narrowed_by_decision(world):
    for state in ("failed", "needs_review", "completed_with_evidence"):
        items = world.as_("olga").get(f"{ROOT}?decision={state}").json["items"]
        assert {state} == {row["decision"]["state"] for row in items}


def test_a_version_that_the_caller_has_is_not_sent_again(world):
    run, olga = world.runs["failed"], world.as_("olga")
    first = olga.get(f"{ROOT}/{run}")
    again = olga.get(f"{ROOT}/{run}", If_None_Match=first.headers["etag"])
    assert (304, b"") == (again.status, again.body)
    assert "Authorization, Cookie" == first.headers["vary"]
    decision = olga.get(f"{ROOT}/{run}/decision")
    known = {"If_None_Match": decision.headers["etag"]}
    assert 304 == olga.get(f"{ROOT}/{run}/decision", **known).status
    assert 200 == world.as_("udo").get(f"{ROOT}/{run}/decision", **known).status


def test_that_a_decision_was_shown_is_an_event_and_can_be_read_again(world):
    run, olga = world.runs["completed_with_evidence"], world.as_("olga")
    shown = olga.get(f"{ROOT}/{run}/decision").json
    assert shown == olga.get(f"{ROOT}/{run}/decisions/{shown['event_id']}").json
    assert shown == world.as_("udo").get(f"{ROOT}/{run}/decisions/{shown['event_id']}").json
    for name in ("otto", "vera", "wim"):
        assert 404 == world.as_(name).get(f"{ROOT}/{run}/decisions/{shown['event_id']}").status
    for number in ("1", "999999", "x", "-1", "1.0", str(10**30)):
        assert 404 == olga.get(f"{ROOT}/{run}/decisions/{number}").status


def test_nobody_is_shown_a_decision_before_they_want_it(world):
    before = world.ledger.feed.settled()
    run = world.runs["failed"]
    assert 400 == world.as_("olga").get(f"{ROOT}/{run}/decision", Sec_Purpose="prefetch").status
    assert before == world.ledger.feed.settled()


def test_what_a_caller_may_fire_is_theirs_and_not_somebody_elses(world):
    run = world.runs["in_progress"]
    allowed = {name: {*world.as_(name).get(f"{ROOT}/{run}").json["allowed_events"]} for name in ("olga", "wim", "vera")}
    assert "complete" in allowed["wim"]
    assert "complete" not in allowed["olga"]
    assert "request_cancel" in allowed["olga"]
    assert set() == allowed["vera"]


@pytest.mark.parametrize(
    ("batch", "status"),
    [
        (b"[]", 422),
        (b'[{"key": "a", "result": "succeeded"}, {"key": "a", "result": "failed"}]', 422),
        (b'[{"key": "", "result": "succeeded"}]', 422),
        (b'[{"key": "a", "result": "great"}]', 422),
        (b'[{"key": "a"}]', 422),
        (b'{"key": "a", "result": "succeeded"}', 422),
        (b"[" + b",".join(b'{"key": "%d", "result": "skipped"}' % n for n in range(1001)) + b"]", 422),
        (b'[{"key": "k0", "result": "succeeded"}]', 409),
    ],
)
def test_a_batch_that_is_not_right_is_stored_by_no_part(world, batch, status):
    run = created(world)
    version = 1
    for event in ("scope", "check", "preview", "queue", "start"):
        version = fire(world.as_("ada"), run, event, version).json["version"]
    wim = world.as_("wim")
    assert 202 == wim.post(f"{ROOT}/{run}/item-outcomes", [{"key": "k0", "result": "succeeded"}]).status
    assert status == wim.post(f"{ROOT}/{run}/item-outcomes", batch, Content_Type="application/json").status
    assert ["k0"] == [item["key"] for item in wim.get(f"{ROOT}/{run}/item-outcomes").json["items"]]


def test_items_are_read_page_by_page_and_by_result(world):
    run, vera = world.runs["needs_review"], world.as_("vera")
    first = vera.get(f"{ROOT}/{run}/item-outcomes?limit=2").json
    rest = vera.get(f"{ROOT}/{run}/item-outcomes?after={first['next']}").json
    assert ["k0", "k1", "k2", "k3", "k4"] == [item["key"] for item in [*first["items"], *rest["items"]]]
    failed = vera.get(f"{ROOT}/{run}/item-outcomes?result=failed").json
    assert (["k0"], None) == ([item["key"] for item in failed["items"]], failed["next"])


def test_evidence_that_checked_nothing_is_refused_and_looks_like_none(world):
    run = created(world)
    version = 1
    for event in ("scope", "check", "preview", "queue", "start", "complete"):
        version = fire(world.as_("ada"), run, event, version).json["version"]
    answer = world.as_("wim").send("PUT", f"{ROOT}/{run}/evidence/empty", {"checks": []})
    assert (409, "guard-failed") == (answer.status, answer.json["code"])
    assert ["failed"] == [row["status"] for row in world.as_("olga").get(f"{ROOT}/{run}/evidence").json["items"]]
    assert "completed_proof_incomplete" == world.as_("olga").get(f"{ROOT}/{run}/decision").json["decision"]["state"]


def test_withheld_evidence_reads_exactly_like_absent_evidence(world):
    has, lacks = world.runs["completed_with_evidence"], world.runs["completed_proof_incomplete"]
    for name in ("vera", "wim"):
        client = world.as_(name)
        assert {"items": []} == client.get(f"{ROOT}/{has}/evidence").json == client.get(f"{ROOT}/{lacks}/evidence").json
        decisions = [client.get(f"{ROOT}/{run}/decision").json["decision"] for run in (has, lacks)]
        assert decisions[0]["evidence"] == decisions[1]["evidence"]
        answers = [client.get(f"{ROOT}/{run}/evidence/{world.runs['snapshot']}") for run in (has, lacks)]
        assert [404, 404] == [answer.status for answer in answers]
        assert answers[0].json["detail"] == answers[1].json["detail"]


def test_an_auditor_reads_the_log_by_its_exact_bytes_and_misses_nothing(world):
    udo, after, seen = world.as_("udo"), "", []
    while True:
        page = udo.get(f"/v1/workspaces/default/audit-events?limit=200{after}").json
        if not page["items"]:
            break
        seen += page["items"]
        after = f"&after={page['next']}"
    numbers = [event["event_id"] for event in seen]
    assert numbers == sorted({*numbers})
    assert {event["entry"]["ws"] for event in seen} == {"default"}
    raw = udo.get("/v1/workspaces/default/audit-events?limit=1").body
    entry = raw.partition(b'"entry":')[2].partition(b',"openings"')[0]
    assert seen[0]["leaf"] == sha256(b"\x00" + entry).hexdigest()
    kinds = udo.get("/v1/workspaces/default/audit-events?kind=restore.run.created&limit=200").json["items"]
    assert {"restore.run.created"} == {event["entry"]["type"] for event in kinds}


@pytest.mark.parametrize("asked", ["bytes=0-10", "bytes=0-1,3-4", "bytes=999999999-", "bytes=abc", "lines=1-2"])
def test_an_export_is_given_whole_whatever_part_of_it_is_asked_for_and_leaves_no_file_behind(
    world, asked, tmp_path, monkeypatch
):
    """That it was given is an event, which names the digest of all of it; a range that is none kept the file here for ever."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = world.as_("udo").get("/v1/workspaces/default/audit-events/export", Range=asked)
    assert (200, "none") == (answer.status, answer.headers["accept-ranges"])
    digest = b64encode(sha256(answer.body).digest()).decode()
    assert f"sha-256=:{digest}:" == answer.headers["repr-digest"]
    ends = time.monotonic() + 5  # it goes when the answer has ended, which the client may see a little earlier
    while [*tmp_path.iterdir()] and time.monotonic() < ends:
        time.sleep(0.01)
    assert [] == [*tmp_path.iterdir()]


def test_exports_are_written_for_few_at_once_so_that_they_take_no_thread_from_everybody(world, tmp_path, monkeypatch):
    """Of a long log each takes a minute, and goes on also where its client gave up and came again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path, begun, go_on, write = "/v1/workspaces/default/audit-events/export", Semaphore(0), Event(), exporting.export

    def slow(*given):
        begun.release()
        assert go_on.wait(30)
        return write(*given)

    monkeypatch.setattr(exporting, "export", slow)
    udo = world.as_("udo")
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(udo.get, path) for _ in range(2)]
        try:
            assert all(begun.acquire(timeout=10) for _ in held)
            third, barred = udo.get(path), world.as_("vera").get(path)
            files = len([*tmp_path.iterdir()])
        finally:
            go_on.set()
        assert [200, 200] == [one.result().status for one in held]
    assert (429, "10", 403, 2) == (third.status, third.headers["retry-after"], barred.status, files)
    assert 200 == udo.get(path).status


def test_the_log_is_taken_out_as_a_file_by_an_event(world):
    answer = world.as_("udo").get("/v1/workspaces/default/audit-events/export?format=jsonl")
    assert (200, "application/x-ndjson") == (answer.status, answer.headers["content-type"])
    event = world.ledger.audit.get(int(answer.headers["proofgap-event"]), UDO)
    assert ("audit.exported", sha256(answer.body).hexdigest()) == (event.entry["type"], event.entry["data"]["sha256"])
    assert event.entry["data"]["count"] == len(answer.body.splitlines())


def test_the_machine_comes_in_the_form_that_is_asked_for(world):
    path, vera = "/v1/workspaces/default/machine", world.as_("vera")
    assert "draft" == vera.get(path).json["states"][0]["status"]
    assert b"stateDiagram" in vera.get(path, Accept="text/vnd.mermaid").body
    assert b"<svg" in vera.get(path, Accept="image/svg+xml").body
    assert 406 == vera.get(path, Accept="image/png").status


def test_a_name_in_any_script_is_answered_for_and_can_be_gone_on_from(world):
    """Header fields hold no such letters: the run was created, and the answer was 500."""
    workspace = "łódź"
    world.ledger.access.declare_environment((workspace, "wüste"), ADA)
    ada, path = world.as_("ada"), f"/v1/workspaces/{quote(workspace)}/restore-runs"
    made = [ada.post(path, {"environment": "wüste"}, Idempotency_Key=key()) for _ in range(2)]
    assert [201, 201] == [answer.status for answer in made]
    assert made[0].json["run"] == ada.get(made[0].headers["location"]).json["id"]
    page = ada.get(f"{path}?limit=1&environment={quote('wüste')}")
    assert made[1].json["run"] == page.json["items"][0]["run"]["id"]
    following = page.headers["link"].partition(">")[0].lstrip("<")
    assert made[0].json["run"] == ada.get(following).json["items"][0]["run"]["id"]


def test_a_list_of_items_is_gone_on_from_an_item_with_the_longest_name_that_a_file_may_have(world):
    run = led(world.ledger, "running")
    names = sorted(f"{number}/{'ü' * 2_047}" for number in range(3))
    world.ledger.fire(run, RunEvent.REPORT, ADA, items=[Item(key=name, result=ItemResult.FAILED) for name in names])
    path, seen, asked = f"{ROOT}/{run}/item-outcomes", [], "?limit=1"
    while asked:
        page = world.as_("olga").get(path + asked)
        assert 200 == page.status, page.json
        seen += [item["key"] for item in page.json["items"]]
        asked = page.json["next"] and f"?limit=1&after={page.json['next']}"
    assert names == seen


def test_the_page_of_items_is_gone_on_from_the_longest_name_of_a_file_too(world):
    run = led(world.ledger, "running")
    names = [f"{number:03}/{'a' * 4_092}" for number in range(120)]
    items = [Item(key=name, result=ItemResult.FAILED) for name in names]
    world.ledger.fire(run, RunEvent.REPORT, ADA, items=items)
    olga, following, seen = world.as_("olga"), f"/runs/{run}/items", []
    while following:
        found = olga.get(following, Accept="text/html")
        assert 200 == found.status
        page = found.body.decode()
        seen += re.findall(r">(\d{3})/aaa", page)
        following = next((html.unescape(link) for link in re.findall(r'href="([^"]*after=[^"]*)"', page)), None)
    assert [name[:3] for name in names] == list(dict.fromkeys(seen))
