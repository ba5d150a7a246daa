"""``proofgap list``: runs, newest first, each with its decision for whoever asks. That they were shown is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from proofgap.text import check_id, check_text
from proofgap.wording import DecisionState
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, Whole, naming
from proofgap_app.cli.sheet import summary_cell
from proofgap_store import ListedRun, Query

app = App(
    name="list",
    help="List runs, newest first, each with its decision.",
    help_prologue="""Examples:
  proofgap list
  proofgap list --state needs_review --limit 10
  proofgap list --environment production --json | jq -r '.items[].run.id'
""",
)
_TABLE_WIDTH_MIN = 140  # on a narrower terminal the cells would be folded beyond reading
_COLUMNS = ("Run", "Decision", "Result", "Proof", "Evidence", "Environment", "Backup", "Target")


@app.default
def list_runs(  # noqa: PLR0913 - one argument per filter
    *,
    state: DecisionState | None = None,
    workspace: str | None = None,
    environment: str | None = None,
    limit: Whole = 50,
    after: str | None = None,
    as_: Annotated[str | None, Parameter(name="--as")] = None,
    access: Access = ACCESS,
) -> int:
    """List runs, newest first, each with its decision.

    Args:
        state: only runs with this decision.
        workspace: only runs of this workspace.
        environment: only runs of this managed environment.
        limit: how many at most, 1 to 200; 50 unless given.
        after: continue after a page: the value that it named as next.
        as_: whose view to show; for auditors and admins. Yours, unless given.

    """
    query = Query(
        workspace=None if workspace is None else check_id("--workspace", workspace),
        environment=None if environment is None else check_id("--environment", environment),
        state=state,
        limit=limit,
        after=None if after is None else check_text("--after", after),
    )
    actor = me()
    viewer = actor.id if as_ is None else check_id("--as", as_)
    with opened(access) as ledger, naming(limit="--limit", after="--after"):
        page = ledger.list_runs(viewer, actor, query)
    if access.json:
        items = [_document(row) for row in page.rows]
        output.json_line({"items": items, "next": page.next, "viewer": viewer, "event_id": page.event_id})
        return 0
    if output.is_wide(_TABLE_WIDTH_MIN):
        output.table(_COLUMNS, map(_cells, page.rows))
    else:
        output.blocks(map(_block, page.rows))
    if page.next is not None:
        output.note(f"More: proofgap list --after {page.next}")
    if not page.rows:
        output.note(
            "No runs to show. Make one with: proofgap restore BACKUP --into TARGET"
            if query == Query()
            else "No runs match."
        )
    return 0


def _document(row: ListedRun) -> dict[str, Any]:
    record = row.record
    return {
        "run": {
            "id": record.id,
            "workspace": record.workspace,
            "environment": record.environment,
            "status": record.status,
            "version": record.version,
            "is_dry_run": record.is_dry_run,
            "imported": record.imported,
            "backup": record.details.backup,
            "target": record.details.target,
        },
        "decision": row.decision,
    }


def _evidence_cell(row: ListedRun) -> str:
    """Give the evidence's label with what it found: a mismatch is not to be read as a success."""
    wanted, label = row.decision.evidence.snapshot_id, row.decision.evidence.label
    verdict = next((snapshot.details.verdict for snapshot in row.record.evidence if snapshot.id == wanted), None)
    return label if verdict is None else f"{label}: {verdict}"


def _block(row: ListedRun) -> tuple[str, ...]:
    """Give what the cells of a row say, as lines for a narrow terminal."""
    run, state, result, proof, evidence, scope, backup, target = map(output.cell, _cells(row))
    return f"{run}  {state}", f"{result}; proof {proof}; evidence {evidence}", f"{scope}: {backup} into {target}"


def _cells(row: ListedRun) -> tuple[object, ...]:
    record, decision = row.record, row.decision
    return (
        record.id,
        decision.state,
        summary_cell(decision),
        decision.operation_proof.label,
        _evidence_cell(row),
        f"{record.workspace}/{record.environment}",
        record.details.backup,
        record.details.target,
    )
