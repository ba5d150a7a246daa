"""Workers, claims, fencing tokens, held environments, lost workers: the verbs of the fleet, on every database."""

from __future__ import annotations

import time

import pytest

from proofgap.access import Role
from proofgap.audit import Actor, EventType
from proofgap.errors import BadInputError, FencedError, ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import EndReason, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item, RunDetails
from proofgap_store import LogQuery, NewWorker, WorkerLostError
from proofgap_store.engine import RefusedByDatabaseError, connected, execute, transaction
from tests.conformance.lives import ADA, HOME, OLGA, PASSED, SAM, UDO, VERA, WIM, fire, live, log, prove, tables
from tests.conformance.tampering import unguarded

SHORT = 100_000
"""The shortest lease there is, in microseconds."""

TABLES = ("worker", "worker_lease", "drill", "drill_tick")


def worker(ledger, **new):
    """Register a worker of wim; give its id."""
    return ledger.fleet.register(NewWorker(name="host:1", **new), WIM).id


def claimed(ledger, **new):
    """Let a worker claim a new run; give both."""
    run_id = live(ledger, "queued")
    claim = ledger.fleet.claim(worker(ledger, **new), WIM)
    assert claim.run.id == run_id
    return claim


def lose(ledger):
    """Let a worker that claimed a run be found lost; give the claim."""
    claim = claimed(ledger, lease_us=SHORT)
    time.sleep(SHORT / 1_000_000 * 1.5)
    assert ledger.fleet.reap(WIM).failed == (claim.run.id,)
    return claim


def guard_of(ledger, run_id):
    """Read the guard of the last refusal in a run's log."""
    found = [e for e in log(ledger) if e.type == "restore.run.transition_refused" and e.entry["run"] == run_id]
    return found[-1].data["guard"]


def test_a_claim_is_the_start_of_the_run_and_keeps_the_digest_of_its_token_only(ledger):
    claim = claimed(ledger)
    event = next(e for e in reversed(log(ledger)) if e.data.get("event") == "start" and e.entry["run"] == claim.run.id)
    assert (claim.run.status, event.data["details"]["worker"]) == ("running", claim.worker)
    assert claim.token not in "".join(event.payload for event in log(ledger))
    assert len(event.data["details"]["claim"]) == 64
    assert ledger.verify().findings == ()


def test_a_claim_with_the_same_token_is_the_same_claim_and_starts_nothing_more(ledger):
    first = claimed(ledger)
    live(ledger, "queued")
    again = ledger.fleet.claim(first.worker, WIM, token=first.token)
    assert (again.run.id, again.run.version, again.token) == (first.run.id, first.run.version, first.token)
    assert [e.data["event"] for e in log(ledger) if e.data.get("event") == "start" and "details" in e.data] == ["start"]


def test_a_worker_gets_no_more_runs_than_it_executes_at_once(ledger):
    ledger.access.declare_environment(("default", "annex"), ADA)
    ledger.access.grant(WIM.id, Role.WORKER, ("default", "annex"), ADA)
    first = claimed(ledger)
    live(ledger, "queued", environment="annex")
    assert ledger.fleet.claim(first.worker, WIM) is None
    ledger.fire(first.run.id, RunEvent.COMPLETE, WIM, token=first.token)
    assert ledger.fleet.claim(first.worker, WIM).run.environment == "annex"


def test_one_restore_is_live_in_an_environment_whoever_starts_it(ledger):
    claim, other = claimed(ledger), live(ledger, "queued")
    assert ledger.fleet.claim(worker(ledger), WIM) is None
    with pytest.raises(GuardRefusedError, match=f"run {claim.run.id} holds the environment") as caught:
        fire(ledger, other, "start")
    assert (caught.value.guard, guard_of(ledger, other)) == ("environment_is_free", "environment_is_free")
    assert ledger.peek(other, ADA).status == "queued"
    ledger.fire(claim.run.id, RunEvent.COMPLETE, WIM, token=claim.token)
    assert fire(ledger, other, "start").status == "running"


@pytest.mark.owner
def test_the_database_itself_lets_one_run_hold_an_environment(ledger):
    claimed(ledger)
    other = live(ledger, "queued")
    with pytest.raises(RefusedByDatabaseError, match=r"UNIQUE|holds the environment"), unguarded(ledger) as connection:
        execute(connection, "UPDATE restore_run SET holds_env = 1 WHERE id = :id", {"id": other})


