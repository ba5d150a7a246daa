"""Copying every row of a ledger into an empty one on PostgreSQL, as it is: guards rest meanwhile, in one transaction.

Owns the order of the tables and the guards' rest: who looks from outside sees an empty ledger with all its guards, and
then a full one. Refuses to know what the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

from proofgap.errors import BadInputError
from proofgap_store.dialect import Connection
from proofgap_store.engine import execute, rows, walk
from proofgap_store.questions import Progress

_TABLES = """
SELECT c.relname AS name,
  (SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_attribute AS a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
  (SELECT string_agg(DISTINCT r.relname, ',') FROM pg_constraint AS n JOIN pg_class AS r ON r.oid = n.confrelid
   WHERE n.conrelid = c.oid AND n.contype = 'f' AND n.confrelid <> c.oid) AS needs
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('proofgap') AND c.relkind = 'r' AND c.relname <> 'alembic_version'
ORDER BY c.relname
"""
_GUARDS = """
SELECT c.relname AS owner, t.tgname AS name FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace('proofgap') AND NOT t.tgisinternal
"""
_NUMBER = "SELECT setval('audit_event_number', greatest(1, :number), :number > 0)"
_LAST = "SELECT coalesce(max(event_id), 0) AS number FROM audit_event"


def fill(source: Connection, target: Connection, progress: Progress) -> None:
    """Copy every row of a ledger in a file into an empty one, in the transactions that are open on both.

    Args:
        source: a connection to the file.
        target: a connection to the database, of the owner of its tables.
        progress: told how many rows were copied, of how many.

    Raises:
        BadInputError: the target is not empty.

    """
    execute(target, "SET LOCAL idle_in_transaction_session_timeout = 0")  # it waits while the file is verified
    tables = _tables(target)
    for name in tables:
        execute(target, f"ALTER TABLE {name} DISABLE TRIGGER USER")  # and whoever wants to write waits from here on
    if rows(target, _LAST)[0]["number"]:
        raise BadInputError("TARGET", "holds a ledger already", "Name an empty database.")
    total = sum(rows(source, f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in tables)  # noqa: S608 - names only
    done = 0
    for name, columns in tables.items():
        done = _copied(source, target, (name, columns), _Told(progress, done, total))
    execute(target, _NUMBER, {"number": rows(source, _LAST)[0]["number"]})
    execute(target, "SET CONSTRAINTS ALL IMMEDIATE")
    for guard in rows(target, _GUARDS):
        execute(target, f"ALTER TABLE {guard['owner']} ENABLE ALWAYS TRIGGER {guard['name']}")


def _tables(target: Connection) -> dict[str, str]:
    """Give every table and its columns, each after those that it points to."""
    found = {row["name"]: row for row in rows(target, _TABLES)}
    order = TopologicalSorter({name: row["needs"].split(",") if row["needs"] else () for name, row in found.items()})
    return {name: found[name]["columns"] for name in order.static_order()}


class _Told:
    """Counts rows, and tells."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self.progress, self.done, self.total = progress, done, total

    def each(self, found: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        for row in found:
            yield row
            self.done += 1
            self.progress(self.done, self.total, self.done)


def _copied(source: Connection, target: Connection, table: tuple[str, str], told: _Told) -> int:
    """Copy one table; give how many rows were copied in all by now."""
    name, columns = table
    found = walk(source, f"SELECT {columns} FROM {name}")  # noqa: S608 - names only
    target.take_in(f"COPY {name} ({columns}) FROM STDIN", told.each(found))
    return told.done
