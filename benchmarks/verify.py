"""How much verifying a log costs, against a bare pass of SHA-256 over the same bytes in the same run.

The log is made by the ledger itself: runs that live their whole lives, some of them shown, checkpoints in between. The
three ways alternate on it. Memory is the peak of a process that verifies and does nothing else.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from benchmarks.fire import ACTOR, LIFE, floor_connection, timed
from proofgap.facts import RunEvent
from proofgap_store import Anchors, Depth, Ledger, NewRun, verify_file
from proofgap_store.clock import now_us

ROUNDS = 5
_CHILD = "import sys; from benchmarks.verify import deep; deep(sys.argv[1])"


def fill(ledger: Ledger, events: int) -> int:
    """Let runs live until the log has so many events; every third is shown; give how many there are."""
    made = 0
    while made < events:
        run_id = ledger.create(NewRun(), ACTOR).run_id
        for name in LIFE:
            last = ledger.fire(run_id, RunEvent(name), ACTOR).event_id
        if last % 3 == 0:
            last = ledger.show(run_id, ACTOR.id, ACTOR).event_id
        if made // 5_000 != last // 5_000:
            ledger.audit.checkpoint()
        made = last
    ledger.audit.checkpoint()
    return made + 1


def bare(path: str) -> None:
    """Hash every payload, and nothing else."""
    for (payload,) in floor_connection(Path(path), "OFF").execute("SELECT payload FROM audit_event ORDER BY event_id"):
        sha256(b"\x00" + payload.encode()).digest()


def deep(path: str, *, is_quick: bool = False) -> None:
    """Verify everything, or what a quick look looks at."""
    found = verify_file(f"sqlite:///{path}", Anchors(), Depth(now_us=now_us(), is_quick=is_quick))
    if found.findings:
        raise SystemExit(f"the benchmark's own log does not verify: {found.findings[0]}")


def peak_mib(path: str) -> int:
    """Give the peak memory of a process that verifies, in MiB."""
    subprocess.run([sys.executable, "-c", _CHILD, path], check=True)  # noqa: S603 - a program of our own
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def measure(events: int) -> tuple[int, dict[str, float]]:
    """Make a log, and give the median seconds of each way."""
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name, "ledger.db"))
        with Ledger.open(f"sqlite:///{path}", owner=ACTOR.id, synchronous="OFF") as ledger:
            made = fill(ledger, events)
        ways = {"bare": lambda: bare(path), "quick": lambda: deep(path, is_quick=True), "deep": lambda: deep(path)}
        samples: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, work in ways.items():
                samples[way].append(timed(work))
        found = {way: statistics.median(taken) for way, taken in samples.items()}
        found["peak_mib"] = peak_mib(path)
    return made, found


def main(events: int = 20_000) -> None:
    """Print the ratios, at a tenth of the size and at the whole, so that it shows how the cost grows."""
    for wanted in (events // 10, events):
        made, found = measure(wanted)
        print(
            f"verify, {made} events: deep {found['deep'] / found['bare']:.1f} x, quick "
            f"{found['quick'] / found['bare']:.1f} x a bare SHA-256 pass over the same payloads; deep "
            f"{found['deep'] / made * 1e6:.0f} microseconds an event, peak {found['peak_mib']:.0f} MiB "
            f"(medians of {ROUNDS})"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
