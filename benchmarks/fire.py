"""How much the ledger adds to the writes that it makes.

Measures `Ledger.fire` cold (only the run id is known) with everything on: roles, hooks, the projection event, the
chain, canonical bytes, triggers, a JSON log line per event. The floor is the bare driver doing the same writes: the
payloads that the ledger wrote, read back from its log and inserted into an equal ledger, with the same triggers and
in the same transactions, by a program that only executes and commits. Two more baselines are what people write first:
the least of it (`naive`), and the same job (`same_job`); on SQLite as it comes, with a rollback journal, and once more
with the journal of the ledger (WAL), which people know who have tuned SQLite before. All of them alternate, run by
run, in one process, and nobody pays for what another way left behind: each begins its run after a collection.

How much of `fire` is the commit depends on the disk, so the cost of a bare commit is measured beside it, and the ratio
is computed for slower disks too.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Engine

from benchmarks import naive, same_job
from proofgap.audit import Actor
from proofgap.decision import decide, everyone
from proofgap.facts import RunEvent
from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_store import Ledger, NewRun
from proofgap_store.sqlite_library import sqlite

LIFE = ("scope", "check", "preview", "queue", "start", "complete")
ACTOR = Actor(id="bench")
NAIVE_WAYS = {
    "least": (naive, "DELETE"),
    "same": (same_job, "DELETE"),
    "least_wal": (naive, "WAL"),
    "same_wal": (same_job, "WAL"),
}
"""What people write first, and the journal that SQLite keeps for it."""


def median_us(samples: list[float]) -> float:
    """Give the median of durations in seconds, in microseconds."""
    return statistics.median(samples) * 1e6


def timed(work: Callable[[], object]) -> float:
    """Give how long a piece of work takes, in seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def floor_connection(path: Path, synchronous: str) -> Any:  # noqa: ANN401 - whichever SQLite library it is
    """Open a ledger file with the bare driver, set up as the ledger sets it up."""
    connection = sqlite.connect(str(path), isolation_level=None)
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def written_since(connection: Any, event_id: int) -> list[tuple[int, str, str]]:  # noqa: ANN401
    """Give the events that the ledger wrote after one event."""
    return list(connection.execute("SELECT event_id, payload, leaf FROM audit_event WHERE event_id > ?", (event_id,)))


def recorded_at(event: tuple[int, str, str]) -> int:
    """Say when an event was recorded, in microseconds: the same for all that one transaction wrote."""
    when: int = json.loads(event[1])["rec_us"]
    return when


def write_bare(connection: Any, events: list[tuple[int, str, str]]) -> None:  # noqa: ANN401
    """Write one transaction with the bare driver."""
    connection.execute("BEGIN IMMEDIATE")
    values = ", ".join("(?, ?)" for _ in events)
    flat = [part for _, payload, leaf in events for part in (payload, leaf)]
    connection.execute(f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id", flat).fetchall()
    connection.execute("COMMIT")


class Pair:
    """A ledger, and the floor beside it: whatever the ledger wrote of one run, the floor writes next."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        """Open both; the floor begins as a copy of the ledger."""
        self.ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", owner=ACTOR.id, synchronous=synchronous)
        self.reader = floor_connection(folder / "ledger.db", synchronous)
        self.reader.execute("VACUUM INTO ?", (str(folder / "floor.db"),))
        self.floor = floor_connection(folder / "floor.db", synchronous)
        self.last = max(number for number, *_ in written_since(self.reader, 0))
        self.fire: list[float] = []
        self.bare: list[float] = []

    def live(self) -> str:
        """Take one run through its life, timing each event; then the same writes on the floor, as many at a time."""
        gc.collect()
        run_id = self.ledger.create(NewRun(), ACTOR).run_id
        self.fire += [timed(partial(self.ledger.fire, run_id, RunEvent(name), ACTOR)) for name in LIFE]
        written = written_since(self.reader, self.last)
        self.last = written[-1][0]
        birth, *moves = ([*events] for _, events in groupby(written, key=recorded_at))
        gc.collect()
        write_bare(self.floor, birth)
        self.bare += [timed(partial(write_bare, self.floor, events)) for events in moves]
        return run_id


def naive_engine(path: Path, synchronous: str, way: ModuleType, journal: str) -> Engine:
    """Open a database for one of the naive ways, and make its tables."""
    engine = naive.connect(path, synchronous, journal)
    way.prepare(engine)
    return engine


def one_naive_life(way: ModuleType, engine: Engine, samples: list[float]) -> None:
    """Take one run through the same life one of the naive ways."""
    gc.collect()
    run_id = way.create(engine)
    samples += [timed(partial(way.fire, engine, run_id, name)) for name in LIFE]


def commit_one_row(connection: Any) -> None:  # noqa: ANN401
    """Commit one small row: what the disk asks of everybody."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO small VALUES ('row')")
    connection.execute("COMMIT")


