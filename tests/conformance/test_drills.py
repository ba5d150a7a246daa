"""Drills: exactly one run for each tick, however many workers look at the clock, and a word for each that was missed."""

from __future__ import annotations

import threading
import time

import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import RunEvent
from proofgap.records import PreviewFacts, RunDetails
from proofgap_store import NewDrill, NewToken
from proofgap_store.drills import due_since
from tests.conformance.lives import ADA, OLGA, OTTO, SAM, UDO, VERA, WIM, fire, log

DETAILS = RunDetails(backup="b", target="t", driver="files")
EVERY_SECOND = "* * * * * *"
SECOND_US = 1_000_000


def declare(ledger, cron=EVERY_SECOND, **new):
    """Declare a drill."""
    return ledger.fleet.declare_drill(NewDrill(cron=cron, details=DETAILS, **new), OLGA)


def events(ledger, kind):
    """Read the events of one type."""
    return [event for event in log(ledger) if event.type == kind]


def test_a_tick_gives_one_run_with_purpose_test_and_is_not_decided_twice(ledger):
    drill = declare(ledger)
    time.sleep(1.1)
    ticked = ledger.fleet.fire_due_drills(WIM)
    (fired,) = [tick for tick in ticked if tick.run is not None]
    record = ledger.peek(fired.run, ADA)
    assert (record.status, record.details.purpose, record.details.backup) == ("draft", "test", "b")
    assert (fired.drill, fired.first_us, fired.ticks) == (drill.id, fired.last_us, 1)
    assert fired.last_us % SECOND_US == 0
    (event,) = events(ledger, "drill.fired")
    assert (event.entry["run"], event.data["last_us"], event.event_id) == (fired.run, fired.last_us, fired.event_id)
    later = [tick for tick in ledger.fleet.fire_due_drills(WIM) if tick.last_us <= fired.last_us]
    assert later == []
    assert ledger.verify().findings == ()


def test_of_many_who_look_at_the_clock_one_decides_each_tick_and_none_is_left_out(ledger):
    drill = declare(ledger)
    end, failures = time.monotonic() + 3.3, []

    def look():
        while time.monotonic() < end:
            try:
                ledger.fleet.fire_due_drills(WIM)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                failures.append(error)
            time.sleep(0.01)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert failures == []
    decided = [e.data for e in log(ledger) if e.type in {"drill.fired", "drill.missed"}]
    ticks = [t for data in decided for t in range(data["first_us"], data["last_us"] + 1, SECOND_US)]
    assert ticks == list(range(ticks[0], ticks[-1] + 1, SECOND_US))
    assert ticks[0] == due_since(EVERY_SECOND, drill.decided_us, drill.decided_us + 2 * SECOND_US).first_us
    assert len(events(ledger, "restore.run.created")) == len(events(ledger, "drill.fired")) >= 2
    assert ledger.verify().findings == ()


def test_what_is_too_late_was_missed_and_fires_nothing(ledger):
    declare(ledger, grace_us=0)
    time.sleep(1.3)
    while not (ticked := ledger.fleet.fire_due_drills(WIM)):
        time.sleep(0.05)
    assert {tick.run for tick in ticked} == {None}
    (event,) = events(ledger, "drill.missed")
    assert event.data["ticks"] == (event.data["last_us"] - event.data["first_us"]) // SECOND_US + 1
    assert events(ledger, "restore.run.created") == []
    assert ledger.verify().findings == ()


def test_a_drill_that_is_retired_fires_no_more_and_stays_retired(ledger):
    drill = declare(ledger)
    ledger.fleet.retire_drill(drill.id, OLGA)
    ledger.fleet.retire_drill(drill.id, OLGA)
    time.sleep(1.1)
    assert ledger.fleet.fire_due_drills(WIM) == ()
    (listed,) = ledger.fleet.drills(OLGA)
    assert (listed.is_active, listed.next_us, len(events(ledger, "drill.retired"))) == (False, None, 1)
    assert ledger.verify().findings == ()


def test_a_run_that_nobody_prepared_is_found_once_it_has_not_moved_for_long_enough(ledger):
    drill = declare(ledger)
    time.sleep(1.1)
    run_id = next(tick.run for tick in ledger.fleet.fire_due_drills(WIM) if tick.run)
    assert ledger.fleet.unprepared_drills(WIM, 600) == ()
    (left,) = ledger.fleet.unprepared_drills(WIM, 0)
    assert (left.run, left.drill.id) == (run_id, drill.id)
    ledger.fire(run_id, "cancel", ADA)
    assert ledger.fleet.unprepared_drills(WIM, 0) == ()


@pytest.mark.parametrize("cron", ["", "x", "0 0 30 2 *", "61 * * * *", "@daily", "* * * *"])
def test_a_time_that_never_comes_is_refused(ledger, cron):
    with pytest.raises(BadInputError, match="cron"):
        declare(ledger, cron)
    assert ledger.fleet.drills(OLGA) == ()


