"""How fast workers claim: ``python -m benchmarks.queue``, and with ``--claims 100000`` whether each run is started once.

One claim is one start: a run is chosen, its environment locked, and the events of the start are written. The floor is a
bare loop on a copy of the same database: it chooses with ``FOR UPDATE SKIP LOCKED`` and inserts the very payloads that the
ledger wrote for that run, with the same triggers, and does nothing else. Both commit to the disk. Both run in as many
processes, one after the other, on PostgreSQL, and the clock runs once each process has claimed a few: until then drivers
learn statements, and the ledger looks at its guards. Ratios are to be read, not times: the processes share the processors
with the server.

Every run waits in an environment of its own, so that none waits for another one. A worker holds at most fifty runs, as
workers do, then the next one goes on: how many it holds is counted with each claim.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from proofgap.audit import GENESIS, Actor, EventType, run_stream, system_stream
from proofgap.facts import RunEvent
from proofgap.hooks import ProjectForRecord
from proofgap.moves import begin, move
from proofgap.records import Moment, RunDetails, draft
from proofgap_store import Ledger, NewWorker
from proofgap_store.audit_log import Draft, Head, Linked, head_of, link
from proofgap_store.clock import new_id, now_us
from proofgap_store.gate import Writing
from proofgap_store.read import law
from proofgap_store.transitions import Call, Plan, writing
from tests import postgresql

ACTOR = Actor(id="bench", kind="worker", via="worker")
PROCESSES = (1, 2, 8)
RUNS_EACH = 400
WARM = 10
BATCH = 200
HELD = 50
_DURABLE = ("autovacuum=off", "max_connections=50")
_HOOKS = ProjectForRecord()
_PREPARED = (RunEvent.SCOPE, RunEvent.CHECK, RunEvent.PREVIEW, RunEvent.QUEUE)
_BARE = """
SELECT r.id FROM restore_run AS r WHERE r.status = 'queued' AND r.imported = 0
ORDER BY r.priority DESC, r.last_event_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED
"""
_STARTS = """
SELECT run, payload, leaf FROM audit_event
WHERE stream = 'run/' || run AND event_id > %s ORDER BY event_id
"""


def queued(number: int) -> list[Linked]:
    """Give the events that lead one run to the queue, computed by the core as the ledger does, without its transactions."""
    record = draft(new_id("rr"), ("default", f"e{number}"), RunDetails(), ACTOR.id, is_dry_run=False)
    call = Call(ACTOR, now_us(), now_us(), None, "")
    events: list[Linked] = []
    step = begin(record, hooks=_HOOKS)
    for event in (None, *_PREPARED):
        if event is not None:
            moment = Moment(at_us=call.rec_us, actor=ACTOR.id, new_id=new_id("op"))
            step = move(step.record, event, RunDetails(), moment=moment, hooks=_HOOKS)
        head = Head(run_stream(record.id), len(events), events[-1].leaf if events else GENESIS)
        events += writing(call, head, Plan(record.id, step), 0).events
    return events


def fill(ledger: Ledger, first: int, count: int) -> None:
    """Let runs wait, each in an environment of its own."""
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        drafts = [
            Draft(EventType.ENVIRONMENT_DECLARED, "default", f"e{n}", None, None, {"approvals_required": 0})
            for n in numbers
        ]
        ledger._gate.write(_writing(drafts))  # noqa: SLF001 - thousands of runs, and no time for a transaction each
        events = [event for n in numbers for event in queued(n)]
        ledger._gate.write(lambda _connection, events=events: Writing(events=events, answer=len))  # noqa: SLF001 - as above


def _writing(drafts: list[Draft]) -> Callable[[Any], Writing[int]]:
    def prepare(connection: Any) -> Writing[int]:  # noqa: ANN401 - of whichever driver
        events = link(head_of(connection, system_stream("ledger")), drafts, ACTOR, now_us(), now_us())
        return Writing(events=events, answer=len, law=law(connection) + len(events))

    return prepare


def claim_all(url: str, folder: str, workers: list[str], barrier: Any, answers: Any) -> None:  # noqa: ANN401 - of multiprocessing
    """Claim until nothing waits; answer with the runs."""
    with Ledger.open(url, create=False, key=Path(folder, "key"), head=Path(folder, "head")) as ledger:
        answers.put(taken_until_empty(partial(claimed, ledger, workers), barrier))


def claimed(ledger: Ledger, workers: list[str]) -> str | None:
    """Claim a run for the first worker that may have one more; give its id."""
    claim = ledger.fleet.claim(workers[0], ACTOR)
    if claim is None and len(workers) > 1:  # it holds as many as it may, or nothing waits: the next one knows
        workers.pop(0)
        return claimed(ledger, workers)
    return None if claim is None else claim.run.id


def hired(ledger: Ledger, processes: int, count: int) -> list[list[str]]:
    """Register workers for each process, for half as many runs again as are its share."""
    new = NewWorker(name="w", concurrency=HELD, lease_us=86_400_000_000)
    each = 1 + count * 3 // (2 * HELD * processes)
    return [[ledger.fleet.register(new, ACTOR).id for _ in range(each)] for _ in range(processes)]


def taken_until_empty(take: Callable[[], str | None], barrier: Any) -> list[str]:  # noqa: ANN401 - of multiprocessing
    """Take a few, wait for the others, take until nothing waits; the few are not timed, and they count as taken."""
    taken = [run for _ in range(WARM) if (run := take()) is not None]
    barrier.wait()
    return [*taken, *iter(take, None)]


def claim_bare(url: str, starts: dict[str, list[tuple[str, str]]], barrier: Any, answers: Any) -> None:  # noqa: ANN401 - as above
    """Do the same with the bare driver."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = proofgap, pg_temp")
        answers.put(taken_until_empty(partial(claimed_bare, connection, starts), barrier))


