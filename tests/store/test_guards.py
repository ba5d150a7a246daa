"""What guards the ledger against foreign schema: nothing is swallowed, and what is missing or foreign is named."""

from __future__ import annotations

import pytest

from proofgap.errors import ProofgapError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap_store import Ledger, NewRun, UnavailableError
from proofgap_store.audit_log import SwallowedError
from proofgap_store.gate import Gate
from proofgap_store.schema import NO_DRIFT, GuardsError
from tests.conformance.lives import ADA, HOME, PASSED, after_the_end, chain_faults, live, log, prove, tables
from tests.store.raw import APPEND, connect, contents, forged, row_of

SWALLOW = "CREATE TRIGGER zz_swallow {when} ON {table} BEGIN SELECT RAISE(IGNORE); END"


def run_sql(path, *statements):
    """Run statements on the file past the ledger."""
    connection = connect(path, "as SQLite comes")
    for statement in statements:
        connection.execute(statement)
    connection.close()


WRITES = {
    "create": lambda ledger, _: ledger.create(NewRun(), ADA, key="k9"),
    "fire": lambda ledger, run_id: ledger.fire(run_id, RunEvent.COMPLETE, ADA, key="k9"),
    "show": lambda ledger, run_id: ledger.show(run_id, ADA.id, ADA),
    "list": lambda ledger, _: ledger.list_runs(ADA.id, ADA),
    "grant": lambda ledger, _: ledger.access.grant("sam", "viewer", HOME, ADA),
    "declare": lambda ledger, _: ledger.access.declare_environment(HOME, ADA, approvals_required=3),
}


@pytest.fixture
def unguarded(monkeypatch):
    """Let the ledger write without a look at its guards, as if a guard had gone in the instant after the look."""
    monkeypatch.setattr(Gate, "guards", lambda _gate, _connection, _found=None: NO_DRIFT)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_is_written_while_a_foreign_trigger_is_there(ledger, path, write):
    run_id = live(ledger, "running")
    run_sql(path, "CREATE TRIGGER zz_harmless AFTER INSERT ON receipt BEGIN SELECT 1; END")
    before = tables(ledger)
    with pytest.raises(GuardsError, match=r"foreign: zz_harmless.*proofgap audit declare-gap") as caught:
        write(ledger, run_id)
    assert (caught.value.missing, caught.value.foreign) == ((), ("zz_harmless",))
    assert tables(ledger) == before


def test_who_was_at_work_while_the_ledger_was_brought_up_is_told_so_and_not_to_declare_a_gap(ledger, path):
    """The guards are those of the newer version: whoever put them back as they were would take them away."""
    run_id = live(ledger, "running")
    run_sql(path, "DROP TRIGGER receipt_is_never_deleted", "UPDATE alembic_version SET version_num = '9999'")
    before = tables(ledger)
    with pytest.raises(UnavailableError, match=r"its schema is 9999, this version works with \d{4}\. Use the version"):
        WRITES["fire"](ledger, run_id)
    assert tables(ledger) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_is_written_while_a_guard_is_missing(ledger, path, write):
    run_id = live(ledger, "running")
    run_sql(path, "DROP TRIGGER receipt_is_never_deleted")
    before = tables(ledger)
    with pytest.raises(GuardsError, match="missing or changed: receipt_is_never_deleted"):
        write(ledger, run_id)
    assert tables(ledger) == before


def test_a_guard_that_is_missing_when_a_ledger_is_opened_stops_its_first_write(path):
    Ledger.open(f"sqlite:///{path}", owner=ADA.id).close()
    run_sql(path, "DROP TRIGGER audit_event_is_never_deleted")
    with Ledger.open(f"sqlite:///{path}") as ledger, pytest.raises(GuardsError, match="audit_event_is_never_deleted"):
        ledger.create(NewRun(), ADA)


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_log_that_swallows_an_event_makes_the_write_fail_and_nothing_happens(ledger, path, write):
    run_id = live(ledger, "running")
    run_sql(path, SWALLOW.format(when="BEFORE INSERT", table="audit_event"))
    before = tables(ledger)
    with pytest.raises(SwallowedError, match="Look for foreign triggers with: proofgap doctor"):
        write(ledger, run_id)
    assert tables(ledger) == before
    assert ledger.diagnose().foreign_guards == ("zz_swallow",)


def records(ledger):
    """Give every table but the log, and what is in the log except refused attempts."""
    found = {name: rows for name, rows in tables(ledger).items() if not name.startswith("audit_")}
    return found, [event for event in log(ledger) if event.type != "restore.run.transition_refused"]


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize("table", ["restore_run", "operation_run"])
def test_a_table_that_swallows_its_update_makes_the_transition_fail_and_nothing_moves(ledger, path, table):
    run_id = live(ledger, "running")
    run_sql(path, SWALLOW.format(when="BEFORE UPDATE", table=table))
    before = records(ledger)
    with pytest.raises(ProofgapError):
        ledger.fire(run_id, RunEvent.COMPLETE, ADA)
    assert records(ledger) == before


