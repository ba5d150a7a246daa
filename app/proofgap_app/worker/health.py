"""Health and metrics of a worker, over HTTP on the loopback interface, for whoever watches the machine.

``/healthz`` answers 200 while the worker has a lease and its last beat was heard, else 503, with a JSON object either
way. ``/metrics`` is the text format of Prometheus. Nothing else is served, and nothing is ever changed. Owns these two
pages. Refuses to know what the numbers are good for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

from proofgap.errors import ProofgapError
from proofgap_app.worker.serve import Crew

_LOOPBACK = "127.0.0.1"
_COUNTS = {
    "claimed": "Runs that this process claimed.",
    "ended": "Claimed runs that came to an end.",
    "failed": "Claimed runs whose execution went wrong here.",
    "fenced": "Runs that were taken from this process.",
    "reaped": "Runs of lost workers that this process failed.",
}


def state_of(crew: Crew) -> dict[str, object]:
    """Say how a worker is."""
    lease = crew.lease
    return {
        "worker": None if lease is None else lease.worker.id,
        "has_lease": lease is not None and not lease.is_lost,
        "failed_beats": None if lease is None else lease.failed_beats,
        "draining": crew.is_draining,
        "executing": crew.executing,
    }


def metrics_of(crew: Crew) -> str:
    """Write the metrics of a worker, and of the queue as it sees it; what cannot be read now is left out."""
    state = state_of(crew)
    lines = [
        line
        for name, text in _COUNTS.items()
        for line in _metric(f"proofgap_worker_{name}_total", "counter", text, crew.counts[name])
    ]
    for name, text in {"has_lease": "Whether it has a lease.", "draining": "Whether it takes nothing new.", "executing": "Runs under way here."}.items():  # fmt: skip
        lines += _metric(
            f"proofgap_worker_{name}", "gauge", text, int(bool(state[name])) if name != "executing" else crew.executing
        )
    try:
        queue = crew.ledger.fleet.queue(crew.actor)
    except ProofgapError:
        return "\n".join(lines) + "\n"
    held = [found for found in queue.held if found.needs_release]
    lines += _metric(
        "proofgap_queue_waiting",
        "gauge",
        "Runs that wait, as far as this worker sees them, at most 1000.",
        len(queue.waiting),
    )
    lines += _metric("proofgap_environments_held", "gauge", "Environments that wait for an operator.", len(held))
    lines += _metric("proofgap_workers_active", "gauge", "Workers that have a lease.", len(queue.workers))
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, value: int) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value}"


class _Pages(BaseHTTPRequestHandler):
    """The two pages."""

    crew: ClassVar[Crew]

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics_of(self.crew))
        elif self.path == "/healthz":
            state = state_of(self.crew)
            is_well = state["has_lease"] and not state["failed_beats"]
            self._answer(200 if is_well else 503, "application/json", json.dumps(state) + "\n")
        else:
            self._answer(404, "text/plain; charset=utf-8", "There are /healthz and /metrics.\n")

    def _answer(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002 - as http.server has it
        """Say nothing: whoever watches asks every few seconds."""


@contextmanager
def served(crew: Crew, port: int | None) -> Iterator[int | None]:
    """Serve the pages of a worker on the loopback interface while it works; gives the port. ``None``: nothing is served.

    Raises:
        OSError: the port is taken.

    """
    if port is None:
        yield None
        return
    pages = type("Pages", (_Pages,), {"crew": crew})
    with ThreadingHTTPServer((_LOOPBACK, port), pages) as server:
        thread = Thread(target=server.serve_forever, name="health", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
