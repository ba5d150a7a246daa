"""API tokens: principals of their own, let in by the same rows as everybody else, and out at once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import RunEvent
from proofgap.records import PreviewFacts, RunDetails
from proofgap_store import NewRun, NewToken
from tests.conformance.lives import ADA, HOME, OLGA, SAM, UDO, VERA, fire, last, later, log_since, tables

DAY_US = 86_400_000_000


def wanted(ledger, *roles: Role, environment: str = "local", days: int = 1, name: str = "ci") -> NewToken:
    """Describe a token that ends so many days from now."""
    return NewToken(
        name=name,
        workspace="default",
        environment=environment,
        roles=roles or (Role.WORKER,),
        expires_at_us=ledger._clock() + days * DAY_US,
    )


def test_a_token_is_made_by_events_that_do_not_hold_its_secret(ledger):
    before = last(ledger)
    issued = ledger.sessions.create_token(wanted(ledger, Role.WORKER, Role.OPERATOR), ADA)
    events = log_since(ledger, before)
    assert ["token.created", "access.granted", "access.granted"] == [event.type for event in events]
    assert ["operator", "worker"] == [event.data["role"] for event in events[1:]]
    assert issued.secret not in str(events)
    assert issued.token.startswith("tk_ci_")


def test_a_token_acts_as_itself_with_the_roles_it_was_made_with(ledger):
    issued = ledger.sessions.create_token(wanted(ledger, Role.OPERATOR), ADA)
    assert issued.token == ledger.sessions.bearer(issued.secret)
    actor = Actor(id=issued.token, kind="token", via="api")
    run = ledger.create(NewRun(), actor).run_id
    with pytest.raises(ForbiddenError):
        ledger.audit.get(1, actor)
    assert "draft" == ledger.peek(run, actor).status


def test_a_secret_that_nobody_holds_lets_nobody_in(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    for secret in ("", issued.secret[:-1], issued.secret + "x", issued.token, "\udcff"):
        assert ledger.sessions.bearer(secret) is None


def test_a_revoked_token_is_out_at_once_and_its_roles_are_gone(ledger):
    issued = ledger.sessions.create_token(wanted(ledger, Role.OPERATOR), ADA)
    before = last(ledger)
    ledger.sessions.revoke_token(issued.token, ADA)
    assert ["token.revoked", "access.revoked"] == [event.type for event in log_since(ledger, before)]
    assert ledger.sessions.bearer(issued.secret) is None
    with pytest.raises(NotFoundError):
        ledger.create(NewRun(), Actor(id=issued.token))


def test_a_token_that_expired_is_out(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    later(ledger, 2 * DAY_US)
    assert ledger.sessions.bearer(issued.secret) is None


def test_the_last_use_of_a_token_is_remembered_and_is_no_event(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    assert [None] == [token.used_at_us for token in ledger.sessions.tokens(ADA)]
    before = last(ledger)
    ledger.sessions.bearer(issued.secret)
    ledger.sessions.bearer(issued.secret)
    assert before == last(ledger)
    assert ledger.sessions.tokens(ADA)[0].used_at_us > 0


def test_only_an_admin_of_the_place_makes_lists_and_revokes_tokens(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    before = tables(ledger)["access_grant"]
    for actor, error in ((OLGA, ForbiddenError), (UDO, ForbiddenError), (VERA, ForbiddenError), (SAM, NotFoundError)):
        with pytest.raises(error):
            ledger.sessions.create_token(wanted(ledger), actor)
        with pytest.raises(error):
            ledger.sessions.revoke_token(issued.token, actor)
        with pytest.raises(ForbiddenError):
            ledger.sessions.tokens(actor)
    assert before == tables(ledger)["access_grant"]
    assert issued.token == ledger.sessions.bearer(issued.secret)


def test_an_unknown_token_and_one_that_ended_answer_by_their_own_words(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    ledger.sessions.revoke_token(issued.token, ADA)
    with pytest.raises(NotFoundError, match="revoked already"):
        ledger.sessions.revoke_token(issued.token, ADA)
    with pytest.raises(NotFoundError, match="does not exist, or you cannot view it"):
        ledger.sessions.revoke_token("tk_nobody", ADA)


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ()},
        {"roles": (Role.ADMIN,)},
        {"roles": ("emperor",)},
        {"name": "with space"},
        {"name": ""},
        {"expires_at_us": 1},
        {"expires_at_us": 2**53 - 1},
        {"workspace": ""},
    ],
)
def test_a_token_that_may_not_be_is_refused_and_nothing_is_stored(ledger, change):
    before = last(ledger)
    with pytest.raises(BadInputError):
        ledger.sessions.create_token(replace(wanted(ledger), **change), ADA)
    assert before == last(ledger)


def test_a_token_never_gets_another_role(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    before = last(ledger)
    with pytest.raises(BadInputError, match="is a token"):
        ledger.access.grant(issued.token, Role.ADMIN, HOME, ADA)
    assert before == last(ledger)


def test_an_approval_is_a_persons_and_no_tokens(ledger):
    issued = ledger.sessions.create_token(wanted(ledger, Role.OPERATOR), ADA)
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run = ledger.create(NewRun(), ADA).run_id
    fire(ledger, run, "scope")
    ledger.fire(run, RunEvent.CHECK, ADA, given=RunDetails(plan_digest="d1"))
    ledger.fire(run, RunEvent.PREVIEW, ADA, given=RunDetails(preview=PreviewFacts(plan_digest="d1")))
    with pytest.raises(ForbiddenError):
        ledger.fire(run, RunEvent.APPROVE, Actor(id=issued.token, kind="token", via="api"))
    assert () == ledger.peek(run, ADA).details.approvals
    ledger.fire(run, RunEvent.APPROVE, OLGA)


def planned(ledger, run, actor):
    """Lead a run to the preview of a plan."""
    fire(ledger, run, "scope", actor=actor)
    ledger.fire(run, RunEvent.CHECK, actor, given=RunDetails(plan_digest="d1"))
    ledger.fire(run, RunEvent.PREVIEW, actor, given=RunDetails(preview=PreviewFacts(plan_digest="d1")))


def token_where_eve_may_approve(ledger):
    """Make a token of ada's where approvals are needed; give it, and who acts by it."""
    ledger.access.grant("eve", Role.ADMIN, HOME, ADA)
    issued = ledger.sessions.create_token(wanted(ledger, Role.OPERATOR), ADA)
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    return issued, Actor(id=issued.token, kind="token", via="api")


