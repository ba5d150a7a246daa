"""What a worker does beside its runs, each in a thread of its own: nobody waits for it, and so many at once go on.

The pool that executes runs is the engine's: it takes runs from the ledger only, and a preview in it would keep a run
waiting that is queued. Refuses to know what is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from proofgap.errors import ProofgapError

_LOG = structlog.get_logger("proofgap.worker")
_LISTENS_SECONDS = 0.2


class Asides:
    """Works that go on beside the runs, each under a name."""

    def __init__(self, at_once_max: int) -> None:
        """Begin with none; say how many go on at once. The others wait for a place."""
        self._places = threading.BoundedSemaphore(at_once_max)
        self._threads: dict[str, threading.Thread] = {}

    @property
    def names(self) -> frozenset[str]:
        """What goes on, or waits for its place."""
        return frozenset(name for name, thread in list(self._threads.items()) if thread.is_alive())

    def begin(self, name: str, work: Callable[[], object]) -> None:
        """Begin a work as soon as there is a place; none, where one of that name goes on."""
        if name not in self.names:
            thread = threading.Thread(target=self._do, args=(work,), name=name, daemon=True)
            self._threads[name] = thread
            thread.start()

    def see_out(self, should_leave: Callable[[], bool]) -> None:
        """Wait until all has ended, or until it is to be left: whatever is half done is taken up by others."""
        while self.names and not should_leave():
            for name in self.names:
                self._threads[name].join(_LISTENS_SECONDS / len(self._threads))

    def _do(self, work: Callable[[], object]) -> None:
        with self._places:
            carefully(work)


def carefully(work: Callable[[], object]) -> None:
    """Do what is due for the fleet: what goes wrong there must not end the runs that are executed here."""
    try:
        work()
    except ProofgapError as error:
        _LOG.warning("worker.could_not_look_after_the_fleet", error=str(error))
    except Exception:  # noqa: BLE001 - a driver may break in any way, and the next look comes
        _LOG.exception("worker.could_not_look_after_the_fleet")