@pytest.mark.parametrize(("labels", "gets"), [(("default/local",), True), (("default/*",), True), ((), True)])
def test_labels_say_which_environments_a_worker_serves(ledger, labels, gets):
    live(ledger, "queued")
    assert (ledger.fleet.claim(worker(ledger, environments=labels), WIM) is not None) is gets


def test_a_worker_serves_no_other_environment_than_its_labels_say(ledger):
    ledger.access.declare_environment(("default", "annex"), ADA)
    ledger.access.grant(WIM.id, Role.WORKER, ("default", "annex"), ADA)
    live(ledger, "queued")
    assert ledger.fleet.claim(worker(ledger, environments=("default/annex",)), WIM) is None


@pytest.mark.parametrize(("drivers", "driver", "gets"), [
    (("files",), "files", True), (("files",), "sqlite", False), (("files",), None, False), ((), None, True),
])  # fmt: skip
def test_labels_say_which_drivers_a_worker_has(ledger, drivers, driver, gets):
    live(ledger, "queued", details=RunDetails(driver=driver))
    assert (ledger.fleet.claim(worker(ledger, drivers=drivers), WIM) is not None) is gets


def test_the_higher_priority_comes_first_and_of_equal_ones_the_earlier(ledger):
    runs = [live(ledger, "queued", details=RunDetails(priority=priority)) for priority in (None, 5, 5, 9, 0)]
    order = [waiting.run for waiting in ledger.fleet.queue(OLGA).waiting]
    assert order == [runs[3], runs[1], runs[2], runs[0], runs[4]]
    taken, mine = [], worker(ledger)
    while claim := ledger.fleet.claim(mine, WIM):
        taken.append(claim.run.id)
        ledger.fire(claim.run.id, RunEvent.COMPLETE, WIM, token=claim.token)
    assert taken == order


def test_a_run_that_is_kept_for_a_worker_is_given_to_nobody_else(ledger):
    run_id, mine, other = live(ledger, "previewed"), worker(ledger), worker(ledger)
    ledger.fire(run_id, RunEvent.QUEUE, ADA, given=RunDetails(worker=mine))
    assert ledger.fleet.claim(other, WIM) is None
    assert ledger.fleet.claim(other, WIM, run=run_id) is None
    assert ledger.fleet.claim(mine, WIM, run=run_id).run.id == run_id


def test_a_run_that_is_kept_for_a_worker_is_started_by_its_claim_only(ledger):
    mine, run_id = worker(ledger), live(ledger, "previewed")
    ledger.fire(run_id, RunEvent.QUEUE, ADA, given=RunDetails(worker=mine))
    with pytest.raises(GuardRefusedError, match=f"kept for worker {mine}") as caught:
        fire(ledger, run_id, "start")
    assert (caught.value.guard, guard_of(ledger, run_id)) == ("is_not_kept_for_a_worker", "is_not_kept_for_a_worker")
    assert ledger.fleet.claim(mine, WIM).run.id == run_id


@pytest.mark.parametrize("token", [None, "not-the-token"])
@pytest.mark.parametrize("event", ["report", "complete", "fail", "cancel"])
def test_what_happens_to_a_claimed_run_is_written_with_its_token_only(ledger, event, token):
    claim = claimed(ledger)
    items = [Item(key="a", result=ItemResult.SUCCEEDED)] if event == "report" else []
    with pytest.raises(FencedError, match="token"):
        ledger.fire(claim.run.id, RunEvent(event), WIM, items=items, token=token)
    assert ledger.peek(claim.run.id, ADA) == ledger.peek(claim.run.id, ADA)
    assert (ledger.peek(claim.run.id, ADA).version, guard_of(ledger, claim.run.id)) == (
        claim.run.version,
        "fencing_token",
    )
    assert ledger.items(claim.run.id, ADA.id) == []


def test_a_claimed_run_can_be_asked_to_stop_by_whoever_may_and_the_next_beat_says_so(ledger):
    claim = claimed(ledger)
    assert ledger.fleet.beat(claim.worker, WIM, [claim.run.id]).cancel_requested == ()
    ledger.fire(claim.run.id, RunEvent.REQUEST_CANCEL, OLGA)
    heard = ledger.fleet.beat(claim.worker, WIM, [claim.run.id])
    assert (heard.cancel_requested, heard.lost, heard.is_lost) == ((claim.run.id,), (), False)


