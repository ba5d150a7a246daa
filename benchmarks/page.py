"""How much the run page and the list of 50 cost on the server, against the bare queries that they need.

A request goes through the whole site, as a server hands it in, and comes back as a page. Every statement that it made
is then made again by the bare driver, with the same triggers and in the same transactions, on an equal copy of the
ledger, by a program that only executes, fetches and commits. Both alternate, request by request, in one process.

``python -m benchmarks.page`` measures a ledger of a thousand runs; ``python -m benchmarks.page 1000000`` measures one
of a million beside it, with ten million events. So many runs are not lived through: the row of a real run and the ten
newest events of its log are multiplied with the guards off, which are then put back word for word. What is synthetic in
them: each copy has a number behind the ids of its run, its streams and its events; hashes, times, items, the tree over
the log and the heads of streams are not made for it. No such ledger verifies; it only has the size.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from starlette.requests import Request

from benchmarks.fire import ACTOR, LIFE, floor_connection, median_us, timed
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item, RunDetails
from proofgap_app.web.calls import Means, Principal
from proofgap_app.web.site import create_site
from proofgap_app.web.site_settings import SiteSettings
from proofgap_store import Ledger, NewRun, dialect, engine

RUNS = 1_000
ROUNDS = 60
WARM = 5  # the first rounds fill caches
ORIGIN = "http://127.0.0.1:80"
WANTED = RunDetails(backup="/srv/backups/nightly.tar.gz", target="/srv/shop", driver="files")
EVENTS_OF_RUN = 10
_TEMPLATE = """
CREATE TEMP TABLE template AS SELECT row_number() OVER (ORDER BY event_id) AS place, event_id, payload, leaf
FROM (SELECT * FROM audit_event WHERE run = :run AND event_id <= :event ORDER BY event_id DESC LIMIT :events)
"""
_MULTIPLY = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :times)
INSERT INTO audit_event (event_id, payload, leaf)
SELECT :last + (n - 1) * :events + place, json_set(payload, '$.id', payload ->> '$.id' || printf('/%07d', n),
  '$.stream', payload ->> '$.stream' || printf('/%07d', n), '$.run', payload ->> '$.run' || printf('/%07d', n)), leaf
FROM number CROSS JOIN template
"""
_MULTIPLY_RUNS = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :times)
INSERT INTO restore_run ({names}) SELECT {values} FROM number CROSS JOIN restore_run WHERE id = :run
"""
_OWN = {
    "id": "id || printf('/%07d', n)",
    "operation_run_id": "NULL",
    "created_at_us": "created_at_us - n",
    "last_event_id": ":last + n * :events",
}
"""What a multiplied run has of its own."""


def live(ledger: Ledger, runs: int) -> str:
    """Let runs live their whole lives, each with items; give the id of the last one."""
    run_id = ""
    items = [Item(key=f"file-{number}", result=ItemResult.SUCCEEDED) for number in range(48)]
    for _ in range(runs):
        run_id = ledger.create(NewRun(details=WANTED), ACTOR).run_id
        for name in LIFE[:-1]:
            ledger.fire(run_id, RunEvent(name), ACTOR)
        ledger.fire(run_id, RunEvent.REPORT, ACTOR, items=items)
        ledger.fire(run_id, RunEvent(LIFE[-1]), ACTOR)
    return run_id


def multiply(file: Path, run_id: str, times: int) -> None:
    """Put so many more runs into a ledger, each older than the last, with ten events of its own."""
    connection = floor_connection(file, "OFF")
    # Nobody needs what is half filled, and a log would hold all of it twice.
    connection.execute("PRAGMA journal_mode=OFF")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    ((last, event),) = connection.execute(
        "SELECT (SELECT max(event_id) FROM audit_event), last_event_id FROM restore_run WHERE id = ?", (run_id,)
    ).fetchall()
    connection.execute(_TEMPLATE, {"run": run_id, "event": event, "events": EVENTS_OF_RUN})
    many = {"times": times, "last": last, "events": EVENTS_OF_RUN}
    connection.execute("BEGIN IMMEDIATE")
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(_MULTIPLY, many)
    names = [name for _, name, *_ in connection.execute("PRAGMA table_info(restore_run)").fetchall()]
    values = ", ".join(_OWN.get(name, name) for name in names)
    connection.execute(_MULTIPLY_RUNS.format(names=", ".join(names), values=values), many | {"run": run_id})
    for _, text in triggers:
        connection.execute(text)
    connection.execute("COMMIT")
    connection.close()


@contextmanager
def recorded() -> Iterator[list[tuple[str, Any]]]:
    """Note every statement that the ledger makes."""
    made: list[tuple[str, Any]] = []
    execute, real = engine.execute, dialect.SQLITE

    def noting(connection: Any, statement: str, parameters: Any = None) -> Any:  # noqa: ANN401 - as the original
        made.append((statement, dict(parameters or {})))
        return execute(connection, statement, parameters)

    def begin(connection: Any, writes: bool, readers: Any) -> None:  # noqa: ANN401, FBT001 - as the original
        made.append(("BEGIN IMMEDIATE" if writes else "BEGIN", {}))
        real.begin(connection, writes, readers)

    def commit(connection: Any, writes: bool) -> None:  # noqa: ANN401, FBT001 - as the original
        made.append(("COMMIT", {}))
        real.commit(connection, writes)

    def together(connection: Any, statements: Any) -> list[list[Any]]:  # noqa: ANN401 - as the original
        made.extend((statement, dict(parameters)) for statement, parameters in statements)
        return real.together(connection, statements)

    noted = real._replace(begin=begin, commit=commit, together=together)
    places = [(module, name, value) for module in [*sys.modules.values()] for name, value in [*vars(module).items()]
              if value is execute or value is real]  # fmt: skip
    for module, name, value in places:
        setattr(module, name, noting if value is execute else noted)
    try:
        yield made
    finally:
        for module, name, value in places:
            setattr(module, name, value)


class Site:
    """A site, asked without a network, by one task that lives on: as a server's does, so that threads are kept for the next page."""

    def __init__(self, ledger: Ledger) -> None:
        """Serve a ledger to one person."""
        self.app = create_site(ledger, SiteSettings(origin=ORIGIN), self._identify)
        self.loop = asyncio.new_event_loop()
        self.wanted = asyncio.Queue[tuple[str, asyncio.Future[float]]]()
        self.serving = self.loop.create_task(self._serve())

    @staticmethod
    def _identify(_request: Request) -> Principal:
        return Principal(ACTOR, Means.SESSION)

    def get(self, path: str) -> float:
        """Ask for a page; gives the seconds that it took, from when the server handed the request in until it had the answer."""
        answered = self.loop.create_future()
        self.wanted.put_nowait((path, answered))
        return self.loop.run_until_complete(answered)

    def close(self) -> None:
        """Stop serving."""
        self.serving.cancel()
        self.loop.run_until_complete(asyncio.gather(self.serving, return_exceptions=True))
        self.loop.close()

    async def _serve(self) -> None:
        while True:
            path, answered = await self.wanted.get()
            try:
                answered.set_result(await self._asked(path))
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                answered.set_exception(error)

    async def _asked(self, path: str) -> float:
        headers = [(b"host", b"127.0.0.1:80"), (b"accept", b"text/html")]
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": headers, "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        answered: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])

        begun = perf_counter()
        await self.app(scope, receive, send)  # type: ignore[arg-type]  # a scope as a server gives it
        took = perf_counter() - begun
        if answered != [200]:
            raise SystemExit(f"{path} answered {answered}")
        return took


