"""The page for whoever was too late: what they looked at changed before they sent their form, and nothing was done.

Pure functions from what the ledger shows. Refuses to know what was wanted (`acting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proofgap.audit import EventType
from proofgap.records import RunRecord, SnapshotRecord
from proofgap_app.web.pages import addresses, trail, words
from proofgap_app.web.pages.about import About, Link, Section, Table, pairs
from proofgap_store import HistoryEvent

_HEADING = "Nothing was done: somebody was faster"


def of_run(record: RunRecord, events: Iterable[HistoryEvent], version: int, wrote: str) -> About:
    """Say what moved a run since a version of it, as far as its last events tell, and lead to it as it is now.

    Args:
        record: the run as it is now.
        events: its last events, newest first.
        version: the one that was looked at.
        wrote: what was typed, to be taken along.

    """
    moved = tuple(map(trail.cells, trail.rows(record.id, reversed(list(_since(events, version))))))
    now = f"You looked at version {version}. It is version {record.version} now, and the run is {words.plain(record.status)}."
    are_all = not moved or len(moved) >= record.version - version
    notes = (
        (now,) if are_all else (now, f"These are the last {words.amount(len(moved), 'move')}; its log holds them all.")
    )
    meanwhile = Section("What happened meanwhile", notes=notes, table=Table(trail.HEAD, moved) if moved else None)
    return _page(record, meanwhile, Link("Look at the run as it is now", addresses.run(record.id)), wrote)


def of_snapshot(record: RunRecord, snapshot: SnapshotRecord, wrote: str) -> About:
    """Say that a snapshot is not the current one any more, and lead to the evidence as it is now."""
    meanwhile = Section("What happened meanwhile", notes=(f"The snapshot {snapshot.id} is {snapshot.status} now.",))
    now = Link("Look at the evidence as it is now", addresses.run(record.id, "evidence"))
    return _page(record, meanwhile, now, wrote)


def _page(record: RunRecord, meanwhile: Section, following: Link, wrote: str) -> About:
    typed = pairs({"What you wrote": wrote}) if wrote else ()
    return About(record.id, _HEADING, "Too late", (meanwhile, Section("What next", pairs=typed, links=(following,))))


def _since(events: Iterable[HistoryEvent], version: int) -> Iterator[HistoryEvent]:
    for event in events:
        match {} if event.is_pruned else event.entry:
            case {"type": EventType.RUN_TRANSITIONED, "data": {"version": int(reached)}} if reached > version:
                yield event
            case _:
                continue