def test_a_token_is_refused_for_a_run_that_nobody_claimed(ledger):
    run_id = live(ledger, "running")
    with pytest.raises(FencedError):
        ledger.fire(run_id, RunEvent.COMPLETE, WIM, token="any")  # noqa: S106 - not one
    assert ledger.peek(run_id, ADA).status == "running"


def test_a_lost_worker_loses_its_run_and_what_it_had_reported_is_a_lower_bound(ledger):
    claim = claimed(ledger, lease_us=SHORT)
    ledger.fire(
        claim.run.id, RunEvent.REPORT, WIM, items=[Item(key="a", result=ItemResult.SUCCEEDED)], token=claim.token
    )
    time.sleep(SHORT / 1_000_000 * 1.5)
    reaped = ledger.fleet.reap(WIM)
    assert (reaped.workers, reaped.failed, reaped.blocked, reaped.stopping) == (
        (claim.worker,),
        (claim.run.id,),
        (),
        (),
    )
    shown = ledger.show(claim.run.id, OLGA.id, OLGA)
    assert (shown.record.status, shown.record.details.end_reason) == ("failed", EndReason.WORKER_LOST)
    assert (shown.decision.result_summary.qualifier, shown.decision.result_summary.counts.succeeded) == ("at least", 1)
    assert ledger.fleet.reap(WIM) == type(reaped)(), "nothing is taken twice"
    assert ledger.verify().findings == ()


def test_whose_lease_has_not_run_out_is_not_lost(ledger):
    claim = claimed(ledger)
    assert ledger.fleet.reap(WIM).workers == ()
    assert ledger.peek(claim.run.id, ADA).status == "running"


def test_a_beat_keeps_a_worker_alive_for_another_lease(ledger):
    claim = claimed(ledger, lease_us=1_000_000)
    for _ in range(3):
        time.sleep(0.4)
        assert not ledger.fleet.beat(claim.worker, WIM).is_lost
        assert ledger.fleet.reap(WIM).workers == ()


def test_a_lost_worker_is_told_so_and_nothing_brings_it_back(ledger):
    claim = lose(ledger)
    heard = ledger.fleet.beat(claim.worker, WIM, [claim.run.id])
    assert (heard.is_lost, heard.lost, heard.cancel_requested) == (True, (claim.run.id,), ())
    with pytest.raises(WorkerLostError, match="is lost"):
        ledger.fleet.claim(claim.worker, WIM)
    assert ledger.fleet.reap(WIM).workers == ()


@pytest.mark.parametrize("event", ["report", "complete", "complete_partially", "fail", "cancel"])
def test_a_lost_worker_writes_nothing_more_and_the_attempt_is_in_the_log(ledger, event):
    claim = lose(ledger)
    before = ledger.peek(claim.run.id, ADA)
    items = [Item(key="a", result=ItemResult.SUCCEEDED)] if event == "report" else []
    with pytest.raises(FencedError, match="lease had run out"):
        ledger.fire(claim.run.id, RunEvent(event), WIM, items=items, token=claim.token)
    assert (ledger.peek(claim.run.id, ADA), guard_of(ledger, claim.run.id)) == (before, "fencing_token")


def test_a_lost_worker_adds_no_evidence_and_somebody_else_may(ledger):
    claim = lose(ledger)
    with pytest.raises(FencedError):
        ledger.begin_evidence(claim.run.id, WIM, token=claim.token)
    assert ledger.peek(claim.run.id, ADA).evidence == ()
    snapshot = ledger.begin_evidence(claim.run.id, ADA).subject
    with pytest.raises(FencedError):
        ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, WIM, token=claim.token)
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, ADA, checks=PASSED)
    assert ledger.peek(claim.run.id, ADA).evidence[0].status == "active"


def test_a_worker_proves_its_own_evidence_by_its_token(ledger):
    claim = claimed(ledger)
    ledger.fire(claim.run.id, RunEvent.COMPLETE, WIM, token=claim.token)
    snapshot = ledger.begin_evidence(claim.run.id, WIM, token=claim.token).subject
    with pytest.raises(FencedError):
        ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, WIM, token="another")  # noqa: S106 - not one
    assert ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, WIM, token=claim.token).status == "generating"
    assert prove(ledger, claim.run.id)


