"""The sequencer: it gives waiting events their leaves and signs the tree that they make.

Owns when a checkpoint may be signed. Everything is computed in a reading transaction: the tree so far is rebuilt from
its stored nodes, every new leaf from the bytes of its event. Then one writing transaction adds leaves, nodes and
checkpoint and takes the events out of the queue. Two sequencers at once are harmless: the database takes the batch of
one, and the other computes anew. A signature that was made and not kept says nothing that a later one contradicts,
because leaves are only ever taken in the order of their events.

It refuses to sign what it cannot stand for: a tree that does not rebuild to the root that was signed last, an event
whose bytes changed, a clock that went back, a database that is behind its own head file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proofgap.checkpoints import Checkpoint, open_checkpoint, sign_checkpoint
from proofgap.errors import ProofgapError
from proofgap.facts import Struct
from proofgap.merkle import CompactRange, leaf_hash
from proofgap_store import keys, tree
from proofgap_store.custody import Custody
from proofgap_store.engine import Connection, RefusedByDatabaseError, connected, transaction
from proofgap_store.gate import ATTEMPTS_MAX, Gate
from proofgap_store.keys import KeyPeriod
from proofgap_store.tree import Batch, MissingNodeError, StoredCheckpoint

BATCH_MAX = 5_000
"""How many events one checkpoint takes in at most."""

_LOST_RACE = ("proofgap: stale tree", "audit_leaf", "audit_checkpoint")
_US_PER_SECOND = 1_000_000


class UnsignedError(ProofgapError):
    """The sequencer refused to sign: what is stored is not what was signed before, or not in the order of time."""

    def __init__(self, problem: str, remedy: str = "Find out why: proofgap audit verify.") -> None:
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
        """Take in everything that waits; give the last checkpoint, or ``None`` if there was never an event.

        Raises:
            UnsignedError: it refused to sign.
            UnavailableError: the key or the head file is not there to be used.
            GuardsError: guards of the database are missing or foreign.

        """
        while self.step():
            pass
        last = self.gate.read(tree.last_checkpoint)
        if last is None:
            return None
        self.custody.head.advance(last.note)  # a crash before this: the head file is behind, which is no alarm
        return Checkpointed(size=last.size, root=last.root, at_us=last.at_us, note=last.note)

    def step(self, limit: int = BATCH_MAX) -> int:
        """Take in one batch; give how many events it was."""
        with connected(self.gate.engine) as connection:
            for _attempt in range(ATTEMPTS_MAX):
                with transaction(connection, writes=False):
                    batch = self._batch(connection, limit)
                if batch is None:
                    return 0
                try:
                    self._write(connection, batch)
                except RefusedByDatabaseError as error:
                    if not any(words in error.reason for words in _LOST_RACE):
                        raise
                    continue
                return len(batch.leaves)
        raise UnsignedError("other sequencers were faster each time", "Nothing is wrong; one sequencer is enough.")

    def _write(self, connection: Connection, batch: Batch) -> None:
        with transaction(connection, writes=True):
            self.gate.demand_guards(connection)
            tree.add(connection, batch)  # a crash before the commit: nothing happened; after it: everything

    def _batch(self, connection: Connection, limit: int) -> Batch | None:
        last, periods = tree.last_checkpoint(connection), keys.history(connection)
        grown = _rebuilt(connection, last, periods)
        self._demand_head(connection, last, periods)
        waiting = tree.waiting(connection, limit)
        if not waiting:
            return None
        leaves, nodes = [], []
        for number, event in enumerate(waiting, grown.size):
            leaf = leaf_hash(event.payload.encode())
            if leaf.hex() != event.leaf:
                raise UnsignedError(f"the bytes of event {event.event_id} do not give its hash")
            leaves.append((number, event.event_id, event.leaf))
            nodes += [(level, index, node.hex()) for level, index, node in grown.append(leaf)]
        return Batch(leaves, nodes, self._signed(grown, periods, last))

    def _signed(self, grown: CompactRange, periods: list[KeyPeriod], last: StoredCheckpoint | None) -> StoredCheckpoint:
        now = self.clock()
        if last is not None and now <= last.at_us:
            raise UnsignedError("the clock is not past the last checkpoint", "Set the clock right, and try again.")
        signer = self.custody.key_file.signer(periods[-1].key)
        checkpoint = Checkpoint(signer.name, grown.size, grown.root())
        note = sign_checkpoint(checkpoint, signer, now // _US_PER_SECOND)
        return StoredCheckpoint(grown.size, checkpoint.root.hex(), now, note)

    def _demand_head(self, connection: Connection, last: StoredCheckpoint | None, periods: list[KeyPeriod]) -> None:
        """Refuse to go on from a database that is behind its head file, or beside it."""
        kept = self.custody.head.read()
        if kept is None:
            return
        head = open_checkpoint(kept, [period.key for period in periods]).checkpoint
        remedy = "If the ledger was restored from a copy, say so: proofgap audit declare-restore."
        if last is None or head.size > last.size:
            raise UnsignedError(f"the head file saw {head.size} events, and fewer have a checkpoint here", remedy)
        if tree.root_at(connection, head.size) != head.root:
            raise UnsignedError(f"the head file saw other events among the first {head.size}", remedy)


def _rebuilt(connection: Connection, last: StoredCheckpoint | None, periods: list[KeyPeriod]) -> CompactRange:
    """Rebuild the tree as it was signed last, and hold it against that signature."""
    if tree.size(connection) != (0 if last is None else last.size):
        raise UnsignedError("there are leaves that no checkpoint covers, or fewer than one does")
    if last is None:
        return CompactRange()
    signed = open_checkpoint(last.note, [period.key for period in periods]).checkpoint
    try:
        grown = CompactRange.of(last.size, tree.node_reader(connection))
    except MissingNodeError as error:
        raise UnsignedError(f"{error} is missing") from error
    if (signed.size, signed.root) != (last.size, grown.root()) or signed.root.hex() != last.root:
        raise UnsignedError(f"the tree of {last.size} events does not rebuild to the root that was signed")
    return grown
