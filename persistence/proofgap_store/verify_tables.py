"""Verifying the tables as wholes: nothing is in them that the log does not know, and nothing that it knows is missing.

Owns the comparison of grants, environments, edges, holds and receipts with the log, and the search for records that
belong to no event. Refuses to know single streams (`verify_streams`) and to repair anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofgap.findings import Code, Finding
from proofgap.replay import Report
from proofgap_store.dialect import dialect_of
from proofgap_store.engine import Connection, execute, rows, walk_rows
from proofgap_store.verification import UNREADABLE, decoded, said

_SUBJECT = said("data.subject", "e.payload")
_NO_COMMITMENT = """
CASE WHEN json_valid(e.payload) THEN NOT EXISTS (SELECT 1 FROM json_each(e.payload, '$.commit') AS c WHERE c.key = t.path)
ELSE TRUE END
"""
_FOREIGN = {
    "restore_run": ("t.id", "last_event_id", "e.run IS DISTINCT FROM t.id OR e.stream IS DISTINCT FROM 'run/' || t.id"),
    "operation_run": (
        *("t.id", "last_event_id"),
        f"e.run IS DISTINCT FROM t.run OR {_SUBJECT} IS DISTINCT FROM t.id",
    ),
    "evidence_snapshot": (
        *("t.id", "last_event_id"),
        f"e.run IS DISTINCT FROM t.run OR {_SUBJECT} IS DISTINCT FROM t.id",
    ),
    "result_item": ("t.run || ' ' || t.item_key", "event_id", "e.run IS DISTINCT FROM t.run"),
    "evidence_check": (
        *("t.snapshot || ' ' || t.number", "event_id"),
        f"{_SUBJECT} IS DISTINCT FROM t.snapshot",
    ),
    "access_session": (
        "t.id",
        "event_id",
        f"e.actor IS DISTINCT FROM t.principal OR {said('data.session', 'e.payload')} IS DISTINCT FROM t.id",
    ),
    "access_link": (
        "t.id",
        "event_id",
        f"e.actor IS DISTINCT FROM t.principal OR {said('data.link', 'e.payload')} IS DISTINCT FROM t.id",
    ),
    "audit_private": ("t.event_id || ' ' || t.path", "event_id", _NO_COMMITMENT),
}
"""Table: what names a row, the column that leads to its event, and what makes it one that the log does not know."""

_MISNAMED = (
    """
    SELECT run || ' ' || item_key AS id FROM result_item
    WHERE CASE WHEN json_valid(document) THEN document ->> '$.result' IS DISTINCT FROM result OR document ->> '$.key' IS DISTINCT FROM item_key
          ELSE TRUE END
    """,
    """
    SELECT snapshot || ' ' || number AS id FROM evidence_check
    WHERE CASE WHEN json_valid(document) THEN document ->> '$.result' IS DISTINCT FROM result ELSE TRUE END
    """,
    """
    SELECT snapshot AS id FROM evidence_check GROUP BY snapshot
    HAVING min(number) <> 0 OR max(number) <> count(*) - 1
    """,
)
_SYSTEM = """
SELECT event_id, type, ws, env, run, payload FROM audit_event
WHERE type IN ('access.granted', 'access.revoked', 'environment.declared', 'machine.defined', 'audit.held',
               'audit.hold_released', 'token.created', 'token.revoked') ORDER BY event_id
