"""Numbers for a monitoring system, in the text form of Prometheus: what was recorded, and what waits.

Counters count what was recorded since the server began, by whichever process: each time somebody asks, only what is new
is counted. They hold no id of a run or of a person. Whoever audits a part of the ledger is told the numbers of that
part, and whoever audits all of it those of the ledger itself as well. Owns the names. Refuses to know what the numbers mean for anybody.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from proofgap.audit import Actor, EventType
from proofgap_store import Backlog, Ledger, Tally
from proofgap_store.clock import now_us

MEDIA_TYPE = "text/plain; version=0.0.4"
_SECOND_US = 1_000_000
_COUNTED = {
    "proofgap_transitions_total": (
        "Moves of runs, operation runs and evidence.",
        {
            *(EventType.RUN_CREATED, EventType.RUN_TRANSITIONED, EventType.OPERATION_CREATED),
            *(EventType.OPERATION_TRANSITIONED, EventType.EVIDENCE_CREATED, EventType.EVIDENCE_TRANSITIONED),
        },
    ),
    "proofgap_refusals_total": (
        "Attempts that were refused.",
        {EventType.RUN_TRANSITION_REFUSED, EventType.ACCESS_DENIED},
    ),
    "proofgap_projections_total": (
        "Decisions made for the record or shown to somebody.",
        {EventType.DECISION_PROJECTED, EventType.DECISIONS_LISTED},
    ),
}


_Counted = tuple[str | None, str | None, str]
"""Workspace, environment and type of an event."""

_LEASE_AGE = ("proofgap_lease_age_seconds", "gauge", "Since the beat of whoever was silent longest.")


class Metrics:
    """Counts what is recorded; one for each site."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin to count with what comes from now on."""
        self._ledger, self._lock = ledger, Lock()
        self._counts: Counter[_Counted] = Counter()
        self._reached: int | None = None

    def begin(self) -> None:
        """Take the end of the log for the beginning."""
        self._reached = self._ledger.feed.settled()

    def text(self, actor: Actor) -> bytes:
        """Write every number that the actor may read.

        Raises:
            ForbiddenError: the actor audits nothing.

        """
        reach, counts = self._ledger.feed.reach(actor), Counter[str]()
        for (ws, env, kind), n in self._counted().items():
            counts[kind] += n if reach.covers(Tally(ws=ws, env=env, n=n)) else 0
        backlog = self._ledger.feed.backlog()
        queued = sum(tally.n for tally in backlog.queued if reach.covers(tally))
        depth = _line("proofgap_queue_depth", "gauge", "Runs that wait for a worker.", queued)
        return "".join([*_counters(counts), depth, *(self._gauges(backlog) if reach.is_all else ())]).encode()

    def _counted(self) -> dict[_Counted, int]:
        """Count what is new, once for everybody, and give all that was counted so far."""
        with self._lock:
            found = self._ledger.feed.tallies(self._reached or 0)
            self._counts.update({(tally.ws, tally.env, tally.type): tally.n for tally in found.found})
            self._reached = found.upto
            return dict(self._counts)

    def _gauges(self, backlog: Backlog) -> list[str]:
        """Write the numbers of the ledger itself."""
        failures = self._ledger.feed.log_failures()
        since = backlog.unsequenced_since_us
        lag = 0.0 if since is None else max(0, now_us() - since) / _SECOND_US
        silent = backlog.oldest_lease_us  # where nobody works, nobody is silent: then there is no number
        leases = [] if silent is None else [_line(*_LEASE_AGE, silent / _SECOND_US)]
        return [
            *leases,
            _line("proofgap_workers", "gauge", "Workers that have a lease.", backlog.workers),
            _line("proofgap_unsigned_events", "gauge", "Events that no checkpoint covers yet.", backlog.unsequenced),
            _line("proofgap_integration_lag_seconds", "gauge", "How long the oldest of them waits.", lag),
            _line("proofgap_log_copy_failures_total", "counter", "Log lines that could not be written.", failures),
        ]


def _counters(counts: Counter[str]) -> list[str]:
    lines = []
    for name, (meaning, kinds) in _COUNTED.items():
        lines.append(f"# HELP {name} {meaning}\n# TYPE {name} counter\n")
        lines += [f'{name}{{type="{kind}"}} {counts[kind]}\n' for kind in sorted(kinds)]
    return lines


def _line(name: str, kind: str, meaning: str, value: float) -> str:
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n"
