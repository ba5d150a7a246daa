"""Progress bars on standard error: for people only, never where nobody looks.

Owns how long work looks while it goes on. Refuses to know the work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from proofgap_app.cli.output import amount
from proofgap_app.drivers.base import Progress, no_progress
from proofgap_app.settings import is_terminal

_WORDS = {"preview": "Reading the backup", "execute": "Restoring", "collect": "Reading the target"}


_COUNTED_TOGETHER = 100  # a bar that moves with every event would cost more than reading it


class ProgressBars:
    """The bars of one command, one for each step."""

    def __init__(self) -> None:
        """Begin with none."""
        self._shown: Any = None

    def __enter__(self) -> Self:
        """Give the bars themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take them away."""
        self.close()

    def close(self) -> None:
        """Take the bars off the screen; what was done stays visible."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None

    def step(self, name: str, total_bytes: int | None) -> Progress:
        """Draw a bar for a step of so many bytes (``None``: not known)."""
        if not is_terminal(sys.stderr):
            return no_progress
        bars = self._bars()
        task = bars.add_task(_WORDS.get(name, name), total=total_bytes, items="")

        def progress(done_bytes: int, done_items: int) -> None:
            bars.update(task, completed=done_bytes, items=amount(done_items, "item"))

        return progress

    def _bars(self) -> Any:  # noqa: ANN401 - rich is loaded only where there is somebody to look
        if self._shown is None:
            # Rich is loaded only where there is somebody to look.
            from rich.console import Console  # noqa: PLC0415 - as the comment above says
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - as above
            from rich.theme import Theme  # noqa: PLC0415 - as above

            columns = (
                TextColumn("{task.description:<20}"),
                BarColumn(complete_style="#2459bd", finished_style="#566072"),
                DownloadColumn(),
                TextColumn("{task.fields[items]}"),
                TimeElapsedColumn(),
            )
            # By default bytes are green; no colour here may look like a claim.
            theme = Theme({"progress.download": "default", "progress.elapsed": "dim"})
            self._shown = Progress(*columns, console=Console(file=sys.stderr, theme=theme))
            self._shown.start()
        return self._shown


@contextmanager
def counting(words: str, noun: str) -> Iterator[Callable[[int, int, int], None]]:
    """Draw one bar for work that goes through numbered things; told the number reached, the last number, and a count."""
    if not is_terminal(sys.stderr):
        yield lambda _reached, _last, _count: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich is loaded only where there is somebody to look
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - as above
    from rich.theme import Theme  # noqa: PLC0415 - as above

    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(complete_style="#2459bd", finished_style="#566072", pulse_style="#566072"),
        TextColumn("{task.fields[count]} " + noun),
        TimeElapsedColumn(),
    )
    theme = Theme({"progress.elapsed": "dim"})
    with Progress(*columns, console=Console(file=sys.stderr, theme=theme)) as bars:
        task = bars.add_task(words, total=None, count=0)

        def progress(reached: int, last: int, count: int) -> None:
            if reached == last or count % _COUNTED_TOGETHER == 0:
                bars.update(task, completed=reached, total=last, count=count)

        yield progress
