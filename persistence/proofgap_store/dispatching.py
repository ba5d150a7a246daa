"""The seam between the ledger and an engine that brings queued runs to workers: four methods, and who calls them.

Theory. The run's row is the authority; an engine only delivers the id of a run. Whatever it delivers twice, late or to
two workers at once, the claim (`Fleet.claim`, one compare-and-set in the database) lets one of them through. So an
engine may be at-least-once, and may even lose a delivery, if something enqueues the run again.

How it is called:

- ``enqueue``, ``cancel`` and ``release`` are called by the gate, on the connection and inside the transaction that wrote
  the event, after it was inserted: ``queue`` calls ``enqueue``; ``request_cancel`` calls ``cancel``; whatever ends a run,
  in whatever way, calls ``release``, and so does ``start`` never. They never commit, and never write to the ledger's own
  tables. What they raise undoes the whole write, except inside a savepoint of their own.
- ``serve`` is called by a worker, blocks, and calls ``execute`` for each delivery, from at most ``concurrency`` threads.
  It returns once ``stop`` is set and the last ``execute`` has returned (drain); it takes nothing new from then on.
- ``execute(run_id, should_stop)`` claims that run and executes it to its end; with ``None`` instead of a run it claims
  the next one that this worker may have. It gives whether there was anything to do. It never raises.
  ``should_stop`` is how the engine says that it was told to stop this run; an engine that cannot be told gives `never`.
  Beats, cancel requests, lost leases and fencing are the worker's business and need no engine.

Owns the protocol and the choice of what the gate tells an engine. Refuses to know any engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from proofgap.audit import EventType
from proofgap.facts import TERMINAL_RUN_STATUSES, RunEvent
from proofgap.records import RunDetails
from proofgap_store.audit_log import Linked
from proofgap_store.dialect import Connection

ShouldStop = Callable[[], bool]
Execute = Callable[[str | None, ShouldStop], bool]


def never() -> bool:
    """Say that nobody asked this engine to stop a run."""
    return False


class Deliverable(NamedTuple):
    """What an engine is told of a run: its id, where it restores, how urgent it is (higher first), and for whom it is kept."""

    id: str
    workspace: str
    environment: str
    priority: int
    deadline_us: int | None
    driver: str | None
    worker: str | None  # kept for this worker: whoever else is handed it gets nothing


class RunDispatcher(Protocol):
    """An engine that brings queued runs to workers; see the module for who calls what, and in which transaction."""

    def enqueue(self, connection: Connection, run: Deliverable) -> None:
        """Take note of a run that was queued, in the transaction that queues it. Idempotent."""
        ...

    def cancel(self, connection: Connection, run: Deliverable) -> None:
        """Wake whoever executes a run that was asked to stop, once the transaction is committed. May do nothing."""
        ...

    def release(self, connection: Connection, run: Deliverable) -> None:
        """Forget a run that has ended. Idempotent: it may be called for a run that is not known."""
        ...

    def serve(self, execute: Execute, *, name: str, concurrency: int, stop: threading.Event) -> None:
        """Deliver runs to one worker until ``stop`` is set; then let what is under way end, and return.

        Raises:
            UnavailableError: only where it was started while the database could not be reached; later it waits.

        """
        ...


_QUEUED, _ASKED = RunEvent.QUEUE.value, RunEvent.REQUEST_CANCEL.value
_ENDED = frozenset(status.value for status in TERMINAL_RUN_STATUSES)


def tell(dispatcher: RunDispatcher, connection: Connection, events: Iterable[Linked]) -> None:
    """Tell an engine of what was just written."""
    for event in events:
        if event.type is not EventType.RUN_TRANSITIONED:
            continue
        run = _deliverable(event)
        if event.data["event"] == _QUEUED:
            dispatcher.enqueue(connection, run)
        elif event.data["event"] == _ASKED:
            dispatcher.cancel(connection, run)
        elif event.data["target"] in _ENDED:
            dispatcher.release(connection, run)


def _deliverable(event: Linked) -> Deliverable:
    details: RunDetails = event.data["details"]
    return Deliverable(
        id=event.data["subject"],
        workspace=event.workspace or "",  # a run has both
        environment=event.environment or "",
        priority=details.priority or 0,
        deadline_us=details.deadline_us,
        driver=details.driver,
        worker=details.worker,
    )