def test_the_environment_of_a_lost_run_stays_held_until_an_operator_releases_it(ledger):
    claim, behind = lose(ledger), live(ledger, "queued")
    assert ledger.fleet.claim(worker(ledger), WIM) is None
    (held,) = ledger.fleet.queue(OLGA).held
    assert (held.run, held.needs_release, held.end_reason) == (claim.run.id, True, EndReason.WORKER_LOST)
    assert ledger.fleet.queue(OLGA).waiting[0].held_by == claim.run.id
    number = ledger.fleet.release_environment(HOME, OLGA, note="looked at it")
    event = next(e for e in log(ledger) if e.event_id == number)
    assert (event.type, event.entry["run"], event.entry["actor"]["id"]) == (
        "environment.released",
        claim.run.id,
        "olga",
    )
    assert "looked at it" not in event.payload
    assert ledger.fleet.queue(OLGA).held == ()
    assert ledger.fleet.claim(worker(ledger), WIM).run.id == behind
    assert ledger.verify().findings == ()


def test_what_nothing_holds_and_what_a_live_run_holds_is_not_released(ledger):
    with pytest.raises(NotFoundError, match="no held environment"):
        ledger.fleet.release_environment(HOME, OLGA)
    claim = claimed(ledger)
    with pytest.raises(GuardRefusedError, match=f"proofgap run cancel {claim.run.id}"):
        ledger.fleet.release_environment(HOME, OLGA)
    assert ledger.fleet.holder(HOME, OLGA).run == claim.run.id


@pytest.mark.parametrize(
    ("actor", "error"), [(WIM, ForbiddenError), (VERA, ForbiddenError), (UDO, ForbiddenError), (SAM, NotFoundError)]
)
def test_only_operators_and_admins_release(ledger, actor, error):
    lose(ledger)
    before = tables(ledger)["restore_run"]
    with pytest.raises(error):
        ledger.fleet.release_environment(HOME, actor)
    assert tables(ledger)["restore_run"] == before
    assert [e.type for e in log(ledger)].count("access.denied") == (error is ForbiddenError)


@pytest.mark.parametrize(
    ("actor", "error"), [(OLGA, ForbiddenError), (VERA, ForbiddenError), (UDO, ForbiddenError), (SAM, ForbiddenError)]
)
def test_whoever_may_not_execute_registers_no_worker_and_reaps_nothing(ledger, actor, error):
    for verb in (lambda: ledger.fleet.register(NewWorker(name="x"), actor), lambda: ledger.fleet.reap(actor)):
        with pytest.raises(error):
            verb()
    assert ledger.fleet.queue(ADA).workers == ()


@pytest.mark.parametrize("new", [
    {"name": ""}, {"name": "a\n"}, {"name": "a", "environments": ("default",)}, {"name": "a", "environments": ("/x",)},
    {"name": "a", "concurrency": 0}, {"name": "a", "lease_us": 1},
])  # fmt: skip
def test_a_worker_that_is_none_is_refused(ledger, new):
    with pytest.raises(BadInputError):
        ledger.fleet.register(NewWorker(**new), WIM)
    assert ledger.fleet.queue(ADA).workers == ()


def test_a_label_for_a_place_where_the_actor_may_not_execute_is_refused(ledger):
    with pytest.raises(NotFoundError):
        ledger.fleet.register(NewWorker(name="a", environments=("default/nowhere",)), WIM)


def test_nobody_works_in_the_name_of_another_one_s_worker(ledger):
    mine, claim = worker(ledger), None
    live(ledger, "queued")
    for verb in (ledger.fleet.beat, ledger.fleet.claim, ledger.fleet.retire):
        with pytest.raises(NotFoundError):
            claim = verb(mine, ADA)
    assert claim is None


