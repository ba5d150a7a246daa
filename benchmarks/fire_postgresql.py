"""How much the ledger adds to the writes that it makes, on PostgreSQL; the same ratios as `fire`, in one run.

The server is one of our own that keeps its word to the disk, or the one that ``PROOFGAP_TEST_POSTGRES`` names. The
ledger logs in as a member of ``proofgap_app``, so that every row is behind the security of rows; the floor owns its
tables, as a bare driver would, and makes the same writes with the same triggers in another database of that server.
"""

from __future__ import annotations

import gc
import tempfile
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, make_url

from benchmarks import naive, same_job
from benchmarks.fire import ACTOR, LIFE, median_us, one_naive_life, timed
from proofgap.facts import RunEvent
from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_store import Ledger, NewRun
from tests import postgresql

_SINCE = "SELECT event_id, payload, leaf FROM audit_event WHERE event_id > %s ORDER BY event_id"
_DURABLE = ("autovacuum=off", "max_connections=50")


def bare(url: str) -> psycopg.Connection[Any]:
    """Connect with the bare driver."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET search_path = proofgap, pg_temp")
    return connection


def write_bare(connection: psycopg.Connection[Any], events: list[tuple[int, str, str]]) -> None:
    """Write one transaction with the bare driver."""
    values = ", ".join("(%s, %s)" for _ in events)
    flat = [part for _, payload, leaf in events for part in (payload, leaf)]
    connection.execute("BEGIN")
    statement = f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id"
    connection.execute(statement.encode(), flat).fetchall()
    connection.execute("COMMIT")


class Pair:
    """A ledger, and the floor beside it: whatever the ledger writes, the floor writes next."""

    def __init__(self, url: str, floor: str, folder: Path) -> None:
        """Open both; the floor begins with what the ledger began with."""
        self.ledger = Ledger.open(
            postgresql.as_member(url, "app"), owner=ACTOR.id, key=folder / "key", head=folder / "head"
        )
        self.reader, self.floor, self.last = bare(url), bare(floor), 0
        self.fire: list[float] = []
        self.bare: list[float] = []
        self.follow()
        self.bare.clear()

    def follow(self) -> None:
        """Let the floor write what the ledger wrote last."""
        events = self.reader.execute(_SINCE, (self.last,)).fetchall()
        self.last = events[-1][0]
        self.bare.append(timed(partial(write_bare, self.floor, events)))

    def live(self) -> None:
        """Take one run through its life, timing each event and the same writes on the floor."""
        run_id = self.ledger.create(NewRun(), ACTOR).run_id
        self.follow()
        self.bare.pop()
        for name in LIFE:
            self.fire.append(timed(partial(self.ledger.fire, run_id, RunEvent(name), ACTOR)))
            self.follow()

    def close(self) -> None:
        """Let go of both."""
        self.ledger.close()
        self.reader.close()
        self.floor.close()


def _naive(way: ModuleType, url: str) -> Engine:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    way.prepare(engine)
    return engine


def measure(lives: int) -> dict[str, float]:
    """Measure; all ways alternate."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql.database() as url,
        postgresql.database() as floor,
        postgresql.database(empty=True) as first,
        postgresql.database(empty=True) as second,
    ):
        pair = Pair(url, floor, Path(folder))
        engines = {naive: _naive(naive, first), same_job: _naive(same_job, second)}
        naively: dict[ModuleType, list[float]] = {way: [] for way in engines}
        for _ in range(lives):
            gc.collect()  # nobody pays for what another way left behind
            pair.live()
            for way, engine in engines.items():
                one_naive_life(way, engine, naively[way])
        pair.close()
        for engine in engines.values():
            engine.dispose()
    return {
        "floor": median_us(pair.bare),
        "fire": median_us(pair.fire),
        "least": median_us(naively[naive]),
        "same": median_us(naively[same_job]),
    }


def main(lives: int = 60) -> None:
    """Print the ratios; the log lines are written as they are for machines, and go nowhere."""
    postgresql.started_with(*_DURABLE)
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        logs.configure(LogStyle.JSON)
        us = measure(lives)
    print(f"PostgreSQL, behind the security of rows, medians of {lives * len(LIFE)}, in microseconds")
    print(f"{us['floor']:8.0f}  the bare driver, the ledger's writes")
    print(f"{us['fire']:8.0f}  fire: {us['fire'] / us['floor']:.2f} x the bare driver")
    print(f"{us['least']:8.0f}  the naive way, the least of it: {us['least'] / us['fire']:.2f} x fire")
    print(f"{us['same']:8.0f}  the naive way, the same job: {us['same'] / us['fire']:.2f} x fire")


if __name__ == "__main__":
    main()
