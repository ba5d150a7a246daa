"""Whole files that wait for their names, flushed to the disk many at a time.

Theory. A flush waits for the disk; sixteen that wait together take little longer than one, because the file system
writes its journal once for all of them. So small files are flushed in batches, and named one by one afterwards. A
batch is small enough in files and in bytes that a stop, a full disk or a crash concerns few of them.

Owns the waiting. Refuses to know what is in a file.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from proofgap_app.drivers.sink import Sink

_FILES_MAX = 64
_BYTES_MAX = 64 << 20
_THREADS = 16


class Batch:
    """Sinks whose content is whole."""

    def __init__(self) -> None:
        """Begin empty; threads are started with the first batch."""
        self._sinks: list[Sink] = []
        self._bytes = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="proofgap-flush")

    def add(self, sink: Sink, size: int) -> None:
        """Let one more wait; ``size`` is that of its content in bytes."""
        self._sinks.append(sink)
        self._bytes += size

    @property
    def is_full(self) -> bool:
        """Whether it is time to publish."""
        return len(self._sinks) >= _FILES_MAX or self._bytes >= _BYTES_MAX

    def publish(self) -> list[Sink]:
        """Flush all, name them in the order in which they came, and give them back, ended."""
        list(self._pool.map(Sink.flush, self._sinks))
        for sink in self._sinks:
            sink.publish()
        sinks, self._sinks, self._bytes = self._sinks, [], 0
        return sinks

    def close(self) -> None:
        """Leave nothing behind of what still waits, and end the threads."""
        for sink in self._sinks:
            sink.drop()
        self._pool.shutdown()
