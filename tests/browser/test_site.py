"""The pages as they are asked for: who sees what of them, what is recorded by it, and what no page ever says."""

from __future__ import annotations

import re

import msgspec
import pytest

from proofgap.access import Role
from proofgap.audit import EventType
from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.facts import Counts, EndReason
from proofgap_app.web.pages import addresses, words
from proofgap_store import Erasure, LogPage, LogQuery
from proofgap_store import engine as store_engine
from proofgap_store.documents import DamagedError
from proofgap_store.feed import Feed
from proofgap_store.questions import PrunedError
from tests.browser.reading import tags_of, text_of
from tests.browser.site import as_, serving
from tests.browser.world import Maker, open_world
from tests.conformance.lives import ADA, HOME, OLGA, SAM, UDO, VERA, WIM, facts, last, lines, log_since

BEHIND = ("items", "evidence", "operation", "failure", "blocker", "proof-gap", "preview", "preparation")
PAGES = ("", *BEHIND, "events")


def text(client, path: str, who: str = "ada", status: int = 200) -> str:
    """Read a page as somebody."""
    answer = as_(client, who).get(path)
    assert answer.status == status, answer.body
    return answer.body.decode()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_of_any_run_says_what_is_forbidden_outside_its_list(client, runs, page):
    for run_id in runs.values():
        said = text_of(text(client, addresses.run(run_id, page)), with_forbidden=False).lower()
        assert [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in said] == [], run_id


@pytest.mark.parametrize(
    "path",
    [
        "/runs",
        "/audit",
        "/machine",
        "/sign-in",
        "/new?scope=default/local&driver=restic",
        "/nothing",
        "/runs/none",
        "/runs?state=x",
    ],
)
def test_no_other_page_says_it_either(client, runs, path):
    said = text_of(as_(client, "ada").get(path).body.decode(), with_forbidden=False).lower()
    assert [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in said] == []


@pytest.mark.parametrize("state", ["completed_with_evidence", "needs_review", "failed", "legacy", "draft"])
@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_there_and_what_is_not_yours_look_the_same(client, runs, state, page):
    mine, none = (
        text(client, addresses.run(runs[state], page), SAM.id, 404),
        text(client, addresses.run("no-run", page), SAM.id, 404),
    )
    assert mine == none
    assert "The two cases look the same on purpose." in mine


def ways(client, page: str, who: str) -> set[str]:
    """Give where the links of a page lead, whatever its status."""
    tags = tags_of(as_(client, who).get(page).body.decode())
    links = {found["href"].partition("#")[0] for tag, found in tags if tag == "a" and "href" in found}
    return {link for link in links if link}


@pytest.mark.parametrize("who", [VERA.id, OLGA.id, WIM.id, SAM.id])
def test_every_link_of_every_page_may_be_followed_by_whoever_sees_it(client, runs, who):
    """The log of a run is not for everybody, nor is that of everything; nor is what only changes something."""
    some = [runs[name] for name in ("draft", "failed", "cancelled", "imported", "completed_proof_incomplete")]
    pages = [addresses.run(run_id, page) for run_id in some for page in PAGES]
    others = ["/runs", "/machine", "/new", "/audit", "/nothing", "/runs/none", "/runs?state=x"]
    found = {link: page for page in (*pages, *others) for link in ways(client, page, who)}
    refused = {link: found[link] for link in found if as_(client, who).get(link).status in {403, 404}}
    assert refused == {}
    assert who != VERA.id or not [link for link in found if link.endswith(("/retry", "/cancel"))]


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/runs/none", 404), ("/runs?state=x", 422), ("/audit", 403)]
)
def test_a_page_of_what_went_wrong_says_who_is_signed_in_and_lets_them_out(client, runs, path, status):
    page = text(client, path, OLGA.id, status)
    assert "olga" in text_of(page)
    assert 'action="/sign-out"' in page
    assert "Audit log" not in text_of(page)
    assert "Audit log" in text_of(text(client, path, UDO.id, 200 if status == 403 else status))


