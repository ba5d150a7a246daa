"""What a caller gets for an event: a receipt, the same one for the same key, or a refusal that is recorded."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.errors import (
    BadInputError,
    ForbiddenError,
    GuardRefusedError,
    KeyReusedError,
    NotAllowedError,
    NotFoundError,
    StaleError,
)
from proofgap.facts import Counts, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item, PreviewFacts, RunDetails
from proofgap_store import NewRun
from tests.conformance.lives import (
    ADA,
    OLGA,
    PATHS,
    SAM,
    VERA,
    WIM,
    chain_faults,
    fire,
    last,
    live,
    log,
    log_since,
    tables,
)


@pytest.mark.parametrize("status", PATHS)
def test_a_run_is_led_to_every_status_and_its_receipt_says_so(ledger, status):
    run_id = ledger.create(NewRun(), ADA).run_id
    receipt = fire(ledger, run_id, *PATHS[status]) or ledger.create(NewRun(), ADA)
    record = ledger.show(receipt.run_id, ADA.id, ADA).record
    assert (receipt.status, receipt.version) == (status, record.version) == (record.status, len(PATHS[status]) + 1)
    assert not receipt.replayed
    event = next(event for event in log(ledger) if event.event_id == receipt.event_id)
    assert (event.leaf, event.entry["run"]) == (receipt.leaf, receipt.run_id)
    assert (event.data["target"], event.data["version"]) == (status, record.version)


def test_an_event_names_who_fired_it_by_which_way_and_when(ledger):
    run_id = live(ledger, "queued")
    receipt = ledger.fire(run_id, RunEvent.START, WIM, at_us=1_234)
    entry = next(event.entry for event in log(ledger) if event.event_id == receipt.event_id)
    assert entry["actor"] == {"id": "wim", "kind": "worker", "via": "worker"}
    assert (entry["at_us"], entry["ws"], entry["env"]) == (1_234, "default", "local")
    assert entry["rec_us"] > 1_234
    assert entry["op"] == ledger.show(run_id, ADA.id, ADA).record.operation_run_id


KEYED = {
    "create": lambda ledger, _, key: ledger.create(NewRun(details=RunDetails(backup="b")), ADA, key=key),
    "fire": lambda ledger, run_id, key: ledger.fire(run_id, RunEvent.BLOCK, ADA, key=key, given=BLOCK),
    "retry": lambda ledger, _, key: ledger.retry(completed(ledger), ADA, key=key),
    "begin_evidence": lambda ledger, _, key: ledger.begin_evidence(completed(ledger), ADA, key=key),
    "fire_evidence": lambda ledger, _, key: ledger.fire_evidence(
        snapshot_once(ledger), SnapshotEvent.GENERATE, ADA, key=key
    ),
}
BLOCK = RunDetails(end_reason="validation")


def completed(ledger):
    """Lead the one run that was created under a key to its end; give its id."""
    run_id = ledger.create(NewRun(), ADA, key="once").run_id
    if ledger.show(run_id, ADA.id, ADA).record.status == "draft":
        fire(ledger, run_id, *PATHS["completed"])
    return run_id


def snapshot_once(ledger):
    """Give the one snapshot of that run."""
    return ledger.begin_evidence(completed(ledger), ADA, key="snapshot").subject


@pytest.mark.parametrize("verb", KEYED)
def test_the_same_request_under_the_same_key_gives_the_original_receipt_again_and_writes_nothing(ledger, verb):
    run_id = live(ledger, "checked")
    first = KEYED[verb](ledger, run_id, "k1")
    before = [event.event_id for event in log(ledger) if event.type != "restore.decision.projected"]
    again = [KEYED[verb](ledger, run_id, "k1") for _ in range(3)]
    assert again == [replace(first, replayed=True)] * 3
    assert [event.event_id for event in log(ledger) if event.type != "restore.decision.projected"] == before


def test_a_key_brings_back_its_receipt_however_far_the_run_has_moved_on(ledger):
    run_id = ledger.create(NewRun(), ADA).run_id
    first = ledger.fire(run_id, RunEvent.SCOPE, ADA, key="k1")
    fire(ledger, run_id, *PATHS["completed"])
    before = last(ledger)
    assert ledger.fire(run_id, RunEvent.SCOPE, ADA, key="k1") == replace(first, replayed=True)
    assert last(ledger) == before


OTHER_REQUESTS = {
    "another event": lambda ledger, run_id: ledger.fire(run_id, RunEvent.CANCEL, ADA, key="k1"),
    "other facts": lambda ledger, run_id: ledger.fire(
        run_id, RunEvent.SCOPE, ADA, key="k1", given=RunDetails(backup="b2")
    ),
    "another version": lambda ledger, run_id: ledger.fire(run_id, RunEvent.SCOPE, ADA, key="k1", expected_version=1),
    "another run": lambda ledger, _: ledger.fire(live(ledger, "draft"), RunEvent.SCOPE, ADA, key="k1"),
    "another verb": lambda ledger, _: ledger.create(NewRun(), ADA, key="k1"),
}


@pytest.mark.parametrize("request_", OTHER_REQUESTS.values(), ids=OTHER_REQUESTS)
def test_a_key_that_comes_back_with_another_request_is_refused_and_nothing_changes(ledger, request_):
    run_id = live(ledger, "draft")
    ledger.fire(run_id, RunEvent.SCOPE, ADA, key="k1", given=RunDetails(backup="b1"))
    record = ledger.show(run_id, ADA.id, ADA).record
    with pytest.raises(KeyReusedError) as caught:
        request_(ledger, run_id)
    assert (caught.value.key, caught.value.remedy) == ("k1", "Use a new key for a new request.")
    assert ledger.show(run_id, ADA.id, ADA).record == record


def test_items_are_part_of_the_request_that_a_key_stands_for(ledger):
    run_id = live(ledger, "running")
    items = [Item(key="a", result=ItemResult.SUCCEEDED)]
    first = ledger.fire(run_id, RunEvent.REPORT, ADA, items=items, key="k1")
    assert ledger.fire(run_id, RunEvent.REPORT, ADA, items=items, key="k1") == replace(first, replayed=True)
    with pytest.raises(KeyReusedError):
        ledger.fire(run_id, RunEvent.REPORT, ADA, items=[Item(key="b", result=ItemResult.SUCCEEDED)], key="k1")
    assert [item.key for item in ledger.items(run_id, ADA.id)] == ["a"]


def test_a_key_belongs_to_the_actor_who_used_it(ledger):
    mine = ledger.create(NewRun(), ADA, key="k1")
    theirs = ledger.create(NewRun(), OLGA, key="k1")
    assert mine.run_id != theirs.run_id
    assert not theirs.replayed
    assert ledger.create(NewRun(), OLGA, key="k1").run_id == theirs.run_id


def test_without_a_key_the_same_request_is_a_new_one(ledger):
    assert ledger.create(NewRun(), ADA).run_id != ledger.create(NewRun(), ADA).run_id


def test_a_refused_request_leaves_no_receipt_so_its_key_can_succeed_later(ledger):
    run_id = live(ledger, "draft")
    with pytest.raises(NotAllowedError):
        ledger.fire(run_id, RunEvent.CHECK, ADA, key="k1")
    fire(ledger, run_id, "scope")
    receipt = ledger.fire(run_id, RunEvent.CHECK, ADA, key="k1")
    assert (receipt.status, receipt.replayed) == ("checked", False)


def refusals(ledger, since):
    """Give what was logged as refused: guard, event, status it met, and who tried."""
    found = [event for event in log_since(ledger, since) if event.type == "restore.run.transition_refused"]
    return [
        (event.data["guard"], event.data["event"], event.data["source"], event.entry["actor"]["id"]) for event in found
    ]


def test_the_expected_version_is_accepted_when_it_is_the_one_that_is_there(ledger):
    assert ledger.fire(live(ledger, "scoped"), RunEvent.CHECK, ADA, expected_version=2).version == 3


@pytest.mark.parametrize("expected", [0, 1, 3, 99])
def test_another_version_is_refused_with_both_versions_and_the_refusal_is_recorded(ledger, expected):
    run_id = live(ledger, "scoped")
    before, record = last(ledger), ledger.show(run_id, ADA.id, ADA).record
    with pytest.raises(StaleError) as caught:
        ledger.fire(run_id, RunEvent.CHECK, ADA, expected_version=expected)
    assert (caught.value.subject, caught.value.expected, caught.value.actual) == (run_id, expected, 2)
    assert refusals(ledger, before) == [("expected_version", "check", "scoped", "ada")]
    assert ledger.show(run_id, ADA.id, ADA).record == record


def refused(ledger, run_id, event, actor=ADA, **given):
    """Fire an event that must be refused; give the error."""
    with pytest.raises((NotAllowedError, GuardRefusedError, ForbiddenError)) as caught:
        ledger.fire(run_id, RunEvent(event), actor, given=RunDetails(**given))
    return caught.value


REFUSALS = {
    "no such move": ("draft", "complete", ADA, {}, (None, "complete", "draft", "ada")),
    "the run has ended": ("failed", "start", ADA, {}, (None, "start", "failed", "ada")),
    "a changed plan": ("previewed", "queue", ADA, {"plan_digest": "p"}, ("plan_is_unchanged", "queue", "previewed", "ada")),
    "a changed target": (
        "previewed", "queue", ADA, {"target_fingerprint": "t"}, ("target_is_unchanged", "queue", "previewed", "ada"),
    ),
    "one's own approval": ("previewed", "approve", ADA, {}, ("approver_is_somebody_else", "approve", "previewed", "ada")),
    "an item that failed": (
        "running", "complete", ADA, {"counts": Counts(failed=1)},
        ("nothing_is_known_to_be_unapplied", "complete", "running", "ada"),
    ),
    "a block without a reason": ("queued", "block", ADA, {}, ("reason_is_given", "block", "queued", "ada")),
    "a role that may not": ("queued", "start", OLGA, {}, ("role", "start", "queued", "olga")),
    "a role that only looks": ("draft", "scope", VERA, {}, ("role", "scope", "draft", "vera")),
}  # fmt: skip


@pytest.mark.parametrize(("status", "event", "actor", "given", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_recorded_by_itself_with_the_guard_that_said_no(ledger, status, event, actor, given, expected):
    run_id = live(ledger, status)
    record, before = ledger.show(run_id, ADA.id, ADA).record, last(ledger)
    refused(ledger, run_id, event, actor, **given)
    (found,) = log_since(ledger, before)
    assert refusals(ledger, before) == [expected]
    assert (found.data["subject"], found.data["version"], found.entry["run"]) == (run_id, record.version, run_id)
    assert found.entry["stream"] == f"run/{run_id}"
    assert ledger.show(run_id, ADA.id, ADA).record == record
    assert chain_faults(log(ledger)) == []


def test_a_preview_that_expires_this_very_instant_is_too_old_to_act_on(ledger):
    run_id = live(ledger, "checked")
    ledger.fire(run_id, RunEvent.PREVIEW, ADA, given=RunDetails(preview=PreviewFacts(expires_at_us=5_000)))
    before = last(ledger)
    ledger._clock = lambda: 5_000
    with pytest.raises(GuardRefusedError):
        ledger.fire(run_id, RunEvent.QUEUE, ADA, at_us=4_000)  # what the caller says of the time moves no guard
    assert refusals(ledger, before) == [("preview_is_current", "queue", "previewed", "ada")]
    ledger._clock = lambda: 4_999
    assert ledger.fire(run_id, RunEvent.QUEUE, ADA, at_us=6_000).status == "queued"


def test_bad_input_is_refused_before_it_becomes_a_fact_and_nothing_is_written(ledger):
    run_id = live(ledger, "draft")
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.fire(run_id, RunEvent.SCOPE, ADA, given=RunDetails(exit_code=0))
    assert caught.value.field == "exit_code"
    with pytest.raises(BadInputError):
        ledger.fire(run_id, RunEvent.SCOPE, ADA, items=[Item(key="a", result=ItemResult.FAILED)])
    assert tables(ledger) == before


def test_whoever_holds_no_role_leaves_no_trace_in_the_log_of_the_run(ledger):
    run_id = live(ledger, "queued")
    before = tables(ledger)
    with pytest.raises(NotFoundError):
        ledger.fire(run_id, RunEvent.CANCEL, SAM)
    assert tables(ledger) == before


def test_a_key_does_not_open_a_run_to_somebody_who_lost_their_role(ledger):
    run_id = live(ledger, "draft")
    ledger.fire(run_id, RunEvent.SCOPE, OLGA, key="k1")
    ledger.access.grant("olga", "operator", ("default", "local"), ADA, revoke=True)
    with pytest.raises(NotFoundError):
        ledger.fire(run_id, RunEvent.SCOPE, OLGA, key="k1")