def claimed_bare(connection: psycopg.Connection[Any], starts: dict[str, list[tuple[str, str]]]) -> str | None:
    """Choose a run and insert its start; give its id."""
    connection.execute("BEGIN")
    found = connection.execute(_BARE).fetchone()
    events = [] if found is None else starts[found[0]]
    if events:
        values = ", ".join("(%s, %s)" for _ in events)
        flat = [part for event in events for part in event]
        statement = f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id"
        connection.execute(statement.encode(), flat).fetchall()
    connection.execute("COMMIT")
    return None if found is None else str(found[0])


def together(work: Callable[..., None], arguments: list[tuple[Any, ...]]) -> tuple[float, list[str]]:
    """Let processes do the same at once; give the seconds and everything they took."""
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(len(arguments) + 1), context.Queue()
    children = [context.Process(target=work, args=(*given, barrier, answers)) for given in arguments]
    for child in children:
        child.start()
    barrier.wait()
    begun = time.perf_counter()
    taken = [run for _ in children for run in answers.get()]
    seconds = time.perf_counter() - begun
    for child in children:
        child.join()
    return seconds, taken


@contextmanager
def opened(folder: Path) -> Iterator[tuple[str, Ledger]]:
    """Make a ledger on PostgreSQL."""
    with (
        postgresql.database() as url,
        Ledger.open(url, owner=ACTOR.id, key=folder / "key", head=folder / "head", synchronous="NORMAL") as ledger,
    ):
        yield url, ledger


@contextmanager
def copied(ledger: Ledger, url: str) -> Iterator[str]:
    """Make a copy of a database that nobody uses meanwhile."""
    ledger.close()
    source = url.partition("?")[0].rpartition("/")[2]
    name = f"{source}_floor"
    postgresql.administer("CREATE DATABASE {} TEMPLATE {}", name, source)
    try:
        yield url.replace(source, name, 1)
    finally:
        postgresql.administer("DROP DATABASE {} WITH (FORCE)", name)