def test_a_stranger_who_meets_nothing_is_told_nothing_of_anybody(client, runs):
    answer = client.send("GET", "/nothing", Accept="text/html")
    said = answer.body.decode()
    assert (answer.status, "/sign-out" in said, addresses.AUDIT in said) == (404, False, False)


def test_nobody_who_is_unknown_sees_anything_but_the_way_to_sign_in(client, runs):
    path = addresses.run(runs["failed"])
    answer = client.send("GET", path, Accept="text/html")
    assert (answer.status, answer.headers["location"]) == (303, f"/sign-in?next={path.replace('/', '%2F')}")


def test_that_a_decision_is_shown_is_recorded_and_the_page_names_the_event(client, runs, ledger):
    before = last(ledger)
    page = text(client, addresses.run(runs["failed"]), VERA.id)
    (event,) = log_since(ledger, before)
    assert (event.type, event.data["viewer"]["id"], event.data["trigger"]) == (
        "restore.decision.projected",
        "vera",
        "show",
    )
    assert f"audit event {event.event_id}" in text_of(page)


@pytest.mark.parametrize("page", [f"/{page}" for page in (*BEHIND, "events")])
def test_a_page_of_facts_shows_no_decision_and_records_nothing(client, runs, ledger, page):
    before = last(ledger)
    text(client, addresses.run(runs["needs_review"]) + page)
    assert log_since(ledger, before) == []


def test_a_viewer_is_told_of_evidence_what_they_would_be_told_if_there_were_none(client, runs):
    proven, unproven = (
        text(client, addresses.run(runs[name], "evidence"), VERA.id)
        for name in ("completed_with_evidence", "completed_proof_incomplete")
    )
    assert proven.replace(runs["completed_with_evidence"], "X") == unproven.replace(
        runs["completed_proof_incomplete"], "X"
    )
    assert "No active evidence snapshot that you may view." in proven


def test_only_who_audits_a_run_is_told_why_its_proof_is_missing(client, runs):
    path = addresses.run(runs["imported"], "proof-gap")
    assert "For the record, audit event" in text(client, path, UDO.id)
    for who in (OLGA.id, VERA.id, WIM.id):
        assert "For the record" not in text(client, path, who)


def test_a_past_decision_is_read_from_the_log_and_says_so(client, runs, ledger):
    run_id = runs["needs_review"]
    now = text(client, addresses.run(run_id), OLGA.id)
    event = int(re.search(r'data-seq="(\d+)"', now)[1])
    before = last(ledger)
    then = text(client, addresses.decision(run_id, event), OLGA.id)
    assert log_since(ledger, before) == []
    assert f"read from audit event {event}. Nothing is decided anew." in text_of(then)
    for said in (
        "Completed with items needing review",
        "Follow-up required",
        "40 applied",
        f"for olga, audit event {event}",
    ):
        assert said in text_of(then)
    document = msgspec.json.decode(as_(client, OLGA.id).get(addresses.decision(run_id, event) + "/decision.json").body)
    assert (document["viewer"], document["event_id"], document["decision"]["state"]) == ("olga", event, "needs_review")
    assert "facts" not in document
    text(client, addresses.decision(run_id, event), WIM.id, 404)
    text(client, addresses.decision(run_id, event), UDO.id)


def test_a_past_decision_of_an_imported_run_marks_no_step_that_nobody_recorded(client, runs):
    run_id = runs["imported"]
    event = int(re.search(r'data-seq="(\d+)"', text(client, addresses.run(run_id), UDO.id))[1])
    page = text_of(text(client, addresses.decision(run_id, event), UDO.id), "decision")
    assert ", passed" not in page
    assert "Running, not recorded" in page


