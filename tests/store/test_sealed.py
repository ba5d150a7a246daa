"""Every end of a record against every statement that could undo it: the database refuses, and nothing changes."""

from __future__ import annotations

import pytest

from proofgap.facts import TERMINAL_RUN_STATUSES, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item
from proofgap_store import Ledger, NewToken
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import ADA, PASSED, TERMINAL, live, prove, settle
from tests.store.raw import SETTINGS, connect, contents, refused


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """The file of a ledger with a run, its operation run and its evidence in every end that there is."""
    path = tmp_path_factory.mktemp("sealed") / "ledger.db"
    ids = {}
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id, synchronous="NORMAL") as ledger:
        settle(ledger)
        for status in TERMINAL:
            ids["restore_run", status] = live(ledger, status)
        run_id = ids["restore_run", "completed"]
        ids["operation_run", "completed"] = ledger.show(run_id, ADA.id, ADA).record.operation_run_id
        ids["evidence_snapshot", "superseded"] = prove(ledger, run_id, captured_at_us=1)
        ids["evidence_snapshot", "expired"] = prove(ledger, run_id, captured_at_us=2)
        ledger.fire_evidence(ids["evidence_snapshot", "expired"], SnapshotEvent.EXPIRE, ADA)
        ids["evidence_snapshot", "failed"] = ledger.begin_evidence(run_id, ADA).subject
        ledger.fire_evidence(ids["evidence_snapshot", "failed"], SnapshotEvent.FAIL, ADA, checks=PASSED)
        running = live(ledger, "running")
        ledger.fire(running, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.SUCCEEDED)], key="k1")
        token = NewToken(
            name="ci", workspace="default", environment="*", roles=("worker",), expires_at_us=ledger._clock() + 10**12
        )
        ledger.sessions.revoke_token(ledger.sessions.create_token(token, ADA).token, ADA)
        ledger.sessions.create_token(token, ADA)
        ledger.sessions.begin(ADA, 10**6)
        ledger.sessions.offer(ADA, 10**6)
        ledger.audit.checkpoint()
        live(ledger, "draft")
    return path, ids


