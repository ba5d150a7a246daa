"""What tests of pruning share: holds, an order, and what the tree and its openings are."""

from __future__ import annotations

from typing import Any

from proofgap.audit import EventType
from proofgap_store import Hold, HoldOn, Ledger, Pruned, PruneOrder
from proofgap_store.audit_log import Draft, alone
from proofgap_store.clock import now_us
from proofgap_store.engine import Connection, connected, rows, transaction
from proofgap_store.gate import Writing
from proofgap_store.keys import AUDIT_STREAM
from tests.conformance.lives import ADA, tables

TREE = ("audit_unsequenced", "audit_leaf", "audit_node", "audit_checkpoint", "audit_private", "audit_hold")


def read(ledger: Ledger, statement: str, **parameters: object) -> list[dict[str, Any]]:
    """Read rows past every verb of the ledger."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        return rows(connection, statement, **parameters)


def everything(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Read every row of every table, those of the tree as well."""
    return tables(ledger) | {name: read(ledger, f"SELECT * FROM {name}") for name in TREE}  # noqa: S608 - names only


def stood_on(ledger: Ledger) -> set[int]:
    """Give the events of runs that something stands on: their records, item and check rows, receipts, times of evidence."""
    linked = (
        *(("restore_run", "last_event_id"), ("operation_run", "last_event_id"), ("evidence_snapshot", "last_event_id")),
        *(("result_item", "event_id"), ("evidence_check", "event_id"), ("receipt", "event_id")),
    )
    named = {row["n"] for table, column in linked for row in read(ledger, f"SELECT {column} AS n FROM {table}")}  # noqa: S608 - names only
    return named | {
        row["event_id"]
        for row in read(ledger, "SELECT event_id FROM audit_event WHERE type = 'restore.evidence.created'")
    }


def leaf_of(ledger: Ledger, event_id: int) -> int:
    """Give the leaf of an event."""
    return int(read(ledger, "SELECT idx FROM audit_leaf WHERE event_id = :event", event=event_id)[0]["idx"])


def hold(ledger: Ledger, reason: str = "case-4711", **what: str) -> Hold:
    """Put a hold."""
    return ledger.audit.hold(HoldOn(**what), reason, ADA)


def prune(ledger: Ledger, file: Any, events: int | None = None, before_us: int | None = None) -> Pruned:
    """Prune so many events; all that checkpoints cover, unless told otherwise."""
    if events is None and before_us is None:
        events = remaining(ledger)
    return ledger.audit.prune(PruneOrder(file=str(file), events=events, before_us=before_us), ADA)


def remaining(ledger: Ledger) -> int:
    """Count the events that checkpoints cover and that were not pruned."""
    covered = read(ledger, "SELECT max(size) AS n FROM audit_checkpoint")[0]["n"]
    last = read(
        ledger,
        "SELECT coalesce(max(CAST(payload ->> '$.data.last' AS BIGINT)) + 1, 0) AS n FROM audit_event WHERE type = 'audit.pruned'",
    )
    return int(covered - last[0]["n"])


def say_pruned(ledger: Ledger, data: dict[str, Any]) -> None:
    """Put an event into the log that says of a pruning what it likes; only the guards of the database look at it."""
    draft = Draft(EventType.PRUNED, None, None, None, None, data)

    def saying(connection: Connection) -> Writing[None]:
        events = alone(connection, AUDIT_STREAM, draft, ADA, now_us())
        return Writing(events=events, answer=lambda _written: None)

    ledger._gate.write(saying)