def test_the_page_of_a_preview_says_nothing_that_nobody_recorded_and_leads_to_where_it_is_made_anew(
    client, runs, ledger
):
    made = addresses.run(runs["not_executed"], "preview")
    assert "A preview writes nothing, and proves nothing about the environment." in text_of(text(client, made))
    assert "May be acted on until\nno end was set" in text_of(text(client, made))
    assert f'href="{addresses.run(runs["not_executed"], "preparation")}">Preview again' in text(client, made)
    assert "Preview again" not in text(client, made, VERA.id)
    run = f"proofgap run prepare {runs['not_executed']}"
    assert run in text(client, addresses.run(runs["not_executed"], "preparation"))
    for name in ("draft", "imported"):
        said = text_of(text(client, addresses.run(runs[name], "preview")))
        assert "No preview is recorded." in said
        assert "May be acted on until\nnot reported" in said
        assert "Preview again" not in said
    assert "Approvals needed\nnot reported" in text_of(text(client, addresses.run(runs["imported"], "preview")))


@pytest.mark.parametrize(
    ("result", "found"), [("passed", None), ("failed", "Found: mismatch"), ("skipped", "Found: inconclusive")]
)
def test_evidence_that_is_no_match_is_said_to_be_beside_the_action_to_who_may_see_it(client, ledger, result, found):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    make.fire(run_id, "complete", exit_code=0)
    make.prove(run_id, result)
    said = text_of(text(client, addresses.run(run_id)), "decision")
    assert "Completed with evidence available" in said
    assert re.findall("Found: .*", said) == ([] if found is None else [found])


@pytest.mark.parametrize(("expires_at_us", "is_over"), [(1_795_227_587_000_000, True), (4_000_000_000_000_000, False)])
def test_a_preview_that_is_too_old_to_be_acted_on_says_so(client, ledger, expires_at_us, is_over):
    run_id = Maker(ledger).previewed(expires_at_us=expires_at_us)
    said = text_of(text(client, addresses.run(run_id, "preview")))
    assert f"May be acted on until\n{words.moment(expires_at_us)}" in said
    assert ("that is over, and it is to be previewed again" in said) is is_over


def test_a_dry_run_without_a_preview_says_so_and_its_action_leads_to_where_one_is_made(client, ledger):
    run_id = Maker(ledger).new(dry=True)
    assert "no preview is recorded yet" in text_of(text(client, addresses.run(run_id)), "decision")
    preview = addresses.run(run_id, "preview")
    assert f'href="{addresses.run(run_id, "preparation")}">Make the preview' in text(client, preview)
    assert "Make the preview" not in text(client, preview, VERA.id)


def test_a_dry_run_leads_to_the_form_of_the_restore_that_it_was_tried_for(client, runs):
    preview = addresses.run(runs["dry_run"], "preview")
    assert f'href="{addresses.new_like(runs["dry_run"])}"' in text(client, preview)
    form = text(client, addresses.new_like(runs["dry_run"]))
    assert 'value="/srv/shop"' in form
    assert 'name="dry" value="yes">' in form  # it is not a dry run again, unless that is ticked
    assert "New run that restores the same" not in text(client, preview, VERA.id)


def test_no_run_before_is_called_restored_that_may_not_have_been(client, runs):
    form = text(client, addresses.NEW + "?scope=" + "/".join(HOME))
    assert "Earlier runs here" in form
    assert "estored here" not in form


@pytest.mark.parametrize("page", ["operation", "evidence"])
def test_where_nobody_looked_at_the_target_each_page_leads_to_how_that_is_made_up_for(client, runs, page):
    gap = f'href="{addresses.run(runs["completed_proof_incomplete"], "proof-gap")}"'
    assert gap in text(client, addresses.run(runs["completed_proof_incomplete"], page))
    for name in ("completed_with_evidence", "in_progress", "cancelled", "imported"):
        assert "How evidence is added" not in text(client, addresses.run(runs[name], page))


def test_the_way_to_close_a_gap_is_said_where_there_is_one(client, runs):
    said = text_of(text(client, addresses.run(runs["completed_proof_incomplete"], "proof-gap")))
    assert f"proofgap evidence collect {runs['completed_proof_incomplete']}" in said
    for name in ("in_progress", "cancelled", "imported"):
        assert "proofgap evidence" not in text_of(text(client, addresses.run(runs[name], "proof-gap")))


