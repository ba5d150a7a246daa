"""``verify``: whether the log is complete, unedited, in order and not rolled back, and whether the records follow from it.

Owns the order of the layers, how work is shared out, and what is reported. Everything is read in one snapshot, and
nothing is ever written or repaired: it works on a live ledger and on a copy of one. Memory stays flat: findings beyond
the first thousand are only counted. Refuses to know the single checks (`verify_tree`, `verify_streams`,
`verify_tables`).
"""

from __future__ import annotations

from proofgap.checkpoints import Checkpoint
from proofgap.findings import Code, Finding, verdict
from proofgap.replay import Report
from proofgap_store import tree
from proofgap_store.engine import Connection, rows
from proofgap_store.schema import drift
from proofgap_store.tree import StoredCheckpoint
from proofgap_store.verification import Anchors, Depth, Findings, Verification, said
from proofgap_store.verify_fleet import check_fleet, check_holds
from proofgap_store.verify_prunings import check_prunings, pruned_leaves
from proofgap_store.verify_streams import definitions_of
from proofgap_store.verify_tables import check_columns, check_foreign, check_receipts, check_sound, check_system
from proofgap_store.verify_tree import (
    Roots,
    check_notes,
    check_queue,
    opened,
    trust,
)
from proofgap_store.verify_work import Progress, Work, reading

_CHECKS = (
    *(check_sound, check_prunings, check_queue, check_foreign, check_columns, check_system, check_receipts),
    *(check_fleet, check_holds),
)
MERGE_DELAY_US_MAX = 60_000_000
"""How long an event may wait for its checkpoint before a verification warns of it."""

_DECLARED = {
    "audit.gap_declared": Code.GAP_DECLARED,
    "audit.restore_declared": Code.RESTORE_DECLARED,
}
_DECLARATIONS = f"""
SELECT event_id, type, stream, {said("data.reason")} AS reason FROM audit_event
WHERE type IN ('audit.gap_declared', 'audit.restore_declared') ORDER BY event_id
"""  # noqa: S608 - put together from our own text only
_COUNT = "SELECT count(*) AS n FROM audit_event"


def verify_file(url: str, anchors: Anchors, depth: Depth, progress: Progress | None = None) -> Verification:
    """Verify a ledger, or a copy of one, without opening it as a ledger: nothing is written, not even by accident.

    Raises:
        BadInputError: the URL is none, or an anchor is no signed checkpoint.
        UnavailableError: there is no ledger, or it cannot be read.

    """
    with reading(url) as connection:
        return verify(connection, anchors, depth, progress=progress, url=url)


def verify(
    connection: Connection,
    anchors: Anchors,
    depth: Depth,
    *,
    progress: Progress | None = None,
    url: str | None = None,
) -> Verification:
    """Verify a ledger in the snapshot of a reading transaction; with ``jobs``, ``url`` is where others read it too."""
    report = Findings(connection)
    _guards(connection, report)
    trusted = trust(connection, anchors.keys, report)
    marks = {name: opened(note, trusted, report) if note else None for name, note in _notes_of(anchors).items()}
    since = _since(connection, marks["since"], report)
    check_notes(connection, since, trusted, report)
    grown = Roots(connection, since, report)
    found = grown.walk(mark.size for mark in marks.values() if mark)
    _anchor(grown, found, marks, report)
    work = Work(connection, since, grown.tree.size, depth.jobs, url)
    pruned_before = max((leaves.stop for leaves in pruned_leaves(connection)), default=0)
    if not depth.is_quick:
        work.read_all(report, progress or _untold)
        definitions_of(connection, report)
        for check in _CHECKS:
            check(connection, report)
    _declared(connection, pruned_before, report)
    last = tree.last_checkpoint(connection)
    _waiting(connection, depth.now_us, report)
    _age(last, depth, report)
    anchor, unseen = _anchored(anchors, marks)
    return Verification(
        verdict=verdict(report.severities, is_quick=depth.is_quick),
        anchor=anchor,
        unseen=unseen,
        events=rows(connection, _COUNT)[0]["n"],
        size=grown.tree.size,
        root=grown.tree.root().hex() if grown.tree.size else None,
        checkpoint=last and last.note,
        pruned_before=pruned_before,
        since=since,
        counts=dict(report.counts),
        findings=tuple(report.kept),
    )


