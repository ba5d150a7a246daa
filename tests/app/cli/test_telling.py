"""What an event of the log says in a few words: something, whatever its type."""

from __future__ import annotations

from contextlib import suppress

import pytest

from proofgap.audit import Actor, EventType
from proofgap.errors import ProofgapError
from proofgap.facts import RunEvent
from proofgap_app.cli.telling import words
from proofgap_store import Erasure, Export, HoldOn, Ledger, LoggedEvent, NewRun
from tests.conformance.lives import (
    ADA,
    HOME,
    VERA,
    facts,
    fire,
    lines,
    live,
    log,
    operation,
    prove,
    settle,
    snapshot,
)
from tests.conformance.pruning import prune
from tests.store.raw import connect

NAMED = Actor(id="ada", via="cli", name="Ada L.")


def drop_a_guard(path):
    connection = connect(path, "as SQLite comes")
    connection.execute("DROP TRIGGER receipt_is_never_deleted")
    connection.close()


@pytest.fixture
def eventful(tmp_path):
    """A ledger in which an event of every type happened."""
    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id) as ledger:
        settle(ledger)
        run = live(ledger)
        prove(ledger, run)
        fire(ledger, live(ledger, "checked"), "block")
        with suppress(ProofgapError):
            ledger.fire(run, RunEvent.APPROVE, ADA)
        with suppress(ProofgapError):
            ledger.create(NewRun(), VERA)
        with suppress(ProofgapError):
            ledger.audit.declare_gap("none", VERA)
        ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot(), snapshot("s2", "o9"))), ADA)
        ledger.access.declare_environment(HOME, ADA, approvals_required=1)
        ledger.access.grant("vera", "auditor", HOME, ADA, revoke=True)
        ledger.list_runs(ADA.id, ADA)
        ledger.create(NewRun(), NAMED)
        ledger.audit.redact(Erasure(event=str(log(ledger)[-2].event_id), path="actor.name", reason="gdpr-17"), ADA)
        ledger.audit.release(ledger.audit.hold(HoldOn(run=run), "case-4711", ADA).id, ADA)
        ledger.audit.export(Export(file=str(tmp_path / "out")), ADA)
        ledger.audit.rotate_key(ADA)
        path.with_name("ledger.db.head").unlink()
        ledger.audit.declare_restore("moved", ADA)
        drop_a_guard(path)
        ledger.audit.declare_gap("a repair", ADA)
        prune(ledger, tmp_path / "pruned", events=1)
        yield ledger


OTHERS = {
    EventType.EVIDENCE_REVIEWED: {"snapshot": "ev_1", "verdict": "match"},
    EventType.TOKEN_CREATED: {"token": "tk_1", "sha256": "0" * 64, "roles": ["worker"], "expires_at_us": 1},
    EventType.TOKEN_REVOKED: {"token": "tk_1"},
    EventType.LINK_MADE: {"link": "0" * 64, "expires_at_us": 1},
    EventType.SIGNED_IN: {"session": "0" * 64, "means": "link", "link": "0" * 64, "expires_at_us": 1},
    EventType.SIGNED_OUT: {"session": "0" * 64},
    EventType.MOVED: {"target": "postgresql://db.example.org/proofgap", "size": 3, "root": "0" * 64},
    EventType.ARRIVED: {"source": "ledger.db", "left": "0" * 64, "size": 3, "root": "0" * 64},
    EventType.WORKER_REGISTERED: {"worker": "wk_1", "details": {"name": "host-1"}, "lease_us": 1},
    EventType.WORKER_RETIRED: {"worker": "wk_1"},
    EventType.WORKER_LOST: {"worker": "wk_1", "beat_at_us": 1},
    EventType.ENVIRONMENT_RELEASED: {"holder": "rr_1"},
    EventType.SOURCE_REGISTERED: {"source": "nightly", "details": {"backup": "restic:/srv/repo"}},
    EventType.SOURCE_RETIRED: {"source": "nightly"},
    EventType.DRILL_DECLARED: {"drill": "dr_1", "details": {"cron": "0 4 * * *"}},
    EventType.DRILL_RETIRED: {"drill": "dr_1"},
    EventType.DRILL_FIRED: {"drill": "dr_1", "first_us": 1, "last_us": 1, "ticks": 1},
    EventType.DRILL_MISSED: {"drill": "dr_1", "first_us": 1, "last_us": 2, "ticks": 2},
}
"""What events say that need a fleet, a site or a second ledger to happen: as docs/audit-format.md has it."""


def logged(kind, data):
    """Give an event of the log as it is read."""
    return LoggedEvent(event_id=1, leaf="0" * 64, entry={"type": kind, "data": data}, openings={}, payload=b"{}")


@pytest.mark.parametrize("kind", OTHERS)
def test_a_forged_event_is_told_by_its_type_alone(kind):
    assert words(logged(kind, OTHERS[kind]))
    assert words(logged(kind, {})) in {"", words(logged(kind, OTHERS[kind]))}
    assert words(logged(kind, {name: [] for name in OTHERS[kind]})) is not None


def test_an_event_of_every_type_has_words(eventful):
    told, after = {kind: words(logged(kind, data)) for kind, data in OTHERS.items()}, 0
    while found := eventful.audit.tail(after, ADA):
        told |= {event.entry["type"]: words(event) for event in found}
        after = found[-1].event_id
    assert set(told) == set(EventType)
    assert [kind for kind, said in told.items() if not said] == []