def test_the_page_of_a_preparation_calls_no_step_done_that_nobody_recorded_as_done(client, runs, ledger):
    ledger.import_facts(lines(facts("old-3", "previewed")), ADA)
    for run_id in (runs["cancelled"], "old-3"):
        said = text_of(text(client, addresses.run(run_id, "preparation")))
        assert "nothing is writtennot reported" in said
        assert "done" not in said
        assert "Cancel this run" not in said
        assert "Retry as a new run" in said
    assert "Retry as a new run" not in text(client, addresses.run("old-3", "preparation"), VERA.id)


def test_what_a_dry_run_would_have_done_is_not_listed_as_done(client, ledger):
    counted = Counts(total=48, succeeded=44, failed=4)
    ledger.import_facts(lines(facts("dry-1", "completed", is_dry_run=True, counts=counted)), ADA)
    said = text_of(text(client, "/runs?text=dry-1"))
    assert "48 items, metadata-only: 44 would be applied, 4 would fail" in said


def test_the_log_of_a_run_holds_the_whole_of_what_somebody_wrote(client, ledger):
    """The sheet and the trail cut it, and of a partial run no other page says why it ended."""
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    make.fire(run_id, "complete_partially", exit_code=3, note="why and " * 400 + "the end")
    assert "the end”" in text(client, addresses.run(run_id, "events"))
    assert "the end”" not in text(client, addresses.run(run_id))


@pytest.mark.parametrize(("end", "page"), [("fail", "failure"), ("block", "blocker")])
def test_words_that_were_erased_are_said_to_be_erased_and_not_that_nobody_reported_any(client, ledger, end, page):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere()) if end == "fail" else make.previewed()
    make.fire(
        run_id,
        end,
        end_reason=EndReason.TARGET_CHANGED if end == "block" else EndReason.TOOL_ABORTED,
        note="Ola was here",
    )
    assert "In the words of whoever ended it\nOla was here" in text_of(text(client, addresses.run(run_id, page)))
    event = ledger.audit.list(LogQuery(run=run_id, types=(EventType.RUN_TRANSITIONED,)), ADA, LogPage(limit=1)).events[
        0
    ]
    ledger.audit.redact(Erasure(event=str(event.event_id), path="data.note", reason="gdpr-17"), ADA)
    said = text_of(text(client, addresses.run(run_id, page)))
    assert "In the words of whoever ended it\nerased: the log holds that there was a note" in said
    assert "Ola was here" not in said + text(client, addresses.run(run_id)) + text(
        client, addresses.run(run_id, "events")
    )


@pytest.mark.parametrize("run_id", ["م" * 200, "?#/" * 66, "😀" * 200])
def test_a_run_of_another_system_has_its_pages_however_long_its_id_is_in_a_path(client, ledger, run_id):
    """An id may have 200 characters, each of which takes up to twelve in an address."""
    ledger.import_facts(lines(facts(run_id, "failed")), ADA)
    assert run_id in text_of(text(client, addresses.run(run_id)))
    for page in PAGES[1:]:
        assert run_id in text_of(text(client, addresses.run(run_id, page)))


def test_a_past_decision_that_was_pruned_is_not_there(client, runs, monkeypatch):
    def pruned(_self: object, _run: str, event_id: int, _actor: object) -> None:
        raise PrunedError(event_id)

    monkeypatch.setattr(Feed, "shown", pruned)
    text(client, addresses.decision(runs["failed"], 7), UDO.id, 404)
    text(client, addresses.decision(runs["failed"], 7) + "/decision.json", UDO.id, 404)


def test_totals_without_rows_are_called_so_in_the_list_as_well(client, runs):
    assert "48 items, metadata-only: 44 applied" in text_of(text(client, f"/runs?text={runs['metadata_only']}"))


