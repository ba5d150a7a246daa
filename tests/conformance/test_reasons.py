"""What a person had seen, why a run is decided as it is, how that came about, and that the rules still agree."""

from __future__ import annotations

import msgspec
import pytest

from proofgap.access import Role
from proofgap.audit import canonical, digest
from proofgap.decision import RULES
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.facts import RunEvent, RunStatus
from proofgap.records import Machine
from proofgap_store import DecisionHistory
from proofgap_store.documents import DamagedError
from proofgap_store.durations import StayQuery
from proofgap_store.engine import execute, rows
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    PATHS,
    SAM,
    TERMINAL,
    TWICE,
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
from tests.conformance.tampering import unguarded

FAR = 2**53 - 1
FOREIGN = ("w2", "e2")
UPDATE = "UPDATE audit_event SET payload = :payload WHERE event_id = :id"


def rewrite(ledger, event_id, change):
    """Change what one event says, past every guard."""
    with unguarded(ledger) as connection:
        (row,) = rows(connection, "SELECT payload FROM audit_event WHERE event_id = :id", id=event_id)
        entry = msgspec.json.decode(row["payload"])
        change(entry)
        new = {"id": event_id, "payload": canonical(entry).decode()}
        execute(connection, UPDATE, new)


def projections(ledger, run_id):
    return [e for e in log(ledger) if e.type == "restore.decision.projected" and e.entry["run"] == run_id]


# What a person had been shown


def test_what_a_person_had_seen_is_the_last_showing_before_that_moment_with_its_exact_bytes(ledger):
    run_id = live(ledger, "queued")
    shown = [ledger.show(run_id, VERA.id, VERA)]
    fire(ledger, run_id, "start", "fail")
    shown.append(ledger.show(run_id, VERA.id, VERA))
    for view, later in ((shown[0], shown[1].at_us - 1), (shown[1], FAR)):
        seen = ledger.audit.as_seen(VERA.id, run_id, later, UDO)
        (event,) = [event for event in log(ledger) if event.event_id == view.event_id]
        assert (seen.event_id, seen.recorded_us, seen.trigger, seen.viewer) == (
            view.event_id,
            view.at_us,
            "show",
            "vera",
        )
        assert (seen.state, seen.decision) == (view.decision.state, event.data["decision"])
        assert (seen.event.payload, seen.event.leaf) == (event.payload.encode(), event.leaf)
    assert ledger.audit.as_seen(VERA.id, run_id, shown[0].at_us, UDO).event_id == shown[0].event_id, "at that moment"


def test_before_the_first_showing_nothing_was_shown(ledger):
    run_id = live(ledger)
    shown = ledger.show(run_id, VERA.id, VERA)
    for person, at_us in ((VERA.id, shown.at_us - 1), (OLGA.id, FAR), ("nobody", FAR)):
        seen = ledger.audit.as_seen(person, run_id, at_us, UDO)
        assert (seen.event_id, seen.event, seen.state, seen.decision, seen.trigger) == (None,) * 5


def test_a_row_of_a_list_was_shown_too_with_its_state_and_the_digest_of_its_facts(ledger):
    run_id = live(ledger, "failed")
    listing = ledger.list_runs(VERA.id, VERA)
    seen = ledger.audit.as_seen(VERA.id, run_id, FAR, UDO)
    assert (seen.event_id, seen.trigger, seen.state, seen.decision) == (listing.event_id, "list", "failed", None)
    assert seen.facts_digest == listing.rows[0].facts_digest
    ledger.show(run_id, VERA.id, VERA)
    assert ledger.audit.as_seen(VERA.id, run_id, FAR, UDO).trigger == "show", "whichever came last"


