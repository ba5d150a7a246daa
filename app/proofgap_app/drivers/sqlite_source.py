"""The backup of a database, whichever form it has, as something that can be listed, read and compared.

Owns the difference between a database file and a dump. Refuses to write anywhere but into a private database that is
gone when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.base import Plan, Progress, Request, SourceError, no_progress
from proofgap_app.drivers.detect import SQLITE_MAGIC, head_of
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.sql_dump import load_dump
from proofgap_app.drivers.sqlite_content import (
    TableContent,
    broken_references,
    integrity_problems,
    noticing_damage,
    prepared,
    reading,
    schema_sha256,
    table_content,
    table_names,
)
from proofgap_store.sqlite_library import sqlite

Tables = dict[str, TableContent | DamagedError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything in a database that is compared; the keys are table names as they are shown."""

    tables: Tables
    schema: str
    problems: tuple[str, ...]
    broken_references: int | None

    @property
    def is_whole(self) -> bool:
        """Whether every row could be read and nothing is wrong with the structure."""
        return not self.problems and not any(isinstance(table, DamagedError) for table in self.tables.values())


def is_dump(backup: Path) -> bool:
    """Whether it is SQL text rather than a database file."""
    return not head_of(backup).startswith(SQLITE_MAGIC)


def target_path(request: Request) -> Path:
    """Give the path of the database file to be: the target itself, or, in a directory, the backup's name."""
    if not request.target_path.is_dir():
        return request.target_path
    backup = request.backup_path
    return request.target_path / (backup.with_suffix(".db").name if backup.suffix.lower() == ".sql" else backup.name)


def status_of(path: Path) -> os.stat_result | None:
    """Say what is at a path, without following a link; ``None`` when nothing is."""
    try:
        return path.lstat()
    except OSError:
        return None


def list_tables(backup: Path) -> tuple[list[str], DamagedError | None]:
    """Give the names of the tables, and the damage that may hide more. Raises `SourceError` when there are no names at all."""
    try:
        if is_dump(backup):
            with _loaded_as_far_as_possible(backup) as (connection, damage), noticing_damage():
                names = table_names(connection)
            if damage is not None and not names:
                raise damage
            return names, damage
        with reading(backup, at_rest=True) as connection, noticing_damage():
            return table_names(connection), None
    except DamagedError as error:
        problem = f"{shown(backup)} cannot be listed as a database ({error.problem})"
        raise SourceError("backup", problem, "Hand in an undamaged copy of it.") from error


@contextmanager
def expectation(backup: Path) -> Iterator[sqlite.Connection]:
    """Open the backup for reading; a dump is loaded into a private database first. Raises `DamagedError`."""
    if not is_dump(backup):
        with reading(backup, at_rest=True) as connection:
            yield connection
        return
    with _loaded_as_far_as_possible(backup) as (connection, damage):
        if damage is not None:
            raise damage
        yield connection


def contents_of(connection: sqlite.Connection, progress: Progress) -> Contents:
    """Read all rows. A table that cannot be read is listed with its damage. Raises `DamagedError` when there is no list."""
    with noticing_damage():
        names, schema = table_names(connection), schema_sha256(connection)
    tables: Tables = {}
    for name in names:
        try:
            tables[shown(name)] = table_content(connection, name, lambda: progress(0, len(tables)))
        except DamagedError as damage:
            tables[shown(name)] = damage
    return Contents(
        tables=tables,
        schema=schema,
        problems=integrity_problems(connection),
        broken_references=broken_references(connection),
    )


def read_backup(plan: Plan, progress: Progress) -> Contents:
    """Read all rows of the backup; what a damaged backup still gives is in it, and what is wrong."""
    try:
        with expectation(plan.request.backup_path) as connection:
            return contents_of(connection, progress)
    except DamagedError as damage:
        lost: Tables = {item.key: damage for item in plan.items}
        return Contents(tables=lost, schema="", problems=(damage.problem,), broken_references=None)


def holds(path: Path, contents: Contents) -> bool:
    """Whether a database file has exactly these contents, all of them readable."""
    try:
        with reading(path, at_rest=False) as connection:
            return contents.is_whole and contents_of(connection, no_progress) == contents
    except DamagedError:
        return False


@contextmanager
def _loaded_as_far_as_possible(dump: Path) -> Iterator[tuple[sqlite.Connection, DamagedError | None]]:
    # An empty name is SQLite's own temporary file: private, spilled to disk when large, gone on close.
    with closing(sqlite.connect("", isolation_level=None)) as connection:
        prepared(connection)
        found: DamagedError | None = None
        try:
            load_dump(dump, connection, lambda _done: False)
        except DamagedError as damage:
            found = damage
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)
        yield connection, found
