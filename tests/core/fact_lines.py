"""Lines of facts for the tests of the decision: the usual one, changed field by field, and what proofgap says of it."""

from __future__ import annotations

from typing import Any

import msgspec

from proofgap.decision import decide
from proofgap.facts import Facts, Viewer

Row = dict[str, Any]

SCOPE: Row = {"workspace": "w1", "environment": "e1"}
ALL_SIX = {"total": 15, "succeeded": 5, "failed": 4, "skipped": 3, "partial": 2, "non_applied": 1}

PREPARING = ("draft", "scoped", "checked", "previewed")
ENDED = ("completed", "partial", "completed_with_errors", "failed", "cancelled")
EVERY_STATUS = (*PREPARING, "queued", "running", *ENDED)


def run_row(**changes: Any) -> Row:
    """Give a completed real run that names operation run o1 and records no results."""
    usual = {"id": "r1", **SCOPE, "status": "completed", "is_dry_run": False, "operation_run_id": "o1"}
    return usual | {"counts": None, "items": None, "attention": None} | changes


def operation_row(**changes: Any) -> Row:
    """Give operation run o1, ended well, in the scope of the run."""
    return {"id": "o1", **SCOPE, "status": "completed", "outcome": "succeeded"} | changes


def snapshot_row(id_: str = "s1", *, at: str | None = "2026-11-21T02:24:05.000000Z", **changes: Any) -> Row:
    """Give an active snapshot of operation run o1, in the scope of the run."""
    return {"id": id_, "operation_run_id": "o1", **SCOPE, "status": "active", "captured_at": at} | changes


def line_of(run: Row, operation: Row | None = None, *evidence: Row, hidden: tuple[str, ...] = ()) -> Row:
    """Give one line of facts, seen by a viewer who may view everything in it that is not hidden."""
    rows = [row["id"] for row in (operation, *evidence) if row]
    viewer = {"id": "d.weber", "may_view": [id_ for id_ in rows if id_ not in hidden]}
    return {"run": run, "operation": operation, "evidence": list(evidence), "viewer": viewer}


def usual_line(*evidence: Row, hidden: tuple[str, ...] = (), **run_changes: Any) -> Row:
    """Give a run whose operation run ended well, with this evidence and these changes to the run."""
    return line_of(run_row(**run_changes), operation_row(), *evidence, hidden=hidden)


def facts_of(line: Row) -> tuple[Facts, Viewer]:
    """Read a line the way it enters: strictly."""
    facts = {key: value for key, value in line.items() if key != "viewer"}
    return msgspec.convert(facts, Facts, strict=True), msgspec.convert(line["viewer"], Viewer, strict=True)


def decided(line: Row) -> Row:
    """Give what proofgap decides of a line, as JSON says it."""
    decision: Row = msgspec.json.decode(msgspec.json.encode(decide(*facts_of(line))))
    return decision


ONE_OF_EACH: dict[str, Row] = {
    "not_executed": usual_line(status="draft"),
    "in_progress": usual_line(status="running"),
    "completed_proof_incomplete": usual_line(),
    "completed_with_evidence": usual_line(snapshot_row()),
    "needs_review": usual_line(status="partial"),
    "failed": usual_line(status="failed"),
    "blocked_or_cancelled": usual_line(status="cancelled"),
}
