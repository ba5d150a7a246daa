"""What a PostgreSQL database holds: by name, by rows, and as one digest that no committed change escapes.

Theory. Every version of a row has the transaction that wrote it (``xmin``) and a place (``ctid``): the sum of a hash of both, over
the rows that are visible, changes with every committed change, and with nothing that was rolled back. Taken over the system
catalogs and over the tables that a plan writes to, it proves that nothing was written; taken before and after, it binds what is
there to one execution. The number of the next transaction, noted when the plan was made, tells rows that were written since
from rows that were there before.

Owns these queries. Refuses to write: its connections are read-only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Container, Iterable
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

from proofgap_app.drivers.base import Progress, Request, TargetError
from proofgap_app.drivers.leftovers import number_of
from proofgap_app.drivers.postgresql_dump import Rows, SequenceState, TableName
from proofgap_app.drivers.postgresql_tools import Connection, reading, rows

_GONE_S = 20.0
_ASK_S = 0.05
_PATIENCE_S = 2.0
_SESSIONS: LiteralString = " FROM pg_catalog.pg_stat_activity WHERE application_name = %s"

_LOOKED_UP = (
    *("SCHEMA ", "TABLE ", "FOREIGN TABLE ", "VIEW ", "MATERIALIZED VIEW ", "SEQUENCE ", "INDEX ", "EXTENSION "),
    *("CONSTRAINT ", "FK CONSTRAINT ", "CHECK CONSTRAINT ", "TYPE ", "DOMAIN ", "TRIGGER "),
)
_NOT_LOOKED_UP = ("TABLE DATA ", "TABLE ATTACH ", "INDEX ATTACH ", "SEQUENCE SET ", "SEQUENCE OWNED BY ")

_OBJECTS = """
SELECT 'SCHEMA - ' || nspname, oid, age(xmin), true FROM pg_catalog.pg_namespace
UNION ALL
SELECT CASE relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'v' THEN 'VIEW'
         WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END
       || ' ' || nspname || ' ' || relname, c.oid, age(c.xmin), COALESCE(indisvalid, true)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
  LEFT JOIN pg_catalog.pg_index ON indexrelid = c.oid
 WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I') AND nspname !~ '^pg_toast' AND nspname <> 'pg_catalog'
UNION ALL
SELECT CASE contype WHEN 'f' THEN 'FK CONSTRAINT' WHEN 'c' THEN 'CHECK CONSTRAINT' ELSE 'CONSTRAINT' END
       || ' ' || nspname || ' ' || relname || ' ' || conname, k.oid, age(k.xmin), convalidated
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
UNION ALL
SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END || ' ' || nspname || ' ' || typname, t.oid, age(t.xmin), true
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = typnamespace WHERE nspname <> 'pg_catalog'
UNION ALL
SELECT 'TRIGGER ' || nspname || ' ' || relname || ' ' || tgname, g.oid, age(g.xmin), true
  FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE NOT tgisinternal
UNION ALL
SELECT 'EXTENSION - ' || extname, oid, age(xmin), true FROM pg_catalog.pg_extension
"""
_CATALOGS = """
SELECT relname FROM pg_catalog.pg_class
 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
   AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data') AND has_table_privilege(oid, 'SELECT') ORDER BY relname
"""
_STATE = "SELECT last_value, is_called FROM "
_NAMED = """
SELECT nspname, relname, relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
 WHERE c.oid = ANY(%s) ORDER BY c.oid
"""
_ALL = """
SELECT nspname, relname, relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
 WHERE relkind IN ('r', 'S') AND relpersistence <> 't' AND nspname <> 'pg_catalog' AND nspname !~ '^pg_toast'
   AND CASE relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT, UPDATE, USAGE')
       ELSE has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END
 ORDER BY c.oid
"""
_SHARED = """
SELECT (SELECT array_agg(r::text ORDER BY oid) FROM pg_catalog.pg_roles r),
       (SELECT array_agg(m::text ORDER BY roleid, member) FROM pg_catalog.pg_auth_members m),
       (SELECT array_agg((datname, datdba, datacl)::text ORDER BY oid) FROM pg_catalog.pg_database),
       (SELECT array_agg(t::text ORDER BY oid) FROM pg_catalog.pg_tablespace t)
"""
_WHERE = "SELECT current_database(), oid::text, (SELECT system_identifier::text FROM pg_control_system()) FROM pg_database WHERE datname = current_database()"
_VERSIONS = "SELECT count(*)::text, sum(hashtextextended(tableoid::text || ' ' || ctid::text || ' ' || xmin::text, 0)::numeric)::text FROM "


class Object(NamedTuple):
    """Something that has a name in the database."""

    oid: int
    age: int  # transactions since its row in the catalog was written
    is_valid: bool


class Found(NamedTuple):
    """The rows of a table, and how many of them were there before a marker (``None`` without one)."""

    number: int
    sha256: str
    older: int | None


def marker(connection: Connection) -> str:
    """Give the number of the next transaction: whatever is written from now on has it, or a later one."""
    return str(rows(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0][0])


def objects(connection: Connection) -> dict[str, Object]:
    """List what has a name, in the words of a dump's table of contents."""
    return {label: Object(oid, age, valid) for label, oid, age, valid in rows(connection, _OBJECTS)}


