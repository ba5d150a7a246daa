"""How much the ledger adds to the writes that it makes, on PostgreSQL; the same ratios as `fire`, in one run.

The server is one of our own that keeps its word to the disk, or the one that ``PROOFGAP_TEST_POSTGRES`` names. The
ledger and the floor both log in as a member of ``proofgap_app``, so that every row is behind the security of rows. The
floor makes the same writes with the same triggers in another database of that server; who reads is named once, for its
whole session. Both wait for the disk with each commit, and both have their statements prepared.

Between them is the least that `fire` could take: its statements, in its round trips, with nothing computed in between.
"""

from __future__ import annotations

import gc
import tempfile
from contextlib import ExitStack, redirect_stderr
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, make_url

from benchmarks import naive, same_job
from benchmarks.fire import ACTOR, LIFE, median_us, one_naive_life, timed
from proofgap.audit import canonical
from proofgap.facts import RunEvent
from proofgap_app import logs
from proofgap_app.settings import LogStyle
from proofgap_store import Ledger, NewRun, read, schema
from proofgap_store.dialect import Connection, Readers
from proofgap_store.engine import connected, execute, make_engine, together, transaction
from tests import postgresql

_SINCE = "SELECT event_id, payload, leaf FROM audit_event WHERE event_id > %s ORDER BY event_id"
_DURABLE = ("autovacuum=off", "max_connections=50")


def bare(url: str) -> psycopg.Connection[Any]:
    """Connect with the bare driver, and see every row."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET search_path = proofgap, pg_temp")
    name_reader(connection, "*")
    return connection


def name_reader(connection: psycopg.Connection[Any], reader: str) -> None:
    """Say whose rows the security of rows lets through, for the whole session."""
    connection.execute("SELECT set_config('proofgap.reader', %s, false)", (reader,))


def write_bare(connection: psycopg.Connection[Any], events: list[tuple[int, str, str]]) -> None:
    """Write one transaction with the bare driver."""
    values = ", ".join("(%s, %s)" for _ in events)
    flat = [part for _, payload, leaf in events for part in (payload, leaf)]
    connection.execute("BEGIN")
    statement = f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id"
    connection.execute(statement.encode(), flat).fetchall()
    connection.execute("COMMIT")


def write_least(connection: Connection, asker: tuple[str, Readers], events: list[tuple[int, str, str]]) -> None:
    """Ask what `fire` asks and write what it wrote, with nothing in between."""
    run_id, readers = asker
    values = ", ".join(f"(:p{n}, :l{n})" for n in range(len(events)))
    given = {f"{key}{n}": text for n, (_, *row) in enumerate(events) for key, text in zip("pl", row, strict=True)}
    insert = f"INSERT INTO audit_event (payload, leaf) VALUES {values} RETURNING event_id"
    asked = {"run": run_id, "principal": ACTOR.id, "any": "*"}
    with transaction(connection, writes=True, readers=readers):
        execute(connection, read._ONE_RUN.format(which=":run"), asked).fetchall()  # noqa: SLF001 - the very statement
        together(connection, (insert, given), schema.asking_standing(connection))


class Pair:
    """A ledger, and beside it the floor and the least: whatever the ledger writes, they write next."""

    def __init__(self, url: str, floor: str, least: str, folder: Path) -> None:
        """Open all; they begin with what the ledger began with."""
        self.ledger = Ledger.open(
            postgresql.as_member(url, "app"), owner=ACTOR.id, key=folder / "key", head=folder / "head"
        )
        self.reader, self.floor, self.last = bare(url), bare(postgresql.as_member(floor, "app")), 0
        self.kept = ExitStack()
        self.asking = self.kept.enter_context(connected(make_engine(postgresql.as_member(least, "app"))))
        self.fire: list[float] = []
        self.bare: list[float] = []
        self.least: list[float] = []
        self.follow("", None)
        name_reader(self.floor, canonical([ACTOR.id]).decode())

    def follow(self, run_id: str, readers: Readers = (ACTOR.id,)) -> tuple[float, float]:
        """Let both write what the ledger wrote last; give how long each took."""
        events = self.reader.execute(_SINCE, (self.last,)).fetchall()
        self.last = events[-1][0]
        bare = timed(partial(write_bare, self.floor, events))
        return bare, timed(partial(write_least, self.asking, (run_id, readers), events))

    def live(self) -> None:
        """Take one run through its life, timing each event, and the same writes by both."""
        run_id = self.ledger.create(NewRun(), ACTOR).run_id
        self.follow(run_id)
        for name in LIFE:
            self.fire.append(timed(partial(self.ledger.fire, run_id, RunEvent(name), ACTOR)))
            bare, least = self.follow(run_id)
            self.bare.append(bare)
            self.least.append(least)

    def close(self) -> None:
        """Let go of all."""
        self.kept.close()
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
        postgresql.database() as least,
        postgresql.database(empty=True) as first,
        postgresql.database(empty=True) as second,
    ):
        pair = Pair(url, floor, least, Path(folder))
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
        "asking": median_us(pair.least),
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
    print(f"{us['asking']:8.0f}  the statements of fire alone: {us['asking'] / us['floor']:.2f} x the bare driver")
    print(f"{us['fire']:8.0f}  fire: {us['fire'] / us['floor']:.2f} x the bare driver")
    print(f"{us['least']:8.0f}  the naive way, the least of it: {us['least'] / us['fire']:.2f} x fire")
    print(f"{us['same']:8.0f}  the naive way, the same job: {us['same'] / us['fire']:.2f} x fire")


if __name__ == "__main__":
    main()
