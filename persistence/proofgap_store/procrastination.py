"""The engine on PostgreSQL: Procrastinate delivers queued runs, by jobs that are written in the transition's transaction.

Theory. A job is a doorbell. Whoever hears it claims the run that it names, or else the next one that they may have; the
claim decides, so a job that is lost, late or double starts nothing twice. Only the run at the head of each environment
has a job: what waits behind it cannot be claimed, and would cost every fetch a look. Whatever ends a run offers the next
one. A job of this schema is no record of anything, so nothing is lost with it: `reconcile` makes what is missing.

A job's lock is its environment, its queueing lock its run; nothing is retried. Whoever was handed a run and did not claim
it lets go of that lock at once, and `reconcile` does so for whoever died in between: else the job of one that executes
something else, or nothing any more, would keep everybody from an environment in which nothing goes on.

Owns the jobs. Refuses to know how they are fetched (`deliveries`), and what a run is, beyond which one is next.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from proofgap_store.dialect import Connection
from proofgap_store.dispatching import Deliverable, Execute
from proofgap_store.engine import connected, make_engine, transaction
from proofgap_store.engine import execute as run

TASK = "deliver"
"""What a job asks for."""

_LOCK = "'env:' || r.workspace || '/' || r.environment"
_OFFER = f"""
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT 'runs', '{TASK}', r.priority, {_LOCK}, 'run:' || r.id, json_build_object('run', r.id)::jsonb,
  now() + make_interval(secs => :seconds)
FROM ({{runs}}) AS r
WHERE NOT EXISTS (
  SELECT 1 FROM procrastinate_jobs AS j WHERE j.status = 'todo' AND j.lock = {_LOCK} AND j.priority >= r.priority)
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
"""  # noqa: S608 - put together from our own text only
_ONE = "SELECT * FROM restore_run WHERE id = :run AND status = 'queued'"
_HEADS = """
SELECT DISTINCT ON (workspace, environment) * FROM restore_run
WHERE status = 'queued' AND imported = 0 AND (CAST(:workspace AS TEXT) IS NULL OR (workspace, environment) = (:workspace, :environment))
ORDER BY workspace, environment, priority DESC, last_event_id
"""
_OFFER_ONE, _OFFER_HEADS = _OFFER.format(runs=_ONE), _OFFER.format(runs=_HEADS)
_ASK = "UPDATE procrastinate_jobs SET abort_requested = TRUE WHERE queueing_lock = 'run:' || CAST(:run AS TEXT) AND status = 'doing'"
_UNLOCK = """
UPDATE procrastinate_jobs AS j SET lock = NULL
WHERE j.status = 'doing' AND j.lock IS NOT NULL AND (CAST(:run AS TEXT) IS NULL OR j.queueing_lock = 'run:' || CAST(:run AS TEXT))
  AND EXISTS (SELECT 1 FROM restore_run AS r WHERE 'run:' || r.id = j.queueing_lock AND r.status = 'queued')
"""
_FORGET = "DELETE FROM procrastinate_jobs WHERE queueing_lock = 'run:' || CAST(:run AS TEXT) AND status = 'todo'"
_FORGET_ENDED = """
DELETE FROM procrastinate_jobs AS j WHERE NOT EXISTS (
  SELECT 1 FROM restore_run AS r WHERE 'run:' || r.id = j.queueing_lock AND r.status IN ('queued', 'running'))
"""
RECONCILE_SECONDS = 60.0
"""How often a worker looks for runs without a job, and for jobs without a run."""


class ProcrastinateDispatcher:
    """Delivers runs by Procrastinate, from a schema of its own in the database of the ledger."""

    def __init__(self, url: str, reconcile_seconds: float = RECONCILE_SECONDS) -> None:
        """Say where the ledger is, and how often to reconcile."""
        self.url, self.reconcile_seconds = url, reconcile_seconds

    def enqueue(self, connection: Connection, run: Deliverable) -> None:
        """Offer a run, unless one that comes before it is offered there already."""
        _do(connection, _OFFER_ONE, run=run.id, seconds=0.0)

    def cancel(self, connection: Connection, run: Deliverable) -> None:
        """Ask the job that executes the run to stop; the next beat says it, too."""
        _do(connection, _ASK, run=run.id)

    def release(self, connection: Connection, run: Deliverable) -> None:
        """Forget a run that has ended, and offer the next one of its environment."""
        _do(connection, _FORGET, run=run.id)
        _do(connection, _OFFER_HEADS, workspace=run.workspace, environment=run.environment, seconds=0.0)

    def offer_again(self, run: str, seconds: float) -> None:
        """Offer a run that nobody could claim just now: its environment is held, or it is for another worker.

        Raises:
            UnavailableError: the database cannot be reached.

        """
        with self._writing() as connection:
            _do(connection, _UNLOCK, run=run)
            _do(connection, _OFFER_ONE, run=run, seconds=seconds)

    def reconcile(self) -> None:
        """Forget jobs whose run has ended, and let go of those that were fetched by workers who then died; offer what has no job.

        Raises:
            UnavailableError: the database cannot be reached.

        """
        with self._writing() as connection:
            _do(connection, _FORGET_ENDED)
            _do(connection, _UNLOCK, run=None)
            _do(connection, _OFFER_HEADS, workspace=None, environment=None, seconds=0.0)

    def serve(self, execute: Execute, *, name: str, concurrency: int, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; then let what is under way end."""
        from proofgap_store import deliveries  # noqa: PLC0415 - slow to import, and needed by workers only

        jobs = deliveries.Jobs(self.url, TASK, self.offer_again, self.reconcile, self.reconcile_seconds)
        deliveries.serve(jobs, deliveries.Deliveries(execute, name, concurrency, stop))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        engine = make_engine(self.url)
        try:
            with connected(engine) as connection, transaction(connection, writes=True):
                yield connection
        finally:
            engine.dispose()


def _do(connection: Connection, statement: str, **parameters: object) -> None:
    run(connection, statement, parameters)
