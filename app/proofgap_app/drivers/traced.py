"""A driver whose steps are traced: what planning, previewing, executing and collecting took.

Owns the names of these spans. Refuses to know what a step does, and to say anything of what it found.
"""

from __future__ import annotations

from typing import Any

from proofgap_app import tracing
from proofgap_app.drivers.base import Driver

_STEPS = {"plan": "plan", "preview": "preview", "execute": "execute", "collect": "evidence"}
"""What a driver is told to do, and what that step of a restore is called."""


def traced(driver: Driver) -> Driver:
    """Give a driver that is traced, where anything is."""
    return _Traced(driver) if tracing.is_on() else driver  # type: ignore[return-value]  # what it lacks the driver has


class _Traced:
    """Stands before a driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver has
        found = getattr(self._driver, name)
        if name not in _STEPS:
            return found

        def step(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the driver takes and gives it
            with tracing.span(_STEPS[name], {"proofgap.driver": self._driver.name}):
                return found(*given, **named)

        return step
