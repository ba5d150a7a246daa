"""Verifying the tree: keys and signed notes, leaves against the bytes of their events, every root that was signed.

Owns the checks that concern the log as a whole. Refuses to know what events mean (`verify_streams`) and to repair
anything. Source of the rules: RFC 6962, C2SP tlog-checkpoint; ``docs/audit-format.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from proofgap.audit import leaf_hash
from proofgap.checkpoints import Checkpoint, open_checkpoint
from proofgap.endorsement import is_endorsed
from proofgap.errors import MalformedError, ProofgapError, SignatureError, UnknownKeyError
from proofgap.findings import Code, Finding
from proofgap.merkle import CompactRange
from proofgap.notes import VerifierKey, parse_note
from proofgap.replay import Report, tombstone_of
from proofgap_store import keys, tree
from proofgap_store.engine import Connection, walk, walk_rows
from proofgap_store.keys import KeyPeriod
from proofgap_store.verification import encoded
from proofgap_store.verify_prunings import pruned_leaves

_US_PER_SECOND = 1_000_000
_CHECKPOINTS = "SELECT size, root, at_us, note FROM audit_checkpoint WHERE size > :size ORDER BY size"
_LEAVES = "SELECT idx, event_id, hash FROM audit_leaf WHERE idx >= :first ORDER BY idx"
_PAYLOADS = """
SELECT l.idx, l.event_id, l.hash, e.leaf, e.payload FROM audit_leaf AS l LEFT JOIN audit_event AS e ON e.event_id = l.event_id
WHERE l.idx >= :first AND l.idx < :end ORDER BY l.idx
"""
_NODES = "SELECT idx, hash FROM audit_node WHERE level = :level AND idx >= :first ORDER BY idx"
_UNQUEUED = """
SELECT event_id, stream FROM audit_event AS e
WHERE NOT EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = e.event_id)
"""
_GONE_FROM_QUEUE = """
SELECT event_id FROM audit_unsequenced AS u
WHERE NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = u.event_id)
   OR EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = u.event_id)
"""


class Trust(NamedTuple):
    """Whose signatures count: the keys of the log's own history, and those that were handed in, if any."""

    periods: Sequence[KeyPeriod]
    known: frozenset[VerifierKey]

    def for_size(self, size: int) -> list[VerifierKey]:
        """Give the known keys that may sign a tree of so many events: the one in force then, and later ones."""
        started = [n for n, period in enumerate(self.periods) if period.idx is not None and period.idx < size]
        return [period.key for period in self.periods[started[-1] if started else 0 :] if period.key in self.known]


def trust(connection: Connection, handed_in: Iterable[VerifierKey], report: Report) -> Trust:
    """Read which keys the log names, and follow the endorsements from a key that is known.

    Without any key handed in, the first key of the log is taken at its own word.
    """
    periods, trusted = _periods(connection, report), set(handed_in)
    known = trusted or {period.key for period in periods[:1]}
    for period in periods:
        if period.key in known or period.previous not in known:
            continue
        if _is_endorsed(period):
            known.add(period.key)
        else:
            detail = f"{period.key.label} is not endorsed by the key before it"
            report(Finding(code=Code.KEY_UNENDORSED, detail=detail, index=period.idx, event_id=period.event_id))
            known |= set() if trusted else {period.key}  # its checkpoints are checked all the same
    return Trust(periods, frozenset(known | trusted))


def _periods(connection: Connection, report: Report) -> list[KeyPeriod]:
    try:
        return keys.history(connection)
    except (msgspec.MsgspecError, ProofgapError, KeyError, TypeError, ValueError) as error:
        report(Finding(code=Code.FORM_INVALID, detail=f"an event that puts a key in force: {error}"))
        return []


def _is_endorsed(period: KeyPeriod) -> bool:
    if period.endorsement is None or period.previous is None:
        return False
    return is_endorsed(period.key, period.previous, period.endorsement)


def opened(note: str, trusted: Trust, report: Report) -> Checkpoint | None:
    """Open a signed checkpoint with the keys that may have signed it; what is wrong with it is reported."""
    try:
        claimed = open_checkpoint(note, [*trusted.known, *(period.key for period in trusted.periods)]).checkpoint
        return open_checkpoint(note, trusted.for_size(claimed.size)).checkpoint
    except UnknownKeyError as error:
        signers = {line.label for line in parse_note(note).signatures}
        retired = [
            period.key for period in trusted.periods if period.key in trusted.known and period.key.label in signers
        ]
        code = Code.KEY_RETIRED if retired else Code.KEY_UNKNOWN
        report(Finding(code=code, detail=str(error)))
    except (MalformedError, SignatureError) as error:
        report(Finding(code=Code.NOTE_INVALID, detail=str(error)))
    return None


