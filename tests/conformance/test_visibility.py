"""Who sees what: workspaces and roles; a foreign id answers exactly like an unknown one."""

from __future__ import annotations

import pytest

from proofgap.audit import Actor
from proofgap.errors import ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_store import NewRun, Query
from proofgap_store.engine import connected, transaction
from proofgap_store.read import law
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    OTTO,
    SAM,
    UDO,
    VERA,
    WIM,
    facts,
    last,
    lines,
    live,
    log,
    log_since,
    open_scope,
    prove,
    tables,
)

EVE = Actor(id="eve")  # admin of a workspace of her own
ELSEWHERE = ("w2", "e2")

VERBS = {
    "show": lambda ledger, run_id: ledger.show(run_id, EVE.id, EVE),
    "show as somebody who sees it": lambda ledger, run_id: ledger.show(run_id, ADA.id, EVE),
    "fire": lambda ledger, run_id: ledger.fire(run_id, RunEvent.CANCEL, EVE),
    "fire what it cannot do": lambda ledger, run_id: ledger.fire(run_id, RunEvent.COMPLETE, EVE),
    "fire under a key": lambda ledger, run_id: ledger.fire(run_id, RunEvent.CANCEL, EVE, key="k1"),
    "fire at a version": lambda ledger, run_id: ledger.fire(run_id, RunEvent.CANCEL, EVE, expected_version=77),
    "history": lambda ledger, run_id: ledger.history(run_id, EVE.id),
    "items": lambda ledger, run_id: ledger.items(run_id, EVE.id),
    "retry": lambda ledger, run_id: ledger.retry(run_id, EVE),
    "begin evidence": lambda ledger, run_id: ledger.begin_evidence(run_id, EVE),
}


def answer(verb, ledger, run_id):
    """Give what somebody is told, with the id that they asked for taken out."""
    with pytest.raises(NotFoundError) as caught:
        verb(ledger, run_id)
    assert caught.value.subject == run_id
    return caught.value.kind, str(caught.value).replace(run_id, "ID"), caught.value.remedy


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_foreign_run_answers_exactly_like_an_unknown_one_and_nothing_is_written(ledger, verb):
    open_scope(ledger, ELSEWHERE, EVE)
    foreign = live(ledger, "completed")
    before = tables(ledger)
    assert answer(verb, ledger, foreign) == answer(verb, ledger, "rr_NONE")
    assert tables(ledger) == before


SCOPED = {
    "create": lambda ledger, scope: ledger.create(NewRun(workspace=scope[0], environment=scope[1]), EVE),
    "grant": lambda ledger, scope: ledger.access.grant("eve", "admin", scope, EVE),
}


@pytest.mark.parametrize("verb", SCOPED.values(), ids=SCOPED)
def test_a_foreign_environment_answers_exactly_like_an_unknown_one(ledger, verb):
    open_scope(ledger, ELSEWHERE, EVE)
    answers = []
    for scope in (HOME, ("nowhere", "local")):
        with pytest.raises(NotFoundError) as caught:
            verb(ledger, scope)
        answers.append(str(caught.value).replace("/".join(scope), "SCOPE"))
    assert answers[0] == answers[1]


def test_a_list_holds_only_the_runs_of_ones_own_environments(ledger):
    open_scope(ledger, ELSEWHERE, EVE)
    mine = live(ledger, "draft")
    assert [row.record.id for row in ledger.list_runs(ADA.id, ADA).rows] == [mine]
    assert [row.record.id for row in ledger.list_runs(EVE.id, EVE).rows] == ["first"]
    assert ledger.list_runs(SAM.id, SAM).rows == ()
    assert ledger.list_runs(EVE.id, EVE, Query(workspace="default")).rows == ()


def test_the_same_person_may_be_somebody_else_in_another_environment(ledger):
    ledger.import_facts(lines(facts("x1", "completed", scope=("default", "second"))), ADA)
    ledger.access.grant("olga", "viewer", ("default", "second"), ADA)
    assert ledger.create(NewRun(), OLGA).status == "draft"
    with pytest.raises(ForbiddenError) as caught:
        ledger.create(NewRun(environment="second"), OLGA)
    assert caught.value.needed == ("admin", "operator", "worker")


