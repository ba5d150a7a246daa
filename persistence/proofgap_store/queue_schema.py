"""The schema of the engine on PostgreSQL: Procrastinate's own, apart from that of the ledger.

What is in it is no record: jobs are made again from the runs. So another version of Procrastinate gets a new schema,
and the old one is dropped. Owns when that is. Refuses to know what a job is (`procrastination`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from proofgap_store.dialect import Connection

QUEUE = "proofgap_queue"
"""Where the jobs are, in the database of the ledger."""

_FOUND = "SELECT obj_description(to_regnamespace('proofgap_queue'), 'pg_namespace')"


def bring_up(connection: Connection) -> None:
    """Make the schema of this version of Procrastinate, where it is not there, in the transaction that is open."""
    from psycopg import Connection as Plain  # noqa: PLC0415 - an extra, which a ledger in a file does without

    mark = f"procrastinate {version('procrastinate')}"
    run = Plain.execute
    found = run(connection, _FOUND).fetchone()
    if found != (mark,):
        for statement in _statements(mark):
            run(connection, statement.encode())


def _statements(mark: str) -> Iterator[str]:
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - slow to import, and needed once in a ledger's life

    yield f"DROP SCHEMA IF EXISTS {QUEUE} CASCADE"
    yield f"CREATE SCHEMA {QUEUE}"
    yield f"SET LOCAL search_path = {QUEUE}"
    yield SchemaManager.get_schema()
    yield "SET LOCAL search_path = proofgap, proofgap_queue, pg_temp"
    yield f"COMMENT ON SCHEMA {QUEUE} IS '{mark}'"
