"""Drivers: each turns one kind of backup into a plan, a preview, an execution and evidence.

`base` has the interface. Owns the choice of the driver. Refuses to know runs, ledgers and workers.
"""

from __future__ import annotations

from pathlib import Path

from proofgap.errors import BadInputError
from proofgap_app.drivers.base import Driver
from proofgap_app.drivers.detect import is_database
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.drivers.sqlite import SqliteDriver

__all__ = ["DRIVERS", "driver_for"]

DRIVERS: dict[str, type[Driver]] = {FilesDriver.name: FilesDriver, SqliteDriver.name: SqliteDriver}


def driver_for(name: str | None, backup: Path) -> Driver:
    """Give the driver of that name; without one, the driver that the backup's content asks for.

    Raises `BadInputError` for a name that does not exist, and `SourceError` when the backup cannot be read.
    """
    chosen = name or (SqliteDriver.name if is_database(backup) else FilesDriver.name)
    if chosen not in DRIVERS:
        raise BadInputError("driver", f"{chosen!r} is not a driver", f"Use one of: {', '.join(sorted(DRIVERS))}.")
    return DRIVERS[chosen]()
