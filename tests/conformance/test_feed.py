"""What moves, for whoever follows it: everybody learns of what they may view, and of nothing else."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap_store import Following, NewRun, NewWorker, Reach, Tally
from tests.conformance.lives import ADA, HOME, OLGA, OTTO, SAM, UDO, VERA, WIM, fire, live, prove


def news(ledger, actor, after=0, **wanted):
    """Give which runs moved after an event."""
    return ledger.feed.news(Following(workspace=HOME[0], after=after, **wanted), actor)


def test_whoever_goes_on_where_the_last_news_ended_misses_nothing_and_hears_nothing_twice(ledger):
    runs, heard, after = [live(ledger, "draft") for _ in range(5)], [], 0
    while (found := news(ledger, OLGA, after, limit=2)).changes:
        heard += [change.run for change in found.changes]
        assert after < found.next
        after = found.next
    assert runs == heard
    assert ledger.feed.settled() == found.next
    assert not found.more


def test_of_a_run_that_moved_often_the_last_event_is_news(ledger):
    run = live(ledger, "draft")
    before = ledger.feed.settled()
    receipt = fire(ledger, run, "scope", "check")
    assert [(run, receipt.event_id)] == [(change.run, change.event_id) for change in news(ledger, OLGA, before).changes]


def test_what_is_only_looked_at_is_no_news(ledger):
    run = live(ledger, "draft")
    before = ledger.feed.settled()
    ledger.show(run, OLGA.id, OLGA)
    ledger.list_runs(OLGA.id, OLGA)
    found = news(ledger, OLGA, before)
    assert () == found.changes
    assert before < found.next


def test_evidence_is_news_for_whoever_may_read_it(ledger):
    run = live(ledger, "completed")
    before = ledger.feed.settled()
    prove(ledger, run)
    heard = {
        actor.id: [change.run for change in news(ledger, actor, before).changes] for actor in (OLGA, UDO, VERA, WIM)
    }
    assert {"olga": [run], "udo": [run], "vera": [], "wim": []} == heard


def test_nobody_hears_of_what_they_may_not_view(ledger):
    ledger.access.declare_environment(("default", "other"), ADA)
    ledger.access.declare_environment(("away", "local"), ADA)
    here, there = live(ledger, "draft"), live(ledger, "draft", environment="other")
    live(ledger, "draft", workspace="away")
    assert [here] == [change.run for change in news(ledger, OLGA).changes]
    assert [here, there] == [change.run for change in news(ledger, ADA).changes]
    assert () == news(ledger, SAM).changes
    ledger.access.grant("olga", Role.VIEWER, ("default", "*"), ADA)
    assert [here, there] == [change.run for change in news(ledger, OLGA).changes]


def test_news_of_one_run_are_for_whoever_may_view_it(ledger):
    run, other = live(ledger, "draft"), live(ledger, "draft")
    assert [run] == [change.run for change in news(ledger, VERA, run=run).changes]
    for actor, wanted in ((SAM, other), (VERA, "rr_nobody")):
        with pytest.raises(NotFoundError):
            news(ledger, actor, run=wanted)


@pytest.mark.parametrize("limit", [0, 501, -1])
def test_a_limit_that_is_none_is_refused(ledger, limit):
    with pytest.raises(BadInputError):
        news(ledger, OLGA, limit=limit)


def test_a_look_at_a_run_says_which_roles_somebody_holds_and_is_no_event(ledger):
    run = live(ledger, "completed")
    before = ledger.feed.settled()
    looks = {actor.id: ledger.feed.look(run, actor) for actor in (OLGA, VERA)}
    assert {"olga": ("operator",), "vera": ("viewer",)} == {name: look.roles for name, look in looks.items()}
    assert looks["olga"].record.operation is not None
    assert looks["vera"].record.operation is None
    with pytest.raises(NotFoundError):
        ledger.feed.look(run, SAM)
    assert before == ledger.feed.settled()


def test_a_history_is_what_moved_the_run_and_what_was_refused_page_by_page(ledger):
    run = live(ledger, "scoped")
    with pytest.raises(Exception, match="cannot"):
        fire(ledger, run, "complete")
    ledger.show(run, OLGA.id, OLGA)
    first = ledger.feed.moves(run, OLGA, limit=2)
    rest = ledger.feed.moves(run, OLGA, after=first[-1].event_id)
    kinds = [event.entry["type"].rpartition(".")[2] for event in (*first, *rest)]
    assert ["created", "transitioned", "transition_refused"] == kinds
    with pytest.raises(ForbiddenError):
        ledger.feed.moves(run, VERA)
    with pytest.raises(NotFoundError):
        ledger.feed.moves(run, SAM)


def test_a_decision_that_was_shown_is_read_again_by_its_viewer_and_by_auditors_only(ledger):
    run, other = live(ledger, "completed"), live(ledger, "draft")
    shown = ledger.show(run, OLGA.id, OLGA)
    for actor in (OLGA, UDO, ADA):
        assert shown.event_id == ledger.feed.shown(run, shown.event_id, actor).event_id
    for actor in (OTTO, VERA, WIM, SAM):
        with pytest.raises(NotFoundError):
            ledger.feed.shown(run, shown.event_id, actor)
    for wanted, event in ((other, shown.event_id), (run, 1), (run, 999_999), (run, shown.event_id + 1)):
        with pytest.raises(NotFoundError):
            ledger.feed.shown(wanted, event, OLGA)


def test_tallies_count_what_was_recorded_between_two_moments_by_the_place_where_it_was(ledger):
    ledger.access.declare_environment(("away", "local"), ADA)
    before = ledger.feed.settled()
    live(ledger, "queued")
    live(ledger, "draft", workspace="away")
    found = ledger.feed.tallies(before)
    counts = {(tally.ws, tally.env, tally.type): tally.n for tally in found.found}
    assert (1, 4) == (counts[*HOME, "restore.run.created"], counts[*HOME, "restore.run.transitioned"])
    assert 1 == counts["away", "local", "restore.run.created"]
    assert () == ledger.feed.tallies(found.upto).found


@pytest.mark.parametrize(
    ("scopes", "place", "covered"),
    [
        ([("w", "e")], ("w", "e"), True),
        ([("w", "e")], ("w", "f"), False),
        ([("w", "*")], ("w", "f"), True),
        ([("w", "*"), ("v", "e")], ("v", "f"), False),
        ([("w", "e")], ("w", None), True),  # of the workspace as a whole
        ([("w", "*")], ("v", None), False),
        ([("w", "*")], (None, None), False),  # of the ledger itself
    ],
)
def test_the_reach_of_an_auditor_covers_the_places_that_they_audit_and_no_others(scopes, place, covered):
    tally = Tally(ws=place[0], env=place[1], n=1)
    assert covered == Reach(frozenset(scopes), is_all=False).covers(tally)
    assert Reach(frozenset(scopes), is_all=True).covers(tally)


def test_the_reach_is_all_only_for_whoever_audits_every_environment_and_none_for_whoever_audits_nothing(ledger):
    assert ledger.feed.reach(UDO).is_all
    ledger.access.declare_environment(("away", "local"), ADA)
    assert (frozenset({HOME}), False) == ledger.feed.reach(UDO)
    with pytest.raises(ForbiddenError):
        ledger.feed.reach(OLGA)


def test_the_backlog_says_what_waits_for_workers_and_for_a_signature(ledger):
    before = ledger.feed.backlog()
    live(ledger, "queued")
    ledger.fleet.register(NewWorker(name="w"), WIM)
    found = ledger.feed.backlog()
    assert ((), (Tally(ws="default", env="local", n=1),)) == (before.queued, found.queued)
    assert (0, 1) == (before.workers, found.workers)
    assert found.oldest_lease_us >= 0
    assert before.unsequenced < found.unsequenced
    ledger.audit.checkpoint()
    assert (0, None) == (ledger.feed.backlog().unsequenced, ledger.feed.backlog().unsequenced_since_us)


def test_a_role_for_every_environment_is_none_for_one_that_was_never_declared(ledger):
    ledger.access.grant("olga", Role.OPERATOR, ("default", "*"), ADA)
    before = ledger.feed.settled()
    with pytest.raises(NotFoundError, match=r"no environment 'default/nowhere'.* proofgap init --environment"):
        ledger.create(NewRun(environment="nowhere"), OLGA)
    assert before == ledger.feed.settled()
