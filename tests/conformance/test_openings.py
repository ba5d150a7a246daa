"""Personal data beside the log: committed to in the event, kept where it can be erased, and never in the payload."""

from __future__ import annotations

from hashlib import sha256

import pytest
from msgspec.structs import replace

from proofgap.audit import ACTOR_NAME, NOTE
from proofgap.errors import BadInputError, ForbiddenError, KeyReusedError, NotFoundError, RefusedError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_store import Erasure
from proofgap_store.engine import RefusedByDatabaseError, connected, rows, transaction
from proofgap_store.transitions import fingerprint
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    SAM,
    UDO,
    VERA,
    WIM,
    chain_faults,
    denials_beside,
    last,
    live,
    log,
    log_since,
    open_scope,
    tables,
)

NAMED = replace(OLGA, name="Olga Ørsted")
WHY = "the database team asked for another night"
CHANGING = (
    "DELETE FROM audit_private",
    "UPDATE audit_private SET value = 'x'",
    "INSERT INTO audit_private SELECT event_id, 'data.other', salt, value FROM audit_private LIMIT 1",
    """
    INSERT INTO audit_private SELECT event_id, path, salt, 'x' FROM audit_private WHERE TRUE
    ON CONFLICT (event_id, path) DO UPDATE SET value = excluded.value
    """,
)


