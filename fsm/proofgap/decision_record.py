"""The decision record of one run: what a reviewer of a restore test asks, answered from the log and nothing else.

Owns which questions are answered, in which order, and in which words. Every answer is taken from an event, an item row
or a check of the bundle; what was never stated or reported is said to be so, and is never 0. Refuses to know how a
page looks (`decision_page`), and to judge: times are put beside what was stated, and nothing is called good.

Source of the questions: ISO 22301 (8.5, exercises), Regulation (EU) 2022/2554 (DORA) article 12, Directive (EU)
2022/2555 (NIS2) article 21; ``docs/audit-format.md``, "Bundles".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from proofgap.audit import EventType
from proofgap.bundles import Content
from proofgap.notes import VerifierKey
from proofgap.records import Completeness, RecoveryPointBasis
from proofgap.run_log import NOT_REPORTED, Occurrence, RunLog, duration_text, run_log, time_text, who

ROWS_MAX = 200
"""How many rows a table of the record shows; the files of the bundle hold them all."""

_COUNTED = {
    "total": "In all",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "skipped": "Skipped",
    "partial": "Partly applied",
    "non_applied": "Not applied",
}
_BASIS = {
    RecoveryPointBasis.STATED: "stated by whoever asked for the run",
    RecoveryPointBasis.BACKUP_TIME: "as the backup says itself, not attested",
    RecoveryPointBasis.FILE_TIME: "file time, not attested",
}
_SUPERSEDED = " (of an earlier preview; it no longer counts)"


class Pair(NamedTuple):
    """A question and its answer."""

    label: str
    text: str


class Table(NamedTuple):
    """Rows under a head; what is left out is said in ``more``."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = ""


class Section(NamedTuple):
    """One part of the record."""

    title: str
    pairs: tuple[Pair, ...] = ()
    table: Table | None = None
    notes: tuple[str, ...] = ()


class DecisionRecord(NamedTuple):
    """The whole record: what is decided, and the parts that say why."""

    run: str
    scope: str
    status: str
    reason: str
    impact: str
    as_of: str
    sections: tuple[Section, ...]


def record_of(content: Content, key: VerifierKey) -> DecisionRecord:
    """Answer the questions from the content of a bundle that this key signs."""
    log = run_log(content, key)
    decision, entry = log.decision, log.born.entry
    dry = " - dry run" if log.born.data["is_dry_run"] else ""
    return DecisionRecord(
        run=content.facts.run,
        scope=f"workspace {entry.ws}, environment {entry.env}{dry}",
        status=decision["status"],
        reason=decision["reason"],
        impact=decision["impact"],
        as_of=time_text(content.facts.made_us),
        sections=tuple(section(log) for section in _SECTIONS),
    )


def _decided(log: RunLog) -> Section:
    decision = log.decision
    proof, evidence = decision["operation_proof"], decision["evidence"]
    return Section(
        "Decision",
        (
            Pair("Next action", decision["primary_next_action"]),
            Pair("Operation proof", _named(proof["label"], proof["operation_run_id"])),
            Pair("Post-run evidence", _named(evidence["label"], evidence["snapshot_id"])),
            Pair("May be said", _quoted(decision["claims"]["allowed"]) or "nothing beyond the status above"),
            Pair("Must not be claimed", _quoted(decision["claims"]["forbidden"])),
            Pair("Decided by", f"rule {decision['rule']} of the decision rules, version {decision['rules_version']}"),
        ),
    )


def _asked(log: RunLog) -> Section:
    details, born = log.details, log.born
    starts, cancels = log.fired("start"), log.fired("request_cancel")
    approvals = [f"{who(event)}, {event.when}{'' if counts else _SUPERSEDED}" for event, counts in log.approvals]
    return Section(
        "Request and approval",
        (
            Pair("Purpose", _said(details.get("purpose"))),
            Pair("Asked for by", f"{log.requester}, {'imported' if log.is_imported else born.when}"),
            Pair("Approved by", "; ".join(approvals) or "no approval is recorded in this bundle"),
            Pair("Executed by", "; ".join(f"{who(event)}, {event.when}" for event in starts) or NOT_REPORTED),
            *(Pair("Asked to stop by", f"{who(event)}, {event.when}") for event in cancels),
            *(Pair("Second try of", text) for text in [details.get("retry_of")] if text),
        ),
    )


