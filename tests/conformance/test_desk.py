"""What an operator's desk shows beside a decision: a fixed part of the log, the steps, comparisons, sources, reviews."""

from __future__ import annotations

import pytest

from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap.records import Check, CheckResult, RunDetails
from proofgap.wording import DecisionState
from proofgap_store import CheckPage, Erasure, NewRun, Noted, Query
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
    last,
    lines,
    live,
    log_since,
    operation,
    prove,
    snapshot,
    tables,
)


def test_the_end_of_a_log_is_the_moves_and_the_last_projection_newest_first(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    for _ in range(30):
        ledger.show(run_id, ADA.id, ADA)
    around = ledger.desk.around(run_id, OLGA.id)
    moves = [event.entry["data"].get("target") for event in around.trail[1:]]
    assert around.trail[0].entry["type"] == "restore.decision.projected"
    assert moves == [
        *("active", "generating", "queued"),
        *("completed", "running", "queued", "previewed", "checked", "scoped", "draft"),
    ]
    assert around.record == ledger.peek(run_id, OLGA)
    assert [event.event_id for event in around.trail] == sorted(
        (event.event_id for event in around.trail), reverse=True
    )


def test_of_a_long_life_only_the_end_is_read(ledger):
    run_id = live(ledger, "scoped")
    fire(ledger, run_id, *["scope"] * 20)
    assert len(ledger.desk.around(run_id, ADA.id).trail) == 11


def test_why_a_run_ended_is_told_to_whoever_may_read_its_log_and_erased_words_are_not_called_none(ledger):
    run_id = live(ledger, "running")
    event = ledger.fire(run_id, RunEvent.FAIL, ADA, note="Ola was here").event_id
    assert ledger.desk.note(run_id, OLGA.id) == Noted("Ola was here", is_known=True)
    assert ledger.desk.note(run_id, VERA.id) == Noted(None, is_known=True)
    ledger.audit.redact(Erasure(event=str(event), path="data.note", reason="gdpr-17"), ADA)
    assert ledger.desk.note(run_id, OLGA.id) == Noted(None, is_known=False)
    assert ledger.desk.note(run_id, VERA.id) == Noted(None, is_known=True)


def test_what_somebody_may_not_read_is_left_out_and_asking_for_it_is_no_attempt(ledger):
    run_id = live(ledger)
    before = last(ledger)
    around = ledger.desk.around(run_id, VERA.id)
    assert (around.trail, around.record.operation) == (None, None)
    assert ledger.desk.steps(run_id, VERA.id) is None
    assert log_since(ledger, before) == []
    for asked in (ledger.desk.around, ledger.desk.note, ledger.desk.steps):
        with pytest.raises(NotFoundError):
            asked(run_id, SAM.id)


def test_steps_are_when_a_run_came_to_each_status_and_by_whom(ledger):
    run_id = live(ledger, "cancelled")
    steps = ledger.desk.steps(run_id, WIM.id)
    assert [step.status for step in steps] == ["draft", "scoped", "checked", "previewed", "queued", "cancelled"]
    assert {step.actor for step in steps} == {"ada"}
    assert [step.at_us for step in steps] == sorted(step.at_us for step in steps)


def test_comparisons_are_read_a_page_at_a_time_and_by_how_they_ended(ledger):
    run_id = live(ledger)
    found = ledger.begin_evidence(run_id, ADA).subject
    ledger.fire_evidence(found, SnapshotEvent.GENERATE, ADA)
    results = ["passed", "failed", "passed", "skipped", "failed"]
    checks = [
        Check(subject=f"f{n}", method="sha256", level="L5", result=CheckResult(one)) for n, one in enumerate(results)
    ]
    ledger.fire_evidence(found, SnapshotEvent.ACTIVATE, ADA, checks=checks)
    first = ledger.desk.checks(found, UDO, CheckPage(limit=2))
    rest = ledger.desk.checks(found, UDO, CheckPage(after=first[-1].number, limit=10))
    assert [one.check for one in (*first, *rest)] == checks
    failed = ledger.desk.checks(found, UDO, CheckPage(result=CheckResult.FAILED))
    assert [one.check.subject for one in failed] == ["f1", "f4"]
    before = tables(ledger)
    with pytest.raises(ForbiddenError):
        ledger.desk.checks(found, VERA, CheckPage())
    assert denials_beside(ledger, before) == [("vera", "evidence snapshot", found)]


def test_a_log_is_read_in_parts_that_together_are_all_of_it(ledger):
    run_id = live(ledger)
    found, after = [], 0
    while after is not None:
        part = ledger.desk.log(run_id, UDO, after=after, limit=4)
        found += part.events
        after = part.next
    assert found == ledger.history(run_id, UDO.id)
    with pytest.raises(ForbiddenError):
        ledger.desk.log(run_id, VERA)


def test_what_an_environment_restored_before_is_listed_once_each(ledger):
    for backup in ("b", "a", "b", None):
        ledger.create(NewRun(details=RunDetails(backup=backup, target="t")), ADA)
    found = ledger.desk.earlier(HOME, OLGA)
    assert [(source.backup, source.target, source.driver) for source in found] == [("a", "t", None), ("b", "t", None)]
    for actor, error in ((VERA, ForbiddenError), (SAM, NotFoundError)):
        with pytest.raises(error):
            ledger.desk.earlier(HOME, actor)


def test_a_review_is_an_event_that_moves_nothing_and_its_words_can_be_erased(ledger):
    run_id = live(ledger)
    found = prove(ledger, run_id)
    before = ledger.peek(run_id, ADA)
    event_id = ledger.desk.review(found, OLGA, note="looked at all")
    ((_, payload, *_),) = log_since(ledger, event_id - 1)
    assert "looked at all" not in payload
    (review,) = ledger.desk.reviews(run_id, found, UDO)
    assert (review.event_id, review.by, review.note) == (event_id, "olga", "looked at all")
    assert ledger.peek(run_id, ADA) == before
    assert ledger.desk.review(found, UDO) > event_id
    assert [one.by for one in ledger.desk.reviews(run_id, found, UDO)] == ["udo", "olga"]


def test_what_is_not_active_or_not_visible_is_not_reviewed(ledger):
    run_id = live(ledger)
    older = prove(ledger, run_id)
    prove(ledger, run_id, captured_at_us=2_000)
    before = last(ledger)
    with pytest.raises(BadInputError, match="not active"):
        ledger.desk.review(older, OLGA)
    with pytest.raises(NotFoundError):
        ledger.desk.review(older, SAM)
    with pytest.raises(BadInputError):
        ledger.desk.review(older, OLGA, note="")
    assert log_since(ledger, before) == []
    with pytest.raises(ForbiddenError):
        ledger.desk.review(older, VERA)


@pytest.mark.parametrize(
    ("text", "expected"), [("NIGHT", ["r1"]), ("staging", ["r2", "r1"]), ("r2", ["r2"]), ("100%", ["r3"]), ("%_", ["r3"]), ("!", []), ("uu", [])]
)  # fmt: skip
def test_a_list_is_narrowed_to_a_text_whose_signs_mean_themselves(ledger, text, expected):
    wanted = [("nightly", "staging"), ("weekly", "staging"), ("100%_b", "x")]
    names = {
        ledger.create(NewRun(details=RunDetails(backup=backup, target=target)), ADA, at_us=n).run_id: f"r{n}"
        for n, (backup, target) in enumerate(wanted, 1)
    }
    asked = next((run_id for run_id, name in names.items() if name == text), text)
    found = ledger.list_runs(ADA.id, ADA, Query(text=asked))
    assert [names[row.record.id] for row in found.rows] == expected


def test_a_list_is_narrowed_to_a_time_of_creation(ledger):
    made = [ledger.create(NewRun(), ADA, at_us=at_us).run_id for at_us in (1_000, 2_000, 3_000)]
    found = ledger.list_runs(ADA.id, ADA, Query(since_us=2_000, until_us=3_000))
    assert [row.record.id for row in found.rows] == [made[1]]


def test_what_a_filter_of_states_leaves_out_has_no_such_state(ledger):
    """Every combination of status, operation run and evidence that another system may have recorded."""
    records = [
        facts(f"x{status}-{outcome}-{has}", status, *([operation(f"o{status}{outcome}{has}", "completed" if outcome else "running", outcome)]
              + ([snapshot(f"s{status}{outcome}{has}", f"o{status}{outcome}{has}")] if has else [])))
        for status in ("draft", "queued", "completed", "partial", "failed", "cancelled")
        for outcome in (None, "succeeded", "failed", "blocked") for has in (False, True)
    ]  # fmt: skip
    ledger.import_facts(lines(*records), ADA)
    everything = ledger.list_runs(ADA.id, ADA, Query(limit=200)).rows
    by_state = {state: [row.record.id for row in everything if row.decision.state == state] for state in DecisionState}
    for state in DecisionState:
        found = ledger.list_runs(ADA.id, ADA, Query(state=state, limit=200)).rows
        assert [row.record.id for row in found] == by_state[state], state


def test_a_filter_that_finds_little_ends_its_page_and_goes_on_from_there(ledger, monkeypatch):
    monkeypatch.setattr("proofgap_store.lists.LOOKED_AT_MAX", 5)
    wanted = ledger.create(NewRun(details=RunDetails(backup="needle")), ADA, at_us=1).run_id
    for at_us in range(2, 20):
        ledger.create(NewRun(), ADA, at_us=at_us)
    pages, after = [], None
    while True:
        found = ledger.list_runs(ADA.id, ADA, Query(text="needle", after=after))
        pages.append([row.record.id for row in found.rows])
        after = found.next
        if after is None:
            break
    assert [run for page in pages for run in page] == [wanted]
    assert len(pages) > 2
