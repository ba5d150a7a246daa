"""The run page: the decision sheet, the audit trail below it, and what only a developer or an auditor looks up.

A pure function from what the ledger shows. Refuses to know how it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from proofgap.decision import RULES
from proofgap.facts import TERMINAL_RUN_STATUSES, RunStatus
from proofgap.records import RunRecord
from proofgap_app.web.pages import addresses, trail, words
from proofgap_app.web.pages.sheet import Sheet, sheet
from proofgap_store import HistoryEvent, Shown

_INDENT = 2
_RULE, _DIGEST = "Decided by rule", "Digest of the facts"


class Link(NamedTuple):
    """A way to another page."""

    label: str
    page: str


class RunPage(NamedTuple):
    """Everything that the run page prints."""

    run_id: str
    title: str
    full_title: str
    sheet: Sheet
    trail: tuple[trail.Row, ...] | None  # None: this person may not read the log
    trail_note: str
    diagnostics: tuple[tuple[str, str], ...]
    raw: str  # the decision as JSON, in lines
    version: int | None  # None: the event does not name it
    rules_version: str
    stream: str
    links: tuple[Link, ...]
    bundle: str | None = None  # where an auditor takes out everything about the run
    is_live: bool = True
    past: str | None = None


def run_page(shown: Shown, log: Sequence[HistoryEvent] | None, stream: str, links: tuple[Link, ...] = ()) -> RunPage:
    """Give the page of one run.

    Args:
        shown: what this person is shown of the run.
        log: its last events, newest first; ``None`` where they may not read it.
        stream: where a browser hears that the run moved.
        links: what this person may do with the run.

    """
    record = shown.record
    rows = None if log is None else trail.rows(record.id, log)
    before = None if log is None else trail.came_from(log, record.status)
    return RunPage(
        run_id=record.id,
        title=title(record, words.last_part),
        full_title=title(record, str),
        sheet=sheet(shown, before),
        trail=rows,
        trail_note=_days(rows or ()),
        diagnostics=tuple(_diagnostics(shown)),
        raw=msgspec.json.format(msgspec.json.encode(shown.decision), indent=_INDENT).decode(),
        version=record.version,
        rules_version=shown.decision.rules_version,
        stream=stream,
        links=links,
    )


def past_page(shown: Shown, told: str) -> RunPage:
    """Give the page of a decision that is read from the log; ``told`` says so."""
    page = run_page(shown, None, "")
    heading = f"Decision of audit event {shown.event_id}"
    return page._replace(
        sheet=sheet(shown, None, is_past=True),
        title=heading,
        full_title=heading,
        diagnostics=tuple(row for row in page.diagnostics if row[0] in {_RULE, _DIGEST}),
        version=None,
        is_live=False,
        past=told,
    )


def title(record: RunRecord, name: Callable[[str], str]) -> str:
    """Say what is restored into what, as far as it is known."""
    backup, target = record.details.backup, record.details.target
    kind = (
        "Dry run of a restore" if record.is_dry_run else "Retry of a restore" if record.details.retry_of else "Restore"
    )
    of = f" of {name(backup)}" if backup else ""
    into = f" into {name(target)}" if target else ""
    return f"{kind}{of}{into}" if of or into else f"{kind}, backup and target {words.NOT_REPORTED}"


def _days(rows: Sequence[trail.Row]) -> str:
    days = list(dict.fromkeys(row.day for row in rows if row.day))
    if not days:
        return "times in UTC"
    span = days[0] if len(days) == 1 else f"{days[-1]} to {days[0]}"
    return f"{span}, times in UTC"


def _diagnostics(shown: Shown) -> Iterator[tuple[str, str]]:
    """Give what is needed to find out how a decision came about; what is not known is left to "not reported"."""
    record, decision, details = shown.record, shown.decision, shown.record.details
    yield "Status, version", f"{_status(record)}, version {record.version}"
    yield _RULE, f"{decision.rule}: {RULES[decision.rule]} (rule set {decision.rules_version})"
    if shown.facts_digest is not None:
        yield _DIGEST, shown.facts_digest
    yield "Workspace, environment", f"{record.workspace}, {record.environment}"
    facts = {
        "Backup": details.backup,
        "Target": details.target,
        "Tool": details.driver,
        "Only": ", ".join(details.select) or None,
        "Purpose": details.purpose,
        "Requested by": details.requested_by,
        "By a token of": details.requested_for,
        "Prepared by": ", ".join(details.prepared_by) or None,
        "Prepared by a token of": ", ".join(details.prepared_for) or None,
        "Retry of": details.retry_of,
        "Digest of the plan": details.plan_digest,
        "Fingerprint of the target": details.target_fingerprint,
        "Exit code": None if details.exit_code is None else str(details.exit_code),
        "Outcome rule": None if details.outcome_rule is None else str(details.outcome_rule),
        "End reason": None if details.end_reason is None else words.plain(details.end_reason),
    }
    always = ("Backup", "Target", "Tool")
    yield from ((name, value or words.NOT_REPORTED) for name, value in facts.items() if value or name in always)


def _status(record: RunRecord) -> str:
    marks = [
        record.status.value,
        *(["dry run"] if record.is_dry_run else []),
        *(["imported"] if record.imported else []),
    ]
    return ", ".join(marks)


def links_for(record: RunRecord, *, may_act: bool) -> tuple[Link, ...]:
    """Give the ways to what an operator may do with a run, to the run that it retries, and to the picture of its path."""
    acts, before = _acts(record) if may_act else (), record.details.retry_of
    retried = () if before is None else (Link("Run that this one retries", addresses.run(before)),)
    return (*acts, *retried, Link("Path through the machine", addresses.with_query(addresses.MACHINE, run=record.id)))


def _acts(record: RunRecord) -> tuple[Link, ...]:
    if record.status in TERMINAL_RUN_STATUSES:
        return (Link("Retry as a new run", addresses.run(record.id, "retry")),)
    label = "Ask the worker to stop" if record.status is RunStatus.RUNNING else "Cancel this run"
    return () if record.imported else (Link(label, addresses.run(record.id, "cancel")),)
