"""How much the ledger adds to the writes that it makes.

Measures `Ledger.fire` cold (only the run id is known) with everything on: roles, hooks, the projection event, the
chain, canonical bytes, triggers, a JSON log line per event. The floor is the bare driver doing the same writes: the
payloads that the ledger wrote, read back from its log and inserted into an equal ledger, with the same triggers and
in the same transactions, by a program that only executes and commits. A second baseline is the naive way: a
python-statemachine instance per event, the ORM, and a log table. All of them alternate, run by run, in one process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchmarks import naive
from proofgap.audit import Actor
from proofgap.decision import decide, everyone
from proofgap.facts import RunEvent
from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_store import Ledger, NewRun
from proofgap_store.sqlite_library import sqlite

LIFE = ("scope", "check", "preview", "queue", "start", "complete")
ACTOR = Actor(id="bench")


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


def write_bare(connection: Any, events: list[tuple[int, str, str]]) -> None:  # noqa: ANN401
    """Write one transaction with the bare driver."""
    connection.execute("BEGIN IMMEDIATE")
    values = ", ".join("(?, ?)" for _ in events)
    flat = [part for _, payload, leaf in events for part in (payload, leaf)]
    connection.execute(f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id", flat).fetchall()
    connection.execute("COMMIT")


class Pair:
    """A ledger, and the floor beside it: whatever the ledger writes, the floor writes next."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        """Open both; the floor begins as a copy of the ledger."""
        self.ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", owner=ACTOR.id, synchronous=synchronous)
        self.reader = floor_connection(folder / "ledger.db", synchronous)
        self.reader.execute("VACUUM INTO ?", (str(folder / "floor.db"),))
        self.floor = floor_connection(folder / "floor.db", synchronous)
        self.last = max(number for number, *_ in written_since(self.reader, 0))
        self.fire: list[float] = []
        self.bare: list[float] = []

    def follow(self) -> None:
        """Let the floor write what the ledger wrote last."""
        events = written_since(self.reader, self.last)
        self.last = events[-1][0]
        self.bare.append(timed(partial(write_bare, self.floor, events)))

    def live(self) -> str:
        """Take one run through its life, timing each event and the same writes on the floor."""
        run_id = self.ledger.create(NewRun(), ACTOR).run_id
        self.follow()
        self.bare.pop()
        for name in LIFE:
            self.fire.append(timed(partial(self.ledger.fire, run_id, RunEvent(name), ACTOR)))
            self.follow()
        return run_id


def one_naive_life(engine: Engine, samples: list[float]) -> None:
    """Take one run through the same life the naive way."""
    run_id = naive.create(engine)
    samples += [timed(partial(naive.fire, engine, run_id, name)) for name in LIFE]


def measure(synchronous: str, lives: int) -> dict[str, float]:
    """Measure one durability setting; the three ways alternate."""
    with tempfile.TemporaryDirectory() as name:
        pair = Pair(Path(name), synchronous)
        engine = naive.make(Path(name, "naive.db"), synchronous)
        by_naive: list[float] = []
        for _ in range(lives):
            run_id = pair.live()
            one_naive_life(engine, by_naive)
        facts = pair.ledger.show(run_id, ACTOR.id, ACTOR).record.facts()
        deciding = [timed(lambda: decide(facts, everyone(facts))) for _ in range(lives * 6)]
        pair.ledger.close()
    return {
        "fire": median_us(pair.fire),
        "floor": median_us(pair.bare),
        "naive": median_us(by_naive),
        "decide": median_us(deciding),
    }


def main(lives: int = 120) -> None:
    """Print the ratios; the log lines are written as they are for machines, and go nowhere."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        logs.configure(LogStyle.JSON)
        found = {synchronous: measure(synchronous, lives) for synchronous in ("FULL", "NORMAL")}
    for synchronous, us in found.items():
        print(
            f"fire, SQLite {synchronous}: {us['fire'] / us['floor']:.2f} x the bare driver's same writes; the naive way "
            f"is {us['naive'] / us['fire']:.2f} x of fire; decide is {100 * us['decide'] / us['fire']:.1f} % of fire "
            f"(medians of {lives * 6}, in microseconds: fire {us['fire']:.0f}, floor {us['floor']:.0f}, "
            f"naive {us['naive']:.0f}, decide {us['decide']:.0f})"
        )