def test_of_a_worker_only_those_see_anything_who_see_a_place_that_it_serves_and_only_of_that_place(ledger):
    """Labels and runs name environments of other workspaces, and what goes on there; what it executes is for who sees operation runs."""
    place, other, hand = ("hidden", "prod"), Actor(id="hana"), Actor(id="hugo")
    ledger.access.declare_environment(place, ADA)
    ledger.access.grant(WIM.id, Role.WORKER, place, ADA)
    ledger.access.grant(other.id, Role.VIEWER, place, ADA)
    ledger.access.grant(hand.id, Role.OPERATOR, place, ADA)
    both = worker(ledger, environments=("hidden/prod", "default/local"))
    theirs = worker(ledger, environments=("hidden/prod",))
    run_id = live(ledger, "queued", workspace=place[0], environment=place[1])
    claim = ledger.fleet.claim(theirs, WIM, run=run_id)

    def seen(actor):
        found = {row.id: row for row in ledger.fleet.queue(actor).workers if row.id in {both, theirs}}
        return {name: (row.wanted.environments, row.running) for name, row in found.items()}

    assert seen(VERA) == {both: (("default/local",), None)}
    assert seen(other) == {both: (("hidden/prod",), None), theirs: (("hidden/prod",), None)}
    assert seen(hand) == {both: (("hidden/prod",), ()), theirs: (("hidden/prod",), (run_id,))}
    ledger.fire(run_id, RunEvent.FAIL, WIM, token=claim.token)


def test_a_worker_retires_once_it_holds_nothing(ledger):
    claim = claimed(ledger)
    with pytest.raises(BadInputError, match=f"still executes {claim.run.id}"):
        ledger.fleet.retire(claim.worker, WIM)
    ledger.fire(claim.run.id, RunEvent.COMPLETE, WIM, token=claim.token)
    ledger.fleet.retire(claim.worker, WIM)
    ledger.fleet.retire(claim.worker, WIM)
    assert [e.type for e in log(ledger)].count("worker.retired") == 1
    assert ledger.fleet.beat(claim.worker, WIM).is_lost
    assert ledger.verify().findings == ()


def test_a_waiting_run_is_blocked_when_its_deadline_has_passed_and_a_running_one_is_asked_to_stop(ledger):
    claim = claimed(ledger)
    waiting = live(ledger, "queued", details=RunDetails(deadline_us=1))
    ledger.fire(claim.run.id, RunEvent.COMPLETE, WIM, token=claim.token)
    assert ledger.fleet.claim(claim.worker, WIM) is None
    assert ledger.fleet.reap(WIM).blocked == (waiting,)
    record = ledger.peek(waiting, ADA)
    assert (record.status, record.details.end_reason) == ("cancelled", EndReason.DEADLINE_PASSED)
    late = live(ledger, "running", details=RunDetails(deadline_us=1))
    assert ledger.fleet.reap(WIM).stopping == (late,)
    assert ledger.peek(late, ADA).details.cancel_requested_by == WIM.id
    assert ledger.fleet.reap(WIM).stopping == ()


def test_a_run_that_was_kept_for_a_worker_that_is_gone_is_blocked(ledger):
    run_id, mine = live(ledger, "previewed"), worker(ledger)
    ledger.fire(run_id, RunEvent.QUEUE, ADA, given=RunDetails(worker=mine))
    assert ledger.fleet.reap(WIM).blocked == ()
    ledger.fleet.retire(mine, WIM)
    assert ledger.fleet.reap(WIM).blocked == (run_id,)
    assert ledger.peek(run_id, ADA).details.end_reason == EndReason.WORKER_LOST


@pytest.mark.parametrize("given", [RunDetails(worker="wk_1"), RunDetails(claim="c" * 64)], ids=["worker", "claim"])
def test_whose_a_run_is_is_said_by_a_claim_only(ledger, given):
    run_id = live(ledger, "queued")
    with pytest.raises(BadInputError, match="claim"):
        ledger.fire(run_id, RunEvent.START, WIM, given=given)
    assert ledger.peek(run_id, ADA).status == "queued"


FORGERIES = {
    "a hold let go": "UPDATE restore_run SET holds_env = 0",
    "a lease made longer": "UPDATE worker_lease SET lease_us = lease_us + 1",
    "a beat in the future": "UPDATE worker_lease SET beat_at_us = beat_at_us + 9000000000",
    "a beat taken back": "UPDATE worker_lease SET beat_at_us = beat_at_us - 1",
    "a lease taken away": "DELETE FROM worker_lease",
    "a worker taken away": "DELETE FROM worker",
    "a worker said to be lost": "UPDATE worker SET state = 'lost'",
    "a worker of somebody else": "UPDATE worker SET principal = 'sam'",
    "a worker from nowhere": "INSERT INTO worker VALUES ('wk_1', 'sam', '{}', 'active', 1)",
    "a drill from nowhere": "INSERT INTO drill VALUES ('dr_1', 'default', 'local', '{}', 1, 0, 1)",
    "a tick from nowhere": "INSERT INTO drill_tick SELECT 'dr_1', 1, id, 1 FROM restore_run",
}


