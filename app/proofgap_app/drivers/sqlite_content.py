"""What is in an SQLite database, in a form that can be compared: tables, schema, and a digest of each table's rows.

Theory. ``integrity_check`` says "ok" about changed payload bytes; only a digest over the rows sees them. Two databases
with the same rows differ in their bytes, so rows are digested, not pages: each value with its storage class, in the order of
the rowid, or of the primary key where there is no rowid.

Owns reading. Refuses to write: every connection made here is read-only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.names import shown
from proofgap_store.sqlite_library import sqlite

_ROWS_PER_TICK = 1000
_INTEGRITY_PROBLEMS_MAX = 20
_TARGET_TROUBLES = {
    "database or disk is full": "no_space",
    "disk I/O error": "target_unreliable",
    "readonly database": "read_only",
    "unable to open database file": "read_only",
}
_WAL_MARK_AT = 18
_SIDE_FILES = ("-wal", "-journal", "-shm")


class Text(bytes):
    """A TEXT value as the bytes that are stored; they need not be valid UTF-8, and are told apart from a BLOB."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContent:
    """How many rows a table has, and the SHA-256 of them."""

    rows: int
    sha256: str


def side_files(path: Path) -> tuple[Path, ...]:
    """Give the journals that lie beside a database: with one of them, the file alone is not the database."""
    beside = (path.with_name(path.name + suffix) for suffix in _SIDE_FILES)
    return tuple(file for file in beside if file.exists())


@contextmanager
def reading(path: Path, *, at_rest: bool) -> Iterator[sqlite.Connection]:
    """Open a database that must exist, for reading only. Raises `DamagedError` when it cannot be opened.

    ``at_rest`` says that nobody writes to it meanwhile, as to a backup; then no lock is taken.
    """
    # A reader of a database in WAL mode would leave its own journals behind, unless told that nobody writes.
    unlocked = not side_files(path) and (at_rest or _in_wal_mode(path))
    options = "mode=ro&immutable=1" if unlocked else "mode=ro"
    with noticing_damage():
        connection = sqlite.connect(f"{path.resolve().as_uri()}?{options}", uri=True, isolation_level=None)
    with closing(connection):
        with noticing_damage():
            prepared(connection)
        # Outside: an error in what the caller does with it is not damage of this database.
        yield connection


def prepared(connection: sqlite.Connection) -> sqlite.Connection:
    """Make a connection give text as stored, and trust nothing that the schema says."""
    connection.text_factory = Text
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


@contextmanager
def noticing_damage() -> Iterator[None]:
    """Turn what SQLite says into a `DamagedError`."""
    try:
        yield
    except sqlite.DatabaseError as error:
        raise DamagedError("source_damaged", shown(str(error))) from error


def target_trouble(error: sqlite.DatabaseError) -> str | None:
    """Give the reason code when an error is about where a database is written to; ``None`` when it is about its content.

    Told by SQLite's fixed texts: the code is not there when a copy from one database to another fails.
    """
    return next((reason for text, reason in _TARGET_TROUBLES.items() if text in str(error)), None)


def table_names(connection: sqlite.Connection) -> list[str]:
    """Give the names of all tables that hold rows; of a virtual table, those that it keeps its content in."""
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    )
    return [_decoded(name) for (name,) in rows]


def schema_sha256(connection: sqlite.Connection) -> str:
    """Give the SHA-256 of everything that is declared: tables, indexes, views, triggers."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    return _digest(rows, lambda: None).sha256


def table_content(connection: sqlite.Connection, table: str, tick: Callable[[], None]) -> TableContent:
    """Count and digest the rows of a table. Raises `DamagedError` when they cannot all be read."""
    with noticing_damage():
        return _digest(connection.execute(f"SELECT * FROM {_quoted(table)} ORDER BY {_order(connection, table)}"), tick)  # noqa: S608 - the name is quoted


def integrity_problems(connection: sqlite.Connection) -> tuple[str, ...]:
    """Give what ``PRAGMA integrity_check`` complains about; nothing when it says ok."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_INTEGRITY_PROBLEMS_MAX})").fetchall()
    except sqlite.DatabaseError as error:
        return (shown(str(error)),)
    problems = tuple(shown(_decoded(row[0])) for row in rows)
    return () if problems == ("ok",) else problems


def broken_references(connection: sqlite.Connection) -> int | None:
    """Count rows whose foreign key leads nowhere; ``None`` when it cannot be told."""
    try:
        return len(connection.execute("PRAGMA foreign_key_check").fetchall())
    except sqlite.DatabaseError:
        return None


def _in_wal_mode(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_WAL_MARK_AT + 2)[_WAL_MARK_AT:] == b"\x02\x02"
    except OSError as error:
        raise DamagedError("source_unreadable", shown(error.strerror or type(error).__name__)) from error


def _order(connection: sqlite.Connection, table: str) -> str:
    columns = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (table,)).fetchall()
    names = {_decoded(name).lower() for name, _ in columns}
    has_rowid = connection.execute("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)).fetchone()
    alias = next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in names), None)
    if alias is not None and has_rowid == (0,):
        return alias
    key = sorted((position, _decoded(name)) for name, position in columns if position)
    ordered = [name for _, name in key] or [_decoded(name) for name, _ in columns]
    return ", ".join(map(_quoted, ordered))


def _digest(rows: sqlite.Cursor, tick: Callable[[], None]) -> TableContent:
    hasher, count = hashlib.sha256(), 0
    while batch := rows.fetchmany(_ROWS_PER_TICK):
        hasher.update(b"".join(b"r" + b"".join(map(_encoded, row)) for row in batch))
        count += len(batch)
        tick()
    return TableContent(rows=count, sha256=hasher.hexdigest())


def _encoded(value: float | bytes | None) -> bytes:
    match value:
        case None:
            return b"n;"
        case int():
            return b"i%d;" % value
        case float():
            return b"f" + value.hex().encode() + b";"
        case Text():
            return b"t%d:" % len(value) + value
        case _:
            return b"b%d:" % len(value) + value


def _decoded(value: bytes) -> str:
    return bytes(value).decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
