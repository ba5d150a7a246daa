"""What auditors ask of the log: every filter, every page, and nothing of a scope that they do not audit."""

from __future__ import annotations

from contextlib import suppress

import pytest

from proofgap.access import Role
from proofgap.audit import Actor, EventType, leaf_hash
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError, RefusedError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap.wording import DecisionState
from proofgap_store import LogPage, LogQuery, NewRun
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    SAM,
    UDO,
    VERA,
    WIM,
    denials_beside,
    facts,
    fire,
    lines,
    live,
    log,
    open_scope,
    prove,
    tables,
)

HOSTILE = ["' OR 1=1 --", '"; DROP TABLE audit_event; --', "%", "_", "*", "{}", "\\", "a/b%2Fc", "$.data", "🧟", "null"]
FOREIGN = ("w2", "e2")


@pytest.fixture
def eventful(ledger):
    """A ledger in which most things happened, here and in a workspace that is not udo's."""
    for status in ("draft", "queued", "completed", "failed", "cancelled"):
        run_id = live(ledger, status, actor=OLGA if status in {"draft", "queued"} else ADA)
        ledger.show(run_id, VERA.id, VERA)
        with suppress(RefusedError):
            ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    prove(ledger, live(ledger))
    ledger.create(NewRun(details=RunDetails(backup="' OR 1=1 --", target="\\%_*🧟")), ADA)
    open_scope(ledger, FOREIGN, SAM, "foreign")
    ledger.show("foreign", SAM.id, SAM)
    ledger.access.grant(SAM.id, Role.OPERATOR, HOME, ADA)
    for actor in (SAM, VERA, UDO):
        ledger.list_runs(actor.id, actor)
    with suppress(ForbiddenError):
        ledger.create(NewRun(), VERA)
    ledger.access.grant("erin", Role.VIEWER, ("default", "*"), ADA)
    return ledger


def pages(ledger, query, actor=UDO, **page):
    """Read a question page by page; give the events of all of them."""
    found, after = [], None
    while True:
        listing = ledger.audit.list(query, actor, LogPage(after=after, **page))
        found += listing.events
        after = listing.next
        if after is None:
            return found


def ids(events):
    return [event.event_id for event in events]


def scope_of_runs(ledger):
    return {row["id"]: (row["workspace"], row["environment"]) for row in tables(ledger)["restore_run"]}


def visible(ledger, event, scopes):
    """Tell whether somebody who audits these scopes may read an event; said again, in Python."""
    entry, runs = event.entry, scope_of_runs(ledger)
    if entry["ws"] and entry["env"]:
        return (entry["ws"], entry["env"]) in scopes
    if event.type == "restore.decision.listed":
        return all(runs[row[0]] in scopes for row in event.data["rows"])
    return entry["ws"] is None or entry["ws"] in {workspace for workspace, _ in scopes}


def naive(ledger, test=lambda _event: True, scopes=(HOME,)):
    return [event for event in log(ledger) if visible(ledger, event, scopes) and test(event)]


def states(event):
    if event.type == "restore.decision.projected":
        return {event.data["decision"]["state"]}
    return {row[1] for row in event.data["rows"]} if event.type == "restore.decision.listed" else set()


