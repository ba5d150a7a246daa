"""How a fired event is answered: one line for people, the whole receipt as JSON for programs."""

from __future__ import annotations

from proofgap.facts import RunStatus
from proofgap_app.cli import output
from proofgap_store import Receipt

_NEXT = {
    RunStatus.DRAFT: "proofgap run scope {run}",
    RunStatus.SCOPED: "proofgap run check {run}",
    RunStatus.CHECKED: "proofgap run preview {run}",
    RunStatus.PREVIEWED: "proofgap run queue {run}",
    RunStatus.QUEUED: "proofgap run watch {run}",
    RunStatus.RUNNING: "proofgap items report {run} outcomes.ndjson",
}


def answer(receipt: Receipt, *, as_json: bool) -> int:
    """Write what a committed event did."""
    if as_json:
        output.json_line(receipt)
        return 0
    before = f"{receipt.source} → " if receipt.source not in {None, receipt.status} else ""
    what = f"{receipt.event}: " if receipt.source == receipt.status else ""
    again = "   (the same request again: nothing was changed)" if receipt.replayed else ""
    line = f"{receipt.subject}  {what}{before}{receipt.status}   version {receipt.version}   event {receipt.event_id}"
    output.data(line + again)
    following = _NEXT.get(RunStatus(receipt.status)) if receipt.subject == receipt.run_id else None
    output.note(f"Next: {(following or 'proofgap show {run}').format(run=receipt.run_id)}")
    return 0
