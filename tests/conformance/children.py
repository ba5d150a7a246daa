"""Processes of their own: what they do to a ledger, and how a test starts several of them at once."""

from __future__ import annotations

import multiprocessing
from typing import Any

import structlog

from proofgap.errors import ProofgapError
from proofgap.facts import ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item
from proofgap_store import Ledger, NewRun, upgrade
from tests.conformance.faults import Plan, armed, die, expose, expose_files
from tests.conformance.lives import ADA, PASSED, PATHS, fire
from tests.conformance.places import Place
from tests.conformance.pruning import prune

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.conformance.children"])
ITEMS = [Item(key=key, result=ItemResult.SUCCEEDED) for key in ("a", "b")]
KEYED = {
    "create": lambda ledger, _: ledger.create(NewRun(), ADA, key="k-create"),
    "queue": lambda ledger, id_: ledger.fire(id_, RunEvent.QUEUE, ADA, key=f"k-{id_}"),
    "report": lambda ledger, id_: ledger.fire(id_, RunEvent.REPORT, ADA, items=ITEMS, key=f"k-{id_}"),
    "complete": lambda ledger, id_: ledger.fire(id_, RunEvent.COMPLETE, ADA, key=f"k-{id_}"),
    "activate": lambda ledger, id_: ledger.fire_evidence(
        id_, SnapshotEvent.ACTIVATE, ADA, checks=PASSED, key=f"k-{id_}"
    ),
}
"""Writes under a key: each of them can be asked again after a crash."""


def opened(place: Place) -> Ledger:
    """Open the ledger of a test, and say nothing on the way."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return place.open()


SIGNING = {
    "checkpoint": lambda ledger: ledger.audit.checkpoint(),
    "rotate": lambda ledger: ledger.audit.rotate_key(ADA),
}
"""What is done with the key file and the head file as well as with the database."""
DEADLY = {
    "write": lambda ledger, write, subject: KEYED[write](ledger, subject),
    "sign": lambda ledger, work: SIGNING[work](ledger),
    "prune": lambda ledger, export: prune(ledger, export, events=12),
}
"""What a process does when it is killed."""


def crash(place: Place, number: int, side: str, work: str, *arguments: str) -> None:
    """Do some work, and die at one step of it: a statement, or a step of a file."""
    ledger = expose(opened(place))
    if work == "sign":
        expose_files()
    armed(Plan(number, side, die), lambda: DEADLY[work](ledger, *arguments))


def killed(place: Place, number: int, side: str, work: str, *arguments: str) -> bool:
    """Let a process do some work and die in it; tell whether it did die of that."""
    child = PROCESSES.Process(target=crash, args=(place, number, side, work, *arguments))
    child.start()
    child.join(60)
    return child.exitcode == -9


def sign_or_live(place: Place, number: int) -> str:
    """Sign again and again, or lead runs from birth to end, at the same time as everybody else."""
    with opened(place) as ledger:
        ready()
        for _ in range(6):
            if number % 2:
                _answer(ledger.audit.checkpoint)
            else:
                fire(ledger, ledger.create(NewRun(environment=f"e{number}"), ADA).run_id, *PATHS["completed"])
        return _answer(lambda: type(ledger.audit.checkpoint()).__name__)


def rotate_and_sign(place: Place, number: int) -> str:
    """Put a new key in force at the same time as everybody else, and sign with whichever is."""
    with opened(place) as ledger:
        ready()
        return _answer(lambda: SIGNING["rotate"](ledger) and type(ledger.audit.checkpoint()).__name__)


def upgrade_at_once(place: Place, number: int) -> str:
    """Bring a ledger up at the same time as everybody else."""
    ready()
    return _answer(lambda: upgrade(place.url).after)


def try_event(place: Place, number: int, run_id: str, event: str) -> str:
    """Fire one event; give the status it led to, or the name of the error."""
    with opened(place) as ledger:
        ready()
        return _answer(lambda: ledger.fire(run_id, RunEvent(event), ADA).status)


def try_key(place: Place, number: int, run_id: str) -> str:
    """Fire one event under the same key as everybody else; give the receipt's event."""
    with opened(place) as ledger:
        ready()
        return _answer(lambda: str(ledger.fire(run_id, RunEvent.COMPLETE, ADA, key="everybody").event_id))


def live_alone(place: Place, number: int) -> str:
    """Lead a run of one's own, in an environment of one's own, from its birth to its end."""
    with opened(place) as ledger:
        ready()
        run_id = ledger.create(NewRun(environment=f"e{number}"), ADA).run_id
        fire(ledger, run_id, *PATHS["completed"])
        return ledger.show(run_id, ADA.id, ADA).record.status.value


def begin_at_once(place: Place, number: int) -> str:
    """Open, and so create, the ledger that everybody else creates too."""
    ready()
    with opened(place) as ledger:
        return ledger.create(NewRun(), ADA).status


def _answer(work: Any) -> str:
    try:
        return str(work())
    except ProofgapError as error:
        return type(error).__name__


_barrier: list[Any] = []


def ready() -> None:
    """Wait until everybody else is ready too."""
    _barrier[0].wait(60)


def _begin(barrier: Any, answers: Any, work: Any, arguments: tuple[Any, ...]) -> None:
    _barrier[:] = [barrier]
    try:
        answers.put(work(*arguments))
    except BaseException as error:  # noqa: BLE001 - a test must see whatever came out
        answers.put(f"{type(error).__name__}: {error}")


def together(work: Any, place: Place, *arguments: Any, count: int = 8) -> list[str]:
    """Let processes do the same work at the same moment; give their answers, sorted."""
    barrier, answers = PROCESSES.Barrier(count), PROCESSES.SimpleQueue()
    children = [
        PROCESSES.Process(target=_begin, args=(barrier, answers, work, (place, number, *arguments)))
        for number in range(count)
    ]
    for child in children:
        child.start()
    found = sorted(answers.get() for _ in children)
    for child in children:
        child.join(60)
    return found
