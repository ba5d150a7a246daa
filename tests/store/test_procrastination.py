"""Jobs on PostgreSQL: one for the head of each environment, written with the transition, and made again when lost."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing, contextmanager

import psycopg
import pytest

from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_store import InlineDispatcher, Ledger, ProcrastinateDispatcher, upgrade
from tests import postgresql
from tests.conformance.lives import ADA, HOME, OLGA, live, settle

SECONDS_MAX = 40


@pytest.fixture
def url():
    """A database with the schema of a ledger."""
    with postgresql.database() as made:
        yield made


@pytest.fixture
def ledger(url, tmp_path):
    """A ledger that somebody works with who owns nothing."""
    member = postgresql.as_member(url, "app")
    with Ledger.open(
        member, owner=ADA.id, synchronous="NORMAL", key=tmp_path / "key", head=tmp_path / "head"
    ) as opened:
        yield settle(opened)


@pytest.fixture
def outside(url):
    """A connection of the superuser, past the ledger."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("SET search_path = proofgap_queue, proofgap, pg_temp")
        yield connection


def jobs(outside):
    """Read what is offered, in the order in which it is fetched."""
    select = (
        "SELECT args ->> 'run', lock, queueing_lock, status::text FROM procrastinate_jobs ORDER BY priority DESC, id"
    )
    return outside.execute(select).fetchall()


def offered(*runs, environment=HOME[1]):
    """Give the jobs of runs of one environment."""
    return [(run, f"env:{HOME[0]}/{environment}", f"run:{run}", "todo") for run in runs]


def test_a_ledger_on_a_server_is_delivered_by_procrastinate_and_one_in_a_file_is_claimed_in_place(ledger, tmp_path):
    assert isinstance(ledger.fleet.dispatcher, ProcrastinateDispatcher)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", owner=ADA.id) as file:
        assert isinstance(file.fleet.dispatcher, InlineDispatcher)


def test_only_the_head_of_each_environment_has_a_job_and_its_end_offers_the_next(ledger, outside):
    ledger.access.declare_environment((HOME[0], "annex"), ADA)
    first, second, third = (live(ledger, "queued") for _ in range(3))
    beside = live(ledger, "queued", environment="annex")
    assert jobs(outside) == offered(first) + offered(beside, environment="annex")
    ledger.fire(first, RunEvent.CANCEL, OLGA)
    assert jobs(outside) == offered(beside, environment="annex") + offered(second)
    urgent = live(ledger, "queued", details=RunDetails(priority=9))
    assert jobs(outside)[0] == offered(urgent)[0]
    for run_id in (urgent, second):
        ledger.fire(run_id, RunEvent.CANCEL, OLGA)
    assert jobs(outside) == offered(beside, environment="annex") + offered(third)


def test_a_transition_that_is_refused_leaves_no_job(ledger, outside):
    run_id = live(ledger, "queued")
    with pytest.raises(Exception, match="queue"):
        ledger.fire(run_id, RunEvent.QUEUE, OLGA)
    assert jobs(outside) == offered(run_id)


def test_reconciling_offers_what_has_no_job_and_forgets_jobs_of_runs_that_ended(ledger, outside, url):
    lost, ended = live(ledger, "queued"), live(ledger, "cancelled")
    outside.execute("DELETE FROM procrastinate_jobs")
    outside.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status) "
        "VALUES ('runs', 'deliver', 'env:default/local', %s, '{}', 'doing')",
        (f"run:{ended}",),
    )
    for _ in range(2):
        ProcrastinateDispatcher(postgresql.as_member(url, "app")).reconcile()
        assert jobs(outside) == offered(lost)


def test_another_version_of_the_engine_gets_a_new_schema_and_the_jobs_are_made_again(ledger, outside, url):
    run_id = live(ledger, "queued")
    outside.execute("COMMENT ON SCHEMA proofgap_queue IS 'procrastinate 0.1'")
    upgrade(url)
    assert jobs(outside) == []
    ProcrastinateDispatcher(url).reconcile()
    assert jobs(outside) == offered(run_id)
    assert ledger.guards() == ((), ())
    assert ledger.verify().counts == {}