def test_a_role_holds_in_its_own_environment_and_in_no_other(ledger):
    ledger.import_facts(lines(facts("x1", "completed", scope=("default", "second"))), ADA)
    ledger.access.grant("sam", "viewer", ("default", "second"), ADA)
    home = live(ledger, "draft")
    assert [row.record.id for row in ledger.list_runs(SAM.id, SAM).rows] == ["x1"]
    assert ledger.show("x1", SAM.id, SAM).record.id == "x1"
    with pytest.raises(NotFoundError):
        ledger.show(home, SAM.id, SAM)


def test_the_viewer_is_told_that_proof_is_incomplete_where_the_operator_sees_evidence(ledger):
    run_id = live(ledger)
    snapshot_id = prove(ledger, run_id)
    to_viewer, to_operator = (ledger.show(run_id, actor.id, actor).decision for actor in (VERA, OLGA))
    assert (to_viewer.state, to_operator.state) == ("completed_proof_incomplete", "completed_with_evidence")
    assert (to_viewer.operation_proof.operation_run_id, to_viewer.evidence.snapshot_id) == (None, None)
    assert to_operator.evidence.snapshot_id == snapshot_id
    states = {
        actor.id: [row.decision.state for row in ledger.list_runs(actor.id, actor).rows] for actor in (VERA, OLGA)
    }
    assert states == {"vera": ["completed_proof_incomplete"], "olga": ["completed_with_evidence"]}


def test_a_failure_is_shown_to_whoever_sees_the_run(ledger):
    for status, state in [("failed", "failed"), ("partial", "needs_review"), ("cancelled", "blocked_or_cancelled")]:
        run_id = live(ledger, status)
        assert {ledger.show(run_id, actor.id, actor).decision.state for actor in (ADA, OLGA, WIM, VERA, UDO)} == {state}