def bare(connection: Any, statements: list[tuple[str, Any]]) -> None:  # noqa: ANN401 - whichever SQLite library it is
    """Make the statements of a page, and nothing else."""
    for statement, parameters in statements:
        connection.execute(statement, parameters).fetchall()


class Place(NamedTuple):
    """A ledger of some size with its site, and an equal copy of it for the bare driver."""

    runs: int
    site: Site
    floor: Any  # a connection of whichever SQLite library it is
    paths: dict[str, str]


class Sample(NamedTuple):
    """One page asked for once: the seconds of the page and of its bare queries, and how many these are."""

    page: float
    floor: float
    statements: int


@contextmanager
def prepared(runs: int) -> Iterator[Place]:
    """Fill a ledger, copy it, and serve it."""
    with tempfile.TemporaryDirectory() as name:
        file, copy = Path(name, "ledger.db"), Path(name, "copy.db")
        with Ledger.open(f"sqlite:///{file}", owner=ACTOR.id, synchronous="OFF") as ledger:
            run_id = live(ledger, min(runs, RUNS))
        if runs > RUNS:
            multiply(file, run_id, runs - RUNS)
        floor_connection(file, "OFF").execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(file, copy)
        with Ledger.open(f"sqlite:///{file}", create=False, owner=ACTOR.id) as ledger:
            floor, site = floor_connection(copy, "FULL"), Site(ledger)
            yield Place(runs, site, floor, {"run": f"/runs/{run_id}", "list": "/runs"})
            site.close()
            floor.close()


def sample(place: Place, path: str, made: list[tuple[str, Any]]) -> Sample:
    """Ask for a page, then make its statements again without it; ``made`` is where they are noted."""
    made.clear()
    page = place.site.get(path)
    return Sample(page, timed(lambda: bare(place.floor, made)), len(made))


def measure(places: list[Place]) -> dict[tuple[int, str], list[Sample]]:
    """Ask every ledger for every page in turn, so that whatever else the machine does meets all of them alike."""
    asked = [(place, page) for place in places for page in place.paths]
    with recorded() as made:
        rounds = [
            {(place.runs, page): sample(place, place.paths[page], made) for place, page in asked}
            for _ in range(ROUNDS + WARM)
        ]
    return {key: [found[key] for found in rounds[WARM:]] for key in rounds[0]}


def main(sizes: tuple[int, ...] = (RUNS,)) -> None:
    """Measure, and print a table."""
    with ExitStack() as stack:
        found = measure([stack.enter_context(prepared(runs)) for runs in sizes])
    print(f"Pages of a ledger (medians of {ROUNDS}, synchronous=FULL)")
    for (runs, page), samples in found.items():
        page_us = median_us([one.page for one in samples])
        floor_us = median_us([one.floor for one in samples])
        first_us = median_us([one.page for one in found[sizes[0], page]])
        growth = "" if runs == sizes[0] else f", {page_us / first_us:.2f} times that of {sizes[0]:,} runs"
        cost = f"{page_us / floor_us:.2f} times its {samples[0].statements} bare queries ({floor_us:.0f} us)"
        print(f"  {runs:9,} runs  {page:5} {page_us:8.0f} us   {cost}{growth}")


if __name__ == "__main__":
    main((RUNS, *map(int, sys.argv[1:])))
