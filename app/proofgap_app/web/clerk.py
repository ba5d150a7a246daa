"""What goes on in a server beside its answers: the log is signed every few seconds, and lost workers are looked for.

What fails is said once, and tried again; nothing waits for it. Owns the threads. Refuses to know how a checkpoint is
made (`proofgap_store.sequencer`), and what becomes of what a lost worker held (`proofgap_store.reaping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from proofgap.audit import Actor
from proofgap.errors import ProofgapError
from proofgap_store import Ledger

Tell = Callable[[str], None]
Task = Callable[[], str | None]
"""Does what is due, and gives what kept it from being done."""


@contextmanager
def signing(ledger: Ledger, seconds: float, tell: Tell) -> Iterator[None]:
    """Sign the log every few seconds until the block ends, and once more then.

    Args:
        ledger: the ledger.
        seconds: how long to wait between two looks for events that no checkpoint covers.
        tell: is told what keeps a checkpoint from being made, whenever that changes.

    """

    def sign() -> None:
        if ledger.audit.waiting():
            ledger.audit.checkpoint()

    try:
        with _beside("sequencer", _task(sign), seconds, tell):
            yield
    finally:
        problem = _task(sign)()
        if problem is not None:
            tell(problem)


@contextmanager
def looking_for_lost(ledger: Ledger, actor: Actor, seconds: float, tell: Tell) -> Iterator[None]:
    """Look every few seconds for workers that were silent for too long, until the block ends; where no worker does.

    The first look comes after that time: where nobody was there to hear them, all have been silent.
    """
    with _beside("reaper", _task(lambda: ledger.fleet.reap_in_a_file(actor)), seconds, tell):
        yield


@contextmanager
def _beside(name: str, task: Task, seconds: float, tell: Tell) -> Iterator[None]:
    stopping = Event()
    thread = Thread(target=_repeat, args=(task, seconds, tell, stopping), name=name)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _repeat(task: Task, seconds: float, tell: Tell, stopping: Event) -> None:
    said: str | None = None
    while not stopping.wait(seconds):
        problem = task()
        if problem is not None and problem != said:
            tell(problem)
        said = problem


def _task(work: Callable[[], object]) -> Task:
    def tried() -> str | None:
        try:
            work()
        except ProofgapError as error:
            return str(error)
        return None

    return tried
