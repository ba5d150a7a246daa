"""The stored tree over the log: leaves, complete nodes, checkpoints. What is read of it, and what a batch adds.

Owns the queries on these tables. Refuses to know who signs (`sequencer`) and who checks (`verifying`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from proofgap.merkle import CompactRange
from proofgap_store.audit_log import SwallowedError
from proofgap_store.dialect import Connection, dialect_of
from proofgap_store.engine import execute, rows
from proofgap_store.verification import decoded

_LEAF = "SELECT hash FROM audit_leaf WHERE idx = :idx"
_NODE = "SELECT hash FROM audit_node WHERE level = :level AND idx = :idx"
_LAST = "SELECT size, root, at_us, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1"
_AT_LEAST = "SELECT size, root, at_us, note FROM audit_checkpoint WHERE size >= :size ORDER BY size LIMIT 1"
_SIZE = "SELECT coalesce(max(idx) + 1, 0) AS size FROM audit_leaf"
_WAITING = """
SELECT u.event_id, e.payload, e.leaf FROM audit_unsequenced AS u LEFT JOIN audit_event AS e ON e.event_id = u.event_id
WHERE u.event_id <= :upto ORDER BY u.event_id LIMIT :limit
"""
_LEFT_OUT = """
SELECT event_id FROM audit_event AS e
WHERE event_id > (SELECT coalesce(max(event_id), 0) FROM audit_leaf) AND event_id <= :upto
  AND NOT EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = e.event_id) LIMIT 1
"""
_QUEUE = """
SELECT (SELECT count(*) FROM audit_unsequenced) AS events,
       (SELECT payload FROM audit_event WHERE event_id = (SELECT min(event_id) FROM audit_unsequenced)) AS oldest
"""
_ADD_LEAVES = "INSERT INTO audit_leaf SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2 FROM json_each(:leaves)"
_ADD_NODES = "INSERT INTO audit_node SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2 FROM json_each(:nodes)"
_ADD_CHECKPOINT = "INSERT INTO audit_checkpoint VALUES (:size, :root, :at_us, :note)"
_LEAVE_QUEUE = (
    "DELETE FROM audit_unsequenced WHERE event_id IN (SELECT CAST(value ->> 1 AS BIGINT) FROM json_each(:leaves))"
)


class StoredCheckpoint(NamedTuple):
    """A checkpoint as stored: the size of the tree, its root in hex, when it was signed, and the signed note."""

    size: int
    root: str
    at_us: int
    note: str


class MissingNodeError(LookupError):
    """A node of the tree that should be complete is not stored."""


def node_reader(connection: Connection) -> Callable[[int, int], bytes]:
    """Give a function that reads complete nodes of the stored tree.

    Raises:
        MissingNodeError: when it is asked for one that is not there.

    """

    def node(level: int, index: int) -> bytes:
        found = rows(connection, _LEAF if level == 0 else _NODE, **({"level": level} if level else {}), idx=index)
        if not found:
            raise MissingNodeError(f"node {index} of level {level}")
        try:
            return bytes.fromhex(found[0]["hash"])
        except ValueError:
            raise MissingNodeError(f"the hash of node {index} of level {level}") from None

    return node


def size(connection: Connection) -> int:
    """Count the leaves."""
    number: int = rows(connection, _SIZE)[0]["size"]
    return number


def root_at(connection: Connection, leaves: int) -> bytes:
    """Give the root of the tree as it was with so many leaves, from its stored nodes."""
    return CompactRange.of(leaves, node_reader(connection)).root()


def last_checkpoint(connection: Connection) -> StoredCheckpoint | None:
    """Read the last checkpoint."""
    return next((StoredCheckpoint(**row) for row in rows(connection, _LAST)), None)


def checkpoint_covering(connection: Connection, leaves: int) -> StoredCheckpoint | None:
    """Read the first checkpoint over at least so many leaves."""
    return next((StoredCheckpoint(**row) for row in rows(connection, _AT_LEAST, size=leaves)), None)


class Waiting(NamedTuple):
    """An event that has no leaf yet; without payload and leaf, if it is gone from the log."""

    event_id: int
    payload: str | None
    leaf: str | None


def settled(connection: Connection) -> int:
    """Give the number up to which every event is there, or never will be; in a transaction of its own.

    On PostgreSQL events are numbered before they are committed, so a later number may be there before an earlier one.
    """
    number: int = execute(connection, dialect_of(connection).settled).fetchone()[0]
    return number


def waiting(connection: Connection, upto: int, limit: int) -> list[Waiting]:
    """Read the events that wait for their leaf, up to a number, oldest first."""
    return [Waiting(**row) for row in rows(connection, _WAITING, upto=upto, limit=limit)]


def left_out(connection: Connection, upto: int) -> int | None:
    """Find an event after the last leaf, up to one event, that does not wait for its own: somebody took it away."""
    return next((int(row["event_id"]) for row in rows(connection, _LEFT_OUT, upto=upto)), None)


class Queue(NamedTuple):
    """How many events wait for their leaf, and when the oldest of them was recorded, in microseconds, if it says so."""

    events: int
    oldest_us: int | None


def queue(connection: Connection) -> Queue:
    """Count the events that wait."""
    found = rows(connection, _QUEUE)[0]
    said = {} if found["oldest"] is None else decoded(found["oldest"])  # it may be forged: no cast of the database's
    oldest_us = said.get("rec_us")
    return Queue(found["events"], oldest_us if type(oldest_us) is int else None)


class Batch(NamedTuple):
    """What one checkpoint adds: leaves (index, event, hash), nodes (level, index, hash), and itself."""

    leaves: Sequence[tuple[int, int, str]]
    nodes: Sequence[tuple[int, int, str]]
    checkpoint: StoredCheckpoint


def add(connection: Connection, batch: Batch) -> None:
    """Write a batch in the transaction that is open; triggers hold it to the log and to the tree so far.

    Raises:
        SwallowedError: the database took a row and did not keep it.

    """
    leaves = {"leaves": msgspec.json.encode(batch.leaves).decode()}
    nodes = {"nodes": msgspec.json.encode(batch.nodes).decode()}
    kept = (
        execute(connection, _ADD_LEAVES, leaves).rowcount,
        execute(connection, _ADD_NODES, nodes).rowcount,
        execute(connection, _ADD_CHECKPOINT, batch.checkpoint._asdict()).rowcount,
        execute(connection, _LEAVE_QUEUE, leaves).rowcount,
    )
    if kept != (len(batch.leaves), len(batch.nodes), 1, len(batch.leaves)):
        raise SwallowedError
