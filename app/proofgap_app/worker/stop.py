"""A wish to stop, and when it is heard: never while something is put on record.

Owns the patience of whoever asks. Refuses to know signals (`proofgap_app.cli.restore`) and what is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto


class Heard(Enum):
    """When a wish to stop interrupts what goes on."""

    NEVER = auto()  # something is put on record
    AT_ONCE = auto()  # nothing is written yet
    IF_IGNORED = auto()  # it asks itself, and ends as soon as it safely can: an interruption could leave scraps
    IF_REPEATED = auto()  # nothing is written any more


class Stop:
    """Whether somebody asked to stop; a wish that comes at a bad moment is heard at the next good one."""

    def __init__(self, patience_s: float = 2) -> None:
        """Begin with nobody having asked; say after how many seconds a wish that is repeated was ignored."""
        self.asked = False
        self._patience_s, self._since_s = patience_s, 0.0
        self._grounds = {Heard.NEVER: False, Heard.AT_ONCE: False, Heard.IF_IGNORED: False, Heard.IF_REPEATED: False}
        self._heard = Heard.NEVER

    def ask(self, *_signal: object) -> None:
        """Note that somebody asked, and interrupt what may be interrupted now."""
        now_s = time.monotonic()
        if not self.asked:
            self.asked, self._since_s = True, now_s
            self._grounds[Heard.AT_ONCE] = True
        else:
            self._grounds[Heard.IF_REPEATED] = True
            self._grounds[Heard.IF_IGNORED] = now_s - self._since_s >= self._patience_s
        self._hear()

    @contextmanager
    def heard(self, when: Heard) -> Iterator[None]:
        """Say when a wish interrupts what goes on in here; one that is waiting is heard at once."""
        before, self._heard = self._heard, when
        try:
            self._hear()
            yield
        finally:
            self._heard = before
        self._hear()

    def _hear(self) -> None:
        if self._grounds[self._heard]:
            self._heard = Heard.NEVER  # what cleans up after the interruption is not interrupted again
            raise KeyboardInterrupt
