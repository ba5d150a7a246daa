"""``proofgap worker``: execute what is queued, one process on each machine, until told to end.

Owns options and signals. Refuses to know the loop (`proofgap_app.worker.serve`) and what is executed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from cyclopts import App, Parameter
from msgspec.structs import replace

from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.text import check_id
from proofgap_app import drivers
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, Whole, naming, seconds
from proofgap_app.cli.problems import Exit
from proofgap_app.worker.health import served
from proofgap_app.worker.lease import here
from proofgap_app.worker.serve import Crew
from proofgap_app.worker.unattended import Hands
from proofgap_store import Ledger, NewWorker

_LOG = structlog.get_logger("proofgap.worker")
_PORT_MAX = 65_535

app = App(
    name="worker",
    help="Execute what is queued, until told to end: one on each machine.",
    help_prologue="""Examples:
  proofgap worker
  proofgap worker --serve default/production --serve default/staging --concurrency 4
  proofgap worker --driver files --lease 120s --metrics 9464
""",
    help_epilogue="SIGTERM or Ctrl-C: take nothing new, and end when what is under way has ended. Once more: stop the tools, too.",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a worker takes.

    Attributes:
        serve: an environment that it serves, as WORKSPACE/ENVIRONMENT, or WORKSPACE/*; several times for several. Else all in which you may execute runs.
        driver: a driver that it uses; several times for several. All that are installed here, unless given.
        concurrency: how many runs it executes at once; 1 unless given.

    """

    serve: tuple[str, ...] = ()
    driver: tuple[str, ...] = ()
    concurrency: Whole = 1


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long it waits.

    Attributes:
        lease: how long it may be silent before its runs are taken from it, such as 120s; 90s unless given.
        patience: how long it keeps what it has to record while the database is away, such as 30m; 10m unless given.

    """

    lease: str = "90s"
    patience: str = "10m"


_LABELS, _TIMES = Labels(), Times()


@app.default
def worker(
    *, labels: Labels = _LABELS, times: Times = _TIMES, metrics: Whole | None = None, access: Access = ACCESS
) -> int:
    """Execute what is queued, until told to end.

    Args:
        metrics: serve /healthz and /metrics on this port of the loopback interface; 0 chooses a free one.

    """
    if metrics is not None and not 0 <= metrics <= _PORT_MAX:
        raise BadInputError("--metrics", f"{metrics} is no port", "Use 0 to 65535.")
    new, patience_s = wanted(labels, times), seconds("--patience", times.patience)
    actor = as_worker(me())
    names = {"environments": "--serve", "new.concurrency": "--concurrency", "new.lease_us": "--lease"}
    with opened(access) as ledger, naming(**names):
        warn_of_powers(ledger)
        crew = crew_of(ledger, actor, new, patience_s)
        with _told(crew), served(crew, metrics) as port:
            if port is not None:
                output.note(f"Health and metrics: http://127.0.0.1:{port}/healthz and /metrics")
            crew.work()
    _LOG.info("worker.ended_its_work", **crew.counts)
    return Exit.OK


def warn_of_powers(ledger: Ledger) -> None:
    """Say in the log why no guard of the database holds this worker, where its user could switch them off."""
    for power in ledger.database.powers():
        _LOG.warning(
            "worker.held_by_no_guard", because=power, remedy="Log in as a member of proofgap_app: see db roles."
        )


def crew_of(ledger: Ledger, actor: Actor, new: NewWorker, patience_s: float) -> Crew:
    """Give the threads of a worker that restores, unattended."""
    hands = Hands(ledger=ledger, actor=actor, patience_s=patience_s)
    return Crew(ledger=ledger, actor=actor, new=new, body=hands.execute, look_after=hands.look_after)


def as_worker(person: Actor) -> Actor:
    """Give who works: the account that the process runs as, as a worker."""
    return replace(person, kind="worker", via="worker")


def wanted(labels: Labels = _LABELS, times: Times = _TIMES) -> NewWorker:
    """Describe the worker that is to be registered.

    Raises:
        BadInputError: a label names no scope, or a driver is none that works here.

    """
    for label in labels.serve:
        check_id("--serve", label)
    with naming(driver="--driver"):
        for name in labels.driver:
            drivers.driver_for(name, Path())
    return here(
        NewWorker(
            name="-",
            environments=labels.serve,
            drivers=labels.driver or drivers.usable(),
            concurrency=labels.concurrency,
            lease_us=round(seconds("--lease", times.lease) * 1_000_000),
        )
    )


@contextmanager
def _told(crew: Crew) -> Iterator[None]:
    """Turn the first signal into draining, and the next one into stopping the tools."""

    def end(number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        if crew.is_draining:
            output.note(f"proofgap: {name} again: stopping what is under way.")
            crew.halt()
        else:
            output.note(f"proofgap: {name}: taking nothing new; once more stops what is under way.")
            crew.drain()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
