"""The engine that is none: queued runs are claimed in place, from the table of runs.

Theory. What is queued is a row already, in the transaction that queued it, so there is nothing to enqueue, nothing that
can get lost between two stores, and nothing to reconcile. A worker's threads ask for the next run, one statement each;
on PostgreSQL each passes over what another one has locked. Whoever finds nothing waits a moment and asks again.

Owns the loop. Refuses to know runs, claims and databases: `execute` does.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from proofgap_store.dialect import Connection
from proofgap_store.dispatching import Deliverable, Execute, never

IDLE_SECONDS = 0.5
"""How long a thread that found nothing waits before it asks again."""


class InlineDispatcher:
    """Delivers runs by letting each thread ask for the next one."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Say how long to wait when nothing is there."""
        self._idle_seconds = idle_seconds

    def enqueue(self, connection: Connection, run: Deliverable) -> None:
        """Do nothing: the row of the run is what waits."""

    def cancel(self, connection: Connection, run: Deliverable) -> None:
        """Do nothing: the next beat says it."""

    def release(self, connection: Connection, run: Deliverable) -> None:
        """Do nothing: there is no row of ours."""

    def serve(self, execute: Execute, *, name: str, concurrency: int, stop: threading.Event) -> None:
        """Ask for runs in as many threads as may be executed at once, until ``stop`` is set."""
        with ThreadPoolExecutor(concurrency, thread_name_prefix=name) as pool:
            for ended in [pool.submit(self._ask, execute, stop) for _ in range(concurrency)]:
                ended.result()

    def _ask(self, execute: Execute, stop: threading.Event) -> None:
        while not stop.is_set():
            if not execute(None, never):
                stop.wait(self._idle_seconds)
