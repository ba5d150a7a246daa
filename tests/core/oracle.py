"""A second reading of the restore result state contract, from JSON to JSON, sharing no code with proofgap.

Every table is typed from the contract's text; the few functions only look things up in them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Row = dict[str, Any]

LIVE = {"queued", "running"}
PREPARING = {"draft", "scoped", "checked", "previewed"}
PARTIAL = {"partial", "completed_with_errors"}
TERMINAL = {"completed", "failed", "cancelled", *PARTIAL}
FORBIDDEN = ["Recovery verified", "Healthy", "Compliant", "Customer-safe"]
LABEL = {"available": "Available", "in_progress": "In progress", "unavailable": "Unavailable"}

# state: status, reason, impact, summary without counts, operation proof, post-run evidence ("*": as computed)
WORDS: dict[str, tuple[str, str, str, str, str, str]] = {
    "not_executed": (
        "Not executed",
        "This record proves preview truth, not environment recovery.",
        "No execution proof or post-run evidence exists yet.",
        "Result summary unavailable",
        "unavailable",
        "unavailable",
    ),
    "in_progress": (
        "Execution in progress",
        "Restore execution is currently running.",
        "Results and evidence are not final yet.",
        "In progress",
        "in_progress",
        "unavailable",
    ),
    "completed_proof_incomplete": (
        "Completed, recovery proof incomplete",
        "Execution completed, but post-run evidence is not available yet.",
        "Do not treat this restore as verified recovery until evidence has been reviewed.",
        "Result summary unavailable",
        "*",
        "*",
    ),
    "completed_with_evidence": (
        "Completed with evidence available",
        "Execution proof and post-run evidence are available.",
        "Review evidence before treating the restore as recovery proof.",
        "Result summary unavailable",
        "*",
        "*",
    ),
    "needs_review": (
        "Completed with items needing review",
        "Some items were skipped, partially applied, or failed.",
        "Review item outcomes before relying on the result.",
        "Result summary unavailable",
        "*",
        "*",
    ),
    "failed": (
        "Restore failed",
        "The restore did not complete successfully.",
        "Some requested changes may not have been applied.",
        "Failure details required",
        "*",
        "*",
    ),
    "blocked_or_cancelled": (
        "Restore blocked / cancelled",
        "Restore did not execute due to cancellation or blocker.",
        "No recovery proof exists.",
        "Unavailable",
        "*",
        "unavailable",
    ),
}

# The first rule whose condition holds decides; its number is its place.
RULES: tuple[tuple[str, str], ...] = (
    ("dry", "not_executed"),
    ("operation live", "in_progress"),
    ("failed", "failed"),
    ("partial", "needs_review"),
    ("blocked", "blocked_or_cancelled"),
    ("live", "in_progress"),
    ("completed with evidence", "completed_with_evidence"),
    ("completed", "completed_proof_incomplete"),
    ("preparing", "not_executed"),
)
# state, words, what must hold: the first such action, and every such claim.
ACTIONS: tuple[tuple[str, str, str], ...] = (
    ("not_executed", "Review preview", "preview"),
    ("not_executed", "Continue preparation", "always"),
    ("in_progress", "View operation progress", "always"),
    ("completed_proof_incomplete", "Open operation proof", "proof"),
    ("completed_proof_incomplete", "Review proof gap", "always"),
    ("completed_with_evidence", "Open evidence", "always"),
    ("needs_review", "Review item outcomes", "always"),
    ("failed", "Review failure details", "always"),
    ("blocked_or_cancelled", "Review blocker", "always"),
)
CLAIMS: tuple[tuple[str, str, str], ...] = (
    ("not_executed", "Preview evidence exists", "preview"),
    ("in_progress", "Execution in progress", "always"),
    ("completed_proof_incomplete", "Execution proof available", "proof"),
    ("completed_with_evidence", "Evidence snapshot available", "always"),
    ("needs_review", "Follow-up required", "always"),
    ("needs_review", "Skipped items exist", "skipped"),
    ("failed", "Execution failed", "always"),
)


class Seen(NamedTuple):
    """What the viewer may see of the records behind a run: a state and the id it may name."""

    state: str
    id: str | None


NOTHING = Seen("unavailable", None)


def decide(line: Row) -> Row:
    """Turn one line of facts into the decision the contract demands."""
    run = line["run"]
    operation = _linked(run, line["operation"])
    proof = _proof(operation, line["viewer"])
    evidence = _evidence(run, proof, line)
    holds = _conditions(run, operation or {"status": None, "outcome": None}, proof, evidence)
    number = next(n for n, (condition, _) in enumerate(RULES, 1) if holds[condition])
    return _decision(number, line, proof, evidence, holds)


def _in_scope(run: Row, row: Row) -> bool:
    return all(run[key] is not None and run[key] == row[key] for key in ("workspace", "environment"))


def _linked(run: Row, operation: Row | None) -> Row | None:
    named = operation is not None and operation["id"] == run["operation_run_id"]
    return operation if operation and named and _in_scope(run, operation) else None


def _proof(operation: Row | None, viewer: Row) -> Seen:
    shown = operation is not None and operation["id"] in viewer["may_view"]
    return Seen("available", operation["id"]) if operation and shown else NOTHING


def _evidence(run: Row, proof: Seen, line: Row) -> Seen:
    own = [row for row in line["evidence"] if proof.id and row["operation_run_id"] == proof.id]
    shown = [row for row in own if _in_scope(run, row) and row["id"] in line["viewer"]["may_view"]]
    latest_first = sorted(shown, key=lambda row: (row["captured_at"] or "", row["id"]), reverse=True)
    offers = {"available": {"active"}, "in_progress": {"queued", "generating"} if run["status"] in TERMINAL else ()}
    found = [Seen(kind, row["id"]) for kind in offers for row in latest_first if row["status"] in offers[kind]]
    return found[0] if found else NOTHING


def _conditions(run: Row, operation: Row, proof: Seen, evidence: Seen) -> dict[str, bool]:
    status = run["status"]
    return {
        "always": True,
        "dry": run["is_dry_run"],
        "operation live": operation["status"] in LIVE,
        "failed": "failed" in (status, operation["outcome"]),
        "partial": status in PARTIAL,
        "blocked": status == "cancelled" or operation["outcome"] == "blocked",
        "live": status in LIVE,
        "completed with evidence": status == "completed" and evidence.state == "available",
        "completed": status == "completed",
        "preparing": status in PREPARING,
        "preview": status == "previewed" or run["is_dry_run"],
        "proof": proof.state == "available",
        "skipped": ((run["counts"] or {}).get("skipped") or 0) > 0,
    }


def _decision(number: int, line: Row, proof: Seen, evidence: Seen, holds: dict[str, bool]) -> Row:
    state = RULES[number - 1][1]
    status, reason, impact, bare_text, proof_rule, evidence_rule = WORDS[state]
    return {
        "state": state,
        "rule": number,
        "rules_version": "1",
        "status": status,
        "reason": reason,
        "impact": impact,
        "primary_next_action": _chosen(ACTIONS, state, holds)[0],
        "operation_proof": _field(proof_rule, proof, "operation_run_id"),
        "evidence": _field(evidence_rule, evidence, "snapshot_id"),
        "result_summary": _summary(line["run"], bare_text, _qualifier(state, line)),
        "attention": line["run"]["attention"],
        "claims": {"allowed": _chosen(CLAIMS, state, holds), "forbidden": FORBIDDEN},
        "diagnostics_default": "collapsed",
    }


def _chosen(table: tuple[tuple[str, str, str], ...], state: str, holds: dict[str, bool]) -> list[str]:
    return [words for of, words, needs in table if of == state and holds[needs]]


def _field(rule: str, seen: Seen, id_key: str) -> Row:
    state = seen.state if rule == "*" else rule
    return {"state": state, "label": LABEL[state], id_key: None if state == "unavailable" else seen.id}


def _qualifier(state: str, line: Row) -> str | None:
    if state == "in_progress":
        return "so far"
    return "at least" if line.get("counts_are_lower_bounds") else None


def _summary(run: Row, bare_text: str, qualifier: str | None) -> Row:
    """Give the stored counts, or the words for none; no item rows are never a zero, with counts or without."""
    rows = run["items"] or None
    counts = {key: value for key, value in (run["counts"] or {}).items() if value is not None}
    if not counts:
        return {"text": bare_text, "counts": None, "items": rows, "metadata_only": False, "qualifier": None}
    return {"text": None, "counts": counts, "items": rows, "metadata_only": rows is None, "qualifier": qualifier}
