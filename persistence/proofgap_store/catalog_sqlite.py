"""The schema of a ledger on SQLite: SQLite keeps the text of every statement that made a part of it.

Owns the queries on ``sqlite_master``. Refuses to know what a difference means (`schema`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import cache

from proofgap_store.catalog import Catalog, Part
from proofgap_store.dialect import Connection
from proofgap_store.engine import rows
from proofgap_store.migrations.scripts import NAMES, statements
from proofgap_store.sqlite_library import sqlite

_SCHEMA = """
SELECT name, type, sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'alembic_version'
"""


def _parts(connection: Connection) -> Mapping[str, Part]:
    return {row["name"]: _part(**row) for row in rows(connection, _SCHEMA)}


def _part(name: str, type: str, sql: str) -> Part:  # noqa: A002 - as SQLite calls it
    quoted = name.replace('"', '""')
    return Part(type, sql, f'DROP {type.upper()} "{quoted}"')


@cache
def _wanted(upto: str) -> Mapping[str, str]:
    with closing(sqlite.connect(":memory:")) as connection:
        for name in (name for name in NAMES if name.partition("_")[0] <= upto):
            for statement in statements(name, "sqlite"):
                connection.execute(statement)
        return {name: part.definition for name, part in _parts(connection).items()}


def _statements(name: str) -> tuple[str, ...]:
    found = _wanted(NAMES[-1].partition("_")[0]).get(name, "")
    return () if found.startswith("CREATE TABLE") else (found,)


CATALOG = Catalog(
    parts=_parts,
    wanted=_wanted,
    statements=_statements,
    version="PRAGMA schema_version",
    is_stamped="SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'",
)
