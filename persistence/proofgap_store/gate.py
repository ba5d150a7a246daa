"""The one gate: how anything gets into the ledger, and what is said about it afterwards.

Owns the two transactions of a write and their order. First a reading one, in which everything is computed: what
stands, who asks, whether it is allowed, the events and their links. Then a writing one, which inserts what was
computed and nothing else. (One for both, where nobody waits for who computes, and what was read cannot change unseen.)
If somebody else wrote to the same stream in between, the database refuses the stale link and the whole is computed
anew. A crash before the commit leaves nothing; a crash after it leaves everything but the log line, which is a copy of
the record and never the record.

Refuses to know what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import structlog
from sqlalchemy import Engine

from proofgap.audit import EventType
from proofgap.errors import ProofgapError, StaleError
from proofgap_store import schema
from proofgap_store.audit_log import Linked, SwallowedError, Written, inserting, kept
from proofgap_store.dialect import SQLITE, Readers
from proofgap_store.dispatching import RunDispatcher, tell
from proofgap_store.engine import (
    Connection,
    RefusedByDatabaseError,
    UnavailableError,
    connected,
    dialect_for,
    execute,
    together,
    transaction,
)
from proofgap_store.inline import InlineDispatcher
from proofgap_store.schema import NO_DRIFT, Drift, GuardsError
from proofgap_store.tracing import Tracer

ATTEMPTS_MAX = 50
"""How often a write is computed anew when others keep writing to the same stream."""

_SWALLOWED = "proofgap: swallowed"
_MOVED = "proofgap: moved"
_CHANGED_LAW = "proofgap: stale permission: grants or environments changed meanwhile"
_CHANGED_GUARDS = "proofgap: stale guards: they changed meanwhile"
_ELSEWHERE = "Name the server with --ledger; the last event of this file says which."
_STALE = (
    "UNIQUE constraint failed: audit_event.stream, audit_event.seq",
    "UNIQUE constraint failed: restore_run.workspace, restore_run.environment",
    "proofgap: stale",
    "a row of receipt is there already",
)
_LOG = structlog.get_logger("proofgap")

Answer = TypeVar("Answer")
Insert = tuple[str, dict[str, Any]]
"""A statement and its parameters."""


class MovedError(UnavailableError):
    """The ledger was moved to a server, and this file of it is closed: it can be read with ``audit verify`` only."""

    def __init__(self) -> None:
        """Say where to look."""
        super().__init__("it was moved to a server, and its file takes no event any more", _ELSEWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(Generic[Answer]):
    """What one transaction inserts: events first, then the rows that belong to them; and what is answered then."""

    events: Sequence[Linked]
    answer: Callable[[Sequence[Written]], Answer]
    mends: Drift | None = None  # guards that are put right with it; any other drift is refused
    law: int | None = None  # what the permission rests on: the last event on grants and environments, as it was read
    rows: Callable[[Sequence[Written]], Sequence[Insert]] = field(default=lambda _written: ())


Prepare = Callable[[Connection], Writing[Answer] | Answer]
"""Computes what to write; or the answer, if there is nothing to write."""


@dataclass(slots=True)
class Gate:
    """The way into one ledger."""

    engine: Engine
    log_failures: int = 0
    guarded_at: int | None = None  # the version of the schema that was last found as it ought to be
    dispatcher: RunDispatcher = field(default_factory=InlineDispatcher)  # is told of what is queued, stopped and ended
    tracer: Tracer | None = None  # is called around each transition

    @property
    def is_on_server(self) -> bool:
        """Whether the ledger is a database on a server, and no file of ours."""
        return dialect_for(self.engine) is not SQLITE

    @property
    def url(self) -> str | None:
        """Where others find the ledger, with the password; ``None`` for one in memory."""
        is_reachable = self.is_on_server or self.file is not None
        return (
            self.engine.url.set(drivername=dialect_for(self.engine).name).render_as_string(hide_password=False)
            if is_reachable
            else None
        )

    @property
    def file(self) -> Path | None:
        """The file of the ledger; ``None`` for one in memory, and for one on a server."""
        if self.is_on_server:
            return None
        name = self.engine.url.database or ""
        if name.startswith("file:"):  # https://sqlite.org/uri.html
            name = "" if self.engine.url.query.get("mode") == "memory" else unquote(name.removeprefix("file:"))
        return None if name in {"", ":memory:"} else Path(name)

    def read(self, look: Callable[[Connection], Answer], readers: Readers = None) -> Answer:
        """Run one reading transaction for somebody; ``None``: for the ledger itself."""
        with connected(self.engine) as connection, transaction(connection, writes=False, readers=readers):
            return look(connection)

    def write(self, prepare: Prepare[Answer], readers: Readers = None, *, is_linked: bool = False) -> Answer:
        """Compute what to write, then write it; or give the answer at once, if there is nothing to write.

        Args:
            prepare: computes it.
            readers: for whom; ``None``: for the ledger itself.
            is_linked: whether all that `prepare` reads follows from the stream that it writes to and from the law, or is
                decided by a constraint: any change of it makes the write stale. Then one transaction does, where nobody
                waits for who computes in it.

        Raises:
            StaleError: others kept writing to the same stream.
            GuardsError: guards of the database are missing or foreign.
            RefusedByDatabaseError: the database refused for another reason.

        """

        def attempt(connection: Connection) -> tuple[Writing[Answer] | Answer, list[Written]]:
            with transaction(connection, writes=False, readers=readers):
                writing = prepare(connection)
            return writing, self._insert(connection, writing, readers) if isinstance(writing, Writing) else []

        is_one = is_linked and dialect_for(self.engine).computes_in_writes
        return self.take(prepare, readers) if is_one else self._persist(attempt)

    def take(self, prepare: Prepare[Answer], readers: Readers = None) -> Answer:
        """Compute and write in one transaction, for whoever must lock what they choose: others choose something else.

        Raises:
            StaleError, GuardsError, RefusedByDatabaseError: as for `write`.

        """

        def attempt(connection: Connection) -> tuple[Writing[Answer] | Answer, list[Written]]:
            with self._blaming_guards(connection), transaction(connection, writes=True, readers=readers):
                writing = prepare(connection)
                return writing, self._put(connection, writing) if isinstance(writing, Writing) else []

        return self._persist(attempt)

    def renew(self, work: Callable[[Connection], Answer], readers: Readers = None) -> Answer:
        """Run a writing transaction without an event: for leases only, as the guards of the database see to."""

        def attempt(connection: Connection) -> tuple[Answer, list[Written]]:
            with transaction(connection, writes=True, readers=readers):
                self.demand_guards(connection)
                return work(connection), []

        return self._persist(attempt)

    def _persist(self, attempt: Callable[[Connection], tuple[Writing[Answer] | Answer, list[Written]]]) -> Answer:
        """Try again as long as somebody else was faster."""
        with connected(self.engine) as connection:
            for _attempt in range(ATTEMPTS_MAX):
                try:
                    writing, written = attempt(connection)
                except RefusedByDatabaseError as error:
                    if _SWALLOWED in error.reason:
                        raise SwallowedError from error
                    if _MOVED in error.reason:
                        raise MovedError from error
                    if not _is_stale(error):
                        raise
                    continue
                if not isinstance(writing, Writing):
                    return writing
                self._announce(written)  # a crash from here on: everything happened, only nobody was told
                return writing.answer(written)
            with transaction(connection, writes=False):
                self.demand_guards(connection)  # a foreign one may say "stale", too
        raise StaleError("the stream", None, None)

    def _insert(self, connection: Connection, writing: Writing[Any], readers: Readers) -> list[Written]:
        with self._blaming_guards(connection, writing), transaction(connection, writes=True, readers=readers):
            return self._put(connection, writing)

    def _put(self, connection: Connection, writing: Writing[Any]) -> list[Written]:
        if writing.mends is not None:
            _mend(connection, writing.mends)
        written = self._append(connection, writing)  # a crash from here to the commit: nothing happened
        for statement, parameters in writing.rows(written):
            if execute(connection, statement, parameters).rowcount != 1:
                raise SwallowedError
        tell(self.dispatcher, connection, writing.events)
        return written

    def _append(self, connection: Connection, writing: Writing[Any]) -> list[Written]:
        """Insert, then look at guards and law: from then on whoever changes them must wait; one round trip."""
        numbers, ((found, law),) = together(connection, inserting(writing.events), schema.asking_standing(connection))
        self.demand_guards(connection, found)
        if writing.law is not None and law != writing.law:
            raise RefusedByDatabaseError(_CHANGED_LAW)
        return kept(connection, writing.events, numbers)

    @contextmanager
    def _blaming_guards(self, connection: Connection, writing: Writing[Any] | None = None) -> Iterator[None]:
        """Say that guards are missing or foreign, where that is why a write failed: an insert comes back before they do."""
        try:
            yield
        except (RefusedByDatabaseError, UnavailableError) as error:
            if not _is_stale(error) and (writing is None or writing.mends is None):
                with suppress(UnavailableError), transaction(connection, writes=False):
                    self.demand_guards(connection, cause=error)
            raise

    def guards(self, connection: Connection, found: int | None = None) -> Drift:
        """Say how the schema differs from the one that ought to be; looks only if it changed since it did not.

        ``found`` is its version, where it was read already.
        """
        now = schema.version(connection) if found is None else found
        differences = NO_DRIFT if now == self.guarded_at else schema.drift(connection)
        self.guarded_at = None if differences else now
        return differences

    def demand_guards(self, connection: Connection, found: int | None = None, cause: Exception | None = None) -> None:
        """Refuse to write past guards that are missing, and past foreign ones.

        Args:
            connection: in the transaction that writes.
            found: the version of the schema, where it was read there already.
            cause: what failed because of them, if anything did.

        Raises:
            GuardsError: names them.
            UnavailableError: they are those of another version, to which somebody brought the ledger up meanwhile.

        """
        differences = self.guards(connection, found)
        if differences:
            revision = schema.revision(connection)
            if revision is not None and revision > schema.REVISION:
                raise schema.of_another_version(revision) from cause
            raise GuardsError(*differences) from cause

    def _announce(self, written: Sequence[Written]) -> None:
        """Say what was committed, one line per event; a program that did not set up its log is told nothing."""
        if not structlog.is_configured():
            return
        logger = _LOG.bind()
        for number, event in written:
            try:
                logger.info(event.type.value, event_id=number, run=event.run, leaf=event.leaf, **_told(event))
            except Exception:  # noqa: BLE001 - the record stands, whatever its copy met; a lost line is counted
                self.log_failures += 1


def _is_stale(error: ProofgapError) -> bool:
    """Tell whether somebody else was faster."""
    return isinstance(error, RefusedByDatabaseError) and any(stale in error.reason for stale in _STALE)


def _mend(connection: Connection, mends: Drift) -> None:
    """Put guards right that were looked at before, and none else."""
    if schema.drift(connection) != mends:
        raise RefusedByDatabaseError(_CHANGED_GUARDS)
    schema.mend(connection)


def _told(event: Linked) -> dict[str, Any]:
    """Pick what a log line says of an event."""
    data = event.data
    if event.type is EventType.DECISION_PROJECTED:
        return {"viewer": data["viewer"].id, "trigger": data["trigger"], "state": data["decision"].state}
    told = ("action", "subject", "source", "target", "version", "guard", "principal", "role", "machine")
    named = {name: data[name] for name in told if data.get(name) is not None}
    return named if data.get("event") is None else {"fired": data["event"], **named}  # "event" is the line's own name
