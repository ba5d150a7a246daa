"""What operators do from the page: each form does what it says, under the guards that hold everywhere, or nothing."""

from __future__ import annotations

import zipfile
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.errors import RefusedError
from proofgap.facts import EndReason, RunEvent
from proofgap.records import PreviewFacts, RunDetails
from proofgap_app.web.pages import addresses
from proofgap_app.web.site_settings import SignIn
from tests.browser.conftest import arriving, narrow
from tests.browser.reading import tags_of, text_of
from tests.browser.site import as_, identify
from tests.browser.test_run_page import RULES
from tests.browser.world import Maker, items
from tests.conformance.lives import ADA, HOME, OLGA, OTTO, UDO, VERA, WIM, denials_beside, last, log_since, tables
from tests.web.serving import served

FORM = {"Content_Type": "application/x-www-form-urlencoded"}


def send(client, path, who="olga", **fields):
    """Send a form as somebody; give the answer."""
    origin = f"http://127.0.0.1:{client.port}"
    return as_(client, who).send("POST", path, urlencode(fields).encode(), Origin=origin, **FORM)


def record(ledger, run_id):
    """Read a run as it stands."""
    return ledger.peek(run_id, ADA)


def typed(page):
    """Give what stands in the fields of a page, by their names."""
    return {found["name"]: found["value"] for tag, found in tags_of(page) if tag == "input"}


def fields_of(client, path, who="ada"):
    """Open the page of a form; give what it sends as it is."""
    return typed(as_(client, who).get(path).body.decode())


