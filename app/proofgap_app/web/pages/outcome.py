"""What a run's failure, its blocker and the gap in its proof are, as pages say it: why it ended, and what to do now.

Pure functions from what the ledger shows. Whatever this person may not see reads as if it did not exist; only for
whoever audits the run is the true cause beside it. Refuses to decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofgap.access import Action
from proofgap.facts import TERMINAL_RUN_STATUSES, ItemResult, RunStatus, SnapshotStatus
from proofgap.records import Item, RunRecord
from proofgap.secret import redacted
from proofgap_app.held import STILL_HELD, how_to_release
from proofgap_app.web.pages import addresses, reasons, words
from proofgap_app.web.pages.about import About, Link, Section, Table, pairs
from proofgap_app.web.pages.sheet import is_blocked
from proofgap_app.web.pages.trail import HEAD, Row, cells
from proofgap_store import Around, Noted, Why

_NO_EVIDENCE = "No active evidence snapshot that you may view."
_NO_OPERATION = "No operation run that you may view."


def failure(around: Around, note: Noted, items: list[Item]) -> About:
    """Say why a run failed, as far as it is recorded, which items say more, and whether its environment is still held."""
    record, details = around.record, around.record.details
    rule = details.outcome_rule
    facts = pairs(
        {
            "Reason": details.end_reason and words.plain(details.end_reason),
            "Exit code": details.exit_code,
            "Outcome rule": rule and f"{rule}: {reasons.OUTCOME_RULES.get(rule, words.NOT_REPORTED)}",
            "In the words of whoever ended it": _words(note),
            "Was anything written": {True: "no, and that is proven", False: "cannot be excluded", None: None}[
                details.nothing_written
            ],
        }
    )
    failed = Section(
        "Items that failed",
        notes=() if items else ("No item row says that it failed.",),
        table=_items(record.id, items) if items else None,
    )
    return About(
        record.id,
        "Failure details",
        "Failure",
        (Section("Why it failed", facts, _meaning(record)), *_held(around), failed, _after(record)),
    )


def _words(note: Noted) -> str | None:
    """Give what somebody wrote, or that it was erased; ``None``: they wrote nothing, or it is not for whoever looks."""
    if not note.is_known:
        return "erased: the log holds that there was a note, and no longer what it said"
    return note.value and redacted(note.value)


def _held(around: Around) -> Iterator[Section]:
    """Say what keeps other runs from its environment, and how that ends."""
    if around.holds_environment:
        place = f"{around.record.workspace}/{around.record.environment}"
        yield Section(f"Environment {place}", notes=(STILL_HELD,), commands=(how_to_release(place),))


def _items(run_id: str, items: list[Item]) -> Table:
    rows = tuple(
        (item.key, words.plain(item.reason_code or "") or words.NOT_REPORTED, item.message or "") for item in items
    )
    page = addresses.with_query(addresses.run(run_id, "items"), result=ItemResult.FAILED)
    return Table(("Item", "Reason", "Message"), rows, Link("All items that failed", page))


def blocker(record: RunRecord, note: Noted, refusals: tuple[Row, ...]) -> About:
    """Say what kept a run from being executed, or who cancelled it."""
    reason = record.details.end_reason
    facts = pairs(
        {
            "Ended by": "a blocker" if is_blocked(record) else "a cancellation",
            "Reason": reason and words.plain(reason),
            "In the words of whoever ended it": _words(note),
            "Worker asked to stop by": record.details.cancel_requested_by or (None if record.imported else "nobody"),
        }
    )
    said_no = Section("What was refused before", table=_refused(refusals)) if refusals else None
    parts = (Section("What stopped it", facts, _meaning(record)), said_no, _after(record))
    return About(record.id, "Blocker", "Blocker", tuple(part for part in parts if part is not None))


def _refused(refusals: tuple[Row, ...]) -> Table:
    return Table(HEAD, tuple(map(cells, refusals)))


def _meaning(record: RunRecord) -> tuple[str, ...]:
    reason = record.details.end_reason
    return () if reason is None else tuple(reasons.MEANINGS[reason])


def _after(record: RunRecord) -> Section:
    """Say how to go on: what has ended stays as it is, and is tried again as a new run."""
    links = (
        Link("Retry as a new run", addresses.run(record.id, "retry"), Action.CREATE),
        Link("Item outcomes", addresses.run(record.id, "items")),
        Link("Operation run", addresses.run(record.id, "operation")),
        Link("Log", addresses.run(record.id, "events"), Action.READ_LOG),
    )
    return Section(
        "What next", notes=("A run that has ended stays as it is; whatever is tried again is a new run.",), links=links
    )


def proof_gap(record: RunRecord, why: Why | None) -> About:
    """Say what is missing for a proof, and how it could come about; ``why`` is for whoever audits the run only."""
    operation, active = record.operation, _is_active(record)
    missing = pairs(
        {
            "Operation proof": _NO_OPERATION
            if operation is None
            else f"Operation run {operation.id}, {operation.status}",
            "Post-run evidence": "A snapshot is active" if active else _NO_EVIDENCE,
        }
    )
    sections = [Section("What is missing", missing, tuple(_explanations(record)))]
    if why is not None:
        sections.append(Section(f"For the record, audit event {why.event_id}", tuple(_recorded(why.facts))))
    sections.append(
        Section("How to close the gap", notes=_closing(record), links=_ways(record), commands=_commands(record))
    )
    return About(record.id, "Proof gap", "Proof gap", tuple(sections))


def _may_have_evidence(record: RunRecord) -> bool:
    """Tell whether somebody can still look at what a run restored: it was executed here, and has ended."""
    return record.status in TERMINAL_RUN_STATUSES - {RunStatus.CANCELLED} and not record.imported


def gap(record: RunRecord) -> Link | None:
    """Lead from a run of which no evidence is active, as far as this person may know, to how some is added."""
    if _is_active(record) or not _may_have_evidence(record):
        return None
    return Link("How evidence is added", addresses.run(record.id, "proof-gap"))


def _is_active(record: RunRecord) -> bool:
    return any(row.status is SnapshotStatus.ACTIVE for row in record.evidence)


def _explanations(record: RunRecord) -> Iterator[str]:
    if record.imported:
        yield "This record was imported from another system. What was executed there left no proof here that counts."
    if record.operation is None:
        yield (
            "Either no operation run is linked to this record, or it is out of its workspace and environment, or you may "
            "not view it. These cases look the same on purpose."
        )


def _recorded(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what the record holds, whoever may see it: for auditors."""
    operation, linked = facts["operation"], facts["run"]["operation_run_id"]
    in_scope = operation is not None and operation["id"] == linked
    yield (
        "Linked operation run",
        f"{linked}, {'in scope' if in_scope else 'not in scope: counts as no link'}" if linked else "none",
    )
    for snapshot in facts["evidence"]:
        yield (
            "Evidence snapshot",
            f"{snapshot['id']}: {snapshot['status']}, captured {snapshot['captured_at'] or words.NOT_REPORTED}",
        )
    if not facts["evidence"]:
        yield "Evidence snapshot", "none"


