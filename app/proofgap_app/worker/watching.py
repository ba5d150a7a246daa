"""Who watches a restore: a person at a terminal, or a worker that writes log lines.

Owns what they are told, and the one question they are asked. Refuses to know what they make of it.
"""

from __future__ import annotations

from typing import Protocol

from proofgap.facts import EndReason
from proofgap.records import PreviewFacts
from proofgap_app.drivers.base import Plan, Preview, Progress
from proofgap_store import Receipt


class Watcher(Protocol):
    """Who watches a restore: is told of each step, and may say no before anything is written."""

    def moved(self, receipt: Receipt) -> None:
        """Hear of an event that was recorded."""
        ...

    def previewed(self, plan: Plan, preview: Preview) -> None:
        """Hear what the plan would do."""
        ...

    def resumed(self, plan: Plan, shown: PreviewFacts) -> None:
        """Hear what an earlier preview showed, once the plan was found to be the same still."""
        ...

    def blocked(self, reason: EndReason, because: str) -> None:
        """Hear why the run ended before anything was written."""
        ...

    def agrees(self, plan: Plan, shown: PreviewFacts) -> bool:
        """Say whether to go on after the preview."""
        ...

    def working(self, step: str, total_bytes: int | None) -> Progress:
        """Give somewhere to report progress of a step: ``preview``, ``execute`` or ``collect``."""
        ...
