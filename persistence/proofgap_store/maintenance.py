"""What operators do with the database of a ledger: bring its schema up, look for damage, copy it.

Owns these, so that nobody needs another program on the file: a second SQLite in one process, or a copy of a file
that is in use, can lose committed events. Refuses to know what the tables hold, and to repair anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.text import shown
from proofgap_store import denials, moving, roles_postgresql, tree
from proofgap_store.custody import Custody
from proofgap_store.dialect import SQLITE, dialect_of
from proofgap_store.engine import (
    Connection,
    UnavailableError,
    connected,
    execute,
    make_engine,
    rows,
    transaction,
    unavailable,
)
from proofgap_store.files import refuse_taken, sync, sync_folder, temporary
from proofgap_store.gate import Gate
from proofgap_store.moving import MovedLedger
from proofgap_store.questions import Progress, silent
from proofgap_store.roles_postgresql import RoleCheck
from proofgap_store.schema import REVISION, GuardsError, drift, migrate, revision
from proofgap_store.shapes import DatabaseCheck, Upgraded
from proofgap_store.sqlite_library import sqlite

_FINDINGS_MAX = 100
_TABLES = (
    *("audit_event", "audit_stream", "audit_unsequenced", "audit_leaf", "audit_node", "audit_checkpoint"),
    *("audit_private", "audit_hold", "machine_definition", "machine_edge", "environment", "access_grant"),
    *("access_token", "access_token_use", "access_session", "access_link"),
    *("operation_run", "restore_run", "evidence_snapshot", "result_item", "evidence_check", "receipt"),
)
_EVENTS = "SELECT count(*) AS n FROM audit_event"


@dataclass(frozen=True, slots=True)
class Database:
    """The database of one ledger; `Ledger.database` gives it."""

    gate: Gate
    custody: Custody
    clock: Callable[[], int]

    def move(self, target: str, actor: Actor, progress: Progress = silent) -> MovedLedger:
        """Move the ledger from its file to an empty database on PostgreSQL, with its key and head files.

        The file is closed by its last event: nothing is written to it any more. After a crash the same call goes on.

        Raises:
            BadInputError: the ledger is no file, the target is no server, or holds something already.
            NotFoundError, ForbiddenError: the actor does not administer the environment that the ledger began with.
            UnavailableError: either cannot be used, the log does not verify, or the copy came to something else.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return moving.move(self.gate, self.custody, target, (actor, self.clock), progress)

    def check(self) -> DatabaseCheck:
        """Read every page and row of the database; nothing is changed.

        Raises:
            UnavailableError: it is damaged so much that it cannot be read.

        """
        return self.gate.read(_checked)

    @property
    def is_on_server(self) -> bool:
        """Whether the ledger is a database on a server, which has roles."""
        return self.gate.is_on_server

    def powers(self) -> tuple[str, ...]:
        """Say why this user could switch the guards off: on a server only; whoever can open a file always can."""
        return self.gate.read(roles_postgresql.powers) if self.gate.is_on_server else ()

    def roles(self) -> RoleCheck:
        """Compare the rights of the five roles with those that they ought to have.

        Raises:
            BadInputError: the ledger is no database on a server.

        """
        self._demand_server()
        return self.gate.read(roles_postgresql.check)

    def roles_script(self) -> str:
        """Write the statements that give the five roles their rights. Errors: those of `roles`."""
        self._demand_server()
        return self.gate.read(lambda connection: ";\n".join(roles_postgresql.statements(connection)) + ";\n")

    def apply_roles(self) -> RoleCheck:
        """Give the five roles their rights, all or nothing; gives what differs after it.

        Raises:
            BadInputError: the ledger is no database on a server.
            UnavailableError: this user may not make roles, or give the tables away.

        """
        self._demand_server()
        with connected(self.gate.engine) as connection, transaction(connection, writes=True):
            for statement in list(roles_postgresql.statements(connection)):
                execute(connection, statement)
        return self.roles()

    def _demand_server(self) -> None:
        if not self.gate.is_on_server:
            problem = "is a file, and a file has no roles"
            raise BadInputError("ledger", problem, "Whoever can open the file can do everything: keep it to one user.")

    def backup(self, file: Path) -> int:
        """Copy the ledger into a new file, as it is at one moment, while it may be in use; give its size in bytes.

        Only the owner of the new file can read it. Key file and head file are not in it.

        Raises:
            BadInputError: the name is taken or belongs to the ledger, or nothing can be written there.
            UnavailableError: the ledger cannot be read, or the disk is full.
            OSError: the copy cannot be brought to the disk; nothing is left of it.

        """
        if self.gate.is_on_server:
            raise BadInputError("ledger", "is on a server, which copies it itself", "Use pg_dump, or a base backup.")
        self._refuse_own(file)
        refuse_taken(file)
        with temporary(file) as (stream, partial):
            with connected(self.gate.engine) as connection:
                _vacuum_into(connection, partial)
            sync(stream)
            _give_name(partial, file)
        return file.stat().st_size

    def _refuse_own(self, file: Path) -> None:
        """Refuse a name that SQLite would take for a part of the ledger, such as that of its journal."""
        own = self.gate.file
        if own is None or file.absolute().parent.resolve() != own.absolute().parent.resolve():
            return
        if file.name == own.name or file.name.startswith(f"{own.name}-"):
            raise BadInputError("FILE", f"'{shown(str(file))}' belongs to the ledger", "Name another file.")


