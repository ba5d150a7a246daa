"""Verifying what the log says of the fleet: workers, leases, drills, and which environments are held.

Owns the comparison of these tables, and of the column ``holds_env``, with the log. Refuses to know runs as such
(`verify_streams`), and to repair anything. When a worker last beat is in no event; that its lease is there, is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofgap.audit import canonical
from proofgap.findings import Code, Finding
from proofgap.replay import Report
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.verification import UNREADABLE, decoded

_EVENTS = """
SELECT event_id, type, ws, env, run, actor, at_us, payload FROM audit_event
WHERE type IN ('worker.registered', 'worker.retired', 'worker.lost', 'drill.declared', 'drill.retired', 'drill.fired',
               'drill.missed') ORDER BY event_id
"""
_TABLES = {
    "worker": "SELECT id, principal, details, state, last_event_id FROM worker",
    "worker_lease": "SELECT worker, lease_us FROM worker_lease",
    "drill": "SELECT id, workspace, environment, details, active, decided_us, last_event_id FROM drill",
    "drill_tick": "SELECT drill, tick_us, run, event_id FROM drill_tick",
}
_RELEASED = "EXISTS (SELECT 1 FROM audit_event AS e WHERE e.type = 'environment.released' AND e.run = r.id)"
_LOST = """
CASE WHEN json_valid(r.details) THEN coalesce(CAST(r.details ->> '$.holds_environment' AS TEXT) IN ('1', 'true'), FALSE)
ELSE FALSE END
"""
_HOLDS_FOREIGN = f"""
SELECT r.id FROM restore_run AS r
WHERE r.holds_env = 1 AND (r.imported = 1 OR r.status <> 'running' AND (NOT ({_LOST}) OR {_RELEASED}))
ORDER BY r.id
"""  # noqa: S608 - put together from our own text only
_HOLDS_MISSING = f"""
SELECT r.id FROM restore_run AS r
WHERE r.holds_env = 0 AND r.imported = 0 AND (
  r.status = 'running' AND NOT EXISTS (
    SELECT 1 FROM restore_run AS h WHERE h.workspace = r.workspace AND h.environment = r.environment AND h.holds_env = 1)
  OR r.status <> 'running' AND ({_LOST}) AND NOT {_RELEASED})
ORDER BY r.id
"""  # noqa: S608 - as above
_Keyed = dict[str, dict[Any, tuple[Any, ...]]]


def check_fleet(connection: Connection, report: Report) -> None:
    """Hold workers, leases and drills against the log."""
    wanted = _followed(connection)
    for table, statement in _TABLES.items():
        found = {tuple(row.values()) for row in rows(connection, statement)}
        follows = set(wanted[table].values())
        for row in sorted(found - follows, key=str):
            report(Finding(code=Code.ROW_FOREIGN, detail=f"{table} {row}"))
        for row in sorted(follows - found, key=str):
            report(Finding(code=Code.ROW_MISSING, detail=f"{table} {row}"))


def check_holds(connection: Connection, report: Report) -> None:
    """Hold what each run says of its environment against its status, its end and the releases in the log.

    Runs that were live side by side before holds were kept share one hold: the latest of them has it.
    """
    for row in rows(connection, _HOLDS_FOREIGN):
        report(Finding(code=Code.ROW_MISMATCH, detail=f"the run {row['id']} holds its environment, and should not"))
    for row in rows(connection, _HOLDS_MISSING):
        report(Finding(code=Code.ROW_MISMATCH, detail=f"the run {row['id']} does not hold its environment, and should"))


def _followed(connection: Connection) -> _Keyed:
    """Give the tables as they follow from the log."""
    keyed: _Keyed = {table: {} for table in _TABLES}
    for row in rows(connection, _EVENTS):
        try:
            effects = list(_effects(row, decoded(row["payload"])["data"], keyed))
        except UNREADABLE:
            continue  # it is no such event any more: what followed from it is found to be foreign
        for table, key, columns in effects:
            if columns is None:
                keyed[table].pop(key, None)
            else:
                keyed[table][key] = columns
    return keyed


def _effects(row: Row, data: dict[str, Any], keyed: _Keyed) -> Iterator[tuple[str, Any, tuple[Any, ...] | None]]:
    """Give what one event leaves: table, key, and the row; ``None`` takes it away."""
    event_id, kind = row["event_id"], row["type"]
    match kind:
        case "worker.registered":
            worker = data["worker"]
            yield "worker", worker, (worker, row["actor"], _text(data["details"]), "active", event_id)
            yield "worker_lease", worker, (worker, data["lease_us"])
        case "worker.retired" | "worker.lost":
            worker = data["worker"]
            yield "worker", worker, (*keyed["worker"][worker][:3], kind.removeprefix("worker."), event_id)
            yield "worker_lease", worker, None
        case "drill.declared":
            drill = data["drill"]
            yield "drill", drill, (drill, row["ws"], row["env"], _text(data["details"]), 1, row["at_us"], event_id)
        case "drill.retired":
            before = keyed["drill"][data["drill"]]
            yield "drill", data["drill"], (*before[:4], 0, before[5], event_id)
        case _:
            drill, tick_us = data["drill"], data["last_us"]
            yield "drill", drill, (*keyed["drill"][drill][:4], 1, tick_us, event_id)
            if kind == "drill.fired":
                yield "drill_tick", (drill, tick_us), (drill, tick_us, row["run"], event_id)


def _text(value: object) -> str:
    return canonical(value).decode()
