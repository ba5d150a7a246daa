"""How one event is fired, and how it is answered: one line for people, the whole receipt as JSON for programs."""

from __future__ import annotations

from proofgap.facts import RunEvent, RunStatus
from proofgap.records import RunDetails
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import Access, Firing, checked, key_of, note_of
from proofgap_store import Receipt

_NEXT = {
    RunStatus.DRAFT: "proofgap run prepare {run}; where another tool restores: proofgap run scope {run}",
    RunStatus.SCOPED: "proofgap run check {run}",
    RunStatus.CHECKED: "proofgap run preview {run}",
    RunStatus.PREVIEWED: "proofgap run queue {run}",
    RunStatus.QUEUED: "proofgap run watch {run}",
    RunStatus.RUNNING: "proofgap items report {run} outcomes.ndjson",
}

_AFTER_APPROVAL = "a worker or an admin goes on: proofgap restore --resume {run}; or leave it to whatever serves the queue: proofgap run queue {run}"


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
    if receipt.event == RunEvent.APPROVE:
        output.note(f"Next: {_AFTER_APPROVAL.format(run=receipt.run_id)}")
        return 0
    following = _NEXT.get(RunStatus(receipt.status)) if receipt.subject == receipt.run_id else None
    output.note(f"Next: {(following or 'proofgap show {run}').format(run=receipt.run_id)}")
    return 0


def fired(run: str, event: RunEvent, details: RunDetails, firing: Firing, access: Access) -> int:
    """Fire one event with its facts, and answer."""
    check_id("RUN", run)
    given, key, note = checked(details), key_of(firing), note_of(firing)
    with opened(access) as ledger:
        receipt = ledger.fire(run, event, me(), given=given, key=key, expected_version=firing.if_version, note=note)
    return answer(receipt, as_json=access.json)
