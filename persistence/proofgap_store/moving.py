"""Moving a ledger from a file to PostgreSQL: every row as it is, so that heads, tree, checkpoints and decisions are the same.

Owns the order of the steps, and what a crash means at each. While it works, it holds the write lock of the file, so
nobody writes meanwhile. The last event of the file says where the ledger went, and a trigger refuses every event after
it; the first new event in the database says where it came from. Whatever broke, the same command goes on from there.
Refuses to know what the rows mean, and to repair anything: both are verified, and must come to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proofgap.access import Action, authorize
from proofgap.audit import Actor, EventType, system_stream
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.findings import Verdict
from proofgap_store import copying, keys, outside, tree
from proofgap_store.administration import DEFAULT_SCOPE
from proofgap_store.audit_log import Draft, alone, append
from proofgap_store.custody import Custody
from proofgap_store.engine import (
    Connection,
    UnavailableError,
    connected,
    make_engine,
    rows,
    shown_address,
    transaction,
)
from proofgap_store.gate import Gate, Writing
from proofgap_store.questions import Progress
from proofgap_store.read import roles
from proofgap_store.schema import REVISION, drift, migrate, revision
from proofgap_store.sequencer import Sequencer
from proofgap_store.verification import Anchors, Depth, Verification
from proofgap_store.verifying import verify

STREAM = system_stream("move")
"""Even numbers: the ledger left; odd ones: it arrived."""

_HEAD = "SELECT seq, head FROM audit_stream WHERE stream = 'system/move'"
_LEFT = """
SELECT payload ->> '$.data.target' AS place FROM audit_event WHERE type = 'audit.moved' ORDER BY event_id DESC LIMIT 1
"""
_EVENTS = "SELECT count(*) AS n FROM audit_event"
_SOUND = (Verdict.OK, Verdict.WARN)
_PRIVATE = 0o600


class MovedLedger(Struct):
    """What was moved, and where to; ``size`` and ``root`` are those of the tree, the same in both."""

    source: str
    target: str
    events: int
    size: int
    root: str | None
    event_id: int  # of the event that says so, the first new one


class Move(NamedTuple):
    """A ledger that is to be moved, where to, and by whom."""

    source: Gate
    custody: Custody
    target: Gate
    actor: Actor
    clock: Callable[[], int]

    @property
    def places(self) -> tuple[str, str]:
        """Where the ledger is, and where it goes to; without passwords."""
        return shown_address(str(self.source.url)), shown_address(str(self.target.url))


class _Place(NamedTuple):
    """How far the move of a ledger is, as one of the two databases tells."""

    seq: int | None  # of the last event about a move
    head: str | None
    events: int


def move(
    gate: Gate, custody: Custody, target: str, by: tuple[Actor, Callable[[], int]], progress: Progress
) -> MovedLedger:
    """Move a ledger to an empty database.

    Raises:
        BadInputError: the ledger is no file, the target is no server, or holds something already.
        NotFoundError, ForbiddenError: the actor does not administer the environment that the ledger began with.
        UnavailableError: either cannot be used, the log does not verify, or the copy came to something else.

    """
    order = Move(gate, custody, Gate(make_engine(target)), *by)
    try:
        _refuse_ways(order)
        gate.read(lambda connection: _authorize(connection, order.actor))
        _bring_up(order)
        if not _is_there(order):
            _close_and_copy(order, progress)  # a crash up to here: nothing was done, or the file is closed
        _move_files(order)  # a crash up to here: the database is complete, and the key is not there yet
        return _arrive(order)
    finally:
        order.target.engine.dispose()


def _refuse_ways(order: Move) -> None:
    if order.source.file is None:
        raise BadInputError("ledger", "is no file", "A ledger on a server is copied by pg_dump.")
    if not order.target.is_on_server:
        raise BadInputError("TARGET", "is no database on a server", "Use postgresql://USER@HOST/DATABASE.")


def _authorize(connection: Connection, actor: Actor) -> None:
    held = roles(connection, actor.id, *DEFAULT_SCOPE)
    authorize(actor.id, held, Action.ADMINISTER, ("environment", "/".join(DEFAULT_SCOPE)))


def _bring_up(order: Move) -> None:
    """Make the schema in the target, where there is nothing yet."""
    found = order.target.read(revision)
    if found is None:
        migrate(order.target.engine, None)
    elif found != REVISION:
        raise BadInputError("TARGET", f"holds a ledger of schema {found}", "Name an empty database.")


def _place(connection: Connection) -> _Place:
    found = rows(connection, _HEAD)
    seq, head = (found[0]["seq"], found[0]["head"]) if found else (None, None)
    return _Place(seq, head, rows(connection, _EVENTS)[0]["n"])


def _is_closed(place: _Place) -> bool:
    return place.seq is not None and place.seq % 2 == 0


def _is_there(order: Move) -> bool:
    """Tell whether the rows are in the target already, and refuse what must not be mixed."""
    here, there = order.source.read(_place), order.target.read(_place)
    if there.events and not (_is_closed(here) and here == there):
        raise BadInputError("TARGET", "holds a ledger already", "Name an empty database.")
    if _is_closed(here):
        went = order.source.read(lambda connection: rows(connection, _LEFT)[0]["place"])
        if went != order.places[1]:
            raise BadInputError("TARGET", f"is not where this ledger went: {went}", "Name that database.")
    return there.events > 0


def _close_and_copy(order: Move, progress: Progress) -> None:
    """Close the file and fill the database: the file commits first, so that at no time both can be written."""
    is_closed = _is_closed(order.source.read(_place))
    if not is_closed:
        Sequencer(gate=order.source, custody=order.custody, clock=order.clock).run()
    with (
        connected(order.target.engine) as target,
        connected(order.source.engine) as source,
        transaction(target, writes=True),
        transaction(source, writes=True),
    ):
        if not is_closed:
            order.source.demand_guards(source)
            append(source, alone(source, STREAM, _leaving(source, order), order.actor, order.clock()))
        copying.fill(source, target, progress)
        _compare(source, target, order.clock())


def _leaving(source: Connection, order: Move) -> Draft:
    last = tree.last_checkpoint(source)
    data: dict[str, Any] = {"target": order.places[1], "size": 0 if last is None else last.size}
    return Draft(EventType.MOVED, None, None, None, None, data | {"root": None if last is None else last.root})


def _compare(source: Connection, target: Connection, now_us: int) -> None:
    """Verify both, and go on only where both are sound and come to the same."""
    here, there = (verify(connection, Anchors(), Depth(now_us=now_us)) for connection in (source, target))
    if here.verdict not in _SOUND:
        raise UnavailableError("its log does not verify", "Find out why: proofgap audit verify.")
    if _told(here) != _told(there) or drift(target):
        raise UnavailableError("the copy came to something else, so nothing was moved", "Look at the target's server.")


def _told(found: Verification) -> tuple[object, ...]:
    codes = tuple(sorted(found.counts.items()))
    return found.verdict, found.events, found.size, found.root, found.checkpoint, found.pruned_before, codes


def _move_files(order: Move) -> None:
    """Take key and head file along, unless the same files are named for both."""
    old, new = order.custody, _custody_there(order)
    note = old.head.read()
    if note is not None and old.head.path != new.head.path:
        new.head.advance(note)
    here, there = old.key_file.path, new.key_file.path
    if here is None or there is None or here == there or not here.exists():
        return
    kept = outside.read(here, "key file")
    if kept is not None:
        with outside.writing(there, "key file"):
            outside.replace(there, kept[0], _PRIVATE)
        here.unlink()  # a crash before this: the closed ledger could still sign what it is


def _custody_there(order: Move) -> Custody:
    name = order.target.read(keys.log_name) or ""
    own, beside = order.custody, Custody.of(order.source, name, key=None, head=None)
    key = None if own.key_file.path == beside.key_file.path else own.key_file.path
    head = None if own.head.path == beside.head.path else own.head.path
    return Custody.of(order.target, name, key=key, head=head)


def _arrive(order: Move) -> MovedLedger:
    source, target = order.places

    def prepare(connection: Connection) -> Writing[MovedLedger] | MovedLedger:
        left, last = _place(connection), tree.last_checkpoint(connection)
        size, root = (0, None) if last is None else (last.size, last.root)
        data: dict[str, Any] = {"source": source, "left": left.head, "size": size, "root": root}
        draft = Draft(EventType.ARRIVED, None, None, None, None, data)
        told: dict[str, Any] = {"source": source, "target": target, "events": left.events, "size": size, "root": root}
        return Writing(
            events=alone(connection, STREAM, draft, order.actor, order.clock()),
            answer=lambda written: MovedLedger(event_id=written[0].event_id, **told),
        )

    return order.target.write(prepare)
