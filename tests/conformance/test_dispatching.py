"""Nine scenarios that every engine passes on every database that it runs on: with real processes, killed and frozen.

Whatever an engine delivers, late, twice, or to two workers at once: a restore is started at most once, never two in one
environment, never again by itself, and what is in the ledger is the truth.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_store import Ledger
from tests import postgresql
from tests.conformance.crew import DISPATCHERS, Orders
from tests.conformance.lives import ADA, HOME, OLGA, WIM, fire, live, log, settle

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join(str(ROOT / part) for part in (".", "fsm", "persistence", "app"))
SECONDS_MAX = 40
SETUPS = [(engine, "sqlite") for engine in DISPATCHERS if engine == "inline"] + [
    (engine, "postgresql") for engine in DISPATCHERS
]
LONG = 60.0


@dataclass
class Fleet:
    """A ledger, and processes that work on it."""

    folder: Path
    url: str
    engine: str
    ledger: Ledger
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, **orders: Any) -> subprocess.Popen[bytes]:
        """Start a process, and wait until it is up."""
        process, before = self.run(**orders), len(self.marks("up"))
        self.wait(lambda: len(self.marks("up")) > before)
        return process

    def run(self, **orders: Any) -> subprocess.Popen[bytes]:
        """Start a process."""
        given = Orders(url=self.url, folder=str(self.folder), engine=self.engine, **orders)
        command = [sys.executable, "-m", "tests.conformance.crew", msgspec.json.encode(given).decode()]
        with (self.folder / "errors").open("ab") as errors:
            process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATH}, stdout=errors, stderr=errors)
        self.processes.append(process)
        return process

    def queue(self, **details: Any) -> str:
        """Queue a run at home."""
        return live(self.ledger, "queued", details=RunDetails(**details))

    def status(self, run_id: str) -> str:
        """Read where a run stands."""
        return self.ledger.peek(run_id, ADA).status.value

    def marks(self, what: str, run_id: str | None = None) -> list[tuple[str, int, int]]:
        """Read the marks that processes left: run, process, nanoseconds."""
        file = self.folder / "marks"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [(run, int(pid), int(ns)) for kind, run, pid, ns in lines if kind == what and run_id in {None, run}]

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > end:
                errors = self.folder / "errors"
                pytest.fail(f"what was waited for did not happen: {errors.exists() and errors.read_text()[-3000:]}")
            time.sleep(0.02)

    def end(self) -> None:
        """End what is left."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of a new database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
    else:
        with postgresql.database() as url:
            yield url


@pytest.fixture(params=SETUPS, ids="-".join)
def fleet(request, tmp_path):
    """A ledger with everybody in their role, on each engine and database."""
    engine, kind = request.param
    orders = Orders(url="", folder=str(tmp_path), engine=engine)
    with (
        database(kind, tmp_path) as url,
        Ledger.open(url, owner=ADA.id, synchronous="NORMAL", key=tmp_path / "key", head=tmp_path / "head") as ledger,
    ):
        settle(ledger)
        ledger.fleet.deliver_by(msgspec.structs.replace(orders, url=url).dispatcher)
        made = Fleet(tmp_path, url, engine, ledger)
        try:
            yield made
        finally:
            made.end()
        assert ledger.verify().findings == (), "whatever happened, the log verifies"


def lost(fleet, **orders):
    """Let a worker be killed while it executes a run; give the run."""
    worker, run_id = fleet.start(seconds=LONG, **orders), fleet.queue()
    fleet.wait(lambda: fleet.marks("start", run_id))
    worker.kill()
    return run_id


def refusals(ledger, run_id):
    """Read what was refused to whoever had lost a run."""
    return [
        event.data["guard"]
        for event in log(ledger)
        if event.type == "restore.run.transition_refused" and event.entry["run"] == run_id
    ]


def test_atomic_what_is_rolled_back_leaves_nothing_behind(fleet):
    run_id = live(fleet.ledger, "previewed")
    real = fleet.ledger.fleet.dispatcher

    class Failing:
        """Enqueues, and then fails: the transaction that queues the run must take all of it back."""

        def __getattr__(self, name):
            return getattr(real, name)

        def enqueue(self, connection, run):
            real.enqueue(connection, run)
            assert (run.id, run.workspace, run.environment) == (run_id, *HOME)
            raise RuntimeError

    fleet.ledger.fleet.deliver_by(Failing())
    with pytest.raises(RuntimeError):
        fire(fleet.ledger, run_id, "queue")
    fleet.ledger.fleet.deliver_by(real)
    assert fleet.status(run_id) == "previewed"
    other = fleet.queue()
    fleet.start()
    fleet.wait(lambda: fleet.status(other) == "completed")
    assert (fleet.status(run_id), fleet.marks("start", run_id)) == ("previewed", [])
    fire(fleet.ledger, run_id, "queue")
    fleet.wait(lambda: fleet.status(run_id) == "completed")


def test_producer_kill_what_was_committed_is_delivered(fleet):
    assert fleet.run(produce=True).wait(SECONDS_MAX) == -signal.SIGKILL
    (run_id,) = [row.record.id for row in fleet.ledger.list_runs(ADA.id, ADA).rows]
    assert fleet.status(run_id) == "queued"
    fleet.start()
    fleet.wait(lambda: fleet.status(run_id) == "completed")
    assert len(fleet.marks("start", run_id)) == 1