def _restored(log: RunLog) -> Section:
    details = log.details
    point, basis = details.get("recovery_point_us"), details.get("recovery_point_basis")
    completeness = details.get("source_completeness")
    basis_words = _BASIS[RecoveryPointBasis(basis)] if basis else "basis not reported"
    return Section(
        "Backup and target",
        (
            Pair("Backup", _said(details.get("backup"))),
            Pair("Recovery point", NOT_REPORTED if point is None else f"{time_text(point)} ({basis_words})"),
            Pair("Completeness", NOT_REPORTED if completeness == Completeness.UNKNOWN else _said(completeness)),
            Pair("Target", _said(details.get("target"))),
            Pair("Tool", _said(details.get("driver"))),
            Pair("Preview", _previewed(details.get("preview"))),
            Pair("Plan", _said(details.get("plan_digest"))),
        ),
    )


def _previewed(preview: Mapping[str, Any] | None) -> str:
    if not preview:
        return NOT_REPORTED
    depth = preview.get("depth")
    return f"made before the start; depth {NOT_REPORTED}" if depth is None else f"{depth} read before the start"


def _covered(log: RunLog) -> Section:
    details = log.details
    selected, items = details.get("selected"), details.get("items")
    sources = [details.get(field) or {} for field in ("item_counts", "counts")]
    rows = [(words, *(_said(counts.get(name)) for counts in sources)) for name, words in _COUNTED.items()]
    notes = ["The two sources disagree; the item rows count."] if _disagree(details) else []
    notes += ["The counts are lower bounds: the worker was lost."] if details.get("counts_are_lower_bounds") else []
    return Section(
        "Scope asked and covered",
        (
            Pair("Asked", NOT_REPORTED if selected is None else f"{selected} items selected by the plan"),
            Pair("Covered", NOT_REPORTED if items is None else f"{items} items with an outcome of their own"),
        ),
        Table(("Items", "Added up from item rows", "Total that the tool reported"), tuple(rows)),
        tuple(notes),
    )


def _disagree(details: Mapping[str, Any]) -> bool:
    both = [details.get("item_counts"), details.get("counts")]
    return None not in both and both[0] != both[1]


def _timed(log: RunLog) -> Section:
    rows = [("Imported" if log.is_imported else "Requested", log.born.when, who(log.born))]
    for name, label in (("preview", "Previewed"), ("approve", "Approved"), ("queue", "Queued"), ("start", "Started")):
        rows += [(label, event.when, who(event)) for event in log.fired(name)] or [(label, NOT_REPORTED, "")]
    end = log.end
    rows.append(("Ended", NOT_REPORTED, "") if end is None else (f"Ended: {_words(end)}", end.when, who(end)))
    captured = [event for event in log.evidence if event.data["target"] == "active"]
    rows += [("Evidence captured", time_text(event.data["captured_at_us"]), who(event)) for event in captured]
    rows += [] if captured else [("Evidence captured", NOT_REPORTED, "")]
    return Section("Times", (), Table(("Step", "When", "By"), tuple(rows)))


def _words(end: Occurrence) -> str:
    reason: str | None = end.data["details"].get("end_reason")
    return _plain(end.data["target"]) + (f" ({_plain(reason)})" if reason else "")


def _objectives(log: RunLog) -> Section:
    details, end, born = log.details, log.end, log.born.entry
    point = None if log.is_imported else details.get("recovery_point_us")
    took = None if end is None else end.entry.at_us - born.at_us
    lost = None if point is None else born.at_us - point
    rows = (
        _measured("Recovery time (RTO)", details.get("rto_us_stated"), took, _until(end)),
        _measured(
            "Recovery point (RPO)", details.get("rpo_us_stated"), lost, _since(details.get("recovery_point_basis"))
        ),
    )
    return Section(
        "Objectives, stated and measured",
        (),
        Table(("Objective", "Stated", "Measured", "Difference", "Measured how"), rows),
        (_BEYOND,),
    )


