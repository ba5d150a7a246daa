"""The right side of the decision sheet: operation proof, evidence and result, as the template prints them.

Three things must look different: a number that is stored, "not reported", and "Unavailable". Absent, unauthorised and
out-of-scope records read identically; whoever may see the true cause finds it in the log. Refuses to know what a
decision means: every label is the decision's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proofgap.decision import Decision, ResultSummary
from proofgap.facts import Counts
from proofgap.records import OperationRecord, RunRecord, SnapshotDetails, SnapshotRecord
from proofgap.wording import AT_LEAST, SO_FAR, Availability, DecisionState
from proofgap_app.web.pages import words
from proofgap_store import Shown

PARTS = {
    "succeeded": "applied",
    "partial": "partly applied",
    "skipped": "skipped",
    "failed": "failed",
    "non_applied": "not applied",
}
"""The parts of a result in the order in which they are shown, with the words for them."""

_NOT_EXECUTED = {
    "succeeded": "would be applied",
    "partial": "would be partly applied",
    "skipped": "would be skipped",
    "failed": "would fail",
    "non_applied": "would not be applied",
}

_IN_SCOPE = "Matches workspace and environment; visible to you"
_NO_OPERATION = "No operation run that you may view."
_NO_EXECUTION = "No execution proof exists yet."
_NO_EVIDENCE = "No active evidence snapshot that you may view."
_EVIDENCE_LATER = "Evidence is captured after the run ends."
_METADATA_ONLY = "Metadata-only evidence: totals, no item rows"
_CONFLICT = "Reported counts disagree with the item rows; these are the rows"
_SHARE_MIN = 1.2  # percent of the bar: the smallest share that can be seen


def parts_of(decision: Decision) -> dict[str, str]:
    """Give the parts of a result: of what was not executed nothing was applied, whatever a tool printed of a dry run."""
    return _NOT_EXECUTED if decision.state is DecisionState.NOT_EXECUTED else PARTS


class Line(NamedTuple):
    """A line of text with an id in it, or without one."""

    before: str
    code: str = ""
    after: str = ""


class Fact(NamedTuple):
    """One row of the right side: whether something is there, and what is known of it."""

    state: Availability
    heading: str
    lines: tuple[Line, ...]
    fine: tuple[str, ...] = ()


class Share(NamedTuple):
    """One part of the result: its colour, number and words, and its place on the bar in percent."""

    name: str
    number: int
    words: str
    begins: float = 0
    width: float = 0


class Result(NamedTuple):
    """What became of the items. ``shares`` are what is stored and not 0; ``is_drawn`` tells whether they add up."""

    heading: str
    is_known: bool
    shares: tuple[Share, ...] = ()
    is_drawn: bool = False
    fine: tuple[str, ...] = ()


def operation_proof(shown: Shown) -> Fact:
    """Say whether it can be shown that something was executed, and by what."""
    decision, operation = shown.decision, shown.record.operation
    proof = decision.operation_proof
    if decision.state is DecisionState.NOT_EXECUTED:
        return Fact(proof.state, proof.label, (Line(_NO_EXECUTION),))
    if operation is None or operation.id != proof.operation_run_id:
        return Fact(proof.state, proof.label, (Line(_NO_OPERATION),))
    return Fact(proof.state, proof.label, (_operation_line(shown.record, operation),), (_IN_SCOPE,))


def _operation_line(record: RunRecord, operation: OperationRecord) -> Line:
    if operation.outcome is None:
        return Line("Operation run", operation.id, f", {words.plain(operation.status)}")
    ended = "" if record.imported or record.moved_at_us is None else f", {words.minute(record.moved_at_us)}"
    return Line("Operation run", operation.id, f", outcome {words.plain(operation.outcome)}{ended}")


def evidence(shown: Shown, *, with_finding: bool = True) -> Fact:
    """Say whether the restored target was looked at, and what was found: a comparison, never a claim."""
    decision, snapshot = shown.decision, seen_snapshot(shown)
    found = decision.evidence
    if snapshot is None:
        later = decision.state is DecisionState.IN_PROGRESS
        return Fact(found.state, found.label, (Line(_EVIDENCE_LATER if later else _NO_EVIDENCE),))
    captured = "" if snapshot.captured_at_us is None else f", {words.minute(snapshot.captured_at_us)}"
    line = Line("Snapshot", snapshot.id, f", {snapshot.status}{captured}")
    told = (Line(finding(snapshot.details)),) if with_finding and found.state is Availability.AVAILABLE else ()
    return Fact(found.state, found.label, (line, *told), (_IN_SCOPE,))


def seen_snapshot(shown: Shown) -> SnapshotRecord | None:
    """Give the evidence snapshot that the decision names: the only one that this viewer may be told of."""
    wanted = shown.decision.evidence.snapshot_id
    return next((row for row in shown.record.evidence if row.id == wanted), None)


def finding(details: SnapshotDetails) -> str:
    """Write in one line what a comparison found."""
    verdict = "Verdict not reported" if details.verdict is None else words.sentence(details.verdict)
    level = "" if details.level is None else f" at level {details.level}"
    return f"{verdict}{level}; {_looked_at(details)}"


def _looked_at(details: SnapshotDetails) -> str:
    if details.checks_total is None:
        subjects = details.subjects_checked
        return "checks not reported" if subjects is None else f"{words.amount(subjects, 'subject')} looked at"
    parts = ((details.checks_failed, "failed"), (details.checks_skipped, "skipped"))
    not_passed = [f"{number:,} {word}" for number, word in parts if number]
    return ", ".join([words.amount(details.checks_total, "check"), *(not_passed or ["none failed"])])


def result(shown: Shown) -> Result:
    """Say what became of the items: exactly the stored numbers, and "not reported" for every other."""
    summary, record = shown.decision.result_summary, shown.record
    if summary.counts is None:
        return Result(summary.text or words.NOT_REPORTED, is_known=False)
    whole = _whole(shown.decision, record)
    parts = parts_of(shown.decision)
    shares = tuple(_shares(summary.counts, parts, whole, is_over=summary.qualifier != SO_FAR))
    is_drawn = whole is not None and sum(share.number for share in shares) == whole and whole > 0
    return Result(
        _heading(summary, whole, record.details.selected),
        is_known=True,
        shares=tuple(_placed(shares, whole)) if is_drawn and whole else shares,
        is_drawn=is_drawn,
        fine=tuple(_fine_print(summary, parts, record, shown.unchanged)),
    )


def _whole(decision: Decision, record: RunRecord) -> int | None:
    """Give how many items there are in all: while a run executes its plan knows, and what is reported are so many of them."""
    counts, selected = decision.result_summary.counts, record.details.selected
    total = None if counts is None else counts.total
    is_under_way = decision.result_summary.qualifier == SO_FAR and record.details.item_counts is not None
    return selected if is_under_way and selected is not None and selected >= (total or 0) else total


def _shares(counts: Counts, parts: dict[str, str], whole: int | None, *, is_over: bool) -> Iterator[Share]:
    """Give every part that is stored and not 0, and what of the whole nobody reported."""
    known = {name: getattr(counts, name) for name in parts}
    for name, number in known.items():
        if number:
            yield Share(name, number, parts[name])
    rest = None if whole is None else whole - sum(number or 0 for number in known.values())
    if rest and rest > 0:
        yield Share("unknown", rest, words.NOT_REPORTED if is_over else f"{words.NOT_REPORTED} yet")


def _placed(shares: tuple[Share, ...], whole: int) -> Iterator[Share]:
    """Put the shares on the bar one after the other; the smallest is still wide enough to be seen."""
    widths = [max(100 * share.number / whole, _SHARE_MIN) for share in shares]
    scale, begins = 100 / sum(widths), 0.0
    for share, width in zip(shares, widths, strict=True):
        yield share._replace(begins=round(begins, 2), width=round(width * scale, 2))
        begins += width * scale


def _heading(summary: ResultSummary, whole: int | None, selected: int | None) -> str:
    """Write the total; while a run executes, how much of it is reported, where both are known."""
    counts = summary.counts or Counts()
    parts = [number for name in PARTS if (number := getattr(counts, name)) is not None]
    reported = sum(parts)
    if whole is None:
        return f"Total {words.NOT_REPORTED}"
    if summary.qualifier == SO_FAR and (not parts or (reported == whole != selected)):  # of how many, nobody said
        return f"{words.amount(whole, 'item')} so far"
    if summary.qualifier == SO_FAR:
        return f"{reported:,} of {words.amount(whole, 'item')} so far"
    return ("At least " if summary.qualifier == AT_LEAST else "") + words.amount(whole, "item")


def _fine_print(summary: ResultSummary, parts: dict[str, str], record: RunRecord, unchanged: int) -> Iterator[str]:
    counts = summary.counts or Counts()
    if summary.metadata_only:
        yield _METADATA_ONLY
    nothing = [parts[name] for name in parts if getattr(counts, name) == 0]
    unknown = [parts[name] for name in parts if getattr(counts, name) is None]
    if nothing:
        yield f"Recorded as 0: {', '.join(nothing)}"
    if unknown:
        yield f"{words.sentence(words.NOT_REPORTED)}: {', '.join(unknown)}"
    if unchanged:
        yield f"{unchanged:,} already as in the backup"
    if record.details.counts_conflict:
        yield _CONFLICT
