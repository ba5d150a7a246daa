"""What the audit log costs: writers beside a sequencer, one write with chain and queue, a proof from a large log.

Three ratios, each to a floor in the same run; the two sides of each alternate.

- Writers: processes that lead runs from birth to end, in windows of some seconds, with and without
  ``proofgap audit checkpoint --follow`` (1 s, or 256 events) as a process beside them. What a window leaves in the
  queue is signed before the next one begins, and not timed.
- A write: the payloads of real transitions, inserted by the bare driver into a ledger with all its guards, and into one
  that neither checks links nor keeps heads of streams nor queues events; all its other guards are the same.
- A proof: the audit path of a leaf and the checkpoint over it, read through a connection that read nothing before, at
  N events and at 1,000. The large log holds events of lists that were shown, linked and hashed as all events are, each
  inserted past `Ledger.fire` but through every guard, and sequenced by the sequencer.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.fire import ACTOR, LIFE, floor_connection, median_us, timed, write_bare, written_since
from proofgap.audit import EventType, view_stream
from proofgap.facts import RunEvent
from proofgap.merkle import inclusion_proof
from proofgap_store import Ledger, NewRun, tree
from proofgap_store.audit_log import Draft, Head, link
from proofgap_store.audit_log import head_of as stream_head

_WRITERS = 2
_WINDOW_SECONDS = 3.0
_FORM_ONLY = (
    "DROP TRIGGER audit_event_waits_for_its_leaf",
    "DROP TRIGGER audit_event_links",
    """
    CREATE TRIGGER audit_event_has_its_form AFTER INSERT ON audit_event BEGIN
      SELECT RAISE(ABORT, 'the event is not in canonical form')
        WHERE json(NEW.payload) IS NOT NEW.payload
           OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload))
           OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload, '$.data'))
           OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload, '$.data.details'));
    END
    """,
)
_SMALL = 1_000
_BULK = 1_000
_PAYLOAD_ROWS = 8
_CONTEXT = multiprocessing.get_context("spawn")


def write_for(path: str, seconds: float) -> int:
    """Lead runs from birth to end for some time; give how many events were fired."""
    fired = 0
    with Ledger.open(f"sqlite:///{path}", owner=ACTOR.id) as ledger:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            run_id = ledger.create(NewRun(), ACTOR).run_id
            for name in LIFE:
                ledger.fire(run_id, RunEvent(name), ACTOR)
            fired += 1 + len(LIFE)
    return fired


@contextmanager
def sequencer_beside(url: str) -> Iterator[None]:
    """Let the command that signs run beside, from its first checkpoint on until the end of the block."""
    command = [sys.executable, "-m", "proofgap_app", "audit", "checkpoint", "--follow", "--interval", "1s"]
    env = {**os.environ, "PROOFGAP_LEDGER": url, "PROOFGAP_LOG": "off"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:  # noqa: S603 - our own command
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        child.stdout.readline()
        yield
        child.send_signal(signal.SIGINT)
        child.stdout.read()


def measure_writers(rounds: int) -> tuple[list[float], list[float]]:
    """Give the events per second of each window, without and with a sequencer beside the writers."""
    alone, beside = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name, _CONTEXT.Pool(_WRITERS) as pool:
        path = str(Path(name, "ledger.db"))
        with Ledger.open(f"sqlite:///{path}", owner=ACTOR.id) as ledger:
            window = [(path, _WINDOW_SECONDS)] * _WRITERS
            pool.starmap(write_for, [(path, 0.5)] * _WRITERS)  # warm up
            for _ in range(rounds):
                ledger.audit.checkpoint()
                alone.append(sum(pool.starmap(write_for, window)) / _WINDOW_SECONDS)
                ledger.audit.checkpoint()
                with sequencer_beside(f"sqlite:///{path}"):
                    beside.append(sum(pool.starmap(write_for, window)) / _WINDOW_SECONDS)
    return alone, beside


def measure_write(lives: int, synchronous: str) -> tuple[float, float, float]:
    """Give the medians, in microseconds, of a transition, and of its bare writes with and without chain and queue."""
    fire, full, reduced = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name, closing_all() as opened:
        ledger = Ledger.open(f"sqlite:///{Path(name, 'ledger.db')}", owner=ACTOR.id, synchronous=synchronous)
        reader = opened(floor_connection(Path(name, "ledger.db"), synchronous))
        for copy in ("full.db", "reduced.db"):
            reader.execute("VACUUM INTO ?", (str(Path(name, copy)),))
        guarded = opened(floor_connection(Path(name, "full.db"), synchronous))
        bare = opened(floor_connection(Path(name, "reduced.db"), synchronous))
        for statement in _FORM_ONLY:
            bare.execute(statement)
        last = max(number for number, *_ in written_since(reader, 0))
        for life in range(lives):
            run_id = ledger.create(NewRun(), ACTOR).run_id
            for name_ in ("", *LIFE):
                took = 0.0 if not name_ else timed(lambda: ledger.fire(run_id, RunEvent(name_), ACTOR))  # noqa: B023 - called at once
                events = written_since(reader, last)
                last = events[-1][0]
                sides = [(guarded, full), (bare, reduced)]
                for connection, samples in sides if life % 2 else reversed(sides):
                    spent = timed(lambda: write_bare(connection, events))  # noqa: B023 - called at once
                    if name_:
                        samples.append(spent)
                if name_:
                    fire.append(took)
        ledger.close()
    return median_us(fire), median_us(full), median_us(reduced)


@contextmanager
def closing_all() -> Iterator[Any]:
    """Give a function that remembers what is to be closed at the end."""
    found: list[Any] = []
    try:
        yield lambda each: found.append(each) or each
    finally:
        for each in found:
            each.close()


def grow(path: Path, count: int) -> None:
    """Append events to a log, through its guards and past `Ledger.fire`; then sign them."""
    stream = view_stream("list", "bench")
    rows = [[f"rr_{number:026d}", "needs_review", "0" * 64] for number in range(_PAYLOAD_ROWS)]
    data = {"viewer": ACTOR.id, "trigger": "list", "query": {}, "rows": rows}
    draft = Draft(EventType.DECISIONS_LISTED, None, None, None, None, data)
    with closing(floor_connection(path, "OFF")) as connection:
        head, now = stream_head(connection, stream), time.time_ns() // 1000
        while count > 0:
            events = link(head, [draft] * min(count, _BULK), ACTOR, now, now)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO audit_event (payload, leaf) VALUES (?, ?)",
                [(event.payload, event.leaf) for event in events],
            )
            connection.execute("COMMIT")
            head, count = Head(stream, head.next_seq + len(events), events[-1].leaf), count - len(events)


def signed(path: Path, count: int) -> int:
    """Bring a log up to so many events, all of them in the tree; give how many there are."""
    url = f"sqlite:///{path}"
    with Ledger.open(url, owner=ACTOR.id, synchronous="NORMAL") as ledger:
        grow(path, count - ledger.diagnose().events)
        made = ledger.audit.checkpoint()
        return 0 if made is None else made.size


def prove_cold(path: Path, index: int) -> float:
    """Give how long a proof takes, in seconds, on a connection whose cache holds the schema and nothing else."""
    with closing(floor_connection(path, "NORMAL")) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()

        def prove() -> None:
            checkpoint = tree.checkpoint_covering(connection, index + 1)
            assert checkpoint is not None  # noqa: S101 - every leaf has one
            inclusion_proof(index, checkpoint.size, tree.node_reader(connection))

        return timed(prove)


def measure_proofs(events: int, proofs: int) -> tuple[int, float, float, float]:
    """Give the size of the large log, the seconds it took to make it, and the medians of proofs from it and the small one."""
    chance = random.Random(7)  # noqa: S311 - the same leaves every time
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name, "small.db"), Path(name, "large.db")
        signed(small, _SMALL)
        begun = time.perf_counter()
        size = signed(large, events)
        made_in = time.perf_counter() - begun
        took: dict[Path, list[float]] = {small: [], large: []}
        for _ in range(proofs):
            for path, leaves in ((small, _SMALL), (large, size)):
                took[path].append(prove_cold(path, chance.randrange(leaves)))
    return size, made_in, median_us(took[large]), median_us(took[small])


def main(events: int = 20_000, rounds: int = 5, lives: int = 60, proofs: int = 200) -> None:
    """Print the ratios."""
    alone, beside = measure_writers(rounds)
    ratio = statistics.median(with_it / without for with_it, without in zip(beside, alone, strict=True))
    print(
        f"writers beside a sequencer: {100 * ratio:.0f} % of their throughput (median of {rounds} pairs of windows of "
        f"{_WINDOW_SECONDS:.0f} s, {_WRITERS} writers on {os.cpu_count()} processors; medians in events per second: "
        f"alone {statistics.median(alone):.0f}, beside {statistics.median(beside):.0f})"
    )
    for synchronous in ("FULL", "NORMAL"):
        fire, full, reduced = measure_write(lives, synchronous)
        print(
            f"a transition's writes with chain and queue, SQLite {synchronous}: {full / reduced:.2f} x the same writes "
            f"without; the whole of fire is {fire / reduced:.2f} x (medians of {lives * len(LIFE)}, in microseconds: "
            f"fire {fire:.0f}, bare with {full:.0f}, bare without {reduced:.0f})"
        )
    size, made_in, large, small = measure_proofs(events, proofs)
    print(
        f"a cold inclusion proof at {size} events: {large / small:.2f} x the one at {_SMALL} (medians of {proofs}, in "
        f"microseconds: {large:.0f} and {small:.0f}; the log was made and signed in {made_in:.0f} s)"
    )


def events_of(arguments: list[str]) -> dict[str, int]:
    """Read ``--events N`` from the command line."""
    at = arguments.index("--events") if "--events" in arguments else None
    return {} if at is None else {"events": int(next(islice(arguments, at + 1, None)))}


if __name__ == "__main__":
    main(**events_of(sys.argv[1:]))