def check_notes(connection: Connection, since: int, trusted: Trust, report: Report) -> None:
    """Check the signature, the numbers and the time of every stored checkpoint."""
    before = 0
    for row in walk_rows(connection, _CHECKPOINTS, size=since):
        signed = opened(row["note"], trusted, report)
        if signed is not None and (signed.size, signed.root.hex()) != (row["size"], row["root"]):
            detail = f"the checkpoint of {row['size']} says {signed.size} and {signed.root.hex()} in its signed note"
            report(Finding(code=Code.NOTE_INVALID, detail=detail, index=row["size"] - 1))
        seconds = None if signed is None else open_checkpoint(row["note"], trusted.known).at_seconds
        if row["at_us"] <= before or (signed is not None and seconds != row["at_us"] // _US_PER_SECOND):
            detail = f"{row['at_us']} after {before}, signed as {seconds} seconds"
            report(Finding(code=Code.CHECKPOINT_TIME, detail=detail, index=row["size"] - 1))
        before = row["at_us"]


class Roots:
    """The walk over all leaves: it rebuilds the tree, and holds it against what was signed and stored."""

    def __init__(self, connection: Connection, since: int, report: Report) -> None:
        """Begin at a tree of ``since`` leaves, whose root was checked already."""
        self._connection, self._report = connection, report
        self.tree = CompactRange.of(since, tree.node_reader(connection))
        self._levels: dict[int, Iterator[tuple[int, str]]] = {}
        self._since = since

    def walk(self, wanted: Iterable[int]) -> dict[int, bytes]:
        """Walk to the end; give the roots at the sizes that were asked for, as far as the tree goes."""
        signed = {row["size"]: row["root"] for row in walk_rows(self._connection, _CHECKPOINTS, size=self._since)}
        asked, found, last_event = set(wanted), dict[int, bytes](), -1
        for row in walk_rows(self._connection, _LEAVES, first=self._since):
            if row["idx"] != self.tree.size:
                self._find(Code.LEAF_GAP, f"leaf {self.tree.size} is missing", self.tree.size)
                break
            if row["event_id"] <= last_event:
                self._find(Code.EVENT_ORDER, f"event {row['event_id']} comes after {last_event}", row["idx"])
            last_event = row["event_id"]
            self._grow(row["hash"])
            if self.tree.size in signed or self.tree.size in asked:
                found[self.tree.size] = self.tree.root()
        self._hold(signed, found)
        return found

    def root_of(self, size: int, found: dict[int, bytes]) -> bytes | None:
        """Give the root at a size that was walked over, or that the walk began after; ``None`` if it cannot be had."""
        try:
            return found.get(size) or tree.root_at(self._connection, size)
        except tree.MissingNodeError:
            return None

    def _grow(self, leaf: str) -> None:
        for level, index, node in self.tree.append(_bytes(leaf)):
            stored = next(self._stored(level, index), None)
            if stored != (index, node.hex()):
                self._find(Code.NODE_MISMATCH, f"node {index} of level {level}", self.tree.size - 1)

    def _stored(self, level: int, first: int) -> Iterator[tuple[int, str]]:
        """Give the stored nodes of a level, from the first that is asked for on: they complete in this order."""
        if level not in self._levels:
            self._levels[level] = walk(self._connection, _NODES, {"level": level, "first": first})
        return self._levels[level]

    def _hold(self, signed: dict[int, str], found: dict[int, bytes]) -> None:
        for size, root in signed.items():
            if size not in found:
                self._find(
                    Code.LEAF_GAP, f"a checkpoint covers {size} leaves, and there are {self.tree.size}", size - 1
                )
            elif found[size].hex() != root:
                detail = f"{size} leaves lead to {found[size].hex()}, signed was {root}"
                self._find(Code.ROOT_MISMATCH, detail, size - 1)
        if self.tree.size > max(signed, default=self._since):
            last = max(signed, default=self._since)
            self._find(Code.CHECKPOINT_MISSING, f"{self.tree.size - last} leaves after the last checkpoint", last)

    def _find(self, code: Code, detail: str, index: int) -> None:
        self._report(Finding(code=code, detail=detail, index=index))


def check_payloads(connection: Connection, part: range, report: Report) -> Iterator[int]:
    """Hold each leaf of a part of the tree against the bytes of its event; yields after each, for whoever counts.

    What was pruned is read in the same snapshot as the payloads.
    """
    pruned = pruned_leaves(connection)
    for row in walk_rows(connection, _PAYLOADS, first=part.start, end=part.stop):
        index, event_id = row["idx"], row["event_id"]
        if row["payload"] is None:
            detail = f"event {event_id} is gone"
            report(Finding(code=Code.EVENT_MISSING, detail=detail, index=index, event_id=event_id))
        elif not _is_leaf_of(row, pruned):
            detail = f"the leaf is {row['hash']}, and the bytes of the event give {leaf_hash(encoded(row['payload']))}"
            report(Finding(code=Code.LEAF_MISMATCH, detail=detail, index=index, event_id=event_id))
        yield index


def _is_leaf_of(row: dict[str, Any], pruned: Sequence[range]) -> bool:
    payload = encoded(row["payload"])
    if leaf_hash(payload) == row["hash"] == row["leaf"]:
        return True
    is_pruned = any(row["idx"] in leaves for leaves in pruned) and tombstone_of(payload, row["event_id"]) is not None
    return is_pruned and bool(row["hash"] == row["leaf"])


def check_queue(connection: Connection, report: Report) -> None:
    """Check that every event is in the tree or in the queue, and nothing else is in the queue."""
    for row in walk_rows(connection, _UNQUEUED):
        detail = "it is neither in the tree nor in the queue"
        report(Finding(code=Code.EVENT_UNQUEUED, detail=detail, event_id=row["event_id"], stream=row["stream"]))
    for row in walk_rows(connection, _GONE_FROM_QUEUE):
        detail = "it is in the queue, and is no event that waits"
        report(Finding(code=Code.EVENT_UNQUEUED, detail=detail, event_id=row["event_id"]))


def _bytes(leaf: str) -> bytes:
    try:
        return bytes.fromhex(leaf)
    except ValueError:
        return leaf.encode()
