"""One watcher for everybody who waits for news: it looks at the end of the log, and wakes those who wait.

However many wait, the ledger is asked once every so often, and only while somebody waits. Whoever is woken reads for
themselves what they may see.

Owns who waits, and how many may. Refuses to know what is new. All of it runs in the loop of the server, but `close`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from anyio.to_thread import run_sync

from proofgap.errors import ProofgapError
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.site_settings import SiteSettings
from proofgap_store import Ledger

_PAUSE_SECONDS = 5.0


class Bell:
    """Tells those who wait that something was recorded, or that the server stops.

    ``reached`` is the number of an event up to which the log was settled when it was last looked at.
    """

    def __init__(self, ledger: Ledger, settings: SiteSettings) -> None:
        """Watch a ledger."""
        self._ledger, self._limits, self._seconds = ledger, settings.limits, settings.poll_seconds
        self._listeners: Counter[str] = Counter()
        self._rung = asyncio.Event()
        self._last, self.reached = 0, 0
        self._watcher: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_closed = False

    @contextmanager
    def listening(self, principal: str) -> Iterator[None]:
        """Count somebody among those who wait, until the block ends.

        Raises:
            HttpError: there is no room.

        """
        self.demand_room(principal)
        self._listeners[principal] += 1
        if self._watcher is None or self._watcher.done():
            self._loop = asyncio.get_running_loop()
            self._watcher = self._loop.create_task(self._watch())
        try:
            yield
        finally:
            self._listeners[principal] -= 1
            self._listeners += Counter()  # those who wait no longer leave no zero behind

    def demand_room(self, principal: str) -> None:
        """Let one more listener in.

        Raises:
            HttpError: too many wait, or this one waits too often already.

        """
        of_principal = self._listeners.get(principal, 0)
        limits = self._limits
        if self._listeners.total() >= limits.streams_max or of_principal >= limits.streams_of_principal_max:
            raise HttpError(Code.RATE_LIMITED, "Too many streams are open.", {"retry-after": "5"})

    async def wait(self, after: int, seconds: float) -> None:
        """Wait until something is recorded after an event, the server stops, or so many seconds have passed."""
        if self.is_closed or self.reached > after:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()

    def close(self) -> None:
        """Wake everybody for the last time; may be called from any thread, and from the handler of a signal."""
        self.is_closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        """Wake those who wait now; whoever comes later waits for the next time."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def _watch(self) -> None:
        """Look at the end of the log as long as somebody listens. A look that fails is made again.

        How far the log is settled is asked only where something is new, and again as long as it is behind that: a write
        that was under way ends without another event.
        """
        while self._listeners and not self.is_closed:
            try:
                await self._look()
                pause = self._seconds
            except ProofgapError:  # somebody writes for long, or the ledger is gone: looking at it would not help
                pause = max(self._seconds, _PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        last, before = await run_sync(self._ledger.feed.last), (self._last, self.reached)
        if last == self._last and last <= self.reached:
            return
        self._last, self.reached = last, await run_sync(self._ledger.feed.settled)
        if before != (self._last, self.reached):
            self._ring()
