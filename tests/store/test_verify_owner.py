"""What else somebody who owns the file can do, short of the key: columns, indexes, names, rows beside the log, odd data."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap.audit import canonical
from proofgap.findings import Code, Verdict
from proofgap_store import Ledger, NewRun
from proofgap_store.schema import GuardsError
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import ADA, HOME, live, prove, settle
from tests.store.tampering import (
    URL,
    codes,
    copied,
    find,
    hide_rows,
    make,
    payloads,
    rewrite,
    ungenerated,
    unguarded,
    verified,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A ledger in which everything happened."""
    return make(tmp_path_factory.mktemp("owned") / "ledger.db")


@pytest.fixture
def path(made, tmp_path):
    """A copy of it, to do as one likes with."""
    return copied(made, tmp_path / "copy.db")


COLUMNS = {
    "type": "'access.denied' WHERE type = 'access.granted'",
    "id": "'other' WHERE event_id = 9",
    "ws": "'elsewhere' WHERE type = 'access.granted'",
    "env": "NULL WHERE type = 'access.granted' AND env IS NOT NULL",
    "run": "'r9' WHERE type = 'restore.run.created'",
    "actor": "'mallory' WHERE event_id = 9",
    "at_us": "5 WHERE event_id = 9",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_says_something_else_than_its_event_is_found(path, made, column):
    with ungenerated(path) as connection:
        assert connection.execute(f"UPDATE audit_event SET {column} = {COLUMNS[column]}").rowcount > 0  # noqa: S608 - ours
    found = verified(path, pin=made.notes[-1])
    assert Code.COLUMN_MISMATCH in found.counts
    assert any(row.detail.startswith(f"{column}: ") for row in found.findings if row.code == Code.COLUMN_MISMATCH)
    assert Code.COLUMN_MISMATCH in codes(path, since=made.notes[1]) or column in {"id", "actor", "at_us", "run"}


def test_a_revocation_that_is_hidden_by_its_type_does_not_bring_an_admin_back_unseen(path):
    with Ledger.open(URL(path), owner=ADA.id) as ledger:
        ledger.access.grant("mallory", Role.ADMIN, HOME, ADA)
        ledger.access.grant("mallory", Role.ADMIN, HOME, ADA, revoke=True)
        ledger.audit.checkpoint()
    with ungenerated(path) as connection:
        connection.execute("UPDATE audit_event SET type = 'access.denied' WHERE type = 'access.revoked'")
        connection.execute(
            "UPDATE access_grant SET active = 1, last_event_id = last_event_id - 1 WHERE principal = 'mallory'"
        )
    assert verified(path).verdict == Verdict.TAMPERED


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ("evidence_snapshot_operation", "0"),
        ("restore_run_scope", "status <> 'cancelled'"),
        ("audit_event_run", "event_id < 10"),
        ("audit_event_type", "type <> 'access.granted'"),
        ("audit_event_link", "seq < 1"),
    ],
)
def test_an_index_that_hides_rows_is_found(path, index, where):
    hide_rows(path, index, where)
    assert Code.DATABASE_DAMAGED in codes(path)


@pytest.mark.parametrize("name", ["alembic_version", "sqlite_stat1", "audit_event"])
def test_a_trigger_with_the_name_of_a_table_is_a_foreign_guard_and_nothing_is_written(path, name):
    connection = sqlite.connect(str(path), isolation_level=None)
    connection.execute(
        "CREATE TRIGGER zz BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'proofgap: stale'); END"
    )
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET name = ?, sql = replace(sql, 'zz', ?) WHERE name = 'zz'", (name, name))
    connection.execute(f"PRAGMA schema_version = {connection.execute('PRAGMA schema_version').fetchone()[0] + 1}")
    connection.close()
    assert {row.detail for row in verified(path).findings if row.code == Code.GUARD_FOREIGN} == {name}
    with Ledger.open(URL(path), create=False) as ledger, pytest.raises(GuardsError):
        ledger.create(NewRun(), ADA)


