"""A worker as a process, for tests that kill, freeze and restart it: it executes runs by waiting, and leaves marks.

Started as ``python -m tests.conformance.crew``; what it is to do comes as one JSON object on the command line.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from proofgap.facts import RunEvent, RunStatus
from proofgap.records import RunDetails
from proofgap_app.worker.lease import here
from proofgap_app.worker.serve import Crew, Job
from proofgap_store import InlineDispatcher, Ledger, NewRun, NewWorker, ProcrastinateDispatcher, RunDispatcher
from tests.conformance.lives import PATHS, WIM, fire

DISPATCHERS = {
    "inline": lambda _url: InlineDispatcher(idle_seconds=0.05),
    "procrastinate": lambda url: ProcrastinateDispatcher(url, reconcile_seconds=1.0),
}
"""Every engine that the suite holds to the same nine scenarios: a new one is one more line here, and one in `SETUPS`."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do."""

    url: str
    folder: str
    engine: str = "inline"
    seconds: float = 0.2
    lease_us: int = 1_500_000
    concurrency: int = 1
    produce: bool = False  # queue one run and be killed, instead of working

    @property
    def dispatcher(self) -> RunDispatcher:
        """Give the engine."""
        return DISPATCHERS[self.engine](self.url)

    def open(self) -> Ledger:
        """Open the ledger, with this engine."""
        folder = Path(self.folder)
        ledger = Ledger.open(self.url, create=False, synchronous="NORMAL", key=folder / "key", head=folder / "head")
        ledger.fleet.deliver_by(self.dispatcher)
        return ledger


def mark(folder: str, what: str, run_id: str) -> None:
    """Leave a mark that everybody can read: what, which run, who, and when by the one clock of the machine."""
    line = f"{what} {run_id} {os.getpid()} {time.monotonic_ns()}\n"
    descriptor = os.open(Path(folder, "marks"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def work(orders: Orders) -> None:
    """Work until a signal says that it is enough: once to drain, twice to stop what is under way."""
    with orders.open() as ledger:

        def body(job: Job) -> None:
            run_id = job.claim.run.id
            mark(orders.folder, "start", run_id)
            end = time.monotonic() + orders.seconds
            while time.monotonic() < end and not (job.grip.should_stop() or job.stop.asked):
                time.sleep(0.005)
            mark(orders.folder, "end", run_id)
            event = RunEvent.CANCEL if time.monotonic() < end else RunEvent.COMPLETE
            ledger.fire(run_id, event, WIM, token=job.grip.token)

        new = here(NewWorker(name="-", lease_us=orders.lease_us, concurrency=orders.concurrency))
        crew = Crew(ledger=ledger, actor=WIM, new=new, body=body)
        signal.signal(signal.SIGTERM, lambda *_: crew.halt() if crew.is_draining else crew.drain())
        mark(orders.folder, "up", "-")
        crew.work()


def produce(orders: Orders) -> None:
    """Queue a run, and be killed the moment the ledger has said that it is queued."""
    with orders.open() as ledger:
        run_id = ledger.create(NewRun(details=RunDetails(purpose="killed")), WIM).run_id
        fire(ledger, run_id, *PATHS["queued"], actor=WIM)
        assert ledger.peek(run_id, WIM).status is RunStatus.QUEUED
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Orders)
    (produce if given.produce else work)(given)