def test_the_log_names_the_run_of_each_event(client, runs):
    page = text_of(text(client, f"/audit?run={runs['failed']}", UDO.id))
    assert f"{runs['failed']}, 48 selected" in page


def test_an_event_that_is_nowhere_says_so(client, runs, ledger):
    ledger.sessions.offer(UDO, 60)
    number = next(
        event.event_id
        for event in ledger.audit.list(LogQuery(), UDO).events
        if event.entry["type"] == "access.link_made"
    )
    assert (
        "None" not in text_of(text(client, addresses.audit_event(number), UDO.id), "main").partition("What it says")[0]
    )


@pytest.mark.parametrize("who", [OLGA.id, "ada"])
def test_a_run_whose_worker_was_lost_says_that_its_environment_is_held_until_somebody_releases_it(client, ledger, who):
    run_id = Maker(ledger).lost()
    scope = (HOME[0], ledger.peek(run_id, ADA).environment)
    ledger.access.grant(OLGA.id, Role.OPERATOR, scope, ADA)
    pages = [addresses.run(run_id), addresses.run(run_id, "failure")]
    for page in pages:
        said = text_of(text(client, page, who), "main")
        assert "Nothing starts there until somebody has looked." in said
        assert f"proofgap queue release {'/'.join(scope)}" in said
    ledger.fleet.release_environment(scope, ADA, note="the machine is off")
    for page in pages:
        assert "proofgap queue release" not in text_of(text(client, page, who), "main")


@pytest.mark.parametrize("page", ["cancel", "retry"])
def test_whoever_is_asked_is_told_in_which_environment(client, runs, page):
    assert "Environmentlocal" in text_of(text(client, addresses.run(runs["in_progress"], page)))


def test_who_lost_a_role_is_not_told_again_what_it_let_them_see(client, runs, ledger):
    ledger.access.grant("lena", Role.OPERATOR, HOME, ADA)
    page = text(client, addresses.run(runs["completed_with_evidence"]), "lena")
    event = int(re.search(r'data-seq="(\d+)"', page)[1])
    path = addresses.decision(runs["completed_with_evidence"], event)
    text(client, path, "lena")
    ledger.access.grant("lena", Role.VIEWER, HOME, ADA)
    ledger.access.grant("lena", Role.OPERATOR, HOME, ADA, revoke=True)
    text(client, path, "lena", 404)


def test_an_auditor_may_look_as_somebody_else_and_nobody_else_may(client, runs):
    path = f"{addresses.run(runs['completed_with_evidence'])}?viewer=vera"
    assert "Completed, recovery proof incomplete" in text(client, path, UDO.id)
    text(client, path, OLGA.id, 403)


@pytest.mark.parametrize(
    ("path", "rows"), [("", 48), ("?result=failed", 3), ("?result=skipped", 5), ("?result=partial", 0)]
)
def test_item_outcomes_are_filtered(client, runs, path, rows):
    page = text(client, addresses.run(runs["needs_review"], "items") + path)
    assert len([tag for tag, _ in tags_of(page) if tag == "tr"]) == (rows + 1 if rows else 0)
    text(client, addresses.run(runs["needs_review"], "items") + "?result=none-such", status=422)


def test_each_comparison_is_shown_with_method_expectation_and_observation(client, runs):
    said = text_of(text(client, addresses.run(runs["needs_review"], "evidence") + "?result=failed"))
    for word in ("Mismatch at level L5; 6 checks, 1 failed", "deep/file-0.txt", "sha256:aa11", "sha256:bb22"):
        assert word in said
    assert "deep/file-1.txt" not in said


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", "failed"),
        ("state=blocked_or_cancelled", "cancelled"),
        ("text=OLD-", "imported"),
        ("scope=default/local&text=legacy/1", "legacy"),
    ],
)
def test_the_list_holds_what_is_asked_for(client, runs, query, found):
    page = text(client, f"/runs?{query}")
    assert addresses.run(runs[found]) in page
    assert addresses.run(runs["in_progress"]) not in page