FORBIDDEN = {
    "a viewer creates nothing": (lambda ledger, _: ledger.create(NewRun(), VERA), "create runs"),
    "an auditor creates nothing": (lambda ledger, _: ledger.create(NewRun(), UDO), "create runs"),
    "a viewer reads no log": (lambda ledger, run_id: ledger.history(run_id, VERA.id), "read the log of a run"),
    "an operator does not execute": (lambda ledger, run_id: ledger.fire(run_id, RunEvent.START, OLGA), "execute runs"),
    "a worker does not approve": (lambda ledger, run_id: ledger.fire(run_id, RunEvent.APPROVE, WIM), "approve runs"),
    "an operator adds no evidence": (lambda ledger, run_id: ledger.begin_evidence(run_id, OLGA), "add evidence"),
    "a viewer retries nothing": (lambda ledger, _: ledger.retry(live(ledger, "failed"), VERA), "create runs"),
    "an operator does not look as others": (
        lambda ledger, run_id: ledger.show(run_id, VERA.id, OLGA), "see what others are shown",
    ),
    "an operator does not list as others": (
        lambda ledger, _: ledger.list_runs(VERA.id, OLGA), "see what others are shown",
    ),
    "an operator grants nothing": (
        lambda ledger, _: ledger.access.grant("sam", "viewer", HOME, OLGA), "grant roles, declare environments and import",
    ),
    "an auditor imports nothing": (
        lambda ledger, _: ledger.import_facts(lines(facts()), UDO), "grant roles, declare environments and import",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "action"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_whoever_sees_a_run_is_told_which_role_is_missing(ledger, verb, action):
    run_id = live(ledger, "queued")
    with pytest.raises(ForbiddenError) as caught:
        verb(ledger, run_id)
    assert caught.value.action == action
    assert "Ask an admin of the workspace for one of the roles" in str(caught.value)
    assert ledger.show(run_id, ADA.id, ADA).record.status == "queued"


GRANTS = "grant roles, declare environments and import"
NEW = ("default", "second")
DENIED = {
    "create": (lambda ledger, _: ledger.create(NewRun(), VERA), VERA, "create runs", ("environment", "default/local"), HOME),
    "grant": (lambda ledger, _: ledger.access.grant("sam", "viewer", HOME, OLGA), OLGA, GRANTS, ("environment", "default/local"), HOME),
    "grant everywhere": (
        lambda ledger, _: ledger.access.grant("sam", "viewer", ("default", "*"), OLGA),
        OLGA, GRANTS, ("environment", "default/*"), ("default", None),
    ),
    "declare": (lambda ledger, _: ledger.access.declare_environment(HOME, WIM), WIM, GRANTS, ("environment", "default/local"), HOME),
    "declare a new one": (
        lambda ledger, _: ledger.access.declare_environment(NEW, UDO), UDO, GRANTS, ("environment", "default/second"), NEW,
    ),
    "import": (lambda ledger, _: ledger.import_facts(lines(facts()), UDO), UDO, GRANTS, ("environment", "default/local"), HOME),
    "list as somebody else": (
        lambda ledger, _: ledger.list_runs(VERA.id, OLGA),
        OLGA, "see what others are shown", ("list of runs", VERA.id), (None, None),
    ),
    "show as somebody else": (
        lambda ledger, run_id: ledger.show(run_id, VERA.id, OLGA), OLGA, "see what others are shown", "run", HOME,
    ),
    "read a log": (lambda ledger, run_id: ledger.history(run_id, VERA.id), VERA, "read the log of a run", "run", HOME),
    "retry": (lambda ledger, run_id: ledger.retry(run_id, VERA), VERA, "create runs", "run", HOME),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "actor", "action", "subject", "scope"), DENIED.values(), ids=DENIED)
def test_a_denial_is_a_fact_in_a_stream_of_its_own(ledger, verb, actor, action, subject, scope):
    run_id, before = live(ledger, "failed"), last(ledger)
    with pytest.raises(ForbiddenError):
        verb(ledger, run_id)
    (found,) = log_since(ledger, before)
    named = ("restore run", run_id) if subject == "run" else subject
    assert (found.type, found.entry["stream"], found.entry["actor"]["id"]) == (
        "access.denied",
        "system/access",
        actor.id,
    )
    assert found.data == {"action": action, "kind": named[0], "subject": named[1]}
    assert (found.entry["ws"], found.entry["env"]) == scope
    assert found.entry["run"] == (run_id if subject == "run" else None)


def test_denied_checks_are_a_fact_with_the_run_that_they_are_of(ledger):
    run_id = live(ledger)
    snapshot_id, before = prove(ledger, run_id), last(ledger)
    with pytest.raises(ForbiddenError):
        ledger.checks(snapshot_id, WIM.id)
    (found,) = log_since(ledger, before)
    assert (found.data["kind"], found.data["subject"], found.entry["run"]) == ("evidence snapshot", snapshot_id, run_id)
    assert [event.entry["type"] for event in ledger.history(run_id, UDO.id)][-1] == "access.denied"


@pytest.mark.parametrize(
    "verb",
    [
        lambda ledger, _: ledger.create(NewRun(), SAM),
        lambda ledger, _: ledger.access.grant("sam", "viewer", HOME, SAM),
        lambda ledger, _: ledger.access.declare_environment(HOME, SAM),
        lambda ledger, _: ledger.import_facts(lines(facts()), SAM),
        lambda ledger, run_id: ledger.show(run_id, VERA.id, SAM),
        lambda ledger, run_id: ledger.history(run_id, SAM.id),
        lambda ledger, run_id: ledger.retry(run_id, SAM),
        lambda ledger, _: ledger.history("rr_NONE", VERA.id),
    ],
    ids=["create", "grant", "declare", "import", "show", "history", "retry", "a run that is none"],
)  # fmt: skip
def test_whoever_holds_no_role_leaves_no_denial_as_there_is_nothing_for_them(ledger, verb):
    run_id = live(ledger, "failed")
    before = tables(ledger)
    with pytest.raises(NotFoundError):
        verb(ledger, run_id)
    assert tables(ledger) == before


def test_a_denial_leaves_what_permissions_rest_on_as_it_was(ledger):
    run_id = live(ledger, "draft")
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        before = law(connection)
    with pytest.raises(ForbiddenError):
        ledger.access.grant("sam", "viewer", HOME, OLGA)
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        assert law(connection) == before
    assert ledger.fire(run_id, RunEvent.SCOPE, OLGA).status == "scoped"


def test_a_worker_cannot_read_the_checks_that_an_operator_can(ledger):
    snapshot_id = prove(ledger, live(ledger))
    assert [check.subject for check in ledger.checks(snapshot_id, OLGA.id)] == ["a.txt"]
    with pytest.raises(ForbiddenError):
        ledger.checks(snapshot_id, WIM.id)


def test_a_revoked_role_is_gone_at_once_and_can_be_given_again(ledger):
    run_id = live(ledger, "draft")
    ledger.access.grant("vera", "viewer", HOME, ADA, revoke=True)
    with pytest.raises(NotFoundError):
        ledger.show(run_id, VERA.id, VERA)
    assert ledger.list_runs(VERA.id, VERA).rows == ()
    ledger.access.grant("vera", "viewer", HOME, ADA)
    assert ledger.show(run_id, VERA.id, VERA).record.id == run_id


def test_grants_and_revocations_are_events_that_name_who_gave_what_to_whom(ledger):
    before = last(ledger)
    given = ledger.access.grant("sam", "auditor", HOME, ADA)
    taken = ledger.access.grant("sam", "auditor", HOME, ADA, revoke=True)
    found = log_since(ledger, before)
    assert [(event.event_id, event.type) for event in found] == [(given, "access.granted"), (taken, "access.revoked")]
    for event in found:
        assert event.data == {"principal": "sam", "role": "auditor"}
        assert (event.entry["actor"]["id"], event.entry["ws"], event.entry["env"]) == ("ada", *HOME)


def test_the_approvals_an_environment_asks_for_must_come_from_other_people(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=2)
    run_id = previewed(ledger, "p1")
    for approver in (OLGA, OTTO):
        assert not allowed(ledger, run_id)
        ledger.fire(run_id, RunEvent.APPROVE, approver)
    assert ledger.fire(run_id, RunEvent.QUEUE, ADA).status == "queued"


def test_approvals_are_lost_with_the_scope_they_were_given_to(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run_id = previewed(ledger, "p1")
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    ledger.fire(run_id, RunEvent.SCOPE, ADA)
    preview_again(ledger, run_id, "p1")
    assert not allowed(ledger, run_id)
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    assert allowed(ledger, run_id)


def test_an_approval_says_yes_to_one_named_plan_and_to_nothing_less(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run_id, before = live(ledger, "previewed"), last(ledger)
    with pytest.raises(GuardRefusedError, match="names no plan"):
        ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    assert [event.data["guard"] for event in log_since(ledger, before)] == ["preview_names_a_plan"]
    assert not allowed(ledger, run_id)
    ledger.fire(run_id, RunEvent.CHECK, ADA)
    preview_again(ledger, run_id, "p1")
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    (approval,) = ledger.peek(run_id, ADA).details.approvals
    assert (approval.by, approval.plan_digest) == (OLGA.id, "p1")
    assert allowed(ledger, run_id)


def previewed(ledger, plan):
    """Give a run whose preview shows a plan."""
    run_id = live(ledger, "scoped")
    preview_again(ledger, run_id, plan)
    return run_id


def preview_again(ledger, run_id, plan):
    ledger.fire(run_id, RunEvent.CHECK, ADA, given=RunDetails(plan_digest=plan))
    ledger.fire(run_id, RunEvent.PREVIEW, ADA)


def allowed(ledger, run_id):
    """Tell whether a run can be queued, by trying; a refusal names the guard of approvals."""
    before = last(ledger)
    try:
        ledger.fire(run_id, RunEvent.QUEUE, ADA)
    except GuardRefusedError:
        assert [event.data["guard"] for event in log_since(ledger, before)] == ["is_approved"]
        return False
    return log(ledger)[-1].data["facts"]["run"]["status"] == "queued"
