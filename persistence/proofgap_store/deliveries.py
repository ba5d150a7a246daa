"""The loop of a worker that hears of runs by Procrastinate.

Works around what is known to bite: the driver's listener gives up when the server refuses a connection, as it does
while it restarts, so ours goes on, and it is polled every second besides. While the server is away, nothing ends.

Owns the loop. Refuses to know what jobs there are (`procrastination`), and what executing is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.worker import Worker
from psycopg import AsyncConnection

from proofgap_store.dispatching import Execute
from proofgap_store.engine import UnavailableError
from proofgap_store.queue_schema import QUEUE

_AGAIN_SECONDS = 1.0
_POLL_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_THREADS_BESIDE = 3  # for reconciling, and for what the loop itself asks of threads, such as names of hosts


class Jobs(NamedTuple):
    """The jobs that are delivered: where they are, what they ask for, and how they are made again."""

    url: str
    task: str
    offer_again: Callable[[str, float], None]
    reconcile: Callable[[], None]
    reconcile_seconds: float


class Deliveries(NamedTuple):
    """What a worker asks for: what to do with a run, its name, how many at once, and when it is enough."""

    execute: Execute
    name: str
    concurrency: int
    stop: threading.Event


class _Connector(PsycopgConnector):
    """A connector whose listener outlives a server that restarts."""

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:  # type: ignore[explicit-override]  # typing.override came with Python 3.12
        while True:
            with suppress(ConnectorException):
                await super().listen_notify(on_notification, channels)
            await asyncio.sleep(_POLL_SECONDS)


def serve(jobs: Jobs, wanted: Deliveries) -> None:
    """Deliver until it is enough; then let what is under way end."""
    asyncio.run(_serve(jobs, wanted))


async def _serve(jobs: Jobs, wanted: Deliveries) -> None:
    threads = ThreadPoolExecutor(wanted.concurrency + _THREADS_BESIDE, thread_name_prefix=wanted.name)
    # The loop's own threads would be few, and runs that are fetched would wait in it.
    asyncio.get_running_loop().set_default_executor(threads)
    reconciling = asyncio.create_task(asyncio.to_thread(_reconcile_until, jobs, wanted.stop))
    while not wanted.stop.is_set():
        with suppress(ConnectorException):  # the server is away: it is asked again
            await _deliver_until(jobs, wanted)
        if not wanted.stop.is_set():
            await asyncio.sleep(_AGAIN_SECONDS)
    await reconciling


def _connector(url: str, connections_max: int) -> PsycopgConnector:
    """Make the engine's way to its jobs: they are no record, so nobody waits for a disk or for a BEGIN of one statement."""
    settings = {"options": f"-c search_path={QUEUE} -c synchronous_commit=off"}
    return _Connector(conninfo=url, kwargs=settings, configure=_commit_each, min_size=1, max_size=connections_max)


async def _commit_each(connection: AsyncConnection) -> None:
    await connection.set_autocommit(True)


async def _deliver_until(jobs: Jobs, wanted: Deliveries) -> None:
    app = App(connector=_connector(jobs.url, wanted.concurrency + 2))

    @app.task(name=jobs.task, pass_context=True)
    def deliver(context: JobContext, run: str) -> None:
        if not wanted.execute(run, context.should_abort):
            with suppress(UnavailableError):  # reconciling makes it up
                jobs.offer_again(run, _AGAIN_SECONDS)  # first: what comes next may take hours
            wanted.execute(None, context.should_abort)

    async with app.open_async():
        worker = Worker(
            app,
            name=wanted.name,
            concurrency=wanted.concurrency,
            fetch_job_polling_interval=_POLL_SECONDS,
            abort_job_polling_interval=_POLL_SECONDS,
            delete_jobs="successful",
            install_signal_handlers=False,
        )
        stopping = asyncio.create_task(_stop_with(worker, wanted.stop))
        try:
            await worker.run()  # type: ignore[no-untyped-call]  # as the library has it
        finally:
            stopping.cancel()


async def _stop_with(worker: Worker, stop: threading.Event) -> None:
    while not stop.is_set():  # noqa: ASYNC110 - another thread sets it
        await asyncio.sleep(_LOOK_SECONDS)
    worker.stop()  # type: ignore[no-untyped-call]  # as the library has it


def _reconcile_until(jobs: Jobs, stop: threading.Event) -> None:
    due = time.monotonic()
    while not stop.wait(_LOOK_SECONDS):
        if time.monotonic() >= due:
            with suppress(UnavailableError):
                jobs.reconcile()
            due = time.monotonic() + jobs.reconcile_seconds
