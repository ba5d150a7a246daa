"""The decision as people read it: one sheet, the same words on a terminal and in a pipe.

Owns the order of the sheet and its colours. Every word of the decision is the decision's own; what is not recorded is
"not reported", never a number. Colours are claims: there is no green and no check mark anywhere. Refuses to know how
a decision came about.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from proofgap.decision import Decision, ResultSummary
from proofgap.facts import Counts, utc_text
from proofgap.records import RunDetails, RunRecord, SnapshotRecord, instant
from proofgap.text import safe
from proofgap.wording import DecisionState
from proofgap_app.cli import output
from proofgap_app.held import STILL_HELD, how_to_release
from proofgap_app.settings import is_terminal
from proofgap_store import Shown

_LABEL_WIDTH = 19
_TILES = {
    DecisionState.NOT_EXECUTED: "#566072",
    DecisionState.IN_PROGRESS: "#2459bd",
    DecisionState.COMPLETED_PROOF_INCOMPLETE: "#8a6500",
    DecisionState.COMPLETED_WITH_EVIDENCE: "#5341b8",
    DecisionState.NEEDS_REVIEW: "#ad470a",
    DecisionState.FAILED: "#b3261f",
    DecisionState.BLOCKED_OR_CANCELLED: "#46484d",
}
_PARTS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "skipped": "skipped",
    "partial": "partly applied",
    "non_applied": "not applied",
}
_NOT_REPORTED = "not reported"
_NO_CLAIM = "Nothing beyond the status above"


class Row(NamedTuple):
    """A line of the sheet; one without a label is a gap."""

    label: str
    text: str


def print_sheet(shown: Shown) -> None:
    """Write the decision sheet of one run."""
    decision, rows = shown.decision, list(_rows(shown))
    if not is_terminal(sys.stdout):
        output.data(decision.status)
        for row in rows:
            output.data(f"  {row.label:<{_LABEL_WIDTH}}{row.text}".rstrip())
        return
    from rich.table import Table  # noqa: PLC0415 - only people get colours
    from rich.text import Text  # noqa: PLC0415 - as above

    output.rich_print(Text(f" {decision.status} ", style=f"bold #fdfcfa on {_TILES[decision.state]}"))
    grid = Table.grid(padding=(0, 2))
    for row in rows[:-1]:
        weight = "bold" if row.label == "Next action" else ""
        grid.add_row("", Text(row.label, style="dim"), Text(safe(row.text), style=weight))
    output.rich_print(grid)
    output.rich_print(Text(f"  {safe(rows[-1].label)}", style="dim"))


def _rows(shown: Shown) -> Iterator[Row]:
    decision, record = shown.decision, shown.record
    yield Row("Reason", decision.reason)
    if shown.note is not None:
        yield Row("Why", shown.note)
    yield Row("Impact", decision.impact)
    yield Row("Next action", decision.primary_next_action)
    yield Row("", "")
    yield Row("You can say", quoted(decision.claims.allowed) or _NO_CLAIM)
    yield Row("You cannot say", quoted(decision.claims.forbidden))
    yield Row("", "")
    yield Row("Operation proof", _with_id(decision.operation_proof.label, decision.operation_proof.operation_run_id))
    yield Row("Post-run evidence", _with_id(decision.evidence.label, decision.evidence.snapshot_id))
    yield from (Row("", line) for line in evidence_lines(shown))
    yield Row("Result summary", summary_line(decision.result_summary))
    if shown.unchanged:
        yield Row("", f"{shown.unchanged} already as in the backup")
    if record.details.counts_conflict:
        yield Row("", "The reported counts and the item rows disagree; the item rows are shown.")
    if decision.attention is not None:
        yield Row("Attention", decision.attention.replace("_", " "))
    yield Row("", "")
    yield from _run_rows(record)
    if shown.holds_environment:
        yield Row("Environment", STILL_HELD)
        yield Row("", how_to_release(f"{record.workspace}/{record.environment}"))
    yield Row("", "")
    when, viewer = utc_text(instant(shown.at_us)), shown.viewer.id
    yield Row(f"As of {when} for {viewer}, audit event {shown.event_id}", "")


def _run_rows(record: RunRecord) -> Iterator[Row]:
    details = record.details
    dry = (", dry run" if record.is_dry_run else "") + (", imported" if record.imported else "")
    yield Row("Run", record.id)
    yield Row("", f"{record.status}{dry}, version {record.version}, {record.workspace}/{record.environment}")
    if details.backup is not None or details.target is not None:
        yield Row("Restore", f"{output.cell(details.backup)} into {output.cell(details.target)}")
        yield from (Row("", line) for line in _chosen(details))
    if details.end_reason is not None:
        yield Row("End reason", details.end_reason.replace("_", " "))


def _chosen(details: RunDetails) -> Iterator[str]:
    """Say what of the backup was chosen and how, where it is not everything and nothing special."""
    if details.select:
        yield f"only {', '.join(details.select)}"
    if details.overwrite:
        yield "over what exists and differs"
    if details.manifest is not None:
        yield f"by the manifest {details.manifest}"


def evidence_lines(shown: Shown) -> Iterator[str]:
    """Say what the evidence found, if this viewer may see it: a comparison, never a claim."""
    snapshot = seen_snapshot(shown)
    if snapshot is None:
        return
    details = snapshot.details
    level = None if details.level is None else f"level {details.level}"
    found = " at ".join(known for known in (details.verdict, level) if known is not None)
    looked_at = (
        details.subjects_checked is not None and f"{output.amount(details.subjects_checked, 'subject')} looked at"
    )
    if found or looked_at:
        yield "; ".join(known for known in (found, looked_at) if known)
    if details.checks_total is not None:
        yield (
            f"{output.amount(details.checks_total, 'check')}: {_amount(details.checks_passed)} passed, "
            f"{_amount(details.checks_failed)} failed, {_amount(details.checks_skipped)} skipped"
        )


def seen_snapshot(shown: Shown) -> SnapshotRecord | None:
    """Give the evidence snapshot that the decision names: the only one that this viewer may be told of."""
    wanted = shown.decision.evidence.snapshot_id
    return next((row for row in shown.record.evidence if row.id == wanted), None)


def _amount(count: int | None) -> str:
    return _NOT_REPORTED if count is None else str(count)


def quoted(claims: tuple[str, ...]) -> str:
    """Write claims as they may, or may not, be said."""
    return ", ".join(f'"{claim}"' for claim in claims)


def _with_id(label: str, subject: str | None) -> str:
    return label if subject is None else f"{label}: {subject}"


def summary_line(summary: ResultSummary) -> str:
    """Write a result summary in one line: exactly the stored numbers, and "not reported" for every other."""
    if summary.counts is None:
        return summary.text or _NOT_REPORTED
    qualifier = f"{summary.qualifier}: " if summary.qualifier else ""
    if summary.metadata_only or summary.items is None:
        kind = "metadata-only: totals, no item rows"
    else:
        kind = output.amount(summary.items, "item row")
    return f"{qualifier}{_counts_line(summary.counts)} ({kind})"


def _counts_line(counts: Counts) -> str:
    total = f"total {_NOT_REPORTED}" if counts.total is None else output.amount(counts.total, "item")
    parts = [_part(words, getattr(counts, name)) for name, words in _PARTS.items()]
    return f"{total}: {', '.join(parts)}"


def _part(words: str, count: int | None) -> str:
    return f"{words} {_NOT_REPORTED}" if count is None else f"{count} {words}"


def summary_cell(decision: Decision) -> str:
    """Write a result summary as short as a table needs it."""
    summary = decision.result_summary
    if summary.counts is None:
        return summary.text or _NOT_REPORTED
    known = [
        f"{count} {words}" for name, words in _PARTS.items() if (count := getattr(summary.counts, name)) is not None
    ]
    total = [] if summary.counts.total is None else [output.amount(summary.counts.total, "item")]
    qualifier = f"{summary.qualifier} " if summary.qualifier else ""
    return qualifier + ", ".join([*total, *known])
