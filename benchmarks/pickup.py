"""How long a queued run waits for its worker on PostgreSQL, against a bare LISTEN and NOTIFY.

From the commit of ``queue`` to the first line of the worker's code that executes: the ledger's own job, written in the
transition's transaction, fetched by Procrastinate in another thread. The floor is a round trip of a bare NOTIFY that
is heard by a bare LISTEN in another thread, and answered, on the same server, in the same run. Between them is the least
that this engine could take: Procrastinate by itself, with a job of one row and a task of one line.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path
from queue import Queue

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.worker import Worker

from benchmarks.fire import ACTOR, LIFE, median_us
from proofgap.facts import RunEvent
from proofgap_store import Ledger, NewRun, ProcrastinateDispatcher
from proofgap_store.queue_schema import QUEUE
from tests import postgresql

_JOB = "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('alone', 'alone', '{}')"
_SECONDS_MAX = 10.0
_PAUSE_SECONDS = 0.01  # until the job before has been put away, as between restores
_DURABLE = ("autovacuum=off", "max_connections=50")


def round_trips(url: str, times: int) -> list[float]:
    """Measure a whole round trip: a NOTIFY, heard, and answered by another one, which is heard."""
    found = []
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as other:
        one.execute("LISTEN pong")
        other.execute("LISTEN ping")

        def answer() -> None:
            for _ in range(times):
                list(other.notifies(timeout=_SECONDS_MAX, stop_after=1))
                other.execute("SELECT pg_notify('pong', 'x')")

        thread = threading.Thread(target=answer)
        thread.start()
        for _ in range(times):
            begun = time.perf_counter()
            one.execute("SELECT pg_notify('ping', 'x')")
            list(one.notifies(timeout=_SECONDS_MAX, stop_after=1))
            found.append(time.perf_counter() - begun)
        thread.join()
    return found


def alone(url: str, times: int) -> list[float]:
    """Measure the engine by itself: from the commit of a job to the first line of its task."""
    kwargs = {"options": f"-c search_path={QUEUE} -c synchronous_commit=off"}
    app = App(connector=PsycopgConnector(conninfo=url, kwargs=kwargs, min_size=1, max_size=4))
    heard, worker = Queue[float](), Queue[Worker]()

    @app.task(name="alone", queue="alone")
    def note() -> None:
        heard.put(time.perf_counter())

    async def serve() -> None:
        async with app.open_async():
            one = Worker(app, queues=["alone"], install_signal_handlers=False, delete_jobs="always")
            worker.put(one)
            await one.run()  # type: ignore[no-untyped-call]  # as the library has it

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    found = []
    with psycopg.connect(url, autocommit=True, options=kwargs["options"]) as connection:
        for _ in range(times):
            connection.execute(_JOB)
            committed = time.perf_counter()
            found.append(max(heard.get(timeout=_SECONDS_MAX) - committed, 0.0))
            time.sleep(_PAUSE_SECONDS)
    worker.get().stop()  # type: ignore[no-untyped-call]  # as the library has it
    thread.join()
    return found


def picked_up(url: str, folder: Path, times: int) -> list[float]:
    """Measure from the commit of ``queue`` to the worker's code."""
    heard: Queue[tuple[str | None, float]] = Queue()
    stop, found = threading.Event(), []

    def deliver(run: str | None, _should_stop: object) -> bool:
        heard.put((run, time.perf_counter()))
        return True

    dispatcher = ProcrastinateDispatcher(url)
    worker = threading.Thread(
        target=dispatcher.serve, args=(deliver,), kwargs={"name": "w", "concurrency": 1, "stop": stop}
    )
    with Ledger.open(url, owner=ACTOR.id, key=folder / "key", head=folder / "head") as ledger:
        worker.start()
        try:
            for _ in range(times):
                run_id = ledger.create(NewRun(), ACTOR).run_id
                for name in LIFE[:4]:
                    ledger.fire(run_id, RunEvent(name), ACTOR)
                committed = time.perf_counter()
                found.append(max(heard.get(timeout=_SECONDS_MAX)[1] - committed, 0.0))
                ledger.fire(run_id, RunEvent.CANCEL, ACTOR)
        finally:
            stop.set()
            worker.join()
    return found


def main(times: int = 100) -> None:
    """Print the ratio."""
    postgresql.started_with(*_DURABLE)
    with tempfile.TemporaryDirectory() as folder, postgresql.database() as url:
        trip, least = median_us(round_trips(url, times)), median_us(alone(url, times))
        late = median_us(picked_up(url, Path(folder), times))
    print(f"From the commit of queue to the worker's code on PostgreSQL, medians of {times}, in microseconds")
    print(f"{trip:8.0f}  a bare NOTIFY, heard and answered")
    print(f"{least:8.0f}  Procrastinate by itself: {least / trip:.1f} x")
    print(f"{late:8.0f}  pick-up by Procrastinate: {late / trip:.1f} x")


if __name__ == "__main__":
    main()
