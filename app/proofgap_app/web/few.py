"""What so many may do at once and no more, for it takes long: the threads that it works in are everybody's.

Owns the counting. Refuses to know what is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from proofgap_app.web.problems import Code, HttpError


class Few:
    """Lets so many in at once; whoever comes beyond them is told to come again."""

    def __init__(self, count: int, busy: str, seconds: int) -> None:
        """Say how many, what whoever comes too much is told, and after how many seconds to come again."""
        self._places, self._busy, self._seconds = BoundedSemaphore(count), busy, seconds

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be one of them, until the block ends.

        Raises:
            HttpError: as many as may are at it already.

        """
        if not self._places.acquire(blocking=False):
            raise HttpError(Code.RATE_LIMITED, self._busy, {"retry-after": str(self._seconds)})
        try:
            yield
        finally:
            self._places.release()