def label_in(text: str, found: Container[str]) -> str | None:
    """Give which of these names an entry has; its text ends with an owner, who may have a name of several words."""
    words = text.split(" ")
    prefixes = (" ".join(words[:length]) for length in range(len(words), 0, -1))
    return next((prefix for prefix in prefixes if prefix in found), None)


def is_looked_up(entry: str) -> bool:
    """Tell whether what an entry makes has a name that is looked up; of the others only the tool's errors tell."""
    return entry.startswith(_LOOKED_UP) and not entry.startswith(_NOT_LOOKED_UP)


def fingerprint(connection: Connection, entries: Iterable[str] | None) -> str:
    """Give the SHA-256 of which database it is, of its catalogs, and of the tables and sequences that entries put data into.

    ``None`` stands for whatever SQL there is: of all tables and sequences, and of what all databases of the server share.
    """
    hasher = hashlib.sha256(repr(rows(connection, _WHERE)).encode())
    if entries is None:
        named = rows(connection, _ALL)
        hasher.update(repr(rows(connection, _SHARED)).encode())
    else:
        there = objects(connection)
        labels = {label_in(place, there) for place in map(_place, entries) if place is not None}
        named = rows(connection, _NAMED, [there[label].oid for label in sorted(filter(None, labels))])
    places = [("pg_catalog", str(name)) for (name,) in rows(connection, _CATALOGS)]
    places += [(schema, name) for schema, name, kind in named if kind in {"r", "p"}]
    for place in places:
        hasher.update(repr(rows(connection, sql.SQL(_VERSIONS) + sql.Identifier(*place))).encode())
    for sequence in ((schema, name) for schema, name, kind in named if kind == "S"):
        hasher.update(repr(rows(connection, sql.SQL(_STATE) + sql.Identifier(*sequence))).encode())
    return hasher.hexdigest()


def _place(entry: str) -> str | None:
    """Give the name of what the data of an entry goes into; ``None`` for one that has no data."""
    for data, place in (("TABLE DATA ", "TABLE "), ("SEQUENCE SET ", "SEQUENCE ")):
        if entry.startswith(data):
            return place + entry.removeprefix(data)
    return None


def kind_of(connection: Connection, table: TableName) -> str | None:
    """Give the kind of a relation as the catalog has it; ``None`` when there is none of that name."""
    found = rows(
        connection,
        "SELECT relkind::text FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = %s AND relname = %s",
        table.schema,
        table.table,
    )
    return str(found[0][0]) if found else None


def sequence_state(connection: Connection, name: str) -> SequenceState | None:
    """Say where a sequence stands, named as a dump names it; ``None`` when there is none."""
    found = rows(
        connection,
        "SELECT nspname, relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace"
        " WHERE pg_class.oid = to_regclass(%s) AND relkind = 'S'",
        name,
    )
    if not found:
        return None
    return SequenceState(*rows(connection, sql.SQL(_STATE) + sql.Identifier(*found[0]))[0])


def content(
    connection: Connection, table: TableName, since: str | None, encoding: str, progress: Progress
) -> Found | str:
    """Read all rows of a table; one word when that is not possible."""
    kind = kind_of(connection, table)
    if kind not in {"r", "p"}:
        return "absent" if kind is None else "not_a_table"
    place = sql.SQL("ONLY " if kind == "r" else "") + sql.Identifier(table.schema, table.table)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    found = Rows()
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET LOCAL client_encoding = {}").format(sql.Literal(encoding)))
            with cursor.copy(sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, place)) as copied:
                done = 0
                for row in copied:
                    found.add(bytes(row).removesuffix(b"\n"))
                    done += len(row)
                    progress(done, 0)
        return Found(found.count, found.sha256, None if since is None else _older(connection, place, since))
    except (psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as error:
        return "other_columns" if isinstance(error, psycopg.errors.UndefinedColumn) else "not_permitted"


def _older(connection: Connection, place: sql.Composable, since: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE age(xmin) > age(({})::xid)")
    return int(rows(connection, query.format(place, sql.Literal(_short(since))))[0][0])


def age_of(connection: Connection, since: str) -> int:
    """Give how many transactions ago a marker was taken."""
    return int(rows(connection, sql.SQL("SELECT age(({})::xid)").format(sql.Literal(_short(since))))[0][0])


def _short(since: str) -> str:
    return str(number_of(since) % (1 << 32))


def wait_for_end(request: Request, application: str) -> None:
    """Wait until nothing of an execution is at work in the database any more; after some seconds, end it.

    A program that was killed leaves its session behind, which goes on writing until it notices.
    Raises `TargetError` when the database cannot be reached, or a session does not end.
    """
    started_s = time.monotonic()
    while True:
        with reading(request) as connection:
            waited_s = time.monotonic() - started_s
            if not rows(connection, "SELECT pid" + _SESSIONS, application):
                return
            if waited_s > _PATIENCE_S:
                rows(connection, "SELECT pg_terminate_backend(pid)" + _SESSIONS, application)
        if waited_s > _GONE_S:
            raise TargetError("target", "a session of the restore does not end", "Look into pg_stat_activity.")
        time.sleep(_ASK_S)
