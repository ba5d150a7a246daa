"""Eight processes that claim at once: every run is started once, by one of them."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import queue
from proofgap_store import Ledger, NewWorker
from tests import postgresql
from tests.conformance.lives import log

WORKERS = 8
CLAIMS = {"sqlite": 400, "postgresql": 600}  # a thousand together; more are in the benchmark


@pytest.mark.parametrize("database", CLAIMS)
def test_a_thousand_runs_are_started_once_each_by_eight_processes(database, tmp_path):
    if database == "sqlite":
        _claim(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, CLAIMS[database])
    else:
        with postgresql.database() as url:
            _claim(url, tmp_path, CLAIMS[database])


def _claim(url, folder, count):
    """Let runs wait, let processes claim them all, and hold what they say against the log."""
    keeping = {"key": folder / "key", "head": folder / "head"}
    with Ledger.open(url, owner=queue.ACTOR.id, synchronous="NORMAL", **keeping) as ledger:
        ledger.access.grant(queue.ACTOR.id, "worker", ("default", "*"), queue.ACTOR)
        queue.fill(ledger, 0, count)
        new = NewWorker(name="w", concurrency=1000, lease_us=86_400_000_000)
        workers = [ledger.fleet.register(new, queue.ACTOR).id for _ in range(WORKERS)]
    _, taken = queue.together(queue.claim_all, [(url, str(folder), [worker]) for worker in workers])
    with Ledger.open(url, create=False, **keeping) as ledger:
        starts = [e for e in log(ledger) if e.type == "restore.run.transitioned" and e.data["event"] == "start"]
        refused = [e for e in log(ledger) if e.type == "restore.run.transition_refused"]
    assert Counter(taken) == Counter(e.entry["run"] for e in starts)
    assert (len(starts), len({e.entry["run"] for e in starts}), refused) == (count, count, [])
