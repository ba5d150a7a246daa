"""What no role and no word can do: end what others execute, look over shoulders, orphan a workspace, shift time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.access import Role
from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import Counts, RunEvent, SnapshotEvent
from proofgap.records import PreviewFacts, RunDetails, SnapshotDetails
from proofgap_store import NewRun, Query
from proofgap_store.clock import now_us
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    OTTO,
    PASSED,
    SAM,
    UDO,
    VERA,
    WIM,
    after_the_end,
    denials_beside,
    facts,
    last,
    lines,
    live,
    log,
    log_since,
    open_scope,
    operation,
    prove,
    snapshot,
    tables,
)

SECOND = ("default", "second")
SKEW_US = 60_000_000


def guards_since(ledger, event_id):
    """Give the guards of the refusals that were logged after an event."""
    return [event.data["guard"] for event in log_since(ledger, event_id) if "guard" in event.data]


def test_whoever_only_prepares_asks_a_run_that_executes_to_stop_and_ends_every_other_one(ledger):
    run_id, before = live(ledger, "running"), last(ledger)
    with pytest.raises(ForbiddenError) as caught:
        ledger.fire(run_id, RunEvent.CANCEL, OLGA, given=RunDetails(nothing_written=True))
    assert (caught.value.action, guards_since(ledger, before)) == ("execute runs", ["role"])
    assert ledger.fire(run_id, RunEvent.REQUEST_CANCEL, OLGA).status == "running"
    assert ledger.fire(run_id, RunEvent.CANCEL, WIM, given=RunDetails(nothing_written=True)).status == "cancelled"
    for status in ("draft", "scoped", "checked", "previewed", "queued"):
        assert ledger.fire(live(ledger, status), RunEvent.CANCEL, OLGA).status == "cancelled"


@pytest.mark.parametrize("actor", [OLGA, WIM, VERA])
@pytest.mark.parametrize("viewer", [ADA, SAM])
def test_whoever_may_not_look_as_others_is_told_so_before_it_shows_who_they_are(ledger, actor, viewer):
    run_id = live(ledger, "draft")
    before = tables(ledger)
    with pytest.raises(ForbiddenError) as caught:
        ledger.show(run_id, viewer.id, actor)
    assert caught.value.action == "see what others are shown"
    assert denials_beside(ledger, before) == [(actor.id, "restore run", run_id)]


def test_an_auditor_is_told_that_somebody_without_a_role_sees_nothing(ledger):
    with pytest.raises(NotFoundError):
        ledger.show(live(ledger, "draft"), SAM.id, UDO)


def test_a_list_for_somebody_else_holds_only_runs_where_the_asker_may_look_as_others(ledger):
    ledger.import_facts(lines(facts("x1", scope=SECOND)), ADA)
    ledger.access.grant(VERA.id, Role.VIEWER, SECOND, ADA)
    ledger.access.grant(UDO.id, Role.VIEWER, SECOND, ADA)  # an auditor at home, and no more than a viewer there
    mine = live(ledger, "draft")
    assert {row.record.id for row in ledger.list_runs(VERA.id, VERA).rows} == {mine, "x1"}
    assert {row.record.id for row in ledger.list_runs(VERA.id, ADA).rows} == {mine, "x1"}
    assert [row.record.id for row in ledger.list_runs(VERA.id, UDO).rows] == [mine]
    before = tables(ledger)
    for actor in (OLGA, WIM):
        with pytest.raises(ForbiddenError):
            ledger.list_runs(VERA.id, actor)
    assert denials_beside(ledger, before) == [(actor.id, "list of runs", VERA.id) for actor in (OLGA, WIM)]
    before = tables(ledger)
    with pytest.raises(ForbiddenError):
        ledger.list_runs(VERA.id, UDO, Query(environment=SECOND[1]))
    assert denials_beside(ledger, before) == [(UDO.id, "list of runs", VERA.id)]
    before = tables(ledger)
    assert ledger.list_runs(VERA.id, SAM).rows == ()
    assert tables(ledger) == before


def test_a_list_for_somebody_else_is_one_that_they_would_get_themselves(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    for actor in (UDO, VERA):
        (row,) = ledger.list_runs(VERA.id, actor).rows
        assert (row.record.evidence, row.decision.state) == ((), "completed_proof_incomplete")


def test_the_last_admin_is_not_revoked_and_the_last_but_one_is(ledger):
    before = tables(ledger)
    with pytest.raises(BadInputError, match="is the last admin"):
        ledger.access.grant(ADA.id, Role.ADMIN, HOME, ADA, revoke=True)
    assert tables(ledger) == before
    ledger.access.grant(OLGA.id, Role.ADMIN, HOME, ADA)
    ledger.access.grant(ADA.id, Role.ADMIN, HOME, ADA, revoke=True)
    with pytest.raises(BadInputError, match="is the last admin"):
        ledger.access.grant(OLGA.id, Role.ADMIN, HOME, OLGA, revoke=True)


def test_every_other_role_of_the_last_admin_can_be_revoked(ledger):
    ledger.access.grant(ADA.id, Role.AUDITOR, HOME, ADA)
    assert ledger.access.grant(ADA.id, Role.AUDITOR, HOME, ADA, revoke=True) > 0


def test_an_admin_of_another_workspace_keeps_nobody_from_being_the_last_one(ledger):
    open_scope(ledger, ("w2", "e2"), SAM)
    with pytest.raises(BadInputError, match="is the last admin"):
        ledger.access.grant(ADA.id, Role.ADMIN, HOME, ADA, revoke=True)


@pytest.mark.parametrize("workspace", ["default", "w2"])
def test_all_environments_are_no_environment_to_declare(ledger, workspace):
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.access.declare_environment((workspace, "*"), ADA)
    assert (caught.value.field, caught.value.remedy) == ("environment", "Name one.")
    assert tables(ledger) == before


@pytest.mark.parametrize("given", [RunDetails(retry_of="r0"), RunDetails(attempt=2), RunDetails(attempt=0)])
def test_nobody_says_of_a_new_run_that_it_is_a_retry_only_retrying_does(ledger, given):
    before = tables(ledger)
    with pytest.raises(BadInputError, match="does not belong to a new run"):
        ledger.create(NewRun(details=given), ADA)
    assert tables(ledger) == before


NOW_US = 2_000_000_000_000_000
TIMES = {
    "create": lambda ledger, at_us: ledger.create(NewRun(), ADA, at_us=at_us),
    "fire": lambda ledger, at_us: ledger.fire(live(ledger, "draft"), RunEvent.SCOPE, ADA, at_us=at_us),
    "retry": lambda ledger, at_us: ledger.retry(live(ledger, "failed"), ADA, at_us=at_us),
    "fire evidence": lambda ledger, at_us: ledger.fire_evidence(
        prove(ledger, live(ledger)), SnapshotEvent.EXPIRE, ADA, at_us=at_us
    ),
    "begin evidence": lambda ledger, at_us: ledger.begin_evidence(live(ledger), ADA, captured_at_us=at_us),
}


@pytest.mark.parametrize("verb", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("at_us", [-1, 1.5, True, "1", NOW_US + SKEW_US + 1])
def test_a_time_that_is_none_or_that_is_still_to_come_is_refused(ledger, verb, at_us):
    ledger._clock = lambda: NOW_US
    with pytest.raises(BadInputError) as caught:
        verb(ledger, at_us)
    assert caught.value.field in {"at_us", "captured_at_us"}


@pytest.mark.parametrize("verb", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("at_us", [NOW_US, NOW_US + SKEW_US])
def test_a_clock_may_be_a_minute_ahead(ledger, verb, at_us):
    ledger._clock = lambda: NOW_US
    assert verb(ledger, at_us).event_id == last(ledger) - 1  # its projection comes last


@pytest.mark.parametrize("offset_us", [0, 1])
def test_a_capture_at_the_end_of_its_run_or_after_it_proves_something(ledger, offset_us):
    run_id = live(ledger)
    prove(ledger, run_id, captured_at_us=offset_us)
    assert ledger.show(run_id, ADA.id, ADA).decision.state == "completed_with_evidence"


def test_a_capture_older_than_the_end_is_refused_and_the_refusal_is_recorded(ledger):
    run_id = live(ledger)
    captured, before = after_the_end(ledger, run_id, -1), last(ledger)
    with pytest.raises(GuardRefusedError):
        ledger.begin_evidence(run_id, WIM, captured_at_us=captured)
    assert guards_since(ledger, before) == ["captured_after_the_end"]


@pytest.mark.parametrize("actor", [WIM, ADA])
def test_an_end_that_is_backdated_lets_no_older_capture_in(ledger, actor):
    run_id, before_us = live(ledger, "running"), now_us()
    ledger.fire(run_id, RunEvent.COMPLETE, actor, at_us=before_us - 3_600_000_000)
    before = last(ledger)
    for captured_at_us in (before_us - 3_600_000_000, before_us - 1):
        with pytest.raises(GuardRefusedError):
            ledger.begin_evidence(run_id, actor, captured_at_us=captured_at_us)
    assert guards_since(ledger, before) == ["captured_after_the_end"] * 2
    (entry,) = [event.entry for event in log(ledger) if event.data.get("event") == "complete"]
    assert ledger.peek(run_id, ADA).moved_at_us == entry["rec_us"] >= before_us
    assert ledger.list_runs(ADA.id, ADA).rows[0].record.moved_at_us == entry["rec_us"]


def test_findings_that_come_too_early_or_too_late_are_refused_and_nothing_is_written(ledger):
    run_id = live(ledger)
    begun, given = ledger.begin_evidence(run_id, WIM).subject, SnapshotDetails(subjects_checked=1)
    active = prove(ledger, live(ledger))
    before = tables(ledger)
    for snapshot_id, event in ((begun, "generate"), (active, "expire"), (active, "supersede")):
        with pytest.raises(BadInputError) as caught:
            ledger.fire_evidence(snapshot_id, SnapshotEvent(event), WIM, given=given)
        assert caught.value.field == "subjects_checked"
    with pytest.raises(BadInputError):
        ledger.fire_evidence(active, SnapshotEvent.EXPIRE, WIM, checks=PASSED)
    assert tables(ledger) == before
    made_by = SnapshotDetails(method="sha256", producer="tar")
    assert ledger.fire_evidence(begun, SnapshotEvent.GENERATE, WIM, given=made_by).status == "generating"


UNFIT = {
    "a count below zero": (facts(counts=Counts(total=-1)), "run.counts.total", "Expected `int` >= 0"),
    "a flag that is a word": (facts(is_dry_run="no"), "run.is_dry_run", "Expected `bool`"),
    "a status that is none": (
        facts("x1", "completed", replace(operation(), status="done")), "operation.status", "Invalid enum value",
    ),
    "an id that steers a terminal": (facts("x\x1b1"), "run.id", "a control character"),
    "an operation run with an empty id": (facts("x1", "completed", operation("")), "run.operation_run_id", "is empty"),
    "a snapshot with an id that cannot be seen": (
        facts("x1", "completed", operation(), snapshot(), snapshot("s\u200b")), "evidence[1].id", "an invisible character",
    ),
    "an id that is too long": (facts("x" * 201), "run.id", "has 201 characters"),
    "a workspace with a space at its end": (facts(scope=("w ", "e1")), "run.workspace", "ends with a space"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "place", "problem"), UNFIT.values(), ids=UNFIT)
def test_facts_built_by_hand_are_held_to_what_a_line_is_held_to(ledger, record, place, problem):
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.import_facts([*lines(facts("x0")), (record, b"{}")], ADA)
    assert caught.value.field == f"line 2: {place}"
    assert str(caught.value).startswith(f"line 2: {place}: ")
    assert problem in caught.value.problem
    assert tables(ledger) == before


def test_the_same_evidence_in_both_lines_of_an_operation_run_is_taken_in(ledger):
    links = (operation(), snapshot())
    two = lines(facts("x1", "completed", *links), facts("x2", "completed", *links))
    assert ledger.import_facts(two, ADA).imported == 2
    third = lines(facts("x3", "completed", *links))
    assert ledger.import_facts(third, ADA).imported == 1
    states = {ledger.show(run_id, ADA.id, ADA).decision.state for run_id in ("x1", "x2", "x3")}
    assert states == {"completed_with_evidence"}


def test_a_line_with_less_evidence_than_another_of_its_operation_run_is_refused_too(ledger):
    ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot())), ADA)
    before = tables(ledger)
    with pytest.raises(BadInputError, match="differs from that of another run"):
        ledger.import_facts(lines(facts("x2", "completed", operation())), ADA)
    assert tables(ledger) == before


def test_approvals_of_a_preview_are_gone_with_the_next_one_even_if_it_shows_the_same(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run_id = live(ledger, "scoped")
    ledger.fire(run_id, RunEvent.CHECK, ADA, given=RunDetails(plan_digest="p1"))
    ledger.fire(run_id, RunEvent.PREVIEW, ADA)
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    ledger.fire(run_id, RunEvent.PREVIEW, ADA, given=RunDetails(preview=PreviewFacts(plan_digest="p1")))
    before = last(ledger)
    with pytest.raises(GuardRefusedError):
        ledger.fire(run_id, RunEvent.QUEUE, ADA)
    assert guards_since(ledger, before) == ["is_approved"]
    ledger.fire(run_id, RunEvent.APPROVE, OTTO)
    assert ledger.fire(run_id, RunEvent.QUEUE, ADA).status == "queued"


@pytest.mark.parametrize("role", [Role.ADMIN, "admin"], ids=["member", "text"])
def test_the_last_admin_is_kept_however_the_role_is_written(ledger, role):
    before = tables(ledger)
    with pytest.raises(BadInputError, match="is the last admin"):
        ledger.access.grant(ADA.id, role, HOME, ADA, revoke=True)
    assert tables(ledger) == before


UNFIT_GRANTS = {
    "a role that is none": (SAM.id, "owner", HOME, "role"),
    "a role that is no text": (SAM.id, ["admin"], HOME, "role"),
    "a principal that is a number": (5, Role.VIEWER, HOME, "principal"),
    "a principal that is nothing": (None, Role.VIEWER, HOME, "principal"),
    "an empty principal": ("", Role.VIEWER, HOME, "principal"),
    "a scope that is one text": (SAM.id, Role.VIEWER, "ab", "scope"),
    "a scope of three": (SAM.id, Role.VIEWER, (*HOME, "x"), "scope"),
    "a workspace that is a number": (SAM.id, Role.VIEWER, (1, "local"), "workspace"),
    "an environment that is nothing": (SAM.id, Role.VIEWER, ("default", None), "environment"),
}


@pytest.mark.parametrize(("principal", "role", "scope", "field"), UNFIT_GRANTS.values(), ids=UNFIT_GRANTS)
def test_a_grant_of_odd_values_is_refused_by_the_name_of_the_value(ledger, principal, role, scope, field):
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.access.grant(principal, role, scope, ADA)
    assert caught.value.field == field
    assert tables(ledger) == before


@pytest.mark.parametrize(("scope", "approvals"), [("ab", 0), (("default", 7), 0), (SECOND, True), (SECOND, "1")])
def test_a_declaration_of_odd_values_is_refused(ledger, scope, approvals):
    before = tables(ledger)
    with pytest.raises(BadInputError):
        ledger.access.declare_environment(scope, ADA, approvals_required=approvals)
    assert tables(ledger) == before


def revoke_admin(ledger, principal, scope, actor=ADA):
    return ledger.access.grant(principal.id, Role.ADMIN, scope, actor, revoke=True)


def test_the_last_admin_of_an_environment_stays_one_though_others_administer_its_neighbours(ledger):
    ledger.access.declare_environment(SECOND, ADA)
    ledger.access.grant(OLGA.id, Role.ADMIN, HOME, ADA)
    revoke_admin(ledger, ADA, HOME)
    before = tables(ledger)
    with pytest.raises(BadInputError, match="is the last admin of default/second"):
        revoke_admin(ledger, ADA, SECOND)
    assert tables(ledger) == before


def test_an_admin_of_all_environments_administers_each_and_is_kept_where_nobody_else_does(ledger):
    ledger.access.declare_environment(SECOND, ADA)
    everywhere = (HOME[0], "*")
    ledger.access.grant(OLGA.id, Role.ADMIN, everywhere, ADA)
    revoke_admin(ledger, ADA, SECOND)
    with pytest.raises(BadInputError, match="is the last admin of default/second"):
        revoke_admin(ledger, OLGA, everywhere, OLGA)
    ledger.access.grant(OTTO.id, Role.ADMIN, SECOND, OLGA)
    revoke_admin(ledger, OLGA, everywhere, OLGA)  # ada administers the one, otto the other
    for admin, scope in ((ADA, HOME), (OTTO, SECOND)):
        with pytest.raises(BadInputError, match="is the last admin"):
            revoke_admin(ledger, admin, scope, admin)


def test_of_two_grants_of_one_admin_either_may_go_but_not_both(ledger):
    everywhere = (HOME[0], "*")
    ledger.access.grant(ADA.id, Role.ADMIN, everywhere, ADA)
    revoke_admin(ledger, ADA, HOME)
    with pytest.raises(BadInputError, match="is the last admin"):
        revoke_admin(ledger, ADA, everywhere)
    ledger.access.grant(ADA.id, Role.ADMIN, HOME, ADA)
    assert revoke_admin(ledger, ADA, everywhere) > 0