def _vacuum_into(connection: Connection, file: Path) -> None:
    try:
        execute(connection, "VACUUM INTO :file", {"file": str(file)})
    except sqlite.DatabaseError as error:
        raise unavailable(error) from error


def _give_name(partial: Path, file: Path) -> None:
    """Give the complete copy its name; a name that somebody took meanwhile stays theirs."""
    try:
        os.link(partial, file)
    except FileExistsError:
        raise BadInputError("FILE", f"'{shown(str(file))}' is there already", "Name a new file.") from None
    sync_folder(file.parent)


def _checked(connection: Connection) -> DatabaseCheck:
    if dialect_of(connection) is not SQLITE:
        return _checked_on_server(connection)
    found = drift(connection)
    pages = [row["integrity_check"] for row in rows(connection, f"PRAGMA integrity_check({_FINDINGS_MAX})")]
    dangling = rows(connection, "PRAGMA foreign_key_check")[:_FINDINGS_MAX]
    return DatabaseCheck(
        missing_guards=found.missing,
        foreign_guards=found.foreign,
        damage=() if pages == ["ok"] else tuple(pages),
        dangling=tuple(f"{row['table']}, row {row['rowid']}: nothing in {row['parent']}" for row in dangling),
    )


def _checked_on_server(connection: Connection) -> DatabaseCheck:
    """Read every row; a server that keeps checksums of its pages refuses the damaged ones."""
    found = drift(connection)
    for name in _TABLES:
        rows(connection, f"SELECT sum(length(CAST(t AS TEXT))) FROM {name} AS t")  # noqa: S608 - names only
    return DatabaseCheck(missing_guards=found.missing, foreign_guards=found.foreign, damage=(), dangling=())


def upgrade(url: str) -> Upgraded:
    """Bring the schema of a ledger to the one of this version: all of it, or nothing.

    Raises:
        BadInputError: the URL is none.
        UnavailableError: there is no ledger, or a newer version made it.
        GuardsError: guards of the older schema are missing or foreign.

    """
    gate = Gate(make_engine(url))
    try:
        if gate.file is not None and not gate.file.exists():
            raise UnavailableError(f"there is none at {gate.file}", "Make one with: proofgap init.")
        before = gate.read(_upgradable)
        if (
            before != REVISION or gate.is_on_server
        ):  # there, something is beside the schema, and has versions of its own
            migrate(gate.engine, before)
        return gate.read(lambda connection: _upgraded(connection, before))
    finally:
        gate.engine.dispose()


def _upgradable(connection: Connection) -> str:
    found = revision(connection)
    if found is None:
        raise UnavailableError("there is no ledger yet", "Make one with: proofgap init.")
    if found > REVISION:
        problem = f"its schema is {found}, this version works with {REVISION}"
        raise UnavailableError(problem, "Use the version that made it.")
    differences = drift(connection, found)
    if differences:
        raise GuardsError(*differences)
    return found


def _upgraded(connection: Connection, before: str) -> Upgraded:
    events: int = rows(connection, _EVENTS)[0]["n"]
    return Upgraded(before=before, after=REVISION, events=events, unsequenced=tree.queue(connection).events)