def _age(last: StoredCheckpoint | None, depth: Depth, report: Report) -> None:
    if last is None or depth.age_us_max is None or depth.now_us - last.at_us <= depth.age_us_max:
        return
    detail = f"it was signed {(depth.now_us - last.at_us) // 1_000_000} s ago"
    report(Finding(code=Code.STALE, detail=detail, index=last.size - 1))


def _untold(_done: int, _total: int) -> None:
    """Tell nobody how far it is."""


def _guards(connection: Connection, report: Report) -> None:
    found = drift(connection)
    for name in found.missing:
        report(Finding(code=Code.GUARD_MISSING, detail=name))
    for name in found.foreign:
        report(Finding(code=Code.GUARD_FOREIGN, detail=name))


def _notes_of(anchors: Anchors) -> dict[str, str | None]:
    return {"pin": anchors.pin, "head": anchors.head, "since": anchors.since}


def _since(connection: Connection, mark: Checkpoint | None, report: Report) -> int:
    """Give where to begin: after a checkpoint that was verified before, if this log still has it."""
    if mark is None:
        return 0
    if mark.size <= tree.size(connection):
        try:
            if tree.root_at(connection, mark.size) == mark.root:
                return mark.size
        except tree.MissingNodeError:
            pass
    report(Finding(code=Code.FORK, detail=f"--since: the first {mark.size} events are not those of that checkpoint"))
    return 0


def _anchor(grown: Roots, found: dict[int, bytes], marks: dict[str, Checkpoint | None], report: Report) -> None:
    """Hold the tree against the checkpoints that were kept outside."""
    for name in ("pin", "head"):
        mark = marks[name]
        if mark is None:
            continue
        if mark.size > grown.tree.size:
            detail = f"the {name} saw {mark.size} events, and {grown.tree.size} are here"
            report(Finding(code=Code.ROLLBACK, detail=detail, index=grown.tree.size))
        elif grown.root_of(mark.size, found) != mark.root:
            detail = f"the {name} saw other events among the first {mark.size}"
            report(Finding(code=Code.FORK, detail=detail, index=mark.size - 1))


def _anchored(anchors: Anchors, marks: dict[str, Checkpoint | None]) -> tuple[str, str]:
    """Say what the log was held against, and what that cannot see."""
    who = "" if anchors.keys else " The key is the log's own word: hand in the key that you trust, as --policy FILE."
    pin, head = marks["pin"], marks["head"]
    if pin is not None:
        return (
            f"pin of {pin.size} events",
            f"What was rewritten after those {pin.size} events, by whoever holds the key." + who,
        )
    if head is not None:
        return (
            f"head file of {head.size} events",
            "A database and head file that were rolled back, or rewritten by whoever holds the key, together." + who,
        )
    return "none", "A log that was cut at its end, or rewritten as a whole by whoever holds the key." + who


def _declared(connection: Connection, pruned_before: int, report: Report) -> None:
    """Name what was declared, for ever, and what was pruned."""
    for row in rows(connection, _DECLARATIONS):
        detail = f"reason given: {row['reason']}"
        report(Finding(code=_DECLARED[row["type"]], detail=detail, event_id=row["event_id"], stream=row["stream"]))
    if pruned_before:
        detail = f"payloads of 0 to {pruned_before - 1} pruned, root intact"
        report(Finding(code=Code.PRUNED, detail=detail, index=pruned_before - 1))


def _waiting(connection: Connection, now_us: int, report: Report) -> None:
    count, oldest = tree.queue(connection)
    if count and oldest is not None and now_us - oldest > MERGE_DELAY_US_MAX:
        seconds = (now_us - oldest) // 1_000_000
        detail = f"{count} events wait, the oldest for {seconds} s: the tree does not vouch for them yet"
        report(Finding(code=Code.UNSEQUENCED, detail=detail))
