"""What goes on in a server beside its answers: the log is signed every few seconds.

A checkpoint that cannot be made is said once, and tried again; nothing waits for it. Owns the thread. Refuses to know
how a checkpoint is made (`proofgap_store.sequencer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from proofgap.errors import ProofgapError
from proofgap_store import Ledger

Tell = Callable[[str], None]


@contextmanager
def signing(ledger: Ledger, seconds: float, tell: Tell) -> Iterator[None]:
    """Sign the log every few seconds until the block ends, and once more then.

    Args:
        ledger: the ledger.
        seconds: how long to wait between two looks for events that no checkpoint covers.
        tell: is told what keeps a checkpoint from being made, whenever that changes.

    """
    stopping = Event()
    thread = Thread(target=_sign, args=(ledger, seconds, tell, stopping), name="sequencer")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _sign(ledger: Ledger, seconds: float, tell: Tell, stopping: Event) -> None:
    said: str | None = None
    is_last = False
    while not is_last:
        is_last = stopping.wait(seconds)
        problem = _signed(ledger)
        if problem is not None and problem != said:
            tell(problem)
        said = problem


def _signed(ledger: Ledger) -> str | None:
    """Make a checkpoint where one is due; give what kept it from being made."""
    try:
        if ledger.audit.waiting():
            ledger.audit.checkpoint()
    except ProofgapError as error:
        return str(error)
    return None