def test_whoever_made_the_token_that_asked_for_a_run_is_no_second_person(ledger):
    """They know its secret: else one person asks by a token, and says yes in person."""
    issued, token = token_where_eve_may_approve(ledger)
    first = ledger.create(NewRun(), token).run_id
    fire(ledger, first, "cancel", actor=token)
    for run in (ledger.create(NewRun(), token).run_id, ledger.retry(first, token).run_id):
        found = ledger.peek(run, OLGA).details
        assert (issued.token, ADA.id) == (found.requested_by, found.requested_for)
        planned(ledger, run, token)
        before = last(ledger)
        with pytest.raises(GuardRefusedError, match="nor whoever made the token that asked"):
            fire(ledger, run, "approve", actor=ADA)
        assert ["approver_is_somebody_else"] == [event.data["guard"] for event in log_since(ledger, before)]
        with pytest.raises(GuardRefusedError, match="approvals by other people are missing"):
            fire(ledger, run, "queue", actor=ADA)
        fire(ledger, run, "approve", actor=Actor(id="eve"))
        ledger.fire(run, RunEvent.QUEUE, token, given=RunDetails(plan_digest="d1"))
        fire(ledger, run, "cancel", actor=token)
    ledger.sessions.revoke_token(issued.token, ADA)
    ledger.audit.checkpoint()
    assert not ledger.verify().findings


def test_whoever_made_the_token_that_prepared_a_run_is_no_second_person_to_it(ledger):
    """Else one person turns somebody else's draft into a plan of their own by a token, and says yes in person."""
    issued, token = token_where_eve_may_approve(ledger)
    run = ledger.create(NewRun(), OLGA).run_id
    planned(ledger, run, token)
    found = ledger.peek(run, OLGA).details
    assert ((issued.token,), (ADA.id,)) == (found.prepared_by, found.prepared_for)
    ledger.sessions.revoke_token(issued.token, ADA)
    before = last(ledger)
    with pytest.raises(GuardRefusedError, match="nor whoever prepared its plan or made the token that did"):
        fire(ledger, run, "approve", actor=ADA)
    assert ["approver_is_somebody_else"] == [event.data["guard"] for event in log_since(ledger, before)]
    fire(ledger, run, "approve", actor=Actor(id="eve"))
    planned(ledger, run, OLGA)
    assert ((), ()) == (ledger.peek(run, OLGA).details.prepared_by, ledger.peek(run, OLGA).details.prepared_for)
    fire(ledger, run, "approve", actor=ADA)
    ledger.audit.checkpoint()
    assert not ledger.verify().findings


def test_whoever_made_a_token_is_still_known_once_it_is_revoked(ledger):
    issued = ledger.sessions.create_token(wanted(ledger, Role.OPERATOR), ADA)
    token = Actor(id=issued.token, kind="token", via="api")
    run = ledger.create(NewRun(), token).run_id
    planned(ledger, run, token)
    ledger.sessions.revoke_token(issued.token, ADA)
    with pytest.raises(GuardRefusedError):
        fire(ledger, run, "approve", actor=ADA)
    fire(ledger, run, "approve", actor=OLGA)


def test_a_run_that_a_person_asked_for_was_asked_for_by_nobody_else(ledger):
    run = ledger.create(NewRun(), OLGA).run_id
    assert ("olga", None) == (ledger.peek(run, ADA).details.requested_by, ledger.peek(run, ADA).details.requested_for)


def test_verification_holds_tokens_against_the_log(ledger):
    issued = ledger.sessions.create_token(wanted(ledger), ADA)
    ledger.sessions.create_token(wanted(ledger, environment="*", name="everywhere"), ADA)
    ledger.sessions.bearer(issued.secret)
    ledger.sessions.revoke_token(issued.token, ADA)
    ledger.audit.checkpoint()
    assert not ledger.verify().findings
