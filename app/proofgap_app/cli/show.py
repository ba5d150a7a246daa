"""``proofgap show``: what one run means, for one person, at one moment. That it was shown is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.problems import EXIT_OF_STATE
from proofgap_app.cli.sheet import print_sheet, seen_snapshot
from proofgap_store import Shown

app = App(
    name="show",
    help="Show what one run means: decision, reason, impact, next action, proof and evidence.",
    help_prologue="""Examples:
  proofgap show rr_01KB2M95QF7T3ZC8H
  proofgap show rr_01KB2M95QF7T3ZC8H --as d.weber --json
  proofgap show rr_01KB2M95QF7T3ZC8H --exit-status || echo "not completed with evidence"
""",
)


@app.default
def show(
    run: str,
    /,
    *,
    as_: Annotated[str | None, Parameter(name="--as")] = None,
    exit_status: bool = False,
    access: Access = ACCESS,
) -> int:
    """Show what one run means: decision, reason, impact, next action, proof and evidence.

    Args:
        run: the run's id.
        as_: whose view to show; for auditors and admins. Yours, unless given.
        exit_status: exit with the decision: see proofgap help exit-codes.

    """
    check_id("RUN", run)
    actor = me()
    viewer = actor.id if as_ is None else check_id("--as", as_)
    with opened(access) as ledger:
        shown = ledger.show(run, viewer, actor)
    present(shown, as_json=access.json)
    return EXIT_OF_STATE[shown.decision.state] if exit_status else 0


def present(shown: Shown, *, as_json: bool) -> None:
    """Write what was shown: the sheet, or the same as JSON."""
    if as_json:
        output.json_line(document(shown))
    else:
        print_sheet(shown)


def document(shown: Shown) -> dict[str, Any]:
    """Give what was shown as a document; nothing in it that this viewer may not see."""
    record, details = shown.record, shown.record.details
    snapshot = seen_snapshot(shown)
    return {
        "run": {
            "id": record.id,
            "workspace": record.workspace,
            "environment": record.environment,
            "status": record.status,
            "version": record.version,
            "is_dry_run": record.is_dry_run,
            "imported": record.imported,
            "backup": details.backup,
            "target": details.target,
            "manifest": details.manifest,
            "select": details.select,
            "overwrite": details.overwrite,
            "end_reason": details.end_reason,
            "counts_conflict": details.counts_conflict,
            "unchanged": shown.unchanged,
            "note": shown.note,
            "holds_environment": shown.holds_environment,
        },
        "evidence": None if snapshot is None else snapshot.details,
        "viewer": shown.viewer.id,
        "as_of": utc_text(instant(shown.at_us)),
        "event_id": shown.event_id,
        "decision": shown.decision,
    }