_BEYOND = (
    "What went before the request, such as noticing the loss, is not in this record. A time says how long the run "
    "took; whether it recovered anything is said by the evidence below, and by nothing else."
)


def _since(basis: str | None) -> str:
    attested = "" if basis in {None, RecoveryPointBasis.STATED} else ", read off the backup and not attested,"
    return f"from the recovery point{attested} to the request"


def _until(end: Occurrence | None) -> str:
    return "from the request to the end of the run" + ("" if end is None else f": {_words(end)}")


def _measured(name: str, stated: int | None, found: int | None, how: str) -> tuple[str, ...]:
    told = [NOT_REPORTED if value is None else duration_text(value) for value in (stated, found)]
    return (name, *told, _difference(stated, found), how)


def _difference(stated: int | None, found: int | None) -> str:
    if stated is None or found is None:
        return NOT_REPORTED
    return f"{'within' if found <= stated else 'beyond'}, by {duration_text(abs(stated - found))}"


def _looked(log: RunLog) -> Iterator[tuple[Occurrence, dict[str, Any]]]:
    """Give each check with the event that it came with."""
    by_place = {event.place: event for event in log.evidence}
    return ((by_place[row.place], row.document) for row in log.content.checks)


def _evidence(log: RunLog) -> Section:
    pairs: list[Pair] = []
    for event in _last_of_each(log.evidence):
        details = event.data["details"]
        found = f"{event.data['target']}; verdict {_said(details.get('verdict'))}, level {_said(details.get('level'))}"
        looked = f"{_said(details.get('subjects_checked'))} subjects compared"
        made = f"{_said(details.get('producer'))}, {_said(details.get('method'))}"
        told = f"{event.data['subject']}: {found}; {looked}; made by {made}; recorded by {who(event)}"
        pairs.append(Pair("Snapshot", told))
    grave = sorted(_looked(log), key=lambda looked: looked[1]["result"] == "passed")
    rows = [
        (
            check["subject"],
            check["method"],
            check["level"],
            _said(check.get("expected")),
            _said(check.get("observed")),
            check["result"],
            who(event),
        )
        for event, check in grave
    ]
    head = ("Subject", "Method", "Level", "Expected", "Observed", "Result", "Run by")
    notes = () if pairs else ("No look at the target after the run is recorded in this bundle.",)
    return Section("Evidence: each check", tuple(pairs), _cut(head, rows, "checks.jsonl"), notes)


def _last_of_each(events: Iterable[Occurrence]) -> list[Occurrence]:
    return list({event.data["subject"]: event for event in events}.values())


def _exceptions(log: RunLog) -> Section:
    rows = list(_exceptional(log))
    head = ("What", "Where", "Why")
    return Section("Exceptions", (), _cut(head, rows, "items.jsonl and checks.jsonl"), () if rows else (_NONE,))


_NONE = "No item that did not succeed, no check that did not pass and no refusal is recorded in this bundle."


def _exceptional(log: RunLog) -> Iterator[tuple[str, str, str]]:
    yield from _refused(log)
    for row in log.content.items:
        item = row.document
        if item["result"] != "succeeded":
            why = ": ".join(filter(None, (item.get("reason_code"), item.get("message"))))
            yield f"Item {_plain(item['result'])}", item["key"], why or NOT_REPORTED
    for _, check in _looked(log):
        if check["result"] != "passed":
            yield f"Check {check['result']}", check["subject"], f"{check['method']}, level {check['level']}"
    if _disagree(log.details):
        yield "Counts disagree", "total reported and item rows", "see the counts above"


