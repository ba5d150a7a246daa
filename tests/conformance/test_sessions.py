"""How a person is let in by a browser: one-time links and sessions, and who may read of it."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import BadInputError, NotFoundError
from proofgap_store import LogQuery
from proofgap_store.engine import connected, rows, transaction
from tests.conformance.lives import ADA, HOME, OLGA, OTTO, UDO, last, later, log_since, open_scope, tables

HOUR = 3600
NAMED = Actor(id="olga", via="page", name="Olga Example")


def sessions(ledger) -> list[dict[str, object]]:
    """Read the rows of the sessions."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        return rows(connection, "SELECT * FROM access_session")


def test_a_link_begins_one_session_for_whoever_it_was_made_for(ledger):
    link = ledger.sessions.offer(NAMED, HOUR)
    entrance = ledger.sessions.begin_by_link(link.secret, HOUR)
    found = ledger.sessions.session(entrance.secret, HOUR)
    assert ("olga", "Olga Example") == (found.principal, found.name)


def test_a_link_is_good_once(ledger):
    link = ledger.sessions.offer(NAMED, HOUR)
    ledger.sessions.begin_by_link(link.secret, HOUR)
    before = last(ledger)
    with pytest.raises(NotFoundError):
        ledger.sessions.begin_by_link(link.secret, HOUR)
    assert (before, 1) == (last(ledger), len(sessions(ledger)))


def test_a_link_that_nobody_made_or_that_is_too_late_is_good_for_nothing(ledger):
    link = ledger.sessions.offer(NAMED, HOUR)
    later(ledger, 2 * HOUR * 1_000_000)
    for secret in (link.secret, "", "proofgap_link_x", "\udcff"):
        with pytest.raises(NotFoundError):
            ledger.sessions.begin_by_link(secret, HOUR)
    assert [] == sessions(ledger)


def test_the_log_says_who_signed_in_and_out_and_holds_no_secret(ledger):
    before = last(ledger)
    link = ledger.sessions.offer(NAMED, HOUR)
    entrance = ledger.sessions.begin_by_link(link.secret, HOUR)
    ledger.sessions.end(ledger.sessions.session(entrance.secret, HOUR).id, OLGA)
    events = log_since(ledger, before)
    assert ["access.link_made", "access.signed_in", "access.signed_out"] == [event.type for event in events]
    assert {"olga"} == {event.entry["actor"]["id"] for event in events}
    assert all(word not in str(events) for word in (link.secret, entrance.secret, "Example"))


def test_a_session_that_was_ended_is_over(ledger):
    entrance = ledger.sessions.begin(NAMED, HOUR)
    found = ledger.sessions.session(entrance.secret, HOUR)
    ledger.sessions.end(found.id, ADA)  # who is not its owner ends nothing
    assert ledger.sessions.session(entrance.secret, HOUR)
    ledger.sessions.end(found.id, OLGA)
    ledger.sessions.end(found.id, OLGA)
    assert ledger.sessions.session(entrance.secret, HOUR) is None


@pytest.mark.parametrize("seconds", [HOUR, 2 * HOUR])
def test_a_session_ends_when_nobody_uses_it_and_at_the_latest_when_it_is_old(ledger, seconds):
    start = ledger._clock()
    ledger._clock = lambda: start
    entrance = ledger.sessions.begin(NAMED, seconds)
    ledger._clock = lambda: start + HOUR * 1_000_000
    assert ledger.sessions.session(entrance.secret, HOUR) is None
    ledger._clock = lambda: start + seconds * 1_000_000
    assert ledger.sessions.session(entrance.secret, 9 * HOUR) is None


def test_a_session_that_is_used_stays_open(ledger):
    start = ledger._clock()
    entrance = ledger.sessions.begin(NAMED, 9 * HOUR)
    for minutes in range(30, 180, 30):
        ledger._clock = lambda minutes=minutes: start + minutes * 60_000_000
        assert ledger.sessions.session(entrance.secret, HOUR)


def test_what_has_ended_is_swept_when_somebody_signs_in(ledger):
    ledger.sessions.begin(NAMED, HOUR)
    later(ledger, 2 * HOUR * 1_000_000)
    ledger.sessions.begin(ADA, HOUR)
    assert ["ada"] == [row["principal"] for row in sessions(ledger)]


def test_nobody_signs_in_as_a_token(ledger):
    before = tables(ledger)["audit_event"]
    for let_in in (ledger.sessions.offer, ledger.sessions.begin):
        with pytest.raises(BadInputError, match="is the name of a token"):
            let_in(Actor(id="tk_ci_0a"), HOUR)
    assert before == tables(ledger)["audit_event"]