def test_a_view_in_somebodys_name_was_shown_to_whoever_took_it(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    shown = ledger.show(run_id, VERA.id, UDO)
    assert ledger.audit.as_seen(VERA.id, run_id, FAR, ADA).event_id is None
    seen = ledger.audit.as_seen(UDO.id, run_id, FAR, ADA)
    assert (seen.event_id, seen.viewer, seen.state) == (shown.event_id, VERA.id, "completed_proof_incomplete")


def test_of_a_list_over_foreign_runs_an_auditor_learns_their_own_row_and_no_byte_more(ledger):
    run_id = live(ledger)
    open_scope(ledger, FOREIGN, SAM, "foreign")
    ledger.access.grant(SAM.id, Role.VIEWER, HOME, ADA)
    listing = ledger.list_runs(SAM.id, SAM)
    seen = ledger.audit.as_seen(SAM.id, run_id, FAR, UDO)
    assert (seen.event_id, seen.state, seen.event) == (listing.event_id, "completed_proof_incomplete", None)
    assert "foreign" not in msgspec.json.encode(seen).decode()


def test_a_run_called_runs_is_not_taken_for_a_list(ledger):
    ledger.import_facts(lines(facts("runs", "failed"), facts("x1", "draft")), ADA)
    shown = ledger.show("runs", VERA.id, VERA)
    assert ledger.audit.as_seen(VERA.id, "runs", FAR, UDO).event_id == shown.event_id
    assert ledger.audit.as_seen(VERA.id, "x1", FAR, UDO).event_id is None


# Why


@pytest.mark.parametrize("status", PATHS)
def test_why_gives_the_logged_facts_and_decision_and_every_rule_in_words(ledger, status):
    run_id = live(ledger, status)
    why = ledger.audit.why(run_id, UDO)
    last = projections(ledger, run_id)[-1]
    assert (why.event_id, why.facts, why.decision) == (last.event_id, last.data["facts"], last.data["decision"])
    assert [(answer.rule, answer.condition) for answer in why.rules] == [*RULES.items()]
    decided = why.decision["rule"]
    assert [answer.state for answer in why.rules] == [False] * (decided - 1) + [True] + [None] * (9 - decided)


def test_why_speaks_of_the_record_and_not_of_what_somebody_was_shown(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    ledger.show(run_id, VERA.id, VERA)
    assert ledger.audit.why(run_id, UDO).decision["state"] == "completed_with_evidence"


# History


def test_the_history_of_a_decision_is_each_change_with_the_events_that_caused_it(ledger):
    run_id = live(ledger)
    fire_evidence = prove(ledger, run_id)
    changes = ledger.audit.history(run_id, UDO).changes
    assert [change.state for change in changes] == [
        *("not_executed", "not_executed", "in_progress", "completed_proof_incomplete"),
        *("completed_proof_incomplete", "completed_with_evidence"),
    ]
    events = [{cause.event for cause in change.causes} - {None} for change in changes]
    assert [min(fired, default=None) for fired in events] == [None, "preview", "queue", "complete", None, "activate"]
    logged = {event.event_id: event for event in log(ledger)}
    for change in changes:
        assert logged[change.event_id].data["decision"]["state"] == change.state
        assert all(logged[cause.event_id].type == cause.type for cause in change.causes)
        assert all(cause.event_id < change.event_id for cause in change.causes)
    before, after = (logged[change.event_id].data["decision"] for change in changes[-2:])
    assert changes[-1].fields == tuple(name for name in after if after[name] != before[name])
    assert {"state", "rule", "claims", "evidence"} <= set(changes[-1].fields)
    assert logged[changes[-1].causes[-1].event_id].data["subject"] == fire_evidence


def test_a_refused_attempt_and_a_showing_cause_no_change(ledger):
    run_id = live(ledger, "failed")
    before = ledger.audit.history(run_id, UDO)
    with pytest.raises(ForbiddenError):
        ledger.fire(run_id, RunEvent.START, OLGA)
    ledger.show(run_id, VERA.id, VERA)
    assert ledger.audit.history(run_id, UDO) == before


def test_an_imported_run_has_one_decision_caused_by_its_import(ledger):
    ledger.import_facts(lines(facts("x1", "failed")), ADA)
    (change,) = ledger.audit.history("x1", UDO).changes
    assert (change.state, change.causes[0].type, change.causes[0].actor) == ("failed", "restore.run.imported", "ada")


# Replay


@pytest.fixture
def decided(ledger):
    """A ledger with a projection of every kind, and the run that was proven."""
    for status in PATHS:
        ledger.show(live(ledger, status), VERA.id, VERA)
    run_id = live(ledger)
    prove(ledger, run_id)
    ledger.show(run_id, VERA.id, UDO)
    ledger.import_facts(lines(facts("x1", "completed")), ADA)
    return ledger, run_id


def test_a_replay_of_an_honest_log_finds_no_difference(decided):
    ledger, run_id = decided
    everything = [event for event in log(ledger) if event.type == "restore.decision.projected"]
    found = ledger.audit.replay(None, UDO)
    assert (found.projections, found.differing, found.differences) == (len(everything), 0, ())
    assert ledger.audit.replay(run_id, UDO).projections == len(projections(ledger, run_id))


FORGED = {
    "a rosier state": (lambda data: data["decision"].update(state="completed_with_evidence"), "decision.state"),
    "another status": (lambda data: data["decision"].update(status="All good"), "decision.status"),
    "a claim more": (lambda data: data["decision"]["claims"]["allowed"].append("Done"), "decision.claims.allowed"),
    "another rule": (lambda data: data.update(rule=7), "rule"),
    "rules of another version": (lambda data: data.update(rules_version="2"), "rules_version"),
    "a count that nobody reported": (
        lambda data: data["decision"]["result_summary"].update(counts={"failed": 0}),
        "decision.result_summary.counts",
    ),
    "true for one": (lambda data: data.update(rule=True), "rule"),
    "another digest": (lambda data: data.update(facts_digest="0" * 64), "facts_digest"),
    "somebody else": (lambda data: data["viewer"].update(id="eve"), "viewer.id"),
    "a field too many": (lambda data: data.update(verified=True), "verified"),
    "a field too few": (lambda data: data["decision"].pop("attention"), "decision.attention"),
    "something withheld that was not": (lambda data: data.update(withheld=["x"]), "withheld"),
    "facts that are none": (lambda data: data.update(facts={"run": "\x7f"}), "data"),
    "no facts": (lambda data: data.pop("facts"), "data"),
    "a trigger that is none": (lambda data: data.update(trigger="magic"), "data"),
    "facts of a list": (lambda data: data.update(facts=[]), "data"),
}


@pytest.mark.owner
@pytest.mark.parametrize(("forge", "field"), FORGED.values(), ids=FORGED)
def test_a_forged_decision_is_found_and_the_field_is_named(decided, forge, field):
    ledger, run_id = decided
    victim = projections(ledger, run_id)[0]
    rewrite(ledger, victim.event_id, lambda entry: forge(entry["data"]))
    for which in (run_id, None):
        found = ledger.audit.replay(which, UDO)
        assert found.differing == 1
        assert [(one.event_id, one.run, one.field) for one in found.differences] == [(victim.event_id, run_id, field)]
        assert found.differences[0].logged != found.differences[0].replayed or field == "rule"


@pytest.mark.owner
def test_an_event_whose_data_is_no_object_is_found_too_and_no_question_fails_without_a_word(decided):
    ledger, run_id = decided
    victim = projections(ledger, run_id)[-2]
    rewrite(ledger, victim.event_id, lambda entry: entry.update(data="\x7f"))
    assert [one.field for one in ledger.audit.replay(run_id, UDO).differences] == ["data"]
    for ask in (lambda: ledger.audit.why(run_id, UDO), lambda: ledger.audit.history(run_id, UDO)):
        with pytest.raises(DamagedError, match=f"audit event {victim.event_id}"):
            ask()


@pytest.mark.owner
def test_a_replay_counts_every_difference_and_names_the_first_hundred(ledger):
    ledger.import_facts(lines(*(facts(f"x{n}", "draft") for n in range(120))), ADA)
    with unguarded(ledger) as connection:
        for row in rows(
            connection, "SELECT event_id AS id, payload FROM audit_event WHERE type = 'restore.decision.projected'"
        ):
            entry = msgspec.json.decode(row["payload"])
            entry["data"]["rule"] = 3
            execute(connection, UPDATE, {"id": row["id"], "payload": canonical(entry).decode()})
    found = ledger.audit.replay(None, UDO)
    assert (found.projections, found.differing, len(found.differences)) == (120, 120, 100)


def test_a_replay_reports_how_far_it_is(decided):
    reached = []
    found = decided[0].audit.replay(None, UDO, lambda *progress: reached.append(progress))
    assert [count for _, _, count in reached] == [*range(1, found.projections + 1)]
    assert all(at <= last for at, last, _ in reached)


# Who may ask

ASKS = {
    "as seen": lambda ledger, run_id, actor: ledger.audit.as_seen(VERA.id, run_id, FAR, actor),
    "why": lambda ledger, run_id, actor: ledger.audit.why(run_id, actor),
    "history": lambda ledger, run_id, actor: ledger.audit.history(run_id, actor),
    "replay": lambda ledger, run_id, actor: ledger.audit.replay(run_id, actor),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_foreign_run_answers_exactly_like_an_unknown_one(ledger, ask):
    open_scope(ledger, FOREIGN, SAM, "foreign")
    said = []
    for run_id in ("foreign", "unknown"):
        with pytest.raises(NotFoundError) as caught:
            ask(ledger, run_id, UDO)
        said.append(str(caught.value).replace(run_id, "RUN"))
    assert said[0] == said[1]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("actor", [VERA, OLGA, WIM], ids=lambda actor: actor.id)
def test_who_does_not_audit_is_refused_and_only_that_is_recorded(ledger, ask, actor):
    run_id = live(ledger)
    before = tables(ledger)
    with pytest.raises(ForbiddenError):
        ask(ledger, run_id, actor)
    assert [who for who, *_ in denials_beside(ledger, before)] == [actor.id]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_name_that_is_none_is_refused(ledger, ask):
    for name in ("", " ", "a\x1bb", "\ud800", "x" * 201):
        with pytest.raises(BadInputError):
            ask(ledger, name, UDO)


# Time in each status


def test_time_in_each_status_is_what_the_log_says_and_what_has_not_ended_is_not_counted(ledger):
    runs = [live(ledger, status) for status in TWICE]
    fire(ledger, runs[1], "scope", "check")
    expected = stays(ledger, "restore.run.")
    found = {stay.status: stay for stay in ledger.audit.durations(StayQuery(), UDO)}
    assert [*found] == [*RunStatus], "every status has its line, in their order"
    for status in PATHS:
        lengths = sorted(expected.get(status, []))
        assert found[status].count == len(lengths)
        measured = (found[status].p50_us, found[status].p90_us, found[status].p99_us, found[status].max_us)
        assert measured == tuple(nearest(lengths, percent) for percent in (50, 90, 99, 100)), status
    assert {found[status].count for status in TERMINAL} == {0}, "nothing leaves an end"


def stays(ledger, family):
    """Measure every stay again: from the event that leads to a status to the next one that leads elsewhere."""
    found, now = {}, {}
    for event in log(ledger):
        if event.type.startswith(family) and "target" in event.data:
            subject, target = event.data["subject"], event.data["target"]
            status, since = now.get(subject, (None, None))
            if status != target:
                if status is not None:
                    found.setdefault(status, []).append(event.entry["rec_us"] - since)
                now[subject] = (target, event.entry["rec_us"])
    return found


def nearest(lengths, percent):
    """Give the smallest length with at least so many percent of all at or below it, by looking at each."""
    for length in lengths:
        if sum(other <= length for other in lengths) * 100 >= percent * len(lengths):
            return length
    return None


def test_an_event_that_leads_back_to_the_same_status_ends_no_stay(ledger):
    run_id = live(ledger, "running")
    fire(ledger, run_id, "request_cancel")
    fire(ledger, run_id, "fail")
    (running,) = [stay for stay in ledger.audit.durations(StayQuery(), UDO) if stay.status == "running"]
    times = {e.data["event"]: e.entry["rec_us"] for e in log(ledger) if e.type == "restore.run.transitioned"}
    assert (running.count, running.max_us) == (1, times["fail"] - times["start"])


def test_a_stay_belongs_to_the_time_at_which_it_ended(ledger):
    run_id = live(ledger, "queued")
    fire(ledger, run_id, "start")
    ended = next(e.entry["rec_us"] for e in log(ledger) if e.data.get("event") == "start")
    windows = {(None, None): 1, (ended, None): 1, (ended + 1, None): 0, (None, ended): 0, (None, ended + 1): 1}
    for (since_us, until_us), count in windows.items():
        found = ledger.audit.durations(StayQuery(since_us=since_us, until_us=until_us), UDO)
        assert [stay.count for stay in found if stay.status == "queued"] == [count]


def test_a_stay_that_ended_before_it_began_is_not_counted(ledger):
    run_id = live(ledger, "queued")
    ledger._clock, clock = (lambda: 5_000), ledger._clock
    fire(ledger, run_id, "start")
    ledger._clock = clock
    found = {stay.status: stay for stay in ledger.audit.durations(StayQuery(), UDO)}
    assert (found["queued"].count, found["queued"].max_us) == (0, None)


def test_operation_runs_and_evidence_have_stays_of_their_own_and_foreign_ones_are_not_counted(ledger):
    prove(ledger, live(ledger))
    open_scope(ledger, FOREIGN, SAM)
    for machine in (Machine.OPERATION, Machine.EVIDENCE):
        found = {s.status: s.count for s in ledger.audit.durations(StayQuery(machine=machine), UDO) if s.count}
        family = f"restore.{machine}."
        assert found == {status: len(lengths) for status, lengths in stays(ledger, family).items()}
        foreign = ledger.audit.durations(StayQuery(machine=machine, workspace="w2"), UDO)
        assert {stay.count for stay in foreign} == {0}
    with pytest.raises(ForbiddenError):
        ledger.audit.durations(StayQuery(), VERA)


def test_the_digest_of_a_row_is_that_of_facts_that_the_log_holds(ledger):
    run_id = live(ledger)
    seen = ledger.list_runs(VERA.id, VERA).rows[0]
    assert seen.facts_digest == digest(projections(ledger, run_id)[-1].data["facts"])


@pytest.mark.owner
def test_bytes_that_the_database_takes_for_json_and_nobody_else_does_are_named_as_damaged(ledger):
    with unguarded(ledger) as connection:
        forge = "UPDATE audit_event SET payload = replace(payload, '\"ada\"', '1e999') WHERE event_id = 4"
        execute(connection, forge)
    for ask in (lambda: ledger.audit.get(4, UDO), lambda: ledger.audit.tail(0, UDO)):
        with pytest.raises(DamagedError, match="audit event 4"):
            ask()
    assert ledger.audit.get(5, UDO).event_id == 5, "the others are read all the same"


@pytest.mark.owner
def test_a_run_whose_decisions_were_taken_out_of_the_log_has_no_why(ledger):
    run_id = live(ledger)
    with unguarded(ledger) as connection:
        execute(connection, "DELETE FROM audit_event WHERE type = 'restore.decision.projected'")
    with pytest.raises(NotFoundError, match="decision of restore run"):
        ledger.audit.why(run_id, UDO)
    assert ledger.audit.history(run_id, UDO) == DecisionHistory(changes=(), pruned=0)