def _closing(record: RunRecord) -> tuple[str, ...]:
    if record.imported:
        return (
            "An imported record never moves here. Retry it as a new run: what is executed here leaves proof of its own.",
        )
    if not _may_have_evidence(record):
        return ("Evidence is about what was executed, and is added once the run has ended.",)
    return (
        "A worker or an admin reads the restored target where backup and target are within reach, and compares them; or adds what was found otherwise.",
        "Evidence that exists may be one that you may not view: an admin of the workspace gives a role that may.",
    )


def _ways(record: RunRecord) -> tuple[Link, ...]:
    retry = (Link("Retry as a new run", addresses.run(record.id, "retry"), Action.CREATE),) if record.imported else ()
    return (
        *retry,
        Link("Operation run", addresses.run(record.id, "operation")),
        Link("Log", addresses.run(record.id, "events"), Action.READ_LOG),
    )


def _commands(record: RunRecord) -> tuple[str, ...]:
    """Give the commands that add evidence: the first where it is on record what is to be compared with what."""
    if not _may_have_evidence(record):
        return ()
    details = record.details
    is_planned = None not in (details.backup, details.target, details.driver, details.plan_digest)
    collect = (f"proofgap evidence collect {record.id}",) if is_planned else ()
    return (*collect, f"proofgap evidence add {record.id} --checks checks.ndjson")
