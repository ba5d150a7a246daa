"""The two long tables behind a decision: what became of each item, and every comparison of an evidence snapshot.

Pure functions from what the ledger shows to a page of rows, with the filters that lead to the others. Refuses to
count: a number beside a filter is one that is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proofgap.facts import ItemResult
from proofgap.records import CheckResult, Item, RunRecord, SnapshotRecord
from proofgap.secret import redacted
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.about import Link, Pair, pairs
from proofgap_app.web.pages.facts import PARTS, finding
from proofgap_app.web.pages.forms import Form
from proofgap_app.web.pages.outcome import gap
from proofgap_store import NumberedCheck, Review

ROWS = 100
"""How many rows a page has."""


class Filter(NamedTuple):
    """A way to some of the rows, and how many they are, where that is stored."""

    label: str
    number: str | None
    page: str
    is_on: bool


class ItemRow(NamedTuple):
    """What became of one item, as it stands in the table."""

    key: str
    result: str
    outcome: str
    action: str
    reason: str
    message: str
    size: str


class ItemsPage(NamedTuple):
    """A page of item outcomes."""

    run_id: str
    filters: tuple[Filter, ...]
    rows: tuple[ItemRow, ...]
    following: str | None
    empty: str


class CheckRow(NamedTuple):
    """One comparison, as it stands in the table."""

    subject: str
    result: str
    method: str
    level: str
    expected: str
    observed: str


class EvidencePage(NamedTuple):
    """A snapshot with a page of its comparisons; without one, the one sentence that says so."""

    run_id: str
    snapshots: tuple[Link, ...]
    found: str | None
    pairs: tuple[Pair, ...]
    filters: tuple[Filter, ...]
    rows: tuple[CheckRow, ...]
    following: str | None
    empty: str
    snapshot: str | None = None
    reviews: tuple[str, ...] = ()
    form: Form | None = None
    gap: Link | None = None  # how evidence comes about, where there is none


NO_EVIDENCE = "No active evidence snapshot that you may view."


def items_page(record: RunRecord, found: Sequence[Item], result: ItemResult | None) -> ItemsPage:
    """Give a page of item outcomes; ``found`` holds one more than a page where there are more."""
    where = addresses.run(record.id, "items")
    shown = found[:ROWS]
    following = addresses.with_query(where, result=result, after=shown[-1].key) if len(found) > ROWS else None
    counts = record.details.item_counts
    filters = [Filter("All", _stored(record.details.items), where, result is None)]
    for name, label in PARTS.items():
        number = None if counts is None else getattr(counts, name)
        filters.append(
            Filter(words.sentence(label), _stored(number), addresses.with_query(where, result=name), result == name)
        )
    return ItemsPage(record.id, tuple(filters), tuple(map(_item_row, shown)), following, _no_items(record, result))


def _stored(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _no_items(record: RunRecord, result: ItemResult | None) -> str:
    if record.details.items and result is not None:
        return f"No item is recorded as {PARTS[result]}."
    if record.details.counts is not None:
        return "Metadata-only: the run recorded totals, not items."
    return "No item rows were reported for this run."


def _item_row(item: Item) -> ItemRow:
    return ItemRow(
        item.key,
        item.result,
        PARTS[item.result],
        item.action or "",
        words.plain(item.reason_code or ""),
        item.message or "",
        "" if item.bytes is None else f"{item.bytes:,}",
    )


def reviewed(reviews: Sequence[Review]) -> tuple[str, ...]:
    """Write who said that they looked at a snapshot."""
    said = [f": “{redacted(one.note)}”" if one.note else "" for one in reviews]
    return tuple(
        f"{one.by}, {words.moment(one.at_us)}, audit event {one.event_id}{note}"
        for one, note in zip(reviews, said, strict=True)
    )


def evidence_page(
    record: RunRecord, snapshot: SnapshotRecord | None, found: Sequence[NumberedCheck], result: CheckResult | None
) -> EvidencePage:
    """Give the page of an evidence snapshot; ``found`` holds one more check than a page where there are more."""
    where = addresses.run(record.id, "evidence")
    others = tuple(
        Link(f"{row.id}, {row.status}", addresses.with_query(where, snapshot=row.id))
        for row in record.evidence
        if row != snapshot
    )
    if snapshot is None:
        return EvidencePage(record.id, others, None, (), (), (), None, NO_EVIDENCE, gap=gap(record))
    shown = found[:ROWS]
    after = str(shown[-1].number) if len(found) > ROWS else None
    following = None if after is None else addresses.with_query(where, snapshot=snapshot.id, result=result, after=after)
    return EvidencePage(
        record.id,
        others,
        finding(snapshot.details),
        _about(snapshot),
        tuple(_check_filters(snapshot, result, where)),
        tuple(_check_row(numbered) for numbered in shown),
        following,
        "No comparison is recorded." if result is None else f"No comparison {result}.",
        snapshot.id,
    )


def _about(snapshot: SnapshotRecord) -> tuple[Pair, ...]:
    details = snapshot.details
    return pairs(
        {
            "Snapshot": snapshot.id,
            "Status": snapshot.status,
            "Captured": words.moment(snapshot.captured_at_us),
            "Of operation run": snapshot.operation_run_id,
            "Verdict": details.verdict,
            "Deepest level": details.level,
            "Subjects looked at": words.known(details.subjects_checked),
            "Method": details.method,
            "Produced by": details.producer,
            "Digest of the full report": details.content_sha256,
        }
    )


def _check_filters(snapshot: SnapshotRecord, result: CheckResult | None, where: str) -> list[Filter]:
    details = snapshot.details
    numbers = {
        None: details.checks_total,
        CheckResult.FAILED: details.checks_failed,
        CheckResult.SKIPPED: details.checks_skipped,
        CheckResult.PASSED: details.checks_passed,
    }
    return [
        Filter(
            "All" if kind is None else words.sentence(kind),
            _stored(number),
            addresses.with_query(where, snapshot=snapshot.id, result=kind),
            result == kind,
        )
        for kind, number in numbers.items()
    ]


def _check_row(numbered: NumberedCheck) -> CheckRow:
    check = numbered.check
    return CheckRow(
        check.subject,
        check.result,
        check.method,
        check.level,
        check.expected or words.NOT_REPORTED,
        check.observed or words.NOT_REPORTED,
    )