@pytest.fixture
def backup(tmp_path):
    """A small archive, and a place to restore it into."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.txt", "alpha")
        archive.writestr("deep/c.txt", "gamma" * 100)
    return {"backup": str(tmp_path / "b.zip"), "target": str(tmp_path / "target")}


def made(client, backup, **more):
    """Create a draft from the page; give its id."""
    answer = send(client, "/new", scope="default/local", **backup, **more)
    assert answer.status == 303, answer.body
    return answer.headers["location"].rpartition("/")[2]


def test_a_run_is_created_previewed_and_queued_from_the_page(client, ledger, backup, tmp_path):
    run_id = made(client, backup, purpose="exercise")
    assert (record(ledger, run_id).status, record(ledger, run_id).details.requested_by) == ("draft", "olga")
    how = as_(client, "olga").get(addresses.run(run_id, "preparation")).body.decode()
    assert f"proofgap run prepare {run_id}" in how
    assert send(client, addresses.run(run_id, "prepare")).status == 303
    shown = record(ledger, run_id)
    assert (shown.status, shown.details.preview.created, shown.details.driver) == ("previewed", 2, "files")
    assert not (tmp_path / "target").exists()
    page = as_(client, "olga").get(addresses.run(run_id, "preview")).body.decode()
    assert "Would be created\n2\n" in text_of(page)
    assert "Type the environment's name, local, to confirm" in text_of(page)
    wrong = send(client, addresses.run(run_id, "queue"), version=shown.version, confirm="locale")
    assert (wrong.status, record(ledger, run_id).status) == (422, "previewed")
    assert f'href="{addresses.run(run_id)}"' in wrong.body.decode()
    assert "what errors names" not in text_of(wrong.body.decode())
    assert send(client, addresses.run(run_id, "queue"), version=shown.version, confirm="local").status == 303
    assert record(ledger, run_id).status == "queued"


def test_a_retry_is_previewed_with_what_was_selected_and_not_with_everything(client, ledger, backup):
    first = made(client, backup)
    wanted = {"select": ("deep/*",), "overwrite": True, "driver": "files"}
    Maker(ledger).fire(first, "scope", OLGA, **wanted)
    ledger.fire(first, RunEvent.CANCEL, OLGA)
    run_id = send(client, addresses.run(first, "retry")).headers["location"].rpartition("/")[2]
    page = as_(client, "olga").get(addresses.run(run_id, "preparation")).body.decode()
    assert 'name="overwrite" value="yes" checked' in page
    assert send(client, addresses.run(run_id, "prepare"), overwrite="yes").status == 303
    details = record(ledger, run_id).details
    assert (details.select, details.overwrite, details.preview.created) == (("deep/*",), True, 1)


def test_what_was_restored_before_is_offered_for_the_next_run(client, ledger, runs, backup):
    made(client, backup)
    page = text_of(as_(client, "olga").get("/new?scope=default/local").body.decode())
    assert backup["backup"] in page
    assert "/srv/backups/nightly-2026-11-21.tar.gz" in page
    assert "There is no environment" in text_of(as_(client, VERA.id).get("/new").body.decode())


def test_a_backup_that_cannot_be_read_blocks_the_run_and_the_page_says_why(client, ledger, backup, tmp_path):
    (tmp_path / "b.zip").write_bytes(b"PK no archive")
    run_id = made(client, backup)
    answer = send(client, addresses.run(run_id, "prepare"))
    assert answer.status >= 400
    assert record(ledger, run_id).status == "cancelled"
    said = text_of(as_(client, "olga").get(addresses.run(run_id, "blocker")).body.decode())
    assert "Ended by\na blocker" in said


def test_a_run_that_names_no_target_is_not_prepared_and_stays_as_it_is(client, ledger):
    run_id = Maker(ledger).new(wanted=RunDetails(backup="b.zip"), actor=OLGA)
    before = last(ledger)
    answer = send(client, addresses.run(run_id, "prepare"))
    assert (answer.status, record(ledger, run_id).status, log_since(ledger, before)) == (422, "draft", [])


def draft_that_needs_approval(ledger):
    """Create a draft as olga where otto could approve it; give who makes runs, and its id."""
    ledger.access.declare_environment((HOME[0], "strict"), ADA, approvals_required=1)
    for actor in (OLGA, OTTO):
        ledger.access.grant(actor.id, "operator", (HOME[0], "strict"), ADA)
    make = Maker(ledger)
    return make, make.new(environment="strict", actor=OLGA)


def test_where_approvals_are_needed_a_second_person_gives_them_and_the_first_cannot(client, ledger):
    make, run_id = draft_that_needs_approval(ledger)
    make.fire(run_id, "scope", OLGA)
    make.fire(run_id, "check", OLGA, plan_digest="p1")
    make.fire(run_id, "preview", OLGA, preview=PreviewFacts(created=1))
    version = record(ledger, run_id).version
    assert "Waits for 1 approval" in text_of(as_(client, OTTO.id).get(addresses.run(run_id)).body.decode())
    assert "1 approval by other people still missing." in text_of(
        as_(client, OTTO.id).get(addresses.run(run_id, "preview")).body.decode()
    )
    assert send(client, addresses.run(run_id, "queue"), "otto", version=version, confirm="strict").status == 409
    refused = send(client, addresses.run(run_id, "approve"), "olga", version=version)
    assert refused.status == 409
    assert "let a second person approve" in text_of(refused.body.decode())
    assert "Do what detail names" not in text_of(refused.body.decode())
    assert send(client, addresses.run(run_id, "approve"), "otto", version=version).status == 303
    assert record(ledger, run_id).details.approvals[0].by == "otto"
    assert "Waits for" not in text_of(as_(client, OTTO.id).get(addresses.run(run_id)).body.decode())
    assert send(client, addresses.run(run_id, "queue"), "otto", version=version + 1, confirm="strict").status == 303


@pytest.mark.parametrize("prepared", [("scope",), ("check",), ("preview",), ("scope", "check", "preview")])
def test_whoever_prepared_a_plan_is_no_second_person_to_it_until_somebody_else_prepares_it_anew(ledger, prepared):
    make, run_id = draft_that_needs_approval(ledger)
    steps = {"scope": {}, "check": {"plan_digest": "p1"}, "preview": {"preview": PreviewFacts(created=1)}}
    for event, given in steps.items():
        make.fire(run_id, event, OTTO if event in prepared else OLGA, **given)
    assert record(ledger, run_id).details.prepared_by == ("otto",)
    with pytest.raises(RefusedError, match="nor whoever prepared its plan"):
        make.fire(run_id, "approve", OTTO)
    stands = record(ledger, run_id).details
    steps["scope"] = {"backup": stands.backup, "target": stands.target, "driver": stands.driver}
    for event, given in steps.items():
        make.fire(run_id, event, OLGA, **given)
    make.fire(run_id, "approve", OTTO)
    assert record(ledger, run_id).details.approvals[0].by == "otto"


def test_whoever_does_not_approve_a_plan_ends_the_run(client, ledger):
    run_id = Maker(ledger).previewed()
    version = record(ledger, run_id).version
    answer = send(client, addresses.run(run_id, "reject"), version=version, note="wrong backup")
    assert (answer.status, record(ledger, run_id).details.end_reason) == (303, "approval_rejected")
    assert "wrong backup" in as_(client, "olga").get(addresses.run(run_id, "blocker")).body.decode()


def test_a_run_is_cancelled_and_one_that_executes_is_asked_to_stop(client, ledger):
    make = Maker(ledger)
    waiting, running = make.previewed(), make.running(environment=make.elsewhere())
    for run_id, who, status in ((waiting, "olga", "cancelled"), (running, "ada", "running")):
        page = as_(client, who).get(addresses.run(run_id, "cancel")).body.decode()
        assert ("Ask the worker to stop" in page) == (status == "running")
        answer = send(
            client, addresses.run(run_id, "cancel"), who, version=record(ledger, run_id).version, note="enough"
        )
        assert (answer.status, record(ledger, run_id).status) == (303, status)
    assert record(ledger, running).details.cancel_requested_by == "ada"


def test_a_run_that_has_ended_is_tried_again_as_a_new_one(client, ledger, runs):
    answer = send(client, addresses.run(runs["failed"], "retry"))
    new = answer.headers["location"].rpartition("/")[2]
    assert (record(ledger, new).details.retry_of, record(ledger, new).status) == (runs["failed"], "draft")
    assert "has ended" in as_(client, "olga").get(addresses.run(runs["failed"], "cancel")).body.decode()


def test_a_run_that_was_stopped_on_request_says_so_beside_its_action_and_others_state_no_reason(client, ledger, runs):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    make.fire(run_id, "request_cancel")
    make.fire(run_id, "complete_partially", end_reason=EndReason.CANCEL_REQUESTED)
    page = as_(client, "ada").get(addresses.run(run_id)).body.decode()
    assert "Reason: cancel requested" in text_of(page, "decision")
    other = as_(client, "ada").get(addresses.run(runs["needs_review"])).body.decode()
    assert "Reason:" not in text_of(other, "decision")


def test_a_retry_says_what_it_is_and_leads_to_the_run_that_it_retries(client, ledger, runs):
    run_id = ledger.retry(runs["needs_review"], ADA).run_id
    page = as_(client, "ada").get(addresses.run(run_id)).body.decode()
    assert "Retry of a restore of nightly-2026-11-21.tar.gz into shop</h1>" in page
    assert f'href="{addresses.run(runs["needs_review"])}">Run that this one retries' in page
    before = as_(client, "ada").get(addresses.run(runs["needs_review"])).body.decode()
    assert "etry of a restore" not in before
    assert "Run that this one retries" not in before


def test_whoever_clicks_twice_tries_a_run_again_once(client, runs):
    path = addresses.run(runs["failed"], "retry")
    first, again, anew = (
        send(client, path, **sent).headers["location"]
        for sent in [fields_of(client, path)] * 2 + [fields_of(client, path)]
    )
    assert (first == again, first == anew) == (True, False)


def test_that_somebody_reviewed_evidence_is_recorded_and_changes_no_decision(client, ledger, runs):
    run_id = runs["completed_with_evidence"]
    before, snapshot = record(ledger, run_id), record(ledger, run_id).evidence[0].id
    first = last(ledger)
    answer = send(client, addresses.run(run_id, "review"), snapshot=snapshot, note="looked at all")
    assert (answer.status, answer.headers["location"].partition("#")[2]) == (303, "reviewed")
    (event,) = log_since(ledger, first)
    assert (event.type, event.data) == ("restore.evidence.reviewed", {"snapshot": snapshot, "verdict": "match"})
    assert "looked at all" not in event.payload
    assert record(ledger, run_id) == before
    said = text_of(as_(client, "olga").get(addresses.run(run_id, "evidence")).body.decode(), "reviewed")
    assert f"audit event {event.event_id}: “looked at all”" in said
    assert ledger.verify().counts == {}


@pytest.mark.parametrize(
    ("page", "who", "fields"),
    [
        ("queue", VERA.id, {"version": "4", "confirm": "local"}),
        ("cancel", UDO.id, {"version": "4"}),
        ("reject", "wim", {"version": "4"}),
        ("prepare", VERA.id, {}),
        ("retry", VERA.id, {}),
    ],
)
def test_who_may_not_changes_nothing_and_that_they_tried_is_recorded(client, ledger, page, who, fields):
    run_id = Maker(ledger).previewed()
    fields = {
        name: str(record(ledger, run_id).version) if name == "version" else value for name, value in fields.items()
    }
    before = last(ledger)
    assert send(client, addresses.run(run_id, page), who, **fields).status == 403
    assert record(ledger, run_id).status == "previewed"
    assert len(log_since(ledger, before)) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"version": "1", "confirm": "local"}, 412),
        ({"version": "x", "confirm": "local"}, 422),
        ({"confirm": "local"}, 422),
        ({"other": "1"}, 422),
    ],
)
def test_a_form_that_is_out_of_date_or_not_ours_changes_nothing(client, ledger, fields, status):
    run_id = Maker(ledger).previewed()
    assert send(client, addresses.run(run_id, "queue"), **fields).status == status
    assert record(ledger, run_id).status == "previewed"


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"confirm": "locul"}, "confirm", "Is not the name of the environment, 'local'."),
        ({"priority": "many"}, "priority", "'many' is out of range."),
        ({"deadline": "soon"}, "deadline", "'soon'"),
    ],
)
def test_what_is_wrong_with_a_queue_stands_beside_its_field_and_what_was_typed_stays(
    client, ledger, wrong, field, says
):
    """A name that was mistyped costs no deadline."""
    run_id = Maker(ledger).previewed()
    before = last(ledger)
    sent = {"version": "4", "confirm": "local", "priority": "7", "deadline": "2099-01-02T03:04"} | wrong
    answer = send(client, addresses.run(run_id, "queue"), **sent)
    page = answer.body.decode()
    assert (answer.status, log_since(ledger, before)) == (422, [])
    assert (typed(page), says in text_of(page, f"queue-{field}-fault")) == (sent, True)


TOO_LONG = "x" * 4_001


@pytest.mark.parametrize("page", ["cancel", "reject"])
def test_words_that_are_too_long_come_back_in_their_field_with_what_is_wrong_beside_it(client, ledger, page):
    run_id = Maker(ledger).previewed()
    before, sent = last(ledger), {"version": str(record(ledger, run_id).version), "note": TOO_LONG}
    answer = send(client, addresses.run(run_id, page), **sent)
    shown = answer.body.decode()
    assert (answer.status, log_since(ledger, before), typed(shown)) == (422, [], sent)
    assert "has 4001 characters. Hand in at most 4000." in text_of(shown, f"{page}-note-fault")
    assert send(client, addresses.run(run_id, page), VERA.id, **sent).status == 403
    assert send(client, addresses.run(run_id, page), **sent | {"note": "shorter"}).status == 303


def test_an_acknowledgement_that_is_too_long_comes_back_as_well(client, ledger, runs):
    run_id = runs["completed_with_evidence"]
    before, sent = last(ledger), {"snapshot": record(ledger, run_id).evidence[0].id, "note": TOO_LONG}
    answer = send(client, addresses.run(run_id, "review"), **sent)
    assert (answer.status, log_since(ledger, before), typed(answer.body.decode())) == (422, [], sent)
    assert "has 4001 characters." in text_of(answer.body.decode(), "review-note-fault")
    assert send(client, addresses.run(run_id, "review"), WIM.id, **sent).status == 403


@pytest.mark.parametrize("page", ["cancel", "reject", "queue", "approve"])
def test_whoever_was_too_late_is_told_what_happened_meanwhile_and_led_to_the_run_as_it_is(client, ledger, page):
    make = Maker(ledger)
    run_id = make.previewed()
    sent = {"version": str(record(ledger, run_id).version), "note": "my reason"}
    make.fire(run_id, "cancel", OTTO, note="not tonight")
    answer = send(client, addresses.run(run_id, page), confirm="local", **sent)
    shown = answer.body.decode()
    said = text_of(shown, "main")
    assert answer.status == 412
    for told in ("previewed → cancelled", "not tonight", "otto", "and the run is cancelled.", "my reason"):
        assert told in said
    assert "→ previewed" not in said
    assert "its log holds them all" not in said
    links = [found["href"] for tag, found in tags_of(shown.partition("<main")[2].partition("</main")[0]) if tag == "a"]
    assert links == ["/runs", addresses.run(run_id), addresses.run(run_id)]


def test_a_run_that_a_guard_does_not_let_be_queued_is_not_and_what_was_typed_stays(client, ledger):
    ledger.access.declare_environment(("default", "twice"), ADA, approvals_required=1)
    run_id = Maker(ledger).previewed(environment="twice")
    typed_by = {"confirm": "twice", "priority": "7", "deadline": "2030-01-01T02:00"}
    sent = typed_by | {"version": str(record(ledger, run_id).version)}
    answer = send(client, addresses.run(run_id, "queue"), "ada", **sent)
    assert (answer.status, record(ledger, run_id).status) == (409, "previewed")
    assert typed(answer.body.decode()) == sent
    assert "Approvals by other people are missing; let them approve this plan." in text_of(answer.body.decode(), "main")


def test_whoever_was_too_late_for_more_than_a_page_tells_is_told_that_it_tells_the_end_only(client, ledger):
    make = Maker(ledger)
    run_id = make.previewed()
    sent = {"version": str(record(ledger, run_id).version)}
    for _ in range(12):
        make.fire(run_id, "scope", OTTO)
    said = text_of(send(client, addresses.run(run_id, "queue"), confirm="local", **sent).body.decode(), "main")
    assert "It is version 16 now" in said
    assert "These are the last 9 moves; its log holds them all." in said


def test_a_worker_is_asked_to_stop_however_often_it_reported_since_the_page_was_opened(client, ledger):
    """Each report makes a new version: whoever wants to stop a restore must not race with it."""
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    sent = fields_of(client, addresses.run(run_id, "cancel")) | {"note": "wrong target"}
    ledger.fire(run_id, RunEvent.REPORT, ADA, items=items(0, 0, 3))
    assert send(client, addresses.run(run_id, "cancel"), "ada", **sent).status == 303
    assert record(ledger, run_id).details.cancel_requested_by == "ada"
    again = as_(client, "ada").get(addresses.run(run_id, "cancel")).body.decode()
    assert "ada asked already, and it executes still." in text_of(again, "main")


def test_whoever_asks_a_worker_to_stop_that_has_ended_is_told_so_and_keeps_their_words(client, ledger):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    sent = fields_of(client, addresses.run(run_id, "cancel")) | {"note": "wrong target"}
    make.fire(run_id, "complete", exit_code=0)
    before = last(ledger)
    answer = send(client, addresses.run(run_id, "cancel"), "ada", **sent)
    assert (answer.status, log_since(ledger, before)) == (412, [])
    for told in ("running → completed", "and the run is completed.", "wrong target"):
        assert told in text_of(answer.body.decode(), "main")


def test_whoever_wanted_to_cancel_a_run_that_starts_meanwhile_is_asked_again(client, ledger):
    """To end what waits is one thing, to stop what is half written another."""
    make = Maker(ledger)
    run_id = make.previewed(environment=make.elsewhere())
    make.fire(run_id, "queue")
    sent = fields_of(client, addresses.run(run_id, "cancel"))
    make.fire(run_id, "start")
    assert send(client, addresses.run(run_id, "cancel"), "ada", **sent).status == 412
    assert record(ledger, run_id).details.cancel_requested_by is None


def test_evidence_that_another_snapshot_superseded_meanwhile_is_not_acknowledged(client, ledger):
    make = Maker(ledger)
    run_id = make.reported(items(0, 0, 48), environment=make.elsewhere())
    make.fire(run_id, "complete", exit_code=0)
    old, _new = make.prove(run_id), make.prove(run_id)
    before = last(ledger)
    answer = send(client, addresses.run(run_id, "review"), "ada", snapshot=old, note="looked at it")
    assert (answer.status, log_since(ledger, before)) == (412, [])
    for told in (f"The snapshot {old} is superseded now.", "looked at it", "Look at the evidence as it is now"):
        assert told in text_of(answer.body.decode(), "main")


def test_in_a_browser_a_note_is_corrected_and_whoever_is_too_late_is_led_on_by_pages_that_break_no_rule(visit, ledger):
    run_id = Maker(ledger).previewed()
    page = visit(addresses.run(run_id, "cancel"), "olga")

    def sent(note, status):
        page.get_by_role("textbox", name="Why, in your words").fill(note)
        with arriving(page):
            page.get_by_role("button", name="Cancel this run").click()
        assert status in page.title()
        page.faults.clear()  # the browser notes that the answer is no 200
        assert [fault["id"] for fault in Axe().run(page, options={"runOnly": RULES}).response["violations"]] == []
        with narrow(page, 320):
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
        said = text_of(page.content(), with_forbidden=False).lower()
        assert [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in said] == []

    sent(TOO_LONG, "Not cancelled")
    assert page.get_by_role("textbox", name="Why, in your words").input_value() == TOO_LONG
    Maker(ledger).fire(run_id, "cancel", OTTO, note="not tonight")
    sent("enough", "somebody was faster")
    with arriving(page):
        page.get_by_role("link", name="Look at the run as it is now").click()
    assert page.title().startswith("Restore blocked / cancelled:")


def test_a_form_that_another_site_sends_is_refused(client, ledger):
    run_id = Maker(ledger).previewed()
    body = urlencode({"version": record(ledger, run_id).version}).encode()
    before = tables(ledger)
    for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert as_(client, "olga").send("POST", addresses.run(run_id, "cancel"), body, **FORM, **headers).status == 403
    assert denials_beside(ledger, before) == []


def test_a_server_that_serves_others_reads_no_backup_for_them(ledger, backup):
    """Whoever signs in by a provider is somebody else than whoever started the server."""
    provider = SignIn(issuer="https://login.example", client_id="p")
    with served(ledger, lambda _settings: identify, sign_in=provider) as client:
        run_id = made(client, backup)
        assert send(client, addresses.run(run_id, "prepare")).status == 403
        assert record(ledger, run_id).details == RunDetails(requested_by="olga", **backup)
        page = as_(client, "olga").get(addresses.run(run_id, "preparation")).body.decode()
        assert "Make the preview here" not in page