BESIDE = {
    "the result of an item": ("UPDATE result_item SET result = 'skipped'", Code.ROWS_DIGEST),
    "the key of an item": ("UPDATE result_item SET item_key = 'zz' WHERE item_key = 'b'", Code.ROWS_DIGEST),
    "the result of a check": ("UPDATE evidence_check SET result = 'failed'", Code.ROWS_DIGEST),
    "the number of a check": ("UPDATE evidence_check SET number = number + 5", Code.ROWS_DIGEST),
    "a receipt that is gone": ("DELETE FROM receipt WHERE key = 'k1'", Code.RECEIPT_MISMATCH),
    "the last event of a stream": ("UPDATE audit_stream SET last_event_id = 0", Code.STREAM_HEAD),
}


@pytest.mark.parametrize(("statement", "code"), BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_the_log_and_queries_go_by_is_held_against_it(path, statement, code):
    with unguarded(path) as connection:
        assert connection.execute(statement).rowcount > 0
    assert codes(path) == {code}


def test_a_look_at_what_came_since_takes_no_head_at_its_word(path, made):
    with unguarded(path) as connection:
        connection.execute("UPDATE audit_stream SET last_event_id = 0")
        connection.execute("UPDATE restore_run SET status = 'completed' WHERE status = 'cancelled'")
    assert Code.ROW_MISMATCH in codes(path, since=made.notes[1])


ODD = {
    "restore.run.transitioned": ({"details": None}, {"is_dry_run": "x"}, {"definition": [1]}, {"version": "x"}, {"subject": {}}),
    "restore.evidence.created": ({"captured_at_us": None, "details": 7}, {"subject": None}),
    "restore.decision.projected": ({"facts": []}, {"facts_digest": [1]}, {"viewer": 1}, {"decision": None}),
    "restore.decision.listed": ({"rows": [[{}, 1, []]]}, {"rows": 7}, {"rows": [[1]]}),
    "access.granted": ({"principal": {}}, {"role": [1]}),
    "environment.declared": ({"approvals_required": {}},),
    "machine.defined": ({"edges": [[{}]]}, {"machine": []}, {"guards": [[1]]}, {"definition": {}}),
    "audit.key_rotated": ({"key": 7}, {"key": "x"}, {"previous": []}),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind, all_said in ODD.items() for said in all_said])
def test_odd_data_end_in_findings_and_never_in_an_error_whoever_signed_them(path, kind, said):
    with unguarded(path) as connection:
        event_id, event = find(connection, kind)
        event["data"] |= said
        rewrite(connection, path, **{f"e{event_id}": canonical(event).decode()})
    found = verified(path)
    assert found.verdict in {Verdict.TAMPERED, Verdict.UNVERIFIABLE}
    if kind == "machine.defined" and "guards" in said:
        assert verified(path, jobs=2).counts == found.counts, "what is read by every part is told once"


@pytest.mark.parametrize("data", ["[]", "null", "7", '"x"'])
def test_data_that_are_no_object_end_in_findings(path, data):
    with unguarded(path) as connection:
        for event_id, _ in payloads(connection):
            connection.execute(
                "UPDATE audit_event SET payload = json_set(payload, '$.data', json(?)) WHERE event_id = ?",
                (data, event_id),
            )
    assert verified(path).verdict == Verdict.TAMPERED


def test_a_path_with_odd_characters_is_the_file_that_is_verified_and_no_other_comes_to_be(tmp_path):
    folder = tmp_path / "v#1 ü"
    folder.mkdir()
    with Ledger.open(f"sqlite:///{tmp_path}/plain.db", owner=ADA.id) as ledger:
        settle(ledger)
        prove(ledger, live(ledger))
        ledger.audit.checkpoint()
    (tmp_path / "plain.db").rename(folder / "l.db")
    before = sorted(tmp_path.rglob("*"))
    assert verified(folder / "l.db").verdict == Verdict.OK
    beside = {folder / "l.db-wal", folder / "l.db-shm"}  # what SQLite itself needs to read a file in this mode
    assert set(tmp_path.rglob("*")) - beside == set(before)