def compare(processes: int, folder: Path) -> float:
    """Claim with so many processes, then with the floor; give how much of the floor's speed the ledger has."""
    with opened(folder) as (url, ledger):
        timed = RUNS_EACH * max(1, processes // 2)
        count = timed + WARM * processes
        ledger.access.grant(ACTOR.id, "worker", ("default", "*"), ACTOR)
        workers = hired(ledger, processes, count)
        fill(ledger, 0, count)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT max(event_id) FROM proofgap.audit_event").fetchone()
        with copied(ledger, url) as floor:
            seconds, taken = together(claim_all, [(url, str(folder), those) for those in workers])
            with psycopg.connect(url) as connection:
                connection.execute("SET search_path = proofgap, pg_temp")
                starts: dict[str, list[tuple[str, str]]] = {}
                for run, payload, leaf in connection.execute(_STARTS, (row and row[0],)):
                    starts.setdefault(run, []).append((payload, leaf))
            bare_seconds, bare = together(claim_bare, [(floor, starts)] * processes)
    check_once(taken, count)
    check_once(bare, count)
    speed, bare_speed = timed / seconds, timed / bare_seconds
    print(f"{processes:>9} {speed:>10.0f} {bare_speed:>10.0f} {speed / bare_speed:>7.2f}x")
    return speed / bare_speed


def check_once(taken: list[str], count: int) -> None:
    """See that every run was started once."""
    if len(set(taken)) != count or len(taken) != count:
        message = f"{len(taken)} starts of {len(set(taken))} runs, and {count} waited"
        raise RuntimeError(message)


def slowed(folder: Path, waiting: int) -> float:
    """Give how many times longer one claim takes with so many runs waiting than with a hundred."""
    with opened(folder) as (_, ledger):
        ledger.access.grant(ACTOR.id, "worker", ("default", "*"), ACTOR)
        worker = ledger.fleet.register(NewWorker(name="w", concurrency=1000, lease_us=86_400_000_000), ACTOR).id
        fill(ledger, 0, 100)
        few = statistics.median(timed_claims(ledger, worker, 50))
        fill(ledger, 100, waiting)
        many = statistics.median(timed_claims(ledger, worker, 50))
    print(f"one claim, 100 runs waiting: {few * 1e3:.2f} ms; {waiting} waiting: {many * 1e3:.2f} ms: {many / few:.2f}x")
    return many / few


def timed_claims(ledger: Ledger, worker: str, count: int) -> list[float]:
    """Claim, and measure each claim."""
    samples = []
    for _ in range(count):
        begun = time.perf_counter()
        ledger.fleet.claim(worker, ACTOR)
        samples.append(time.perf_counter() - begun)
    return samples


def many_claims(folder: Path, count: int) -> None:
    """Claim so many runs with eight processes, and see that each was started once."""
    with opened(folder) as (url, ledger):
        ledger.access.grant(ACTOR.id, "worker", ("default", "*"), ACTOR)
        workers = hired(ledger, 8, count)
        fill(ledger, 0, count)
        seconds, taken = together(claim_all, [(url, str(folder), those) for those in workers])
    check_once(taken, count)
    print(f"{len(taken)} claims by 8 processes in {seconds:.0f} s: each run was started once")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claims", type=int, help="claim so many runs with eight processes, and nothing else")
    parser.add_argument("--waiting", type=int, default=10_000, help="how many runs wait while a claim is measured")
    given = parser.parse_args(sys.argv[1:] if __name__ == "__main__" else [])
    os.environ["PROOFGAP_LOG"] = "off"
    with tempfile.TemporaryDirectory() as place:
        if given.claims:
            many_claims(Path(place), given.claims)
            return
        postgresql.started_with(*_DURABLE)
        print("Claims and starts a second, PostgreSQL")
        print(f"{'processes':>9} {'claims/s':>10} {'bare/s':>10} {'ratio':>8}")
        for processes in PROCESSES:
            compare(processes, Path(tempfile.mkdtemp(dir=place)))
        slowed(Path(tempfile.mkdtemp(dir=place)), given.waiting)


if __name__ == "__main__":
    main()