@pytest.mark.usefixtures("unguarded")
def test_evidence_that_swallows_its_update_makes_the_transition_fail_and_nothing_moves(ledger, path):
    snapshot = ledger.begin_evidence(live(ledger), ADA).subject
    run_sql(path, SWALLOW.format(when="BEFORE UPDATE", table="evidence_snapshot"))
    before = records(ledger)
    with pytest.raises(ProofgapError):
        ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    assert records(ledger) == before


def test_a_sound_ledger_misses_no_guard_and_has_no_foreign_one(ledger):
    live(ledger)
    found = ledger.diagnose()
    assert (found.missing_guards, found.foreign_guards, found.log_failures) == ((), (), 0)
    assert (found.runs, found.events) == (1, len(log(ledger)))


def names(path, kind):
    """List the names of everything of one kind in the schema."""
    connection = connect(path)
    found = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = ? AND sql NOT NULL", (kind,))
    ]
    connection.close()
    return found


def test_every_guard_that_is_dropped_is_named(ledger, path):
    for name in names(path, "trigger"):
        connection = connect(path)
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        connection.execute(f"DROP TRIGGER {name}")
        assert ledger.diagnose().missing_guards == (name,)
        connection.execute(sql)
        connection.close()
    assert ledger.diagnose().missing_guards == ()


def test_a_guard_that_was_put_back_in_other_words_is_named_as_missing(ledger, path):
    changed = "CREATE TRIGGER receipt_is_never_deleted BEFORE DELETE ON receipt BEGIN SELECT 1; END"
    run_sql(path, "DROP TRIGGER receipt_is_never_deleted", changed)
    assert ledger.diagnose().missing_guards == ("receipt_is_never_deleted",)


def test_a_dropped_index_is_named_and_foreign_objects_of_every_kind_are(ledger, path):
    run_sql(
        path,
        "DROP INDEX evidence_snapshot_one_active",
        "CREATE TABLE zz_table (x)",
        "CREATE VIEW zz_view AS SELECT 1",
        "CREATE INDEX zz_index ON zz_table (x)",
        SWALLOW.format(when="AFTER INSERT", table="receipt"),
    )
    found = ledger.diagnose()
    assert found.missing_guards == ("evidence_snapshot_one_active",)
    assert found.foreign_guards == ("zz_index", "zz_swallow", "zz_table", "zz_view")


def test_a_guard_that_was_cut_out_of_the_schema_table_is_gone_and_is_named(ledger, path):
    """Whoever holds the file of an SQLite ledger holds its guards too: what holds is that it is seen."""
    run_id = live(ledger, "completed")
    run_sql(
        path,
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_master WHERE name = 'restore_run_moves_in_the_log'",
        "PRAGMA writable_schema = OFF",
    )
    run_sql(path, "UPDATE restore_run SET status = 'running'")
    assert ledger.peek(run_id, ADA).status == "running"
    assert ledger.diagnose().missing_guards == ("restore_run_moves_in_the_log",)
    assert chain_faults(log(ledger)) == []
    said = [event.data["target"] for event in log(ledger) if event.type == "restore.run.transitioned"]
    assert said[-1] == "completed"


def test_without_recursive_triggers_replacing_still_meets_the_guards_of_the_insert(ledger, path):
    """The pragma is a matter of each connection; the guards before an insert do not depend on it."""
    run_id = live(ledger, "completed")
    connection = connect(path, "with every pragma against us")
    before = contents(connection)
    for table in ("restore_run", "operation_run", "audit_event", "receipt", "machine_definition"):
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
        replace = f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}"  # noqa: S608 - names only
        try:
            connection.execute(replace)
        except Exception as error:  # noqa: BLE001 - whichever SQLite library it is
            assert "proofgap: " in str(error), table  # noqa: PT017 - an empty table refuses nothing
    assert contents(connection) == before
    connection.close()
    assert ledger.show(run_id, ADA.id, ADA).record.status == "completed"


def test_a_second_active_snapshot_is_refused_even_to_a_forged_event(ledger, path):
    run_id = live(ledger)
    prove(ledger, run_id)
    second = ledger.begin_evidence(run_id, ADA, captured_at_us=after_the_end(ledger, run_id, 2_000)).subject
    ledger.fire_evidence(second, SnapshotEvent.GENERATE, ADA)
    connection = connect(path)
    entry = forged(connection, second, "activate", "active")
    for verb in ("INSERT", "INSERT OR REPLACE"):
        with pytest.raises(Exception, match="another snapshot of the operation run is active"):
            connection.execute(APPEND.replace("INSERT", verb), row_of(entry))
    connection.close()
    ledger.fire_evidence(second, SnapshotEvent.ACTIVATE, ADA, checks=PASSED)
    states = [row.status.value for row in ledger.show(run_id, ADA.id, ADA).record.evidence]
    assert sorted(states) == ["active", "superseded"]
