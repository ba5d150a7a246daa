"""How long records stay in each status, read from the log alone.

A stay begins when a record enters a status and ends when it leaves it, both by time of recording; an event that
leads back to the same status ends nothing. A stay that has not ended is not counted, and neither is one that ended
before it began, because a clock was set back, or whose beginning was pruned. Owns these rules. Refuses to estimate: percentiles are stays that happened.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import msgspec

from proofgap.admission import admitted
from proofgap.audit import EventType
from proofgap.facts import Count, Struct
from proofgap.records import Machine
from proofgap.tables import statuses
from proofgap_store import questions
from proofgap_store.engine import Connection
from proofgap_store.questions import Selection
from proofgap_store.shapes import LogQuery

_TYPES = {
    Machine.RUN: (EventType.RUN_CREATED, EventType.RUN_IMPORTED, EventType.RUN_TRANSITIONED),
    Machine.OPERATION: (EventType.OPERATION_CREATED, EventType.OPERATION_IMPORTED, EventType.OPERATION_TRANSITIONED),
    Machine.EVIDENCE: (EventType.EVIDENCE_CREATED, EventType.EVIDENCE_IMPORTED, EventType.EVIDENCE_TRANSITIONED),
}
_PERCENTS = (50, 90, 99)


class StayQuery(Struct):
    """Whose stays to count: those of one machine's records that ended from ``since_us`` on and before ``until_us``."""

    machine: Machine = Machine.RUN
    workspace: str | None = None
    environment: str | None = None
    since_us: Count | None = None
    until_us: Count | None = None


class Stays(Struct):
    """How many stays in one status ended, and how long they were, in microseconds; ``None`` where there was none."""

    status: str
    count: int
    p50_us: int | None
    p90_us: int | None
    p99_us: int | None
    max_us: int | None


class _Stay(NamedTuple):
    """A record in a status, since when and until when."""

    status: str
    began_us: int
    ended_us: int


class _Entry(NamedTuple):
    """When a record entered the status that it is in."""

    status: str
    at_us: int


class _Moved(msgspec.Struct, frozen=True):
    """What an event says of a move; everything else in it is passed over."""

    subject: str
    target: str
    source: str | None = None


class _Event(msgspec.Struct, frozen=True):
    rec_us: int
    data: _Moved


_EVENTS = msgspec.json.Decoder(_Event)


def durations(connection: Connection, query: StayQuery, principal: str) -> tuple[Stays, ...]:
    """Count the time in each status of a machine, in the order of its statuses.

    Raises:
        ForbiddenError: whoever asks audits nothing.

    """
    query = admitted("query", query)
    where = LogQuery(workspace=query.workspace, environment=query.environment, types=_TYPES[query.machine])
    chosen = questions.selection(where, questions.audited(connection, principal))
    lengths = {status: array("q") for status in statuses(query.machine)}
    for stay in _stays(connection, chosen):
        if _is_asked_for(stay, query):
            lengths.setdefault(stay.status, array("q")).append(stay.ended_us - stay.began_us)
    return tuple(_measured(status, sorted(found)) for status, found in lengths.items())


def _stays(connection: Connection, chosen: Selection) -> Iterator[_Stay]:
    """Follow every record through its statuses; only those that are in one now are kept in mind."""
    entered: dict[str, _Entry] = {}
    for logged in questions.each(connection, questions.kept(chosen)):
        with questions.reading(logged):
            event = _EVENTS.decode(logged.payload)
        subject, target = event.data.subject, event.data.target
        before = entered.get(subject)
        if before is not None and before.status != target:
            yield _Stay(before.status, before.at_us, event.rec_us)
        if event.data.source != target and (before is None or before.status != target):
            entered[subject] = _Entry(target, event.rec_us)


def _is_asked_for(stay: _Stay, query: StayQuery) -> bool:
    since_us = stay.began_us if query.since_us is None else max(stay.began_us, query.since_us)
    return since_us <= stay.ended_us and (query.until_us is None or stay.ended_us < query.until_us)


def _measured(status: str, lengths: list[int]) -> Stays:
    p50, p90, p99 = (_percentile(lengths, percent) for percent in _PERCENTS)
    return Stays(
        status=status,
        count=len(lengths),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        max_us=lengths[-1] if lengths else None,
    )


def _percentile(lengths: list[int], percent: int) -> int | None:
    """Give the shortest length that so many percent of them do not exceed (nearest rank)."""
    return lengths[ceil(len(lengths) * percent / 100) - 1] if lengths else None