ENDS = [
    *(("restore_run", status) for status in TERMINAL),
    ("operation_run", "completed"),
    *(("evidence_snapshot", status) for status in ("superseded", "expired", "failed")),
]
ASSIGNMENTS = {
    "its status": "status = CASE status WHEN 'running' THEN 'queued' ELSE 'running' END",
    "its status, to the same": "status = status",
    "its status, to the first one": "status = CASE WHEN status = 'draft' THEN 'scoped' ELSE 'queued' END",
    "its status, to NULL": "status = NULL",
    "its status, to an unknown one": "status = 'reopened'",
    "its status and version": "status = 'queued', version = version + 1",
    "its version": "version = version + 1",
    "its version, backwards": "version = version - 1",
    "its last event": "last_event_id = (SELECT max(event_id) FROM audit_event)",
    "its last event, to an older one": "last_event_id = last_event_id - 1",
    "status, version and last event": (
        "status = 'queued', version = version + 1, last_event_id = (SELECT max(event_id) FROM audit_event)"
    ),
    "its workspace": "workspace = 'w9'",
    "its environment": "environment = 'e9'",
    "its id": "id = 'x'",
    "that it was imported": "imported = 1 - imported",
}
OWN = {
    "restore_run": {
        "its details": "details = '{}'",
        "that it was a dry run": "is_dry_run = 1 - is_dry_run",
        "its operation run": "operation_run_id = NULL",
        "its dangling link": "operation_run_ref = 'o9'",
        "when it was created": "created_at_us = 0",
    },
    "operation_run": {
        "its outcome": "outcome = 'failed'",
        "its outcome, to none": "outcome = NULL",
        "its run": "run = NULL",
    },
    "evidence_snapshot": {
        "its details": "details = '{}'",
        "when it was captured": "captured_at_us = 9",
        "its operation run": "operation_run_id = NULL",
        "its run": "run = NULL",
    },
}
CONFLICTS = ("", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT", "OR ROLLBACK")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("table", "status"), ENDS)
def test_an_ended_record_is_never_updated_in_any_column_by_any_kind_of_update(sealed, table, status, settings):
    path, ids = sealed
    connection = connect(path, settings)
    for name, assignment in (ASSIGNMENTS | OWN[table]).items():
        answer = refused(connection, f"UPDATE {table} SET {assignment} WHERE id = ?", ids[table, status])  # noqa: S608 - names of this test only
        assert answer is not None, name
        assert "proofgap: " in answer, name
    connection.close()


def columns_of(connection, table):
    """Name the columns that are written, and not made from others."""
    return ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


@pytest.mark.parametrize(("table", "status"), ENDS)
@pytest.mark.parametrize("conflict", CONFLICTS)
def test_no_conflict_clause_gets_an_update_or_an_insert_past_the_guards(sealed, table, status, conflict):
    path, ids = sealed
    connection = connect(path, "as SQLite comes")
    id_ = ids[table, status]
    update = f"UPDATE {conflict} {table} SET status = 'queued', version = version + 1 WHERE id = ?"  # noqa: S608 - names of this test only
    same = columns_of(connection, table)
    insert = f"INSERT {conflict} INTO {table} SELECT {same} FROM {table} WHERE id = ?"  # noqa: S608 - names of this test only
    for statement in (update, insert):
        assert "is written through the log only" in refused(connection, statement, id_), statement
    connection.close()


UNDOING = {
    "deleted": "DELETE FROM {table} WHERE id = ?",
    "replaced": "REPLACE INTO {table} SELECT {same} FROM {table} WHERE id = ?",
    "inserted again": "INSERT INTO {table} SELECT {same} FROM {table} WHERE id = ?",
    "inserted as another": "INSERT INTO {table} SELECT {other} FROM {table} WHERE id = ?",
    "written over": (
        "INSERT INTO {table} SELECT {same} FROM {table} WHERE id = ? ON CONFLICT (id) DO UPDATE SET status = 'queued'"
    ),
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("table", "status"), ENDS)
def test_an_ended_record_is_neither_deleted_nor_replaced_nor_written_over(sealed, table, status, settings):
    path, ids = sealed
    connection = connect(path, settings)
    columns = ", ".join(
        {"id": "'new'", "status": "'queued'", "version": "version + 1"}.get(row[1], row[1])
        for row in connection.execute(f"PRAGMA table_info({table})")
    )
    same = columns.replace("'new'", "id")
    for name, template in UNDOING.items():
        statement = template.format(table=table, same=same, other=columns)
        answer = refused(connection, statement, ids[table, status])
        assert answer is not None, name
        assert "proofgap: " in answer, name
    connection.close()


APPEND_ONLY = ("audit_event", "machine_definition", "machine_edge", "result_item", "receipt")
NEVER_DELETED = (
    *APPEND_ONLY,
    *("audit_leaf", "audit_node", "audit_checkpoint"),
    *("evidence_check", "audit_stream", "environment", "access_grant", "access_token"),
    *("restore_run", "operation_run", "evidence_snapshot"),
)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("table", NEVER_DELETED)
def test_no_row_of_any_table_is_ever_deleted_one_by_one_or_all_at_once(sealed, table, settings):
    connection = connect(sealed[0], settings)
    assert contents(connection)[table] != []
    for statement in (f"DELETE FROM {table}", f"DELETE FROM {table} WHERE true"):  # noqa: S608 - names of this test only
        assert refused(connection, statement) == f"proofgap: rows of {table} are never deleted"
    connection.close()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_a_row_that_is_only_ever_added_is_never_updated(sealed, table, settings):
    connection = connect(sealed[0], settings)
    column = connection.execute(f"PRAGMA table_info({table})").fetchall()[1][1]
    assert "append-only" in refused(connection, f"UPDATE {table} SET {column} = {column}")  # noqa: S608 - names of this test only
    connection.close()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("table", [table for table in APPEND_ONLY if table != "machine_edge"])  # its row is its key
def test_a_row_that_is_only_ever_added_is_not_replaced(sealed, table, settings):
    connection = connect(sealed[0], settings)
    columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    replace = f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT 1"  # noqa: S608 - names of this test only
    answer = refused(connection, replace)
    assert answer is not None
    assert "proofgap: " in answer
    connection.close()


INSERTS = {
    "a run out of nowhere": (
        "INSERT INTO restore_run VALUES ('x', 'default', 'local', 'completed', 1, 0, NULL, NULL, '{}', 0, 1, 1, 0)"
    ),
    "a run that points to somebody else's event": (
        "INSERT INTO restore_run SELECT 'x', workspace, environment, status, 1, 0, NULL, NULL, details, 0, 1, last_event_id, 0 "
        "FROM restore_run"
    ),
    "an operation run out of nowhere": (
        "INSERT INTO operation_run VALUES ('x', 'default', 'local', NULL, 'completed', 'succeeded', 1, 0, 1)"
    ),
    "evidence out of nowhere": (
        "INSERT INTO evidence_snapshot VALUES ('x', 'default', 'local', NULL, NULL, NULL, 'active', 1, 1, '{}', 0, 1)"
    ),
    "a machine": "INSERT INTO machine_definition VALUES (printf('%064d', 7), 'run', 1)",
    "an edge back from an end": (
        "INSERT INTO machine_edge SELECT definition, 'completed', 'scope', 'draft' FROM machine_definition"
    ),
    "a short cut": "INSERT INTO machine_edge SELECT definition, 'draft', 'complete', 'completed' FROM machine_definition",
    "a role": "INSERT INTO access_grant VALUES ('sam', 'default', 'local', 'admin', 1, 1)",
    "a role by somebody else's event": (
        "INSERT INTO access_grant SELECT 'sam', workspace, environment, role, 1, last_event_id FROM access_grant"
    ),
    "a higher role": "UPDATE access_grant SET role = 'admin' WHERE principal = 'vera'",
    "a token": "INSERT INTO access_token VALUES ('tk_x', printf('%064d', 7), 'default', 'local', 9, 1, 1, 1)",
    "a token with another secret": "UPDATE access_token SET sha256 = printf('%064d', 7)",
    "a token that never expires": "UPDATE access_token SET expires_at_us = 9000000000000000",
    "a token of everything": "UPDATE access_token SET environment = '*', workspace = 'w9'",
    "a token in force again": "UPDATE access_token SET active = 1",
    "a token in the place of another": "REPLACE INTO access_token SELECT * FROM access_token",
    "a session of somebody else": (
        "INSERT INTO access_session SELECT printf('%064d', 7), 'mallory', NULL, 1, expires_at_us, event_id FROM access_session"
    ),
    "a session that changes its owner": "UPDATE access_session SET principal = 'mallory'",
    "a session that never ends": "UPDATE access_session SET expires_at_us = 9000000000000000",
    "a link for somebody else": (
        "INSERT INTO access_link SELECT printf('%064d', 7), 'mallory', NULL, expires_at_us, event_id FROM access_link"
    ),
    "a link that changes its owner": "UPDATE access_link SET principal = 'mallory'",
    "an environment": "INSERT INTO environment VALUES ('w9', 'e9', 0, 1)",
    "fewer approvals": "UPDATE environment SET approvals_required = 7",
    "a stream": "INSERT INTO audit_stream VALUES ('run/x', 0, printf('%064d', 0), 1)",
    "the head of a stream": "UPDATE audit_stream SET head = printf('%064d', 0)",
    "the number of a stream": "UPDATE audit_stream SET seq = seq + 1",
    "an item without its report": "INSERT INTO result_item SELECT id, 'k', 'succeeded', '{}', last_event_id FROM restore_run",
    "an item of an unknown run": "INSERT INTO result_item VALUES ('x', 'k', 'succeeded', '{}', 1)",
    "an event in the queue that is not in the log": "INSERT INTO audit_unsequenced VALUES (999999)",
    "an event in the queue that has its leaf": "INSERT INTO audit_unsequenced SELECT event_id FROM audit_leaf",
    "another place in the queue": "UPDATE audit_unsequenced SET event_id = event_id + 1",
    "the same place in the queue": "UPDATE OR REPLACE audit_unsequenced SET event_id = event_id",
    "the queue, emptied": "DELETE FROM audit_unsequenced",
    "the queue, replaced": "REPLACE INTO audit_unsequenced SELECT event_id FROM audit_leaf",
    "a leaf of no event": "INSERT INTO audit_leaf VALUES ((SELECT count(*) FROM audit_leaf), 999999, printf('%064d', 7))",
    "a leaf with another hash": (
        "INSERT INTO audit_leaf SELECT (SELECT count(*) FROM audit_leaf), min(event_id), printf('%064d', 7) FROM audit_unsequenced"
    ),
    "a leaf further on": (
        "INSERT INTO audit_leaf SELECT (SELECT count(*) + 1 FROM audit_leaf), event_id, leaf FROM audit_event "
        "WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)"
    ),
    "a leaf in the place of another": (
        "INSERT OR REPLACE INTO audit_leaf SELECT 0, event_id, leaf FROM audit_event "
        "WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)"
    ),
    "a second leaf of an event": (
        "INSERT INTO audit_leaf SELECT (SELECT count(*) FROM audit_leaf), event_id, hash FROM audit_leaf WHERE idx = 0"
    ),
    "another hash of a leaf": "UPDATE audit_leaf SET hash = printf('%064d', 7)",
    "the same leaf": "UPDATE OR REPLACE audit_leaf SET hash = hash",
    "a node whose leaves are not there": "INSERT INTO audit_node VALUES (9, 7, printf('%064d', 7))",
    "a node again": "INSERT INTO audit_node SELECT * FROM audit_node",
    "a node in the place of another": "REPLACE INTO audit_node SELECT level, idx, printf('%064d', 7) FROM audit_node",
    "another hash of a node": "UPDATE audit_node SET hash = printf('%064d', 7)",
    "a checkpoint over more leaves than there are": (
        "INSERT INTO audit_checkpoint SELECT size + 1, root, at_us + 1, note FROM audit_checkpoint"
    ),
    "a checkpoint over fewer leaves": (
        "INSERT INTO audit_checkpoint SELECT size - 1, root, at_us + 1, note FROM audit_checkpoint"
    ),
    "a checkpoint in the place of another": (
        "REPLACE INTO audit_checkpoint SELECT size, printf('%064d', 7), at_us + 1, note FROM audit_checkpoint"
    ),
    "another root of a checkpoint": "UPDATE audit_checkpoint SET root = printf('%064d', 7)",
    "another note of a checkpoint": "UPDATE OR REPLACE audit_checkpoint SET note = ''",
    "an opening of what was not committed to": (
        "INSERT INTO audit_private VALUES ((SELECT min(event_id) FROM audit_unsequenced), 'data.x', printf('%032d', 7), 'x')"
    ),
    "a hold out of nowhere": "INSERT INTO audit_hold VALUES ('h', NULL, NULL, NULL, 1, 1)",
    "a check without its snapshot": "INSERT INTO evidence_check VALUES ('x', 0, 'passed', '{}', 1)",
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("statement", INSERTS.values(), ids=INSERTS)
def test_nothing_is_put_into_a_table_past_the_log(sealed, statement, settings):
    connection = connect(sealed[0], settings)
    answer = refused(connection, statement)
    assert answer is not None
    assert "proofgap: " in answer
    connection.close()


WITH_THE_BATCH = {
    "a checkpoint whose time did not advance": "INSERT INTO audit_checkpoint SELECT size + 1, root, at_us, note FROM audit_checkpoint",
    "a checkpoint whose time went back": "INSERT INTO audit_checkpoint SELECT size + 1, root, at_us - 1, note FROM audit_checkpoint",
}


@pytest.mark.parametrize("statement", WITH_THE_BATCH.values(), ids=WITH_THE_BATCH)
def test_even_with_a_new_leaf_no_checkpoint_is_older_than_the_one_before(sealed, statement):
    connection = connect(sealed[0])
    before = contents(connection)
    connection.execute("BEGIN")
    connection.execute(
        "INSERT INTO audit_leaf SELECT (SELECT count(*) FROM audit_leaf), event_id, leaf FROM audit_event "
        "WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)"
    )
    with pytest.raises(sqlite.IntegrityError, match="the time of a checkpoint did not advance"):
        connection.execute(statement)
    connection.execute("ROLLBACK")
    assert contents(connection) == before
    connection.close()


def test_the_ends_of_this_test_are_all_the_ends_that_a_run_has():
    assert set(TERMINAL) == set(TERMINAL_RUN_STATUSES)