"""
_TABLES = {
    "access_grant": "SELECT principal, workspace, environment, role, active, last_event_id FROM access_grant",
    "environment": "SELECT workspace, id, approvals_required, last_event_id FROM environment",
    "machine_definition": "SELECT definition, machine, last_event_id FROM machine_definition",
    "machine_edge": "SELECT definition, source, event, target FROM machine_edge",
    "access_token": """
        SELECT id, sha256, workspace, environment, expires_at_us, created_event_id, active, last_event_id FROM access_token
    """,
    "audit_hold": "SELECT id, workspace, environment, run, active, last_event_id FROM audit_hold",
}
_RECEIPTS = """
SELECT r.actor, r.key, r.fingerprint, r.body, r.event_id, e.actor AS by, e.leaf, e.payload FROM receipt AS r
LEFT JOIN audit_event AS e ON e.event_id = r.event_id
"""
_SHARED = ("subject", "event", "source", "version")
"""What a receipt and its event both say, by the same name."""


def check_foreign(connection: Connection, report: Report) -> None:
    """Find records that no event of the log speaks of."""
    for table, (name, link, wrong) in _FOREIGN.items():
        statement = (
            f"SELECT {name} AS id FROM {table} AS t LEFT JOIN audit_event AS e ON e.event_id = t.{link} WHERE {wrong}"  # noqa: S608 - put together from our own text only
        )
        for row in rows(connection, statement):
            report(Finding(code=Code.ROW_FOREIGN, detail=f"{table} {row['id']}"))


def check_sound(connection: Connection, report: Report) -> None:
    """Let the database look at itself, where it can: every page, and whether every index leads to every row."""
    asking = dialect_of(connection).soundness
    for (said_by_it,) in execute(connection, asking).fetchall() if asking else ():
        if said_by_it != "ok":
            report(Finding(code=Code.DATABASE_DAMAGED, detail=said_by_it))


def check_columns(connection: Connection, report: Report) -> None:
    """Hold the columns of item and check rows, which queries go by, against their documents."""
    for statement in _MISNAMED:
        for row in rows(connection, statement):
            report(Finding(code=Code.ROWS_DIGEST, detail=f"a column of {row['id']} is not what its document says"))


def check_system(connection: Connection, report: Report) -> None:
    """Hold grants, environments, definitions and holds against the log."""
    wanted = _followed(connection)
    for table, statement in _TABLES.items():
        found = {tuple(row.values()) for row in rows(connection, statement)}
        for row in sorted(found - wanted[table], key=str):
            report(Finding(code=Code.ROW_FOREIGN, detail=f"{table} {row}"))
        for row in sorted(wanted[table] - found, key=str):
            report(Finding(code=Code.ROW_MISSING, detail=f"{table} {row}"))


def _followed(connection: Connection) -> dict[str, set[tuple[Any, ...]]]:
    """Give the tables of the ledger's own affairs as they follow from the log."""
    keyed: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {table: {} for table in _TABLES}
    for row in rows(connection, _SYSTEM):
        try:
            effects = list(_effects(row, decoded(row["payload"])["data"], keyed))
            for table, key, rest in effects:
                keyed[table][key] = _hashable((*key, *rest))
        except UNREADABLE:
            continue  # it is no such event any more: what followed from it is found to be foreign
    return {table: set(found.values()) for table, found in keyed.items()}


def _effects(
    row: dict[str, Any], data: dict[str, Any], keyed: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]
) -> Iterator[tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    """Give what one event of the ledger's own affairs leaves: table, key, and the other columns."""
    event_id, workspace, environment = row["event_id"], row["ws"], row["env"]
    match row["type"]:
        case "access.granted" | "access.revoked":
            key = (data["principal"], workspace, environment or "*", data["role"])
            yield "access_grant", key, (int(row["type"] == "access.granted"), event_id)
        case "environment.declared":
            yield "environment", (workspace, environment), (data["approvals_required"], event_id)
        case "machine.defined":
            yield "machine_definition", (data["definition"],), (data["machine"], event_id)
            for edge in data["edges"]:
                yield "machine_edge", (data["definition"], *edge), ()
        case "audit.held":
            yield "audit_hold", (data["hold"],), (workspace, environment, row["run"], 1, event_id)
        case "token.created":
            scope = (workspace, environment or "*")
            yield (
                "access_token",
                (data["token"],),
                (data["sha256"], *scope, data["expires_at_us"], event_id, 1, event_id),
            )
        case "token.revoked":
            made = keyed["access_token"].get((data["token"],), (None,) * 8)
            yield "access_token", (data["token"],), (*made[1:6], 0, event_id)
        case _:
            held = keyed["audit_hold"].get((data["hold"],), (None,) * 6)
            yield "audit_hold", (data["hold"],), (*held[1:4], 0, event_id)


def _hashable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a row, if it can be one at all.

    Raises:
        TypeError: it holds an array or an object.

    """
    hash(row)
    return row


def check_receipts(connection: Connection, report: Report) -> None:
    """Hold every receipt against the event that it is for."""
    for row in walk_rows(connection, _RECEIPTS):
        difference = _receipt_difference(row)
        if difference is not None:
            detail = f"receipt {row['key']!r} of {row['actor']}: {difference}"
            report(Finding(code=Code.RECEIPT_MISMATCH, detail=detail, event_id=row["event_id"]))


def _receipt_difference(row: dict[str, Any]) -> str | None:
    if row["payload"] is None:
        return "its event is gone"
    event, body = decoded(row["payload"]), decoded(row["body"])
    if not event or not body:
        return "it, or its event, cannot be read"
    if (row["leaf"], row["event_id"]) != (body.get("leaf"), body.get("event_id")):
        return "it names another event"
    data = event["data"] if isinstance(event.get("data"), dict) else {}
    if (row["by"], data.get("key"), data.get("request")) != (row["actor"], row["key"], row["fingerprint"]):
        return "its event is that of another request"
    follows = {**{name: data.get(name) for name in _SHARED}, "status": data.get("target"), "run_id": event.get("run")}
    differing = [name for name, value in follows.items() if body.get(name) != value]
    return f"it says another {', '.join(differing)}" if differing else None