@pytest.mark.owner
@pytest.mark.parametrize("statement", FORGERIES.values(), ids=FORGERIES)
def test_the_tables_of_the_fleet_are_written_through_the_log_only(ledger, statement):
    claimed(ledger)
    before = {**tables(ledger), **fleet_tables(ledger)}
    with (
        pytest.raises(RefusedByDatabaseError, match="proofgap: "),
        connected(ledger._gate.engine) as connection,
        transaction(connection, writes=True),
    ):
        execute(connection, statement)
    assert {**tables(ledger), **fleet_tables(ledger)} == before


def fleet_tables(ledger):
    """Read the tables of the fleet."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        return {name: execute(connection, f"SELECT * FROM {name}").fetchall() for name in TABLES}  # noqa: S608 - names only


FOUND = {
    "a hold let go": ("UPDATE restore_run SET holds_env = 0", "ROW_MISMATCH"),
    "a worker of somebody else": ("UPDATE worker SET principal = 'sam'", "ROW_FOREIGN"),
    "a worker that is not there": ("DELETE FROM worker_lease", "ROW_MISSING"),
    "a lease made longer": ("UPDATE worker_lease SET lease_us = lease_us + 1", "ROW_FOREIGN"),
}


@pytest.mark.owner
@pytest.mark.parametrize(("statement", "code"), FOUND.values(), ids=FOUND)
def test_what_was_changed_past_the_guards_is_found(ledger, statement, code):
    claimed(ledger)
    with unguarded(ledger) as connection:
        execute(connection, statement)
    assert code in {str(finding.code) for finding in ledger.verify().findings}


@pytest.mark.owner
def test_a_lost_hold_that_was_let_go_past_the_guards_is_found(ledger):
    lose(ledger)
    assert ledger.verify().findings == ()
    with unguarded(ledger) as connection:
        execute(connection, "UPDATE restore_run SET holds_env = 0")
    assert [str(finding.code) for finding in ledger.verify().findings] == ["ROW_MISMATCH"]


def test_a_worker_is_seen_by_whoever_sees_what_it_serves_and_only_as_far_as_that(ledger):
    ledger.access.declare_environment(("other", "secret"), ADA)
    ledger.access.grant(WIM.id, Role.WORKER, ("other", "secret"), ADA)
    ledger.fleet.register(NewWorker(name="there", environments=("other/secret",)), WIM)
    ledger.fleet.register(NewWorker(name="both", environments=("other/secret", "default/local")), WIM)
    told = {found.wanted.name: found.wanted.environments for found in ledger.fleet.queue(OLGA).workers}
    assert told == {"both": ("default/local",)}
    assert {found.wanted.name for found in ledger.fleet.queue(ADA).workers} == {"there", "both"}
    assert ledger.fleet.queue(SAM).workers == ()


def test_the_log_tells_of_a_worker_only_where_it_may_work_and_names_no_place_elsewhere(ledger):
    ledger.access.declare_environment(("other", "secret"), ADA)
    ledger.access.grant(WIM.id, Role.WORKER, ("other", "secret"), ADA)
    ledger.access.grant(SAM.id, Role.AUDITOR, ("other", "secret"), ADA)
    for name, places in {"there": ("other/secret",), "both": ("other/secret", "default/*"), "any": ()}.items():
        ledger.fleet.register(NewWorker(name=name, environments=places), WIM)
    ledger.access.declare_environment(("third", "e"), ADA)
    ledger.access.grant("eve", Role.AUDITOR, ("third", "e"), ADA)
    told = {who: told_of_workers(ledger, who) for who in (ADA, UDO, SAM, Actor(id="eve"))}
    assert list(told.values()) == [{"there", "both", "any"}, {"any"}, {"there", "any"}, set()]


def told_of_workers(ledger, auditor):
    """Give the names of the workers whose beginning somebody reads of in the log."""
    found = ledger.audit.list(LogQuery(types=(EventType.WORKER_REGISTERED,)), auditor).events
    return {event.entry["data"]["details"]["name"] for event in found}
