"""Who may do and see what: roles against actions and events, from tables typed by hand."""

from __future__ import annotations

from itertools import combinations

import pytest

from proofgap.access import MAY, Action, Place, Role, action_of, authorize, viewer_of
from proofgap.errors import ForbiddenError, NotFoundError
from proofgap.facts import RunEvent, RunStatus
from tests.core.run_records import run_in, snapshot_in

# V viewer, O operator, W worker, U auditor, A admin
LETTERS = {"V": Role.VIEWER, "O": Role.OPERATOR, "W": Role.WORKER, "U": Role.AUDITOR, "A": Role.ADMIN}
ALLOWED = {
    Action.VIEW: "VOWUA",
    Action.READ_LOG: "OWUA",
    Action.READ_EVIDENCE: "OUA",
    Action.CREATE: "OWA",
    Action.PREPARE: "OWA",
    Action.APPROVE: "OA",
    Action.EXECUTE: "WA",
    Action.ADD_EVIDENCE: "WA",
    Action.RELEASE: "OA",
    Action.VIEW_AS: "UA",
    Action.AUDIT: "UA",
    Action.ADMINISTER: "A",
}
ACTIONS = {
    "scope": Action.PREPARE,
    "check": Action.PREPARE,
    "preview": Action.PREPARE,
    "approve": Action.APPROVE,
    "queue": Action.PREPARE,
    "start": Action.EXECUTE,
    "report": Action.EXECUTE,
    "request_cancel": Action.PREPARE,
    "complete": Action.EXECUTE,
    "complete_with_errors": Action.EXECUTE,
    "complete_partially": Action.EXECUTE,
    "fail": Action.EXECUTE,
    "cancel": Action.PREPARE,
    "block": Action.PREPARE,
}
SEES = {"V": set(), "O": {"op1", "s1", "s2"}, "W": {"op1"}, "U": {"op1", "s1", "s2"}, "A": {"op1", "s1", "s2"}}
RUN = ("restore run", "r1")


def test_the_table_of_this_test_names_every_action_and_every_event():
    assert set(ALLOWED) == set(Action) == set(MAY)
    assert set(ACTIONS) == {event.value for event in RunEvent}


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("action", Action)
def test_a_role_may_do_exactly_what_the_table_says(letter, action):
    if letter in ALLOWED[action]:
        authorize("bob", [LETTERS[letter]], action, RUN)
        return
    with pytest.raises(ForbiddenError) as caught:
        authorize("bob", [LETTERS[letter]], action, RUN)
    error = caught.value
    needed = tuple(sorted(LETTERS[one].value for one in ALLOWED[action]))
    assert (error.principal, error.action, error.needed) == ("bob", action, needed)
    assert str(error).startswith(f"bob may not {action.value}. Ask an admin")


def test_a_denial_says_what_was_wanted_of_what_and_where():
    with pytest.raises(ForbiddenError) as caught:
        authorize("bob", [Role.VIEWER], Action.READ_LOG, RUN, Place("w1", "e1", "r1"))
    error = caught.value
    assert (error.kind, error.subject, error.workspace, error.environment, error.run) == (*RUN, "w1", "e1", "r1")


@pytest.mark.parametrize("action", Action)
def test_whoever_holds_no_role_there_is_told_that_there_is_nothing(action):
    with pytest.raises(NotFoundError) as caught:
        authorize("bob", [], action, RUN)
    assert (caught.value.kind, caught.value.subject) == RUN
    assert str(caught.value) == str(NotFoundError(*RUN))
    assert "bob" not in str(caught.value)


@pytest.mark.parametrize("action", Action)
def test_two_roles_together_may_do_what_either_of_them_may(action):
    for pair in combinations(LETTERS, 2):
        held = [LETTERS[letter] for letter in pair]
        if set(pair) & set(ALLOWED[action]):
            authorize("bob", held, action, RUN)
            continue
        with pytest.raises(ForbiddenError):
            authorize("bob", held, action, RUN)


@pytest.mark.parametrize("event", RunEvent)
def test_each_event_asks_for_the_action_of_the_table(event):
    assert action_of(event, RunStatus.QUEUED) is ACTIONS[event]


def test_ending_a_run_that_executes_is_for_those_who_execute_and_asking_for_it_is_not():
    assert action_of(RunEvent.CANCEL, RunStatus.RUNNING) is Action.EXECUTE
    assert action_of(RunEvent.REQUEST_CANCEL, RunStatus.RUNNING) is Action.PREPARE


@pytest.mark.parametrize(("letter", "seen"), SEES.items(), ids=SEES)
def test_a_role_sees_the_operation_run_and_the_evidence_that_the_table_says(letter, seen):
    facts = run_in("completed", evidence=(snapshot_in("active"), snapshot_in("superseded", "s2"))).facts()
    viewer = viewer_of("bob", [LETTERS[letter]], facts)
    assert (viewer.id, viewer.may_view) == ("bob", frozenset(seen))


def test_without_a_role_nothing_is_seen_and_without_links_there_is_nothing_to_see():
    facts = run_in("completed", evidence=(snapshot_in("active"),)).facts()
    assert viewer_of("bob", [], facts).may_view == frozenset()
    assert viewer_of("bob", list(Role), run_in("draft").facts()).may_view == frozenset()


def test_a_role_more_never_shows_less():
    facts = run_in("completed", evidence=(snapshot_in("active"),)).facts()
    for one in Role:
        for other in Role:
            both = viewer_of("bob", [one, other], facts).may_view
            assert both >= viewer_of("bob", [one], facts).may_view
