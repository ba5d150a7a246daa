"""A server that is killed while it is written to: what was acknowledged is there, and the rest is wholly there or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import psycopg
import pytest

from proofgap_store import NewRun, UnavailableError
from tests import postgresql
from tests.conformance.children import KEYED
from tests.conformance.faults import Plan, armed, count, expose
from tests.conformance.lives import ADA, chain_faults, live, log, settle, tables
from tests.conformance.places import MEMBERS, PLACES

WRITERS = 4


@pytest.fixture
def place(tmp_path):
    """A ledger on a server, with everybody in their role."""
    with PLACES["postgresql"](tmp_path, *MEMBERS) as made:
        with made.open() as opened:
            settle(opened)
        yield made


def server_dies(connection):
    """Let the server die, and start anew; the next statement on this connection says so."""
    postgresql.kill()
    psycopg.Connection.execute(connection, b"SELECT 'is anybody there?'")


def test_a_transition_during_which_the_server_died_is_there_wholly_or_not_at_all(place):
    with place.open("FULL") as opened:
        ledger, counted = expose(opened), live(opened, "running")
        verbs = count(lambda: KEYED["complete"](ledger, counted))
        last = len(verbs) - 1
        places = [
            (verbs.index("INSERT"), "before"),
            (verbs.index("INSERT"), "after"),
            (last, "before"),
            (last, "after"),
        ]
        assert [died_at(ledger, *at) for at in places] == [False, False, False, True]
        ledger.audit.checkpoint()
        assert (chain_faults(log(ledger)), ledger.verify().counts) == ([], {})


def died_at(ledger, number, side):
    """Let the server die at one place of a transition; tell whether it happened; then ask again under its key."""
    subject = live(ledger, "running")
    before = tables(ledger)
    with pytest.raises(UnavailableError):
        armed(Plan(number, side, server_dies), lambda: KEYED["complete"](ledger, subject))
    happened = tables(ledger) != before
    assert KEYED["complete"](ledger, subject).replayed is happened
    assert ledger.peek(subject, ADA).status == "completed"
    return happened


def test_what_was_acknowledged_to_many_who_wrote_when_the_server_died_is_there_and_nothing_is_there_twice(place):
    enough = Semaphore(0)

    def write(number):
        """Create runs until the server is gone; give what was acknowledged, and the key that nobody answered."""
        acknowledged = {}
        with place.open("FULL") as mine:
            while True:
                key = f"{number}-{len(acknowledged)}"
                try:
                    acknowledged[key] = mine.create(NewRun(), ADA, key=key).event_id
                except UnavailableError:
                    return acknowledged, key
                if len(acknowledged) == WRITERS:
                    enough.release()

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        assert all(enough.acquire(timeout=60) for _ in range(WRITERS)), "each of them writes"
        postgresql.kill()
        told = [done.result() for done in writing]
    with place.open() as ledger:
        before = len(tables(ledger)["restore_run"])
        for acknowledged, _ in told:
            again = {key: ledger.create(NewRun(), ADA, key=key) for key in acknowledged}
            assert {key: receipt.event_id for key, receipt in again.items()} == acknowledged
        assert len(tables(ledger)["restore_run"]) == before
        late = [ledger.create(NewRun(), ADA, key=unanswered).replayed for _, unanswered in told]
        assert len(tables(ledger)["restore_run"]) == before + late.count(False)
        assert before == sum(len(acknowledged) for acknowledged, _ in told) + late.count(True)
        ledger.audit.checkpoint()
        assert (chain_faults(log(ledger)), ledger.verify().counts) == ([], {})