def measure(synchronous: str, lives: int) -> dict[str, float]:
    """Measure one durability setting; all ways alternate."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pair = Pair(folder, synchronous)
        small = floor_connection(folder / "small.db", synchronous)
        small.execute("CREATE TABLE small (text TEXT)")
        engines = {name: naive_engine(folder / f"{name}.db", synchronous, *way) for name, way in NAIVE_WAYS.items()}
        naively: dict[str, list[float]] = {name: [] for name in NAIVE_WAYS}
        commits: list[float] = []
        for _ in range(lives):
            run_id = pair.live()
            for name, (way, _journal) in NAIVE_WAYS.items():
                one_naive_life(way, engines[name], naively[name])
            commits += [timed(partial(commit_one_row, small)) for _ in LIFE]
        facts = pair.ledger.show(run_id, ACTOR.id, ACTOR).record.facts()
        deciding = [timed(lambda: decide(facts, everyone(facts))) for _ in range(lives * 6)]
        pair.ledger.close()
    return {
        "commit": median_us(commits),
        "floor": median_us(pair.bare),
        "fire": median_us(pair.fire),
        "decide": median_us(deciding),
        **{name: median_us(samples) for name, samples in naively.items()},
    }


def report(synchronous: str, events: int, us: dict[str, float]) -> None:
    """Print what was measured under one durability setting."""
    print(f"SQLite {synchronous}, medians of {events}, in microseconds")
    print(f"{us['commit']:8.0f}  a bare commit of one small row, on this disk")
    print(f"{us['floor']:8.0f}  the bare driver, the ledger's writes")
    print(f"{us['fire']:8.0f}  fire: {us['fire'] / us['floor']:.2f} x the bare driver")
    for suffix, where in (("", "SQLite as it comes"), ("_wal", "the ledger's journal")):
        least, same = us[f"least{suffix}"], us[f"same{suffix}"]
        print(f"{least:8.0f}  the naive way, the least of it, {where}: {least / us['fire']:.2f} x fire")
        print(f"{same:8.0f}  the naive way, the same job, {where}: {same / us['fire']:.2f} x fire")
    print(f"{us['decide']:8.0f}  decide: {100 * us['decide'] / us['fire']:.1f} % of fire")


def report_where(commit_us: float, full: dict[str, float], normal: dict[str, float]) -> None:
    """Print what follows for a disk whose commit takes so long.

    The floor is then what its writes take without waiting for the disk (NORMAL) and the commit; what everybody else
    adds to the floor stays as measured (FULL).
    """
    floor = normal["floor"] - normal["commit"] + commit_us
    fire, same = (floor + full[way] - full["floor"] for way in ("fire", "same_wal"))
    print(
        f"computed, not measured, for FULL where a bare commit takes {commit_us:.0f} us: fire is {fire / floor:.2f} x the "
        f"bare driver, and the naive way, the same job, the ledger's journal, {same / fire:.2f} x fire"
    )


def main(lives: int = 120) -> None:
    """Print the ratios; the log lines are written as they are for machines, and go nowhere."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        logs.configure(LogStyle.JSON)
        gc.freeze()
        found = {synchronous: measure(synchronous, lives) for synchronous in ("FULL", "NORMAL")}
    for synchronous, us in found.items():
        report(synchronous, lives * len(LIFE), us)
    for commit_us in (1_000, 5_000):
        report_where(commit_us, found["FULL"], found["NORMAL"])