def test_crash_a_killed_worker_loses_its_run_to_failed_and_nothing_starts_it_again(fleet):
    run_id = lost(fleet)
    fleet.start()
    fleet.wait(lambda: fleet.status(run_id) == "failed")
    details = fleet.ledger.peek(run_id, ADA).details
    assert (details.end_reason, details.outcome_rule) == ("worker_lost", 1)
    assert (details.counts_are_lower_bounds, details.holds_environment) == (True, True)
    assert len(fleet.marks("start", run_id)) == 1
    assert [held.run for held in fleet.ledger.fleet.queue(ADA).held if held.needs_release] == [run_id]


def test_takeover_the_next_run_there_waits_until_an_operator_releases_the_environment(fleet):
    gone, elsewhere = lost(fleet), HOME[0]
    fleet.ledger.access.declare_environment((elsewhere, "annex"), ADA)
    fleet.ledger.access.grant(WIM.id, "worker", (elsewhere, "annex"), ADA)
    behind = fleet.queue()
    beside = live(fleet.ledger, "queued", environment="annex")
    fleet.start()
    fleet.wait(lambda: fleet.status(gone) == "failed" and fleet.status(beside) == "completed")
    assert fleet.status(behind) == "queued", "the environment is held: a tool may still be at work there"
    fleet.ledger.fleet.release_environment(HOME, OLGA, note="the process is gone")
    fleet.wait(lambda: fleet.status(behind) == "completed")
    assert len(fleet.marks("start", gone)) == 1


def test_zombie_a_frozen_worker_finds_its_run_taken_stops_within_a_beat_and_can_write_nothing_more(fleet):
    frozen, run_id = fleet.start(seconds=LONG), fleet.queue()
    fleet.wait(lambda: fleet.marks("start", run_id))
    frozen.send_signal(signal.SIGSTOP)
    fleet.start()
    fleet.wait(lambda: fleet.status(run_id) == "failed")
    behind = fleet.queue()
    before = fleet.ledger.peek(run_id, ADA)
    frozen.send_signal(signal.SIGCONT)
    woken = time.monotonic_ns()
    fleet.wait(lambda: refusals(fleet.ledger, run_id))
    ((_, pid, stopped),) = fleet.marks("end", run_id)
    assert (pid, stopped - woken < 5_000_000_000) == (frozen.pid, True)
    assert refusals(fleet.ledger, run_id) == ["fencing_token"]
    assert fleet.ledger.peek(run_id, ADA) == before, "what it wrote was refused, and changed nothing"
    assert fleet.status(behind) == "queued"


def test_cancel_a_running_run_stops_and_the_next_one_starts_only_after_its_end(fleet):
    fleet.start(seconds=LONG)
    first = fleet.queue()
    fleet.wait(lambda: fleet.marks("start", first))
    second = fleet.queue()
    fleet.ledger.fire(first, RunEvent.REQUEST_CANCEL, OLGA)
    fleet.wait(lambda: fleet.marks("start", second))
    assert fleet.status(first) == "partial", "nobody proved that nothing was written"
    assert fleet.marks("end", first)[0][2] < fleet.marks("start", second)[0][2]


def test_mutex_four_runs_of_one_environment_never_overlap_and_keep_their_order(fleet):
    runs = [fleet.queue() for _ in range(4)]
    for _ in range(2):
        fleet.run(concurrency=2, seconds=0.1)
    fleet.wait(lambda: {fleet.status(run_id) for run_id in runs} == {"completed"})
    starts = sorted((ns, run_id) for run_id, _, ns in fleet.marks("start"))
    assert [run_id for _, run_id in starts] == runs
    ends = {run_id: ns for run_id, _, ns in fleet.marks("end")}
    assert all(ends[before] < ns for (_, before), (ns, _) in pairwise(starts))


def test_shutdown_a_worker_that_is_asked_to_end_lets_its_run_end_and_takes_no_other(fleet):
    worker, first = fleet.start(seconds=1.0), fleet.queue()
    fleet.wait(lambda: fleet.marks("start", first))
    second = fleet.queue()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SECONDS_MAX) == 0
    assert (fleet.status(first), fleet.status(second)) == ("completed", "queued")
    assert fleet.ledger.fleet.queue(ADA).workers == (), "it retired"


def test_db_restart_a_worker_survives_the_database_going_away_and_coming_back(fleet):
    worker, first = fleet.start(seconds=0.1), fleet.queue()
    fleet.wait(lambda: fleet.status(first) == "completed")
    if fleet.url.startswith("sqlite"):
        with closing(sqlite3.connect(fleet.folder / "ledger.db", isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(1.0)
            connection.execute("ROLLBACK")
    else:
        postgresql.restart()
    second = fleet.queue()
    fleet.wait(lambda: fleet.status(second) == "completed")
    assert worker.poll() is None
    assert len(fleet.marks("start", second)) == 1


def test_a_run_that_is_created_by_hand_is_delivered_in_the_order_of_its_priority(fleet):
    low, high = fleet.queue(), fleet.queue(priority=9)
    fleet.start()
    fleet.wait(lambda: fleet.status(low) == "completed")
    assert [run_id for run_id, _, _ in sorted(fleet.marks("start"), key=lambda found: found[2])] == [high, low]
