"""The schema of a ledger on SQLite: SQLite keeps the text of every statement that made a part of it.

Owns the queries on ``sqlite_master``. Refuses to know what a difference means (`schema`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import cache

from proofgap_store.catalog import Catalog, Found, Part
from proofgap_store.dialect import Connection
from proofgap_store.engine import rows
from proofgap_store.migrations.scripts import NAMES, statements
from proofgap_store.sqlite_library import sqlite

_SCHEMA = """
SELECT name, type, sql FROM sqlite_master
WHERE sql IS NOT NULL
  AND NOT (type = 'table' AND name IN ('alembic_version', 'sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4'))
"""


def _parts(connection: Connection) -> Mapping[Part, Found]:
    found = {Part(row["type"], row["name"]): row["sql"] for row in rows(connection, _SCHEMA)}
    return {part: Found(sql, _drop(part)) for part, sql in found.items()}


def _drop(part: Part) -> str:
    quoted = part.name.replace('"', '""')
    return f'DROP {part.kind.upper()} "{quoted}"'


@cache
def _wanted(upto: str) -> Mapping[Part, str]:
    with closing(sqlite.connect(":memory:")) as connection:
        for name in (name for name in NAMES if name.partition("_")[0] <= upto):
            for statement in statements(name, "sqlite"):
                connection.execute(statement)
        return {part: found.definition for part, found in _parts(connection).items()}


def _statements(part: Part) -> tuple[str, ...]:
    return () if part.kind in {"table", "view"} else (_wanted(NAMES[-1].partition("_")[0])[part],)


CATALOG = Catalog(
    parts=_parts,
    wanted=_wanted,
    statements=_statements,
    version="SELECT schema_version FROM pragma_schema_version",
    is_stamped="SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'",
)
