"""The tree by its definition, and everything that was signed held against it."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from proofgap.checkpoints import open_checkpoint
from proofgap.merkle import consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from proofgap_store import Ledger, keys, tree
from proofgap_store.engine import rows
from tests.conformance.lives import log
from tests.store.raw import TREE


def root_of(entries: list[bytes]) -> bytes:
    """Give the root of RFC 6962, section 2.1, word for word."""
    if len(entries) <= 1:
        return sha256(b"\x00" + entries[0]).digest() if entries else sha256().digest()
    split = 1 << (len(entries) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(entries[:split]) + root_of(entries[split:])).digest()


def read(ledger: Ledger, statement: str) -> list[dict[str, Any]]:
    """Read past every verb of the ledger."""
    return ledger._gate.read(lambda connection: rows(connection, statement))


def tree_of(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Read every table of the tree."""
    return {name: read(ledger, f"SELECT * FROM {name}") for name in TREE}  # noqa: S608 - names only


def shape_of(ledger: Ledger) -> tuple[Any, ...]:
    """Give leaves and nodes, which follow from the log alone: no time and no signature is in them."""
    found = tree_of(ledger)
    return found["audit_unsequenced"], found["audit_leaf"], found["audit_node"]


def hold(ledger: Ledger) -> int:
    """Hold every checkpoint against a naive tree over the payloads in event order; give how many there are."""
    entries = [event.payload.encode() for event in log(ledger)]
    found = read(ledger, "SELECT * FROM audit_checkpoint ORDER BY size")
    known = [period.key for period in ledger._gate.read(keys.history)]
    for row in found:
        opened = open_checkpoint(row["note"], known)
        root = root_of(entries[: row["size"]])
        assert (opened.checkpoint.size, opened.checkpoint.root, root.hex()) == (row["size"], root, row["root"])
        assert opened.at_seconds == row["at_us"] // 1_000_000
    assert all(earlier["at_us"] < later["at_us"] for earlier, later in pairwise(found))
    leaves = read(ledger, "SELECT idx, event_id FROM audit_leaf ORDER BY idx")
    events = [event.event_id for event in log(ledger)]
    assert [(row["idx"], row["event_id"]) for row in leaves] == list(enumerate(events[: len(leaves)]))
    waiting = read(ledger, "SELECT event_id FROM audit_unsequenced ORDER BY event_id")
    assert [row["event_id"] for row in waiting] == events[len(leaves) :]
    return len(found)


def prove_all(ledger: Ledger) -> None:
    """Prove every leaf in every checkpoint, and every checkpoint from every earlier one."""
    entries = [event.payload.encode() for event in log(ledger)]
    roots = {row["size"]: bytes.fromhex(row["root"]) for row in read(ledger, "SELECT * FROM audit_checkpoint")}

    def prove(connection: Any) -> None:
        node = tree.node_reader(connection)
        for size, root in roots.items():
            for index in range(size):
                verify_inclusion(entries[index], index, size, inclusion_proof(index, size, node), root)
            for old in (old for old in roots if old <= size):
                verify_consistency(old, roots[old], size, root, consistency_proof(old, size, node))

    ledger._gate.read(prove)


def beside(path: Path, ending: str) -> Path:
    """Name a file beside the ledger."""
    return path.with_name(path.name + ending)
