"""The programs of PostgreSQL, and the database that they are pointed at.

Theory. A target is a libpq URL or a line of ``key=value`` pairs, without a password: it goes on record. The password comes from
where libpq looks for it on the machine that executes (``PGPASSFILE``, ``PGPASSWORD``, a service), or from ``--password-file``, and
reaches the programs in their environment. Everything of one execution carries a name of its own in the database, so that what is
left of it there can be told from everybody else's, and waited for.

Owns the connections and the calls. Refuses to know what is in a dump.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import conninfo, sql

from proofgap.errors import BadInputError
from proofgap_app.drivers.base import Request, TargetError
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.secrets import Redactor, read_password
from proofgap_app.drivers.tool import Kind, Tool, tool_for

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Statement: TypeAlias = LiteralString | sql.SQL | sql.Composed

_INSTALL = "Install the client programs of PostgreSQL, at least of the version that made the dump."
PG_RESTORE = Kind(name="pg_restore", install=_INSTALL, environment=("PG*", "KRB5*"))
PSQL = Kind(name="psql", install=_INSTALL, environment=("PG*", "KRB5*"))
_CONNECT_S = 10
_SECRET_KEYS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_LIKE_A_DUMP = (
    "SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET synchronize_seqscans = off;"
    " SET row_security = off; SET search_path = ''; SET statement_timeout = 0; SET lock_timeout = '20s'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'"
)


def check_target(target: str) -> None:
    """Refuse what is no target, or holds a password. Raises `BadInputError`."""
    try:
        parts = conninfo.conninfo_to_dict(target)
    except psycopg.Error as error:
        remedy = "Write a URL such as postgresql://user@host/database."
        raise BadInputError("target", f"{Redactor()(shown(target))} is no PostgreSQL URL", remedy) from error
    if _SECRET_KEYS & parts.keys():
        remedy = "Leave it out; hand it in by --password-file, or by PGPASSFILE where the restore is executed."
        raise BadInputError("target", "holds a password", remedy)
    if not ({"dbname", "service"} & parts.keys()):
        raise BadInputError("target", "does not name a database", "Write postgresql://user@host/database.")


def tool_of(kind: Kind, request: Request) -> Tool:
    """Give a program with what it needs to get into the database."""
    return tool_for(kind, request, _password(request))


def target_argument(request: Request, application: str) -> str:
    """Give the target as the programs take it, under the name of one execution."""
    return conninfo.make_conninfo(request.target, application_name=application)


@contextmanager
def connected(request: Request) -> Iterator[Connection]:
    """Connect to the target: each query sees the database as it is then. Raises `TargetError` when that is not possible."""
    words = Redactor(_password(request).values())
    try:
        connection = psycopg.connect(
            request.target,
            password=_password(request).get("PGPASSWORD"),
            connect_timeout=_CONNECT_S,
            application_name="proofgap",
            autocommit=True,
        )
    except psycopg.Error as error:
        problem = f"the database cannot be reached ({words(' '.join(str(error).split()))})"
        raise TargetError("target", problem, "See that it runs, exists, and lets this user in.") from error
    with connection:
        yield connection


@contextmanager
def reading(request: Request) -> Iterator[Connection]:
    """Connect to the target for reading: one state of the database, in the form in which dumps are written.

    Raises:
        TargetError: there is no connection to it, or it cannot be read.

    """
    words = Redactor(_password(request).values())
    try:
        with connected(request) as connection:
            connection.execute(_LIKE_A_DUMP)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
    except psycopg.Error as error:
        problem = f"the database cannot be read ({words(' '.join(str(error).split()))})"
        raise TargetError("target", problem, "See that it runs, and that nobody keeps its tables locked.") from error


def rows(connection: Connection, statement: Statement, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a query."""
    return connection.execute(statement, parameters or None).fetchall()


def _password(request: Request) -> dict[str, str]:
    file = request.password_file
    return {} if file is None else {"PGPASSWORD": read_password(file)}