def test_of_two_who_use_one_link_at_once_one_gets_in(ledger):
    link, start, found = ledger.sessions.offer(NAMED, HOUR), Barrier(2), []

    def use():
        start.wait()
        try:
            found.append(ledger.sessions.begin_by_link(link.secret, HOUR).principal)
        except NotFoundError as error:
            found.append(type(error))

    threads = [Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {"olga", NotFoundError} == {*found}
    assert 1 == len(sessions(ledger))


def test_who_signed_in_is_read_by_whoever_audits_all_that_they_hold_a_role_for(ledger):
    """An auditor of one workspace does not learn when people of another one come and go."""
    ledger.access.declare_environment(("other", "prod"), ADA)
    ledger.access.grant("nils", Role.OPERATOR, ("other", "prod"), ADA)
    for person in (OLGA, Actor(id="nils"), Actor(id="nobody")):
        ledger.sessions.begin(person, HOUR)
    query = LogQuery(types=("access.signed_in",))
    assert {"olga", "nobody"} == {event.entry["actor"]["id"] for event in ledger.audit.list(query, UDO).events}
    ledger.access.grant("udo", Role.AUDITOR, ("other", "*"), ADA)
    assert {"olga", "nobody", "nils"} == {event.entry["actor"]["id"] for event in ledger.audit.list(query, UDO).events}


def test_verification_holds_sessions_and_links_against_the_log(ledger):
    ledger.sessions.offer(NAMED, HOUR)
    ledger.sessions.begin(NAMED, HOUR)
    ledger.audit.checkpoint()
    assert not ledger.verify().findings


def test_an_admin_signs_out_whom_they_administer_everywhere_and_the_log_says_whose_sessions_they_were(ledger):
    entrances = [ledger.sessions.begin(NAMED, HOUR) for _ in range(2)]
    link = ledger.sessions.offer(NAMED, HOUR)
    before = last(ledger)
    assert 2 == ledger.sessions.end_all("olga", ADA)
    assert [None, None] == [ledger.sessions.session(entrance.secret, HOUR) for entrance in entrances]
    with pytest.raises(NotFoundError):  # it would begin the next one
        ledger.sessions.begin_by_link(link.secret, HOUR)
    events = log_since(ledger, before)
    assert [("access.signed_out", "ada", "olga")] * 2 == [
        (event.type, event.entry["actor"]["id"], event.entry["data"]["principal"]) for event in events
    ]


def test_whoever_signed_in_may_sign_out_everywhere(ledger):
    for _ in range(2):
        ledger.sessions.begin(NAMED, HOUR)
    assert (2, []) == (ledger.sessions.end_all("olga", OLGA), sessions(ledger))


def test_who_lost_their_last_role_can_still_be_signed_out(ledger):
    ledger.sessions.begin(NAMED, HOUR)
    ledger.access.grant("olga", Role.OPERATOR, HOME, ADA, revoke=True)
    assert 1 == ledger.sessions.end_all("olga", ADA)


def test_for_others_there_is_no_session_to_end_and_none_to_see(ledger):
    ledger.sessions.begin(NAMED, HOUR)
    ledger.sessions.begin(Actor(id="sam"), HOUR)  # never held a role: nobody administers them
    open_scope(ledger, ("w2", "e2"), Actor(id="foreign"))
    before = tables(ledger)
    for actor in (OTTO, UDO, Actor(id="foreign"), Actor(id="nobody")):
        with pytest.raises(NotFoundError):
            ledger.sessions.end_all("olga", actor)
        assert () == ledger.sessions.in_force(actor)
    for principal in ("sam", "nobody"):
        with pytest.raises(NotFoundError):
            ledger.sessions.end_all(principal, ADA)
    assert before == tables(ledger)


def test_an_admin_sees_who_is_signed_in_since_when_and_by_which_means(ledger):
    ledger.sessions.begin_by_link(ledger.sessions.offer(NAMED, HOUR).secret, HOUR)
    ledger.sessions.begin(Actor(id="ada"), HOUR)
    assert [("ada", "openid"), ("olga", "link")] == [
        (row.principal, row.means) for row in ledger.sessions.in_force(ADA)
    ]
    assert ["olga"] == [row.principal for row in ledger.sessions.in_force(OLGA)]
    later(ledger, 2 * HOUR * 1_000_000)
    assert () == ledger.sessions.in_force(ADA)
