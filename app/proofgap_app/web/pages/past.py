"""A decision as it was shown or recorded, read from the log: a page of the same form, made of what the event says.

Nothing is decided anew. What the event does not hold (the backup, why it ended) is left out, and never taken from the
run as it is now. Refuses to give out facts that were withheld from whoever was shown it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proofgap.access import as_seen
from proofgap.decision import Decision
from proofgap.facts import Facts, Viewer, utc_text
from proofgap.records import OperationRecord, RunDetails, RunRecord, SnapshotRecord, instant, microseconds
from proofgap_app.web.pages import run
from proofgap_store import HistoryEvent, Shown


def page(event: HistoryEvent, *, imported: bool, may_read_evidence: bool) -> run.RunPage:
    """Give the page of a logged decision, for somebody who may read evidence or may not.

    ``imported`` never changes, and says that nobody recorded how the run came there.
    """
    shown = shown_then(event)
    shown = shown if may_read_evidence else msgspec.structs.replace(shown, facts_digest=None)
    shown = msgspec.structs.replace(shown, record=msgspec.structs.replace(shown.record, imported=imported))
    is_view = event.entry["data"]["trigger"] == "show"
    told = (
        f"This is the decision as it was {'shown to ' + shown.viewer.id if is_view else 'recorded'} then, "
        f"read from audit event {event.event_id}. Nothing is decided anew."
    )
    return run.past_page(shown, told)


def document(event: HistoryEvent, *, may_read_evidence: bool) -> dict[str, Any]:
    """Give a logged decision as a document; the digest of its facts only to whom none of them is withheld: it tells that there are some."""
    entry, data = event.entry, event.entry["data"]
    return {
        "run": entry["run"],
        "viewer": data["viewer"]["id"],
        "as_of": utc_text(instant(entry["at_us"])),
        "event_id": event.event_id,
        "facts_digest": data["facts_digest"] if may_read_evidence else None,
        "decision": data["decision"],
    }


def shown_then(event: HistoryEvent) -> Shown:
    """Give what was shown, as far as the event holds it."""
    data = event.entry["data"]
    viewer, facts = msgspec.convert(data["viewer"], Viewer), msgspec.convert(data["facts"], Facts)
    return Shown(
        record=as_seen(_record(event.entry, facts), viewer),
        decision=msgspec.convert(data["decision"], Decision),
        viewer=viewer,
        facts_digest=data["facts_digest"],
        event_id=event.event_id,
        at_us=event.entry["at_us"],
    )


def _record(entry: dict[str, Any], facts: Facts) -> RunRecord:
    found, operation, scope = facts.run, facts.operation, {"workspace": entry["ws"], "environment": entry["env"]}
    return RunRecord(
        id=found.id,
        **scope,
        status=found.status,
        version=0,  # no event of a projection names it, and no page of the past prints it
        is_dry_run=found.is_dry_run,
        operation_run_id=found.operation_run_id,
        details=RunDetails(counts=found.counts, items=found.items, attention=found.attention),
        operation=None
        if operation is None
        else OperationRecord(id=operation.id, **scope, status=operation.status, version=0, outcome=operation.outcome),
        evidence=tuple(
            SnapshotRecord(
                id=row.id,
                operation_run_id=row.operation_run_id,
                **scope,
                status=row.status,
                version=0,
                captured_at_us=microseconds(row.captured_at),
            )
            for row in facts.evidence
        ),
    )
