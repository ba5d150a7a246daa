"""The one SQLite library of this process: the current one of the ``pysqlite3`` wheel where there is one.

Two copies of SQLite in one process can corrupt a database that both have open, so everybody takes it from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as sqlite
else:
    try:
        import pysqlite3 as sqlite
    except ImportError:  # there is a wheel for Linux only
        import sqlite3 as sqlite

__all__ = ["sqlite"]
