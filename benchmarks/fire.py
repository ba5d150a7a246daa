"""How much the ledger adds to the writes that it makes.

Measures `Ledger.fire` cold (only the run id is known) with everything on: roles, hooks, the projection event, the
chain, canonical bytes, triggers, a JSON log line per event. The floor is the bare driver doing the same writes: the
payloads that the ledger wrote, read back from its log and inserted into an equal ledger, with the same triggers and
in the same transactions, by a program that only executes and commits. A second baseline is the naive way: a
python-statemachine instance per event, the ORM, and a log table. All of them alternate, run by run, in one process.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine

from benchmarks import naive
from proofgap.audit import Actor
from proofgap.decision import decide, everyone
from proofgap.facts import RunEvent
from proofgap_store import Ledger, NewRun
from proofgap_store.engine import library

LIFE = ("scope", "check", "preview", "queue", "start", "complete")
ACTOR = Actor(id="bench")
_SELECT = "SELECT event_id, payload, leaf FROM audit_event WHERE run = ? ORDER BY event_id"


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
    connection = library().connect(str(path), isolation_level=None)
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def transactions_of(connection: Any, run_id: str) -> Iterator[list[tuple[str, str]]]:  # noqa: ANN401
    """Give the events of one run, grouped as they were committed: each group ends with its projection."""
    group: list[tuple[str, str]] = []
    for _, payload, leaf in connection.execute(_SELECT, (run_id,)):
        group.append((payload, leaf))
        if json.loads(payload)["type"] == "restore.decision.projected":
            yield group
            group = []


def write_bare(connection: Any, group: list[tuple[str, str]]) -> None:  # noqa: ANN401
    """Write one transaction with the bare driver."""
    connection.execute("BEGIN IMMEDIATE")
    values = ", ".join("(?, ?)" for _ in group)
    flat = [part for event in group for part in event]
    connection.execute(f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id", flat).fetchall()  # noqa: S608
    connection.execute("COMMIT")


def one_life(ledger: Ledger, samples: list[float]) -> str:
    """Take one run through its life, timing each event."""
    run_id = ledger.create(NewRun(), ACTOR).run_id
    samples += [timed(partial(ledger.fire, run_id, RunEvent(name), ACTOR)) for name in LIFE]
    return run_id


def one_naive_life(engine: Engine, samples: list[float]) -> None:
    """Take one run through the same life the naive way."""
    run_id = naive.create(engine)
    samples += [timed(partial(naive.fire, engine, run_id, name)) for name in LIFE]


def measure(synchronous: str, lives: int) -> dict[str, float]:
    """Measure one durability setting; every life of the ledger is followed by the same life on the floor."""
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder, "ledger.db"), Path(folder, "floor.db")
        ours: list[float] = []
        bare: list[float] = []
        by_naive: list[float] = []
        with Ledger.open(f"sqlite:///{path}", owner=ACTOR.id, synchronous=synchronous) as ledger:
            one_life(ledger, [])
            reader = floor_connection(path, synchronous)
            reader.execute("VACUUM INTO ?", (str(copy),))
            writer = floor_connection(copy, synchronous)
            engine = naive.make(Path(folder, "naive.db"), synchronous)
            one_naive_life(engine, [])
            for _ in range(lives):
                run_id = one_life(ledger, ours)
                groups = list(transactions_of(reader, run_id))
                write_bare(writer, groups[0])
                bare += [timed(partial(write_bare, writer, group)) for group in groups[1:]]
                one_naive_life(engine, by_naive)
            facts = ledger.show(run_id, ACTOR.id, ACTOR).record.facts()
        deciding = [timed(lambda: decide(facts, everyone(facts))) for _ in range(lives * 6)]
    return {"fire": median_us(ours), "floor": median_us(bare), "naive": median_us(by_naive), "decide": median_us(deciding)}


def main(lives: int = 120) -> None:
    """Print the ratios."""
    structlog.configure(
        processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(Path("/dev/null").open("w", encoding="utf-8")),
        cache_logger_on_first_use=True,
    )
    for synchronous in ("FULL", "NORMAL"):
        found = measure(synchronous, lives)
        fire = found["fire"]
        print(  # noqa: T201 - a benchmark prints
            f"fire, SQLite {synchronous}: {fire / found['floor']:.2f} x the bare driver's same writes; the naive way is "
            f"{found['naive'] / fire:.2f} x of fire; decide is {100 * found['decide'] / fire:.1f} % of fire "
            f"(medians of {lives * 6}: fire {fire:.0f} us, floor {found['floor']:.0f} us, naive {found['naive']:.0f} us)"
        )