@pytest.mark.parametrize(
    "query", ["state=none", "since=yesterday", "until=2026-13-01", "after=x", "wrong=1", "scope=%00"]
)
def test_a_filter_that_is_none_is_said_to_be_wrong(client, runs, query):
    assert "Traceback" not in text(client, f"/runs?{query}", status=422)


@pytest.mark.parametrize("path", ["/runs?until=9999-12-31", "/audit?since=2256-01-01"])
def test_a_day_that_is_too_far_ahead_is_said_to_be_so_in_the_words_of_the_form(client, runs, path):
    name, _, day = path.partition("?")[2].partition("=")
    said = text_of(text(client, path, status=422))
    assert f"{name}: '{day}' is none. Write a day, such as 2026-11-21, up to the year 2254." in said


def test_an_event_that_records_a_decision_leads_to_that_decision(client, runs):
    shown = int(re.search(r'data-seq="(\d+)"', text(client, addresses.run(runs["failed"])))[1])
    for number, is_there in ((shown, True), (1, False)):
        page = text(client, f"{addresses.AUDIT}/events/{number}")
        assert ("Show the decision as it was then" in page) is is_there
    assert f'href="{addresses.decision(runs["failed"], shown)}"' in text(client, f"{addresses.AUDIT}/events/{shown}")


def test_an_id_that_was_copied_with_the_spaces_around_it_finds_what_it_names(client, runs):
    found = text(client, f"/audit?run=%20{runs['failed']}%20&actor=ada+", UDO.id)
    assert runs["failed"] in text_of(found)
    assert "No events match." not in found


@pytest.mark.parametrize(
    ("path", "way"),
    [("/audit/verify", "/audit"), ("/runs/{run}/queue", "/runs/{run}"), ("/runs/nobody/queue", "/runs/nobody")],
)
def test_the_address_of_a_form_that_somebody_kept_says_that_there_is_nothing_to_see_and_leads_back(
    client, runs, path, way
):
    page = text(client, path.format(run=runs["failed"]), UDO.id, 405)
    assert "There is nothing to see at this address" in text_of(page)
    assert "Nothing was done." in text_of(page)
    assert f'href="{way.format(run=runs["failed"])}"' in page


def test_a_list_without_runs_says_how_to_make_one(client, runs):
    assert "proofgap restore BACKUP --into TARGET" in text_of(text(client, "/runs", SAM.id))
    assert f'href="{addresses.NEW}"' not in text(client, "/runs", SAM.id)


def test_a_list_without_runs_leads_whoever_may_make_one_to_its_form(tmp_path):
    with open_world(tmp_path) as empty, serving(empty) as client:
        assert f'as a <a href="{addresses.NEW}">new run</a>' in text(client, "/runs")


def test_the_log_is_for_its_auditors(client, runs, ledger):
    assert "Audit log" in text(client, f"/audit?run={runs['failed']}&refused=", UDO.id)
    before = last(ledger)
    text(client, "/audit", OLGA.id, 403)
    assert [event.type for event in log_since(ledger, before)] == ["access.denied"]
    number = ledger.audit.list(LogQuery(run=runs["failed"]), UDO).events[0].event_id
    assert runs["failed"] in text(client, addresses.audit_event(number), UDO.id)


def test_auditors_verify_sign_and_take_out_from_the_page(client, runs):
    auditor = as_(client, UDO.id)
    same = {"Origin": f"http://127.0.0.1:{client.port}"}
    signed = auditor.post("/audit/checkpoint", b"", **same)
    assert signed.body.startswith(b"proofgap/")
    assert "Verification of the log: OK" in auditor.post("/audit/verify", b"", **same).body.decode()
    offered = 'action="' + addresses.run(runs["failed"], "bundle") + '"'
    assert offered in text(client, addresses.run(runs["failed"]), UDO.id)
    assert offered not in text(client, addresses.run(runs["failed"]), OLGA.id)
    bundle = auditor.post(addresses.run(runs["failed"], "bundle"), b"", **same)
    assert (bundle.status, bundle.body[:2]) == (200, b"PK")
    for path in ("/audit/checkpoint", "/audit/verify", addresses.run(runs["failed"], "bundle")):
        assert as_(client, OLGA.id).post(path, b"", **same).status == 403


