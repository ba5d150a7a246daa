"""The lease of one worker: a thread that says that it is alive, and hears what it must know.

Theory. Whoever executes runs is registered for as long as it does, and beats several times a lease, whatever its tools
are doing: so it beats from a thread of its own. The answer to a beat says which of its runs somebody wants stopped, and
which were taken from it because it was silent for too long; both are asked for by whoever executes, often.

While the database is away nothing is known, so nothing is stopped: nobody else can start anything there either, and
once it is back the next beat tells. Owns the thread. Refuses to know what is executed.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import structlog
from msgspec.structs import replace

from proofgap.audit import Actor
from proofgap.errors import ProofgapError
from proofgap_store import Beat, Claim, Ledger, NewWorker
from proofgap_store.dispatching import never

BEAT_SECONDS = 1.0
"""How long to wait between two beats."""

_BEATS_A_LEASE = 4
_LOG = structlog.get_logger("proofgap.worker")


class Grip:
    """One run that is being executed: the token to write with, and whether to stop."""

    def __init__(self, run_id: str, token: str, also: Callable[[], bool]) -> None:
        """Begin with nobody having asked; say who else may ask."""
        self.run_id, self.token, self._also = run_id, token, also
        self.is_lost = self.is_cancelled = False

    def should_stop(self) -> bool:
        """Tell whether the tool must stop: somebody asked for it, or the run was taken away."""
        return self.is_lost or self.is_cancelled or self._also()


class Lease:
    """A registered worker, as long as the context lasts."""

    def __init__(self, ledger: Ledger, actor: Actor, new: NewWorker) -> None:
        """Say who works."""
        self._ledger, self._actor, self._new = ledger, actor, new
        self._seconds = min(BEAT_SECONDS, new.lease_us / 1_000_000 / _BEATS_A_LEASE)
        self._grips: dict[str, Grip] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="beats", daemon=True)
        self.is_lost = False
        self.failed_beats = 0  # in a row
        self.failed_at = float("-inf")  # when a beat failed last, by the monotonic clock

    def __enter__(self) -> Self:
        """Register, and begin to beat."""
        self.worker = self._ledger.fleet.register(self._new, self._actor)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating, and retire; where that cannot be said, the silence will say it."""
        self._ended.set()
        self._thread.join()
        with suppress(ProofgapError):
            self._ledger.fleet.retire(self.worker.id, self._actor)

    @contextmanager
    def grip(self, claim: Claim, also: Callable[[], bool] = never) -> Iterator[Grip]:
        """Watch over a run while it is executed; ``also`` is how an engine says that it is to stop."""
        grip = self._grips[claim.run.id] = Grip(claim.run.id, claim.token, also)
        grip.is_lost = self.is_lost
        try:
            yield grip
        finally:
            del self._grips[claim.run.id]

    def _beat_on(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._hear(self._ledger.fleet.beat(self.worker.id, self._actor, list(self._grips)))
            except ProofgapError as error:
                self.failed_beats, self.failed_at = self.failed_beats + 1, time.monotonic()
                _LOG.warning("worker.beat_failed", worker=self.worker.id, error=str(error), in_a_row=self.failed_beats)
            else:
                self.failed_beats = 0

    def _hear(self, beat: Beat) -> None:
        self.is_lost = beat.is_lost
        for run_id, grip in list(self._grips.items()):
            grip.is_lost = grip.is_lost or beat.is_lost or run_id in beat.lost
            grip.is_cancelled = grip.is_cancelled or run_id in beat.cancel_requested


def here(new: NewWorker | None = None) -> NewWorker:
    """Name a worker after the machine and process that it is."""
    return replace(new or NewWorker(name="-"), name=f"{platform.node() or 'host'}:{os.getpid()}")