@pytest.mark.parametrize("missing", ["backup", "target", "driver"])
def test_a_drill_says_what_is_restored_where_and_how(ledger, missing):
    details = RunDetails(**{name: "x" for name in ("backup", "target", "driver") if name != missing})
    with pytest.raises(BadInputError, match=missing):
        ledger.fleet.declare_drill(NewDrill(cron=EVERY_SECOND, details=details), OLGA)


def test_a_drill_says_what_it_selects_beside_the_details_of_its_runs_and_not_twice(ledger):
    chosen = {"select": ("etc/*",), "overwrite": True, "options": ("tag=x",), "manifest": "/m", "password_file": "/p"}
    for name, value in (chosen | {"expects_nothing": True}).items():
        details = RunDetails(backup="b", target="t", driver="files", **{name: value})
        with pytest.raises(BadInputError, match=f"details.{name}"):
            ledger.fleet.declare_drill(NewDrill(cron=EVERY_SECOND, details=details), OLGA)


def test_a_drill_claims_no_result(ledger):
    details = RunDetails(backup="b", target="t", driver="files", exit_code=0)
    with pytest.raises(BadInputError, match="exit_code"):
        ledger.fleet.declare_drill(NewDrill(cron=EVERY_SECOND, details=details), OLGA)


@pytest.mark.parametrize(("actor", "error"), [(VERA, ForbiddenError), (UDO, ForbiddenError), (SAM, NotFoundError)])
def test_whoever_may_not_prepare_runs_declares_and_retires_no_drill(ledger, actor, error):
    drill = declare(ledger)
    for verb in (
        lambda: ledger.fleet.declare_drill(NewDrill(cron=EVERY_SECOND, details=DETAILS), actor),
        lambda: ledger.fleet.retire_drill(drill.id, actor),
    ):
        with pytest.raises(error):
            verb()
    assert [found.id for found in ledger.fleet.drills(OLGA)] == [drill.id]
    assert ledger.fleet.drills(SAM) == ()


def test_ticks_are_those_of_the_calendar_in_utc():
    midnight = 1_795_564_800 * SECOND_US  # 2026-11-25 00:00 UTC
    nightly = due_since("30 2 * * *", midnight, midnight + 2 * 86_400 * SECOND_US)
    assert (nightly.first_us - midnight, nightly.ticks) == (9_000 * SECOND_US, 2)
    assert due_since("30 2 * * *", midnight, midnight + 8_999 * SECOND_US) is None


def test_whoever_declared_a_drill_is_not_the_second_person_who_approves_its_runs(ledger):
    """A worker creates the run, and asked for nothing; what is restored over what was said by whoever declared it."""
    place = ("default", "careful")
    ledger.access.declare_environment(place, ADA, approvals_required=1)
    for actor, role in ((OLGA, Role.OPERATOR), (OTTO, Role.OPERATOR), (WIM, Role.WORKER)):
        ledger.access.grant(actor.id, role, place, ADA)
    drill = declare(ledger, environment=place[1])
    time.sleep(1.1)
    run_id = next(tick.run for tick in ledger.fleet.fire_due_drills(WIM) if tick.run and tick.drill == drill.id)
    ledger.fleet.retire_drill(drill.id, OLGA)
    shown = RunDetails(preview=PreviewFacts(plan_digest="the plan"))
    for event, given in (("scope", None), ("check", RunDetails(plan_digest="the plan")), ("preview", shown)):
        ledger.fire(run_id, RunEvent(event), WIM, given=given or RunDetails())
    with pytest.raises(GuardRefusedError, match="whoever asked for a restore cannot approve it"):
        fire(ledger, run_id, "approve", actor=OLGA)
    with pytest.raises(GuardRefusedError):
        fire(ledger, run_id, "queue", actor=OLGA)
    fire(ledger, run_id, "approve", actor=OTTO)
    ledger.fire(run_id, RunEvent.QUEUE, OLGA, given=RunDetails(plan_digest="the plan"))
    fire(ledger, run_id, "cancel", actor=OLGA)


def test_the_runs_of_a_drill_that_a_token_declared_are_not_for_whoever_made_the_token_to_approve(ledger):
    expires_at_us = ledger._clock() + 86_400 * SECOND_US
    new = NewToken(
        name="ci", workspace="default", environment="local", roles=(Role.OPERATOR,), expires_at_us=expires_at_us
    )
    issued = ledger.sessions.create_token(new, ADA)
    ledger.fleet.declare_drill(NewDrill(cron=EVERY_SECOND, details=DETAILS), Actor(id=issued.token, kind="token"))
    time.sleep(1.1)
    run = next(tick.run for tick in ledger.fleet.fire_due_drills(WIM) if tick.run)
    found = ledger.peek(run, ADA).details
    assert (issued.token, ADA.id) == (found.requested_by, found.requested_for)