def private(ledger):
    """Read every opening, past every verb."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        return rows(connection, "SELECT * FROM audit_private ORDER BY event_id, path")


def cancelled(ledger, **more):
    """Let somebody with a name cancel a run and say why; give the run and the event."""
    run = live(ledger, "queued")
    return run, ledger.fire(run, RunEvent.CANCEL, NAMED, note=WHY, **more).event_id


def erase(ledger, event, path=NOTE, reason="gdpr-17", actor=ADA):
    return ledger.audit.redact(Erasure(event=str(event), path=path, reason=reason), actor)


def test_an_opening_gives_the_commitment_of_its_event(ledger):
    _, event = cancelled(ledger)
    entry = next(found.entry for found in log(ledger) if found.event_id == event)
    kept = {row["path"]: row for row in private(ledger) if row["event_id"] == event}
    assert {path: row["value"] for path, row in kept.items()} == {ACTOR_NAME: NAMED.name, NOTE: WHY}
    for path, row in kept.items():
        committed = sha256(bytes.fromhex(row["salt"]) + row["value"].encode()).hexdigest()
        assert entry["commit"][path] == committed
    assert set(entry["commit"]) == set(kept)


def test_every_commitment_has_a_salt_of_its_own_of_128_bits(ledger):
    for _ in range(3):
        cancelled(ledger)
    salts = [row["salt"] for row in private(ledger)]
    assert len(set(salts)) == len(salts) > 6
    assert {len(bytes.fromhex(salt)) for salt in salts} == {16}


def test_no_payload_ever_holds_a_name_or_a_note(ledger):
    run, _ = cancelled(ledger, key="k1")
    ledger.show(run, NAMED.id, NAMED)
    ledger.list_runs(NAMED.id, NAMED)
    with pytest.raises(RefusedError):
        ledger.fire(run, RunEvent.QUEUE, NAMED, note=WHY)
    held = [found.payload for found in log(ledger) if NAMED.name in found.payload or WHY in found.payload]
    assert held == []
    assert chain_faults(log(ledger)) == []
    assert {row["path"] for row in private(ledger) if row["event_id"] == last(ledger)} == {ACTOR_NAME, NOTE}


def test_whoever_has_no_name_and_says_nothing_commits_to_nothing(ledger):
    live(ledger)
    assert private(ledger) == []
    assert {str(found.entry["commit"]) for found in log(ledger)} == {"{}"}


@pytest.mark.parametrize("note", ["", "   ", "a\x00b", "x" * 4_001])
def test_a_note_that_is_none_is_refused_and_nothing_is_written(ledger, note):
    run = live(ledger, "queued")
    before = tables(ledger)
    with pytest.raises(BadInputError, match=r"^note: "):
        ledger.fire(run, RunEvent.CANCEL, ADA, note=note)
    assert tables(ledger) == before


def test_a_name_that_is_none_is_refused_and_nothing_is_written(ledger):
    run = live(ledger, "queued")
    before = tables(ledger)
    with pytest.raises(BadInputError, match=r"^actor\.name: "):
        ledger.fire(run, RunEvent.CANCEL, replace(ADA, name="Ada\x1b[2J"))
    assert tables(ledger) == before


def test_the_request_in_the_payload_says_nothing_of_the_note(ledger):
    run, event = cancelled(ledger, key="k1")
    (request,) = [found.data["request"] for found in log(ledger) if found.event_id == event]
    assert request == fingerprint("fire", run, RunEvent.CANCEL, RunDetails(), (), None)


def test_the_same_key_with_another_note_is_another_request(ledger):
    run, event = cancelled(ledger, key="k1")
    again = ledger.fire(run, RunEvent.CANCEL, NAMED, note=WHY, key="k1")
    assert (again.event_id, again.replayed) == (event, True)
    before = tables(ledger)
    for note in ("something else", None):
        with pytest.raises(KeyReusedError):
            ledger.fire(run, RunEvent.CANCEL, NAMED, note=note, key="k1")
    assert tables(ledger) == before


def test_a_key_without_a_note_is_not_taken_for_one_with_a_note(ledger):
    run = live(ledger, "queued")
    ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1")
    with pytest.raises(KeyReusedError):
        ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1", note=WHY)
    assert ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1").replayed


def test_after_an_erasure_the_same_request_still_gives_its_receipt(ledger):
    run, event = cancelled(ledger, key="k1")
    erase(ledger, event)
    assert ledger.fire(run, RunEvent.CANCEL, NAMED, note=WHY, key="k1").event_id == event
    with pytest.raises(KeyReusedError):
        ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1")


def test_whoever_may_read_the_log_reads_what_was_said(ledger):
    run, event = cancelled(ledger)
    found = next(one for one in ledger.history(run, WIM.id) if one.event_id == event)
    assert {path: opening.value for path, opening in found.openings.items()} == {ACTOR_NAME: NAMED.name, NOTE: WHY}
    audited = ledger.audit.get(event, UDO)
    assert audited.openings == found.openings
    with pytest.raises(ForbiddenError):
        ledger.history(run, VERA.id)


def test_an_erasure_removes_exactly_one_opening_and_is_recorded(ledger):
    run, event = cancelled(ledger)
    before, number = private(ledger), last(ledger)
    done = erase(ledger, event)
    gone = [row for row in before if row not in private(ledger)]
    assert [(row["event_id"], row["path"]) for row in gone] == [(event, NOTE)]
    (recorded,) = log_since(ledger, number)
    assert (recorded.type, recorded.data) == (
        "audit.redacted", {"redacted": event, "path": NOTE, "reason": "gdpr-17"},
    )  # fmt: skip
    assert (recorded.entry["ws"], recorded.entry["env"], recorded.entry["run"]) == (*HOME, run)
    assert done.event_id == recorded.event_id
    assert NOTE not in ledger.audit.get(event, UDO).openings
    assert NOTE in ledger.audit.get(event, UDO).entry["commit"]


@pytest.mark.parametrize("path", [NOTE, "data.other", "note"])
def test_what_is_not_there_or_was_erased_before_is_not_erased(ledger, path):
    _, event = cancelled(ledger)
    erase(ledger, event)
    before = tables(ledger), private(ledger)
    with pytest.raises(NotFoundError):
        erase(ledger, event, path)
    assert (tables(ledger), private(ledger)) == before


@pytest.mark.parametrize("actor", [OLGA, WIM, VERA, UDO, SAM])
def test_only_an_admin_erases(ledger, actor):
    _, event = cancelled(ledger)
    before, openings = tables(ledger), private(ledger)
    with pytest.raises(ForbiddenError):
        erase(ledger, event, actor=actor)
    assert len(denials_beside(ledger, before)) == 1
    assert private(ledger) == openings


def test_an_admin_of_elsewhere_is_told_that_there_is_no_such_event(ledger):
    _, event = cancelled(ledger)
    open_scope(ledger, ("w2", "e2"), SAM)
    before = private(ledger)
    with pytest.raises(NotFoundError, match="audit event"):
        erase(ledger, event, actor=SAM)
    assert private(ledger) == before


@pytest.mark.parametrize("reason", ["", "two words", "ada@example.org", "-x", "x" * 65])
def test_a_reason_that_is_no_code_is_refused(ledger, reason):
    _, event = cancelled(ledger)
    before = tables(ledger), private(ledger)
    with pytest.raises(BadInputError, match=r"^reason: "):
        erase(ledger, event, reason=reason)
    assert (tables(ledger), private(ledger)) == before


@pytest.mark.owner
@pytest.mark.parametrize("statement", CHANGING)
def test_no_statement_removes_changes_or_adds_an_opening(ledger, statement):
    cancelled(ledger)
    before = private(ledger)
    with (
        pytest.raises(RefusedByDatabaseError, match="an opening is"),
        connected(ledger._gate.engine) as connection,
        transaction(connection, writes=True),
    ):
        connection.execute(statement)
    assert private(ledger) == before


def test_an_erasure_covers_its_own_path_and_event_only(ledger):
    first, second = cancelled(ledger)[1], cancelled(ledger)[1]
    erase(ledger, first)
    before = private(ledger)
    for event, path in ((first, ACTOR_NAME), (second, NOTE)):
        with (
            pytest.raises(RefusedByDatabaseError, match="an opening is deleted by"),
            connected(ledger._gate.engine) as connection,
            transaction(connection, writes=True),
        ):
            connection.execute(
                "DELETE FROM audit_private WHERE event_id = :event AND path = :path", {"event": event, "path": path}
            )
    assert private(ledger) == before
