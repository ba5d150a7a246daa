"""The sequencer: it gives waiting events their leaves and signs the tree that they make.

Owns when a checkpoint may be signed. The head file is read first, then everything is computed in a reading
transaction, so that the database is never older than the head it is held against: the tree so far is taken up from
its stored nodes, every new leaf computed from the bytes of its event. Then one writing transaction adds leaves, nodes
and checkpoint and takes the events out of the queue. Two sequencers at once are harmless: the database takes the
batch of one, and the other computes anew. A signature that was made and not kept says nothing that a later one
contradicts, because leaves are only ever taken in the order of their events.

It refuses to sign what it cannot stand for: a tree that does not lead to the root that was signed last, an event
whose bytes changed or that is gone, a clock that did not advance, a database that is behind its own head file or
beside it. It looks at the right edge of the tree only; `verifying` reads all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proofgap.checkpoints import Checkpoint, Opened, open_checkpoint, sign_checkpoint
from proofgap.errors import MalformedError, ProofgapError, SignatureError, UnknownKeyError
from proofgap.facts import Struct
from proofgap.merkle import CompactRange, leaf_hash
from proofgap_store import keys, tree
from proofgap_store.custody import Custody
from proofgap_store.engine import Connection, RefusedByDatabaseError, connected, transaction
from proofgap_store.gate import ATTEMPTS_MAX, Gate
from proofgap_store.keys import KeyPeriod
from proofgap_store.tree import Batch, MissingNodeError, StoredCheckpoint, Waiting

BATCH_MAX = 5_000
"""How many events one checkpoint takes in at most."""

_LOST_RACE = "proofgap: stale"
_US_PER_SECOND = 1_000_000
_VERIFY = "Find out why: proofgap audit verify."
_RESTORED = "If the ledger was restored from a copy, say so: proofgap audit declare-restore."
_OTHER_HEAD = f"Name another head file with PROOFGAP_HEAD. {_RESTORED}"


class UnsignedError(ProofgapError):
    """The sequencer refused to sign: what is stored is not what was signed before, or not in the order of time."""

    def __init__(self, problem: str, remedy: str = _VERIFY) -> None:
        """Say what it met."""
        self.problem, self.remedy = problem, remedy
        super().__init__(f"no checkpoint was signed: {problem}. {remedy}")


class Checkpointed(Struct):
    """A checkpoint: how many events it covers, their root in hex, when it was signed, and the signed note."""

    size: int
    root: str
    at_us: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequencer:
    """Whoever signs for one ledger."""

    gate: Gate
    custody: Custody
    clock: Callable[[], int]

    def run(self) -> Checkpointed | None:
        """Take in everything that waits now; give the last checkpoint, or ``None`` if there was never an event.

        What comes meanwhile waits for the next time: else this would not end while others write.

        Raises:
            UnsignedError: it refused to sign.
            CustodyError: the key file or the head file is not there to be used.
            GuardsError: guards of the database are missing or foreign.

        """
        while self.step(BATCH_MAX) == BATCH_MAX:
            pass
        last = self.gate.read(tree.last_checkpoint)
        if last is None:
            return None
        self.custody.head.advance(last.note)  # a crash before this: the head file is behind, which is no alarm
        return Checkpointed(**last._asdict())

    def step(self, limit: int) -> int:
        """Take in one batch; give how many events it was. Errors: those of `run`."""
        with connected(self.gate.engine) as connection:
            for _attempt in range(ATTEMPTS_MAX):
                head = self.custody.head.read()  # before the transaction: a head that others move meanwhile is no alarm
                with transaction(connection, writes=False):
                    upto = tree.settled(connection)
                with transaction(connection, writes=False):
                    batch = self._batch(connection, head, (upto, limit))
                if batch is None:
                    return 0
                try:
                    self._write(connection, batch)
                except RefusedByDatabaseError as error:
                    if _LOST_RACE not in error.reason:
                        raise
                    continue
                return len(batch.leaves)
        raise UnsignedError("other sequencers were faster each time", "Nothing is wrong; one sequencer is enough.")

    def _write(self, connection: Connection, batch: Batch) -> None:
        with transaction(connection, writes=True):
            self.gate.demand_guards(connection)
            tree.add(connection, batch)  # a crash before the commit: nothing happened; after it: everything

    def _batch(self, connection: Connection, head: str | None, bounds: tuple[int, int]) -> Batch | None:
        last, periods = tree.last_checkpoint(connection), keys.history(connection)
        grown = _taken_up(connection, last, periods)
        demand_head(connection, head, last, periods)
        waiting = tree.waiting(connection, *bounds)
        if not waiting:
            return None
        _demand_order(connection, waiting)
        leaves, nodes = _grow(grown, waiting)
        return Batch(leaves, nodes, self._signed(grown, periods, last))

    def _signed(
        self, grown: CompactRange, periods: Sequence[KeyPeriod], last: StoredCheckpoint | None
    ) -> StoredCheckpoint:
        now = self.clock()
        if last is not None and now <= last.at_us:
            raise UnsignedError("the clock is not past the last checkpoint", "Set the clock right, and try again.")
        signer = self.custody.key_file.signer(periods[-1].key)
        checkpoint = Checkpoint(signer.name, grown.size, grown.root())
        note = sign_checkpoint(checkpoint, signer, now // _US_PER_SECOND)
        return StoredCheckpoint(grown.size, checkpoint.root.hex(), now, note)


def _taken_up(connection: Connection, last: StoredCheckpoint | None, periods: Sequence[KeyPeriod]) -> CompactRange:
    """Take up the tree as it was signed last, and hold it against that signature."""
    if tree.size(connection) != (0 if last is None else last.size):
        raise UnsignedError("there are leaves that no checkpoint covers, or fewer than one does")
    if last is None:
        return CompactRange()
    signed = _opened(last.note, periods, f"the checkpoint of {last.size} events", _VERIFY)
    try:
        grown = CompactRange.of(last.size, tree.node_reader(connection))
    except MissingNodeError as error:
        raise UnsignedError(f"{error} is missing") from error
    stored = (last.size, last.root, last.at_us // _US_PER_SECOND)
    said = (signed.checkpoint.size, signed.checkpoint.root.hex(), signed.at_seconds)
    if said != stored or grown.root() != signed.checkpoint.root:
        raise UnsignedError(f"the tree of {last.size} events does not lead to the root that was signed")
    return grown


def demand_head(
    connection: Connection, note: str | None, last: StoredCheckpoint | None, periods: Sequence[KeyPeriod]
) -> None:
    """Refuse to go on from a database that is behind its head file, or beside it.

    Raises:
        UnsignedError: it is; or the head file holds no checkpoint of this log.

    """
    if note is None:
        return
    head = _opened(note, periods, "what the head file holds", _OTHER_HEAD).checkpoint
    if last is None or head.size > last.size:
        raise UnsignedError(f"the head file saw {head.size} events, and fewer have a checkpoint here", _RESTORED)
    try:
        root = tree.root_at(connection, head.size)
    except MissingNodeError as error:
        raise UnsignedError(f"{error} is missing") from error
    if root != head.root:
        raise UnsignedError(f"the head file saw other events among the first {head.size}", _RESTORED)


def _opened(note: str, periods: Sequence[KeyPeriod], what: str, remedy: str) -> Opened:
    try:
        return open_checkpoint(note, [period.key for period in periods])
    except UnknownKeyError as error:
        raise UnsignedError(f"{what} was signed by no key of this log", remedy) from error
    except (MalformedError, SignatureError) as error:
        raise UnsignedError(f"{what} is not as it was signed") from error


def _demand_order(connection: Connection, waiting: Sequence[Waiting]) -> None:
    """Refuse to pass over an event that was taken out of the queue."""
    left_out = tree.left_out(connection, waiting[-1].event_id)
    if left_out is not None:
        raise UnsignedError(f"event {left_out} was taken out of the queue without a leaf")


def _grow(
    grown: CompactRange, waiting: Sequence[Waiting]
) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]:
    """Append the leaves of waiting events, each computed from the event's bytes; give leaves and complete nodes."""
    leaves, nodes = list[tuple[int, int, str]](), list[tuple[int, int, str]]()
    for number, event in enumerate(waiting, grown.size):
        if event.payload is None or event.leaf is None:
            raise UnsignedError(f"event {event.event_id} is gone from the log")
        leaf = leaf_hash(event.payload.encode("utf-8", "surrogatepass"))
        if leaf.hex() != event.leaf:
            raise UnsignedError(f"the bytes of event {event.event_id} do not give its hash")
        leaves.append((number, event.event_id, event.leaf))
        nodes += [(level, index, node.hex()) for level, index, node in grown.append(leaf)]
    return leaves, nodes
