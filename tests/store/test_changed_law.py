"""What a permission rests on changes between reading and writing: it is computed anew, and never written as it was."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap.errors import ForbiddenError, GuardRefusedError, NotFoundError, StaleError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap.records import PreviewFacts, RunDetails
from proofgap_store import Ledger, NewRun, gate
from proofgap_store.gate import Gate
from tests.conformance.lives import ADA, HOME, OLGA, PASSED, WIM, chain_faults, live, log, tables


@pytest.fixture
def meanwhile(path, monkeypatch):
    """Let somebody else, on a connection of their own, do something once: after the next reading, before its writing."""
    insert, waiting, attempts = Gate._insert, [], []

    def after_others(self, connection, writing, *more):
        attempts.append(writing)
        while waiting:
            others = waiting.pop()
            with Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL") as ledger:
                others(ledger)
        return insert(self, connection, writing, *more)

    monkeypatch.setattr(Gate, "_insert", after_others)

    def plan(others):
        waiting.append(others)
        attempts.clear()
        return attempts

    return plan


def revoking(actor, role):
    """Take a role away."""
    return lambda ledger: ledger.access.grant(actor.id, role, HOME, ADA, revoke=True)


def generating(ledger):
    """Give a snapshot that is being produced."""
    snapshot = ledger.begin_evidence(live(ledger), ADA).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    return snapshot


KEYED = {
    "create": (OLGA, lambda _: None, lambda ledger, _: ledger.create(NewRun(), OLGA, key="k")),
    "prepare": (
        OLGA,
        lambda ledger: live(ledger, "draft"),
        lambda ledger, id_: ledger.fire(id_, RunEvent.SCOPE, OLGA, key="k"),
    ),
    "retry": (OLGA, live, lambda ledger, id_: ledger.retry(id_, OLGA, key="k")),
    "execute": (
        WIM,
        lambda ledger: live(ledger, "running"),
        lambda ledger, id_: ledger.fire(id_, RunEvent.COMPLETE, WIM, key="k"),
    ),
    "begin evidence": (WIM, live, lambda ledger, id_: ledger.begin_evidence(id_, WIM, key="k")),
    "activate evidence": (
        WIM,
        generating,
        lambda ledger, id_: ledger.fire_evidence(id_, SnapshotEvent.ACTIVATE, WIM, checks=PASSED, key="k"),
    ),
}
ROLE = {OLGA: Role.OPERATOR, WIM: Role.WORKER}


def records(ledger):
    """Give every row that is a record of a run, of its evidence or of its receipts."""
    found = tables(ledger)
    return {name: found[name] for name in ("restore_run", "operation_run", "evidence_snapshot", "receipt")}


@pytest.mark.parametrize(("actor", "prepare", "write"), KEYED.values(), ids=KEYED)
def test_whoever_lost_their_role_while_they_wrote_has_written_nothing(ledger, meanwhile, actor, prepare, write):
    subject = prepare(ledger)
    before = records(ledger)
    meanwhile(revoking(actor, ROLE[actor]))
    with pytest.raises(NotFoundError):
        write(ledger, subject)
    assert records(ledger) == before
    assert chain_faults(log(ledger)) == []
    assert log(ledger)[-1].type == "access.revoked"


def test_whoever_lost_one_role_and_kept_another_is_forbidden_and_that_is_recorded(ledger, meanwhile):
    ledger.access.grant(OLGA.id, Role.VIEWER, HOME, ADA)
    run_id = live(ledger, "draft")
    meanwhile(revoking(OLGA, Role.OPERATOR))
    with pytest.raises(ForbiddenError):
        ledger.fire(run_id, RunEvent.SCOPE, OLGA)
    refused = log(ledger)[-1]
    assert (refused.type, refused.data["guard"]) == ("restore.run.transition_refused", "role")
    assert ledger.peek(run_id, ADA).status == "draft"


def test_a_run_is_not_released_by_the_number_of_approvals_that_was_enough_before(ledger, meanwhile):
    run_id = live(ledger, "previewed")
    meanwhile(lambda other: other.access.declare_environment(HOME, ADA, approvals_required=1))
    with pytest.raises(GuardRefusedError) as caught:
        ledger.fire(run_id, RunEvent.QUEUE, ADA)
    assert caught.value.guard == "is_approved"
    assert (ledger.peek(run_id, ADA).status, ledger.peek(run_id, ADA).operation) == ("previewed", None)


@pytest.mark.parametrize(("actor", "prepare", "write"), KEYED.values(), ids=KEYED)
def test_what_is_still_allowed_under_the_new_law_is_computed_anew_and_written_once(
    ledger, meanwhile, actor, prepare, write
):
    subject = prepare(ledger)
    attempts = meanwhile(lambda other: other.access.grant("sam", Role.VIEWER, HOME, ADA))
    receipt = write(ledger, subject)
    ours = [attempt for attempt in attempts if attempt.law is not None]
    assert len(ours) == 2
    assert ours[0].law < ours[1].law
    assert [event.event_id for event in log(ledger)].count(receipt.event_id) == 1
    assert write(ledger, subject).event_id == receipt.event_id
    assert chain_faults(log(ledger)) == []


def test_a_law_that_changes_again_and_again_ends_in_one_error_and_nothing_is_written(ledger, path, monkeypatch):
    run_id = live(ledger, "draft")
    insert, before = Gate._insert, records(ledger)

    def restless(self, connection, writing, *more):
        if writing.law is not None:
            with Ledger.open(f"sqlite:///{path}", create=False, synchronous="NORMAL") as other:
                other.access.grant("sam", Role.VIEWER, HOME, ADA)
        return insert(self, connection, writing, *more)

    monkeypatch.setattr(Gate, "_insert", restless)
    monkeypatch.setattr(gate, "ATTEMPTS_MAX", 3)
    with pytest.raises(StaleError):
        ledger.fire(run_id, RunEvent.SCOPE, ADA)
    assert records(ledger) == before


def test_the_last_admin_does_not_go_when_two_revoke_each_other_at_once(ledger, meanwhile):
    ledger.access.grant(OLGA.id, Role.ADMIN, HOME, ADA)
    meanwhile(lambda other: other.access.grant(ADA.id, Role.ADMIN, HOME, OLGA, revoke=True))
    with pytest.raises(NotFoundError):
        ledger.access.grant(OLGA.id, Role.ADMIN, HOME, ADA, revoke=True)
    admins = [row["principal"] for row in tables(ledger)["access_grant"] if row["role"] == "admin" and row["active"]]
    assert admins == [OLGA.id]


def test_an_approval_of_the_preview_before_does_not_release_a_preview_that_came_meanwhile(ledger, meanwhile):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run_id = live(ledger, "scoped")
    ledger.fire(run_id, RunEvent.CHECK, ADA, given=RunDetails(plan_digest="p"))
    ledger.fire(run_id, RunEvent.PREVIEW, ADA)
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    again = RunDetails(preview=PreviewFacts(created=9))
    meanwhile(lambda other: other.fire(run_id, RunEvent.PREVIEW, ADA, given=again))
    with pytest.raises(GuardRefusedError) as caught:
        ledger.fire(run_id, RunEvent.QUEUE, ADA)
    assert caught.value.guard == "is_approved"