def test_the_path_of_a_run_is_drawn(client, runs):
    page = text(client, f"/machine?run={runs['failed']}")
    assert "draft → scoped → checked → previewed → queued → running → failed" in text_of(page)
    drawn = as_(client, "ada").get(f"/machine/run.svg?run={runs['failed']}")
    assert drawn.body.startswith(b"<?xml") or b"<svg" in drawn.body[:200]
    assert drawn.body != as_(client, "ada").get("/machine/run.svg").body


def test_a_page_that_nobody_asked_for_yet_is_not_shown(client, runs, ledger):
    before = last(ledger)
    answer = as_(client, "ada").send("GET", addresses.run(runs["failed"]), **{"Sec-Purpose": "prefetch"})
    assert (answer.status, log_since(ledger, before)) == (403, [])


@pytest.mark.parametrize(
    "path", ["", "/items", "/evidence", "/operation", "/failure", "/blocker", "/proof-gap", "/preview"]
)
def test_a_page_asks_the_ledger_a_fixed_number_of_questions(client, runs, ledger, monkeypatch, path):
    """However long the log of a run is and however often it was shown."""
    counted: list[str] = []
    execute = store_engine.execute
    monkeypatch.setattr(store_engine, "execute", lambda *given: counted.append(given[1]) or execute(*given))

    def questions() -> int:
        counted.clear()
        text(client, addresses.run(runs["needs_review"]) + path, UDO.id)
        return len(counted)

    first = questions()
    for _ in range(30):
        ledger.show(runs["needs_review"], UDO.id, UDO)
    assert 0 < questions() <= first <= 40


@pytest.mark.parametrize("path", ["/runs", "/runs?state=not_executed", "/new?scope=default/local", "/audit"])
def test_a_page_of_many_runs_asks_no_more_questions_than_one_of_a_few(tmp_path, monkeypatch, path):
    """A page holds fifty runs, whose decisions are read together; a form offers the backups of the newest."""
    counted: list[str] = []
    execute = store_engine.execute
    with open_world(tmp_path) as ledger, serving(ledger) as client:
        make = Maker(ledger)
        shown = [make.new() for _ in range(2)]
        text(client, path)
        monkeypatch.setattr(store_engine, "execute", lambda *given: counted.append(given[1]) or execute(*given))
        text(client, path)
        few = len(counted)
        shown += [make.new() for _ in range(60)]
        counted.clear()
        page = text(client, path)
        assert 0 < len(counted) <= few <= 40
        assert shown[-1] in page


def test_a_decision_that_cannot_be_computed_shows_none_and_leads_to_the_log(client, runs, ledger, monkeypatch):
    def damaged(*_given: object) -> None:
        raise DamagedError(runs["failed"], "its status is none")

    monkeypatch.setattr("proofgap_store.views.showing", damaged)
    page = text_of(text(client, addresses.run(runs["failed"]), status=500), "main")
    assert page.startswith("Restore runs\nDecision could not be computed\n")
    assert "its status is none" not in page
    assert "Error" in page
    assert addresses.run(runs["failed"], "events") in text(client, addresses.run(runs["failed"]), status=500)
    assert "events" not in text(client, addresses.run(runs["failed"]), VERA.id, status=500)


def test_only_files_of_the_pages_are_served(client, runs):
    answer = as_(client, "ada").get("/static/console.css")
    assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    for path in ("/static/../run.py", "/static/%2e%2e/run.py", "/static/run.py", "/static/", "/static/fonts"):
        assert as_(client, "ada").get(path).status == 404
