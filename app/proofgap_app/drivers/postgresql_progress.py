"""How far the rows of a restore are: asked of the server, on a connection of its own, while the tool is at work.

Theory. The tools say what they begin with, and nothing of how far they are in it; the server knows of each ``COPY`` how many bytes
it has taken. What it says of one is gone when that one ends, so the last that was seen of each is added up: never more than
was taken, often a little less. It is only ever progress, and no fact about the target. A server that does not say it, or lets
nobody else in, costs nothing but this; the first question comes late enough that the tool has its own connection by then.

Owns that connection. Refuses to know what the bytes are part of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psycopg

from proofgap_app.drivers.base import Request, SourceError, TargetError
from proofgap_app.drivers.postgresql_tools import connected, rows

_FIRST_S = 1.0
_EVERY_S = 0.25
_PATIENCE_S = 2.0
_AT_WORK = """
SELECT pid, relid::bigint, bytes_processed FROM pg_catalog.pg_stat_progress_copy JOIN pg_catalog.pg_stat_activity USING (pid)
 WHERE application_name = %s AND command = 'COPY FROM' AND bytes_processed IS NOT NULL
"""


class Copies:
    """What is known of all that a restore copies, one after the other or several at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ended = 0
        self._running: Mapping[int, tuple[int, int]] = {}

    def take(self, seen: Mapping[int, tuple[int, int]]) -> None:
        """Take what the server says: by process, the table that it copies into, and the bytes that it has taken of it."""
        for process, (table, size) in self._running.items():
            now_table, now_size = seen.get(process, (None, 0))
            if now_table != table or now_size < size:
                self._ended += size
        self._running = seen

    @property
    def bytes(self) -> int:
        """How many bytes of rows have been taken, as far as it was seen."""
        return self._ended + sum(size for _, size in self._running.values())


class CopyWatch:
    """Asks the server, until it is told that the restore is over, or gets no answer."""

    def __init__(self, request: Request, application: str) -> None:
        """Take the target, and the name that the restore's sessions have there."""
        self._request, self._application = request, application
        self._copies, self._over = Copies(), Event()
        self._thread = Thread(target=self._ask, name="proofgap-copy-watch", daemon=True)

    def start(self) -> None:
        """Begin to ask, again and again, beside whoever waits for the tool."""
        self._thread.start()

    def _ask(self) -> None:
        if self._over.wait(_FIRST_S):
            return
        with suppress(psycopg.Error, TargetError, SourceError), connected(self._request) as connection:
            while not self._over.wait(_EVERY_S):
                found = rows(connection, _AT_WORK, self._application)
                self._copies.take({process: (table, size) for process, table, size in found})

    @property
    def is_asking(self) -> bool:
        """Whether it still asks, or has yet to begin."""
        return self._thread.is_alive()

    @property
    def bytes(self) -> int:
        """How many bytes of rows have been taken, as far as it was seen."""
        return self._copies.bytes

    def end(self) -> None:
        """Ask no more; a question that gets no answer is not waited for."""
        self._over.set()
        self._thread.join(_PATIENCE_S)


@contextmanager
def copies_watched(request: Request, application: str) -> Iterator[CopyWatch]:
    """Watch the copies of a restore while it is at work."""
    watch = CopyWatch(request, application)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()