def middle(ledger):
    """Give the time of recording of an event in the middle of the log."""
    events = log(ledger)
    return events[len(events) // 2].entry["rec_us"]


def some_run(ledger):
    return next(event.entry["run"] for event in log(ledger) if event.entry["run"])


REFUSALS = {"restore.run.transition_refused", "access.denied"}
FILTERS = {
    "nothing": lambda _: ({}, lambda event: True),
    "run": lambda ledger: (
        {"run": (run := some_run(ledger))},
        lambda event: event.entry["run"] == run,
    ),
    "stream": lambda ledger: (
        {"stream": "system/ledger"},
        lambda event: event.entry["stream"] == "system/ledger",
    ),
    "actor": lambda _: ({"actor": OLGA.id}, lambda event: event.entry["actor"]["id"] == OLGA.id),
    "workspace": lambda _: ({"workspace": "default"}, lambda event: event.entry["ws"] == "default"),
    "environment": lambda _: ({"environment": "local"}, lambda event: event.entry["env"] == "local"),
    "one type": lambda _: (
        {"types": (EventType.ACCESS_GRANTED,)},
        lambda event: event.type == "access.granted",
    ),
    "two types": lambda _: (
        {"types": (EventType.RUN_CREATED, EventType.MACHINE_DEFINED)},
        lambda event: event.type in {"restore.run.created", "machine.defined"},
    ),
    **{
        f"state {state}": lambda _, state=state: ({"state": state}, lambda event: state in states(event))
        for state in DecisionState
    },
    "refused": lambda _: ({"refused": True}, lambda event: event.type in REFUSALS),
    "since": lambda ledger: (
        {"since_us": (when := middle(ledger))},
        lambda event: event.entry["rec_us"] >= when,
    ),
    "until": lambda ledger: (
        {"until_us": (when := middle(ledger))},
        lambda event: event.entry["rec_us"] < when,
    ),
    "several at once": lambda ledger: (
        {"actor": "ada", "workspace": "default", "types": (EventType.RUN_TRANSITIONED,), "since_us": 1},
        lambda event: (event.entry["actor"]["id"], event.type) == ("ada", "restore.run.transitioned"),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_finds_what_the_same_filter_in_python_finds_from_both_ends(eventful, name):
    query, test = FILTERS[name](eventful)
    expected = [event.event_id for event in naive(eventful, test)]
    assert ids(pages(eventful, LogQuery(**query), limit=7, oldest_first=True)) == expected
    assert ids(pages(eventful, LogQuery(**query), limit=7)) == expected[::-1]
    assert expected or name == "state needs_review", "a filter that finds nothing proves nothing"


@pytest.mark.parametrize("limit", [1, 2, 13, 500])
def test_pages_together_hold_every_visible_event_once(eventful, limit):
    assert ids(pages(eventful, LogQuery(), limit=limit)) == [event.event_id for event in naive(eventful)][::-1]


def test_pages_stay_what_they_are_while_events_are_being_appended(eventful):
    expected = [event.event_id for event in naive(eventful)]
    found, after = [], None
    while True:
        listing = eventful.audit.list(LogQuery(), UDO, LogPage(limit=10, after=after))
        found += ids(listing.events)
        live(eventful, "scoped")
        after = listing.next
        if after is None:
            break
    assert found == expected[::-1]


def test_read_from_the_oldest_the_pages_reach_what_was_appended_between_them(eventful):
    first = eventful.audit.list(LogQuery(), UDO, LogPage(limit=10, oldest_first=True))
    live(eventful, "scoped")
    rest = pages_after(eventful, first.next)
    assert ids(first.events) + rest == [event.event_id for event in naive(eventful)]


def pages_after(ledger, after):
    found = []
    while after is not None:
        listing = ledger.audit.list(LogQuery(), UDO, LogPage(limit=11, after=after, oldest_first=True))
        found, after = found + ids(listing.events), listing.next
    return found


def test_an_event_is_given_with_its_exact_bytes_its_leaf_and_what_they_say(eventful):
    for event in naive(eventful):
        for name in (event.event_id, str(event.event_id), event.entry["id"]):
            found = eventful.audit.get(name, UDO)
            assert (found.event_id, found.leaf, found.entry) == (event.event_id, event.leaf, event.entry)
            assert found.payload == event.payload.encode()
            assert leaf_hash(found.payload) == found.leaf


def test_a_foreign_event_answers_exactly_like_an_unknown_one(eventful):
    for event in log(eventful):
        if not visible(eventful, event, [HOME]):
            for name in (str(event.event_id), event.entry["id"]):
                assert missing(eventful, name) == missing(eventful, "999999").replace("999999", name)
                assert missing(eventful, name) == missing(eventful, "nothing").replace("nothing", name)


def missing(ledger, name):
    with pytest.raises(NotFoundError) as caught:
        ledger.audit.get(name, UDO)
    return str(caught.value)


def test_there_are_foreign_events_of_every_kind_that_the_tests_here_speak_of(eventful):
    hidden = {event.type for event in log(eventful) if not visible(eventful, event, [HOME])}
    assert {"restore.run.imported", "restore.decision.projected", "access.granted", "environment.declared"} <= hidden
    assert "restore.decision.listed" in hidden, "the list of somebody who sees more than the auditor audits"


@pytest.mark.parametrize("actor", [VERA, OLGA, WIM, SAM], ids=lambda actor: actor.id)
def test_whoever_audits_nothing_is_refused_whatever_they_ask(ledger, actor):
    before = tables(ledger)
    for ask in (
        lambda: ledger.audit.list(LogQuery(), actor),
        lambda: ledger.audit.get(1, actor),
        lambda: ledger.audit.get(999, actor),
        lambda: ledger.audit.tail(0, actor),
    ):
        with pytest.raises(ForbiddenError) as caught:
            ask()
        assert caught.value.needed == ("admin", "auditor")
    assert [who for who, *_ in denials_beside(ledger, before)] == [actor.id] * 4


def test_a_role_for_all_environments_of_a_workspace_reads_those_and_no_other_workspace(eventful):
    eventful.access.grant("erin", Role.AUDITOR, ("default", "*"), ADA)
    eventful.access.declare_environment(("default", "second"), ADA)
    eventful.create(NewRun(environment="second"), ADA)
    erin = Actor(id="erin")
    expected = naive(eventful, scopes=(HOME, ("default", "second")))
    assert ids(pages(eventful, LogQuery(), erin, limit=50, oldest_first=True)) == [event.event_id for event in expected]
    assert ids(pages(eventful, LogQuery(), limit=50, oldest_first=True)) == [e.event_id for e in naive(eventful)]


def test_a_revoked_auditor_reads_nothing_any_more(eventful):
    eventful.access.grant(UDO.id, Role.AUDITOR, HOME, ADA, revoke=True)
    with pytest.raises(ForbiddenError):
        eventful.audit.list(LogQuery(), UDO)


def test_an_auditor_reads_the_true_reason_that_is_withheld_from_others(ledger):
    run_id = live(ledger)
    snapshot_id = prove(ledger, run_id)
    shown = ledger.show(run_id, VERA.id, VERA)
    event = ledger.audit.get(shown.event_id, UDO)
    assert snapshot_id in event.entry["data"]["withheld"]
    assert event.entry["data"]["decision"]["state"] == "completed_proof_incomplete"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["run", "stream", "actor", "workspace", "environment"])
def test_a_hostile_text_is_a_value_and_never_part_of_the_question(eventful, field, text):
    before = tables(eventful)
    assert eventful.audit.list(LogQuery(**{field: text}), UDO).events == ()
    with pytest.raises(NotFoundError):
        eventful.audit.get(text, UDO)
    assert tables(eventful) == before


def test_hostile_names_of_people_and_places_are_found_by_their_names_and_hide_nothing(ledger):
    for n, text in enumerate(HOSTILE[:3]):
        open_scope(ledger, (text, f"e{n}"), Actor(id=text), f"run {text}")
        found = pages(ledger, LogQuery(workspace=text), Actor(id=text), limit=3)
        assert len(found) > 3
        assert all(event.entry["ws"] == text for event in found)
        assert not pages(ledger, LogQuery(workspace=text), limit=3), "udo audits another place"


NONSENSE = {
    "no events": lambda audit: audit.list(LogQuery(), UDO, LogPage(limit=0)),
    "too many events": lambda audit: audit.list(LogQuery(), UDO, LogPage(limit=501)),
    "a word for a place": lambda audit: audit.list(LogQuery(), UDO, LogPage(after="x")),
    "foreign digits": lambda audit: audit.list(LogQuery(), UDO, LogPage(after="٣")),
    "a place no database can hold": lambda audit: audit.list(LogQuery(), UDO, LogPage(after="9" * 19)),
    "an empty place": lambda audit: audit.list(LogQuery(), UDO, LogPage(after="")),
    "a control character": lambda audit: audit.list(LogQuery(run="a\x00b"), UDO),
    "a time before 1970": lambda audit: audit.list(LogQuery(since_us=-1), UDO),
    "a time beyond all events": lambda audit: audit.list(LogQuery(until_us=2**60), UDO),
    "an unknown type": lambda audit: audit.list(LogQuery(types=("no.such.type",)), UDO),
    "an unknown state": lambda audit: audit.list(LogQuery(state="verified"), UDO),
    "an event without a name": lambda audit: audit.get("", UDO),
    "an event that clears the screen": lambda audit: audit.get("\x1b[2J", UDO),
    "a tail before the beginning": lambda audit: audit.tail(-1, UDO),
}


@pytest.mark.parametrize("ask", NONSENSE.values(), ids=NONSENSE)
def test_a_question_that_cannot_be_meant_is_refused(ledger, ask):
    with pytest.raises(BadInputError):
        ask(ledger.audit)


def test_a_tail_gives_what_came_after_an_event_oldest_first_and_only_what_was_asked_for(eventful):
    seen = eventful.audit.list(LogQuery(), UDO, LogPage(limit=1)).events[0].event_id
    assert eventful.audit.tail(seen, UDO) == ()
    run_id = live(eventful, "scoped")
    assert ids(eventful.audit.tail(seen, UDO)) == [e.event_id for e in naive(eventful) if e.event_id > seen]
    refused = LogQuery(refused=True)
    assert eventful.audit.tail(seen, UDO, refused) == ()
    with suppress(RefusedError):
        fire(eventful, run_id, "start")
    assert [event.entry["run"] for event in eventful.audit.tail(seen, UDO, refused)] == [run_id]


def test_reading_the_log_writes_nothing(eventful):
    before = tables(eventful)
    pages(eventful, LogQuery(), limit=50)
    eventful.audit.get(1, UDO)
    eventful.audit.tail(0, UDO)
    assert tables(eventful) == before


def test_imported_runs_are_read_like_any_other(ledger):
    ledger.import_facts(lines(facts("x1")), ADA)
    assert {event.entry["run"] for event in pages(ledger, LogQuery(run="x1"), limit=2)} == {"x1"}