def _refused(log: RunLog) -> Iterator[tuple[str, str, str]]:
    for event in log.stream:
        data = event.data
        if event.entry.type is EventType.RUN_TRANSITION_REFUSED:
            guard = _plain(data.get("guard") or "the machine")
            why = f"refused by {guard}; tried by {who(event)}, {event.when}"
            yield f"Attempt: {_plain(data['event'])}", f"{data['machine']} was {_plain(data['source'])}", why
        elif event.entry.type is EventType.LINK_CONFLICTED:
            yield "Link that leads nowhere", str(data["link"]), f"{data['kind']}: counts as {_said(data['counts_as'])}"


def _shown_to(log: RunLog) -> Section:
    rows = [
        (event.when, event.data["viewer"]["id"], event.data["decision"]["status"], who(event), str(event.place))
        for event in log.views
    ]
    notes = ("Lists of runs name several runs; they are in the log, and in no bundle.",)
    table = _cut(("When", "To", "Decision shown", "Asked by", "Place in the log"), rows, "events.jsonl")
    return Section("Decision shown: to whom, and when", (), table, notes if rows else (_UNSEEN, *notes))


_UNSEEN = "No view of the decision of this run by itself is recorded in this bundle."


def _course(log: RunLog) -> Section:
    rows = [
        (
            event.when,
            _plain(event.data.get("event") or "begins"),
            _plain(event.data["target"]),
            who(event),
            str(event.place),
        )
        for event in log.moves
    ]
    return Section(
        "Course of the run", (), _cut(("When", "Event", "Status", "By", "Place in the log"), rows, "events.jsonl")
    )


def _verified(log: RunLog) -> Section:
    facts = log.content.facts
    return Section(
        "How to verify this bundle",
        (
            Pair("1", f"Get the key of the log from its owner by another way than this bundle, and compare: {log.key.text}"),
            Pair("2", 'Write a policy of two lines, "log KEY" and "quorum none", and run: proofgap audit verify BUNDLE --policy FILE'),
            Pair("3", "Or write a verifier of your own from the audit format, which needs no code of ours. Neither needs a network."),
        ),
        None,
        (f"Log {facts.origin}, {facts.checkpoint.size} events, root {facts.checkpoint.root}. Made by {facts.made_by}.",),
    )  # fmt: skip


def _limits(_log: RunLog) -> Section:
    return Section(
        "What this record does not prove",
        notes=(
            "That an application works with what was restored, unless a check above says that it was tried.",
            "That what was never recorded did not happen: a log proves what is in it, and in which order.",
            _WHOLE,
            "That a person is who the operating system says, and that the clock of that machine was right.",
            _JUDGEMENT,
        ),
    )


_WHOLE = (
    "That nothing was left out: that rests on the signature. Whoever holds the key can leave out the end of a stream, "
    "what somebody was shown, or a declaration. Only proofgap audit verify on the ledger, against a pin, shows that."
)
_JUDGEMENT = (
    "That any requirement of ISO 22301, DORA or NIS2 is met. It answers what their reviewers ask of a restore test; "
    "the judgement is theirs."
)
_SECTIONS = (
    *(_decided, _asked, _restored, _covered, _timed, _objectives),
    *(_evidence, _exceptions, _shown_to, _course, _limits, _verified),
)


def _cut(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], file: str) -> Table | None:
    """Show as many rows as a reader takes in, and say where the others are."""
    if not rows:
        return None
    more = f"{len(rows) - ROWS_MAX} more rows are in {file}." if len(rows) > ROWS_MAX else ""
    return Table(head, tuple(rows[:ROWS_MAX]), more)


def _said(value: object) -> str:
    return str(value) if value or value == 0 else NOT_REPORTED


def _plain(word: str) -> str:
    """Write the name of a status, an event or a reason as words."""
    return word.replace("_", " ")


def _named(label: str, subject: str | None) -> str:
    return label if subject is None else f"{label}: {subject}"


def _quoted(claims: Iterable[str]) -> str:
    return ", ".join(f"“{claim}”" for claim in claims)
