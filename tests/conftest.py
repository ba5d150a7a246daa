"""What holds for all tests: random examples are the same ones every time, and files are kept in memory where they may be.

Hundreds of ledgers sync every commit: on a disk, tests would wait for that more than for anything else. Where the folder
for memory is missing, too small, or lets no program run, or ``TMPDIR`` names another place, files go to the usual one.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

_MEMORY = Path("/dev/shm")  # noqa: S108 - the tests make folders of their own in it
_FREE_BYTES_MIN = 3 << 30

settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=200,
    deadline=None,  # a busy machine is no reason to fail; pytest-timeout ends what hangs
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")


def _is_fit(folder: Path) -> bool:
    """Tell whether there is such a folder, with room for the tests, that runs the programs that they put there."""
    return (
        os.access(folder, os.W_OK | os.X_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free >= _FREE_BYTES_MIN
    )


if "TMPDIR" not in os.environ and _is_fit(_MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later search for garbage: it lives as long as the tests do."""
    gc.collect()
    gc.freeze()
