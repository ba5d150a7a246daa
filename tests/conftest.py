"""What holds for all tests: random examples are the same ones every time, and there are many of them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=200,
    deadline=None,  # a busy machine is no reason to fail; pytest-timeout ends what hangs
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")
