"""Files that are no ledger, or cannot be written: one clear error with a remedy, never the driver's own."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item, RunDetails
from proofgap_store import Ledger, NewRun, UnavailableError
from proofgap_store.schema import REVISION
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import ADA, chain_faults, live, log, tables
from tests.store.raw import connect


def unavailable(url, **options):
    """Open what cannot be opened; give what is said about it."""
    with pytest.raises(UnavailableError) as caught:
        Ledger.open(url, owner=ADA.id, **options)
    assert str(caught.value) == f"the ledger cannot be used: {caught.value.problem}. {caught.value.remedy}"
    return caught.value


def test_a_file_that_is_no_database_is_left_as_it_is(path):
    path.write_bytes(b"Dear diary, " * 100)
    assert unavailable(f"sqlite:///{path}").problem == "file is not a database"
    assert path.read_bytes() == b"Dear diary, " * 100


def test_the_database_of_somebody_else_is_left_as_it_is(path):
    other = sqlite.connect(str(path))
    other.execute("CREATE TABLE diary (line)")
    other.execute("INSERT INTO diary VALUES ('dear diary')")
    other.commit()
    error = unavailable(f"sqlite:///{path}")
    assert (error.problem, error.remedy) == (
        *("the database holds something else", "Name a new file, or the file of a ledger."),
    )
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("diary",)]
    other.close()


def test_a_missing_folder_is_named_as_what_cannot_be_opened(tmp_path):
    assert unavailable(f"sqlite:///{tmp_path}/nowhere/ledger.db").problem == "unable to open database file"
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_is_no_file(tmp_path):
    assert unavailable(f"sqlite:///{tmp_path}").problem == "unable to open database file"


def test_a_ledger_that_is_not_there_is_not_made_unasked(path):
    error = unavailable(f"sqlite:///{path}", create=False)
    assert (error.problem, error.remedy) == (f"there is none at {path}", "Make one with: proofgap init.")
    assert not path.exists()


def test_a_ledger_of_another_version_is_not_touched(ledger, path):
    ledger.close()
    connection = connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert f"its schema is 9999, this version works with {REVISION}" in unavailable(f"sqlite:///{path}").problem


@pytest.mark.parametrize("url", ["", "ledger.db", "postgresql+psycopg2://h/d", "mysql://h/d", "http://x"])
def test_what_is_no_address_of_a_ledger_is_bad_input(url):
    with pytest.raises(BadInputError) as caught:
        Ledger.open(url)
    assert (caught.value.field, caught.value.remedy) == (
        "ledger",
        "Use sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
    )


READING = {
    "history": lambda ledger, run_id: ledger.history(run_id, ADA.id),
    "items": lambda ledger, run_id: ledger.items(run_id, ADA.id),
    "diagnose": lambda ledger, _: ledger.diagnose(),
}
WRITING = {
    "create": lambda ledger, _: ledger.create(NewRun(), ADA),
    "fire": lambda ledger, run_id: ledger.fire(run_id, RunEvent.CANCEL, ADA),
    "show": lambda ledger, run_id: ledger.show(run_id, ADA.id, ADA),
    "list": lambda ledger, _: ledger.list_runs(ADA.id, ADA),
}


@pytest.fixture
def read_only(ledger, path):
    """A ledger that can be read and not written, and its run."""
    run_id = live(ledger, "draft")
    with Ledger.open(f"sqlite:///file:{path}?mode=ro&uri=true") as opened:
        yield opened, run_id


@pytest.mark.parametrize("verb", READING.values(), ids=READING)
def test_a_ledger_that_cannot_be_written_can_be_read(read_only, verb):
    assert verb(*read_only) is not None


@pytest.mark.parametrize("verb", WRITING.values(), ids=WRITING)
def test_no_event_no_view_a_ledger_that_cannot_be_written_shows_no_decision(read_only, verb):
    before = tables(read_only[0])
    with pytest.raises(UnavailableError, match="attempt to write a readonly database"):
        verb(*read_only)
    assert tables(read_only[0]) == before


@pytest.fixture
def hasty(ledger):
    """A ledger that waits for a lock no longer than a moment."""

    @event.listens_for(ledger._gate.engine, "connect")
    def _hurry(connection, _record):
        connection.execute("PRAGMA busy_timeout = 20")

    ledger._gate.engine.dispose()
    return ledger


def test_a_lock_that_somebody_holds_for_too_long_is_said_and_nothing_happened(hasty, path):
    run_id = live(hasty, "draft")
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="database is locked"):
        hasty.fire(run_id, RunEvent.SCOPE, ADA)
    assert len(hasty.history(run_id, ADA.id)) == 2
    other.execute("ROLLBACK")
    other.close()
    assert hasty.fire(run_id, RunEvent.SCOPE, ADA).status == "scoped"


@pytest.fixture
def full(ledger):
    """A ledger whose disk has no room for another page."""

    @event.listens_for(ledger._gate.engine, "connect")
    def _fill(connection, _record):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    return ledger


LARGE = "x" * 4_000
TOO_LARGE = {
    "create": lambda ledger, _: ledger.create(
        NewRun(details=RunDetails(backup=LARGE, target=LARGE, driver=LARGE, purpose=LARGE)), ADA, key="k1"
    ),
    "report": lambda ledger, run_id: ledger.fire(
        run_id,
        RunEvent.REPORT,
        ADA,
        items=[Item(key=key, result=ItemResult.FAILED, message=LARGE) for key in "abcdefgh"],
        key="k1",
    ),
}


@pytest.mark.parametrize("write", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_full_disk_undoes_the_whole_write_and_a_keyed_retry_finds_room(full, write):
    run_id = live(full, "running")
    full._gate.engine.dispose()
    before = tables(full)
    with pytest.raises(UnavailableError, match="database or disk is full"):
        write(full, run_id)
    assert tables(full) == before
    assert chain_faults(log(full)) == []
    with Ledger.open(str(full._gate.engine.url), create=False) as roomy:
        receipt = write(roomy, run_id)
        assert (receipt.replayed, write(roomy, run_id).replayed) == (False, True)
        assert chain_faults(log(roomy)) == []