def wait(condition):
    """Wait until something is so."""
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def serving(url, execute, concurrency=1, reconcile_seconds=0.5):
    """Let a worker of this engine work in a thread."""
    stop = threading.Event()
    dispatcher = ProcrastinateDispatcher(postgresql.as_member(url, "app"), reconcile_seconds)
    settings = {"name": "w", "concurrency": concurrency, "stop": stop}
    worker = threading.Thread(target=dispatcher.serve, args=(execute,), kwargs=settings)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(SECONDS_MAX)
    assert not worker.is_alive()


def test_a_run_whose_worker_died_between_fetching_its_job_and_claiming_it_is_delivered_to_another(ledger, outside, url):
    """The job of the dead one still has the lock of the environment, and would have it for ever."""
    run_id, heard = live(ledger, "queued"), []
    outside.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    with serving(url, lambda run, _should_stop: bool(heard.append(run)) or run is not None):
        wait(lambda: run_id in heard)


def test_a_worker_that_cannot_have_a_run_and_executes_another_keeps_nobody_else_from_it(ledger, url):
    """Two workers: one may have nothing of what it hears, and is busy for long; the other one gets the run meanwhile."""
    heard, busy = [], threading.Event()

    def other(run, _should_stop):
        if run is None:
            busy.wait(SECONDS_MAX)
        return run is None

    run_id = live(ledger, "queued")
    with serving(url, other):
        wait(lambda: jobs_of(url, run_id) == ["doing", "todo"])
        try:
            with serving(url, lambda run, _should_stop: bool(heard.append(run)) or True):
                wait(lambda: run_id in heard)
        finally:
            busy.set()


def jobs_of(url, run_id):
    """Read where the jobs of a run stand."""
    with closing(psycopg.connect(url)) as connection:
        select = "SELECT status::text FROM proofgap_queue.procrastinate_jobs WHERE args ->> 'run' = %s ORDER BY id"
        return [status for (status,) in connection.execute(select, (run_id,)).fetchall()]


def test_as_many_runs_are_executed_at_once_as_a_worker_said(ledger, url):
    """Whatever the machine is: what is fetched does not wait for a thread."""
    many = (os.cpu_count() or 1) + 6
    together, heard = threading.Barrier(many + 1, timeout=SECONDS_MAX), []

    def execute(run, _should_stop):
        if run is not None and run not in heard:
            heard.append(run)
            together.wait()
        return True

    for number in range(many):
        ledger.access.declare_environment((HOME[0], f"e{number}"), ADA)
        live(ledger, "queued", environment=f"e{number}")
    with serving(url, execute, concurrency=many, reconcile_seconds=60):
        together.wait()
    assert len(heard) == many


LISTENING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


def test_a_worker_listens_again_after_the_server_refused_it_for_a_while(ledger, outside, url):
    """The driver's own listener gives up then, and nothing but polling would be left for the life of the process."""
    heard, stop = [], threading.Event()

    def deliver(run, _should_stop):
        heard.append(run)
        return True

    dispatcher = ProcrastinateDispatcher(postgresql.as_member(url, "app"))
    worker = threading.Thread(
        target=dispatcher.serve, args=(deliver,), kwargs={"name": "w", "concurrency": 1, "stop": stop}
    )
    worker.start()
    try:
        wait(lambda: outside.execute(LISTENING).fetchall())
        first = live(ledger, "queued")
        wait(lambda: first in heard)
        database = url.split("?")[0].rpartition("/")[2]
        postgresql.administer("ALTER DATABASE {} CONNECTION LIMIT 0", database)
        outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        time.sleep(1.5)
        postgresql.administer("ALTER DATABASE {} CONNECTION LIMIT -1", database)
        wait(lambda: outside.execute(LISTENING).fetchall())
    finally:
        stop.set()
        worker.join(SECONDS_MAX)
    assert not worker.is_alive()
