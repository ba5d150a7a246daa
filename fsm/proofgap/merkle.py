"""The tree over the log: one hash for all entries, and short proofs that an entry is in it and that it only grew.

Owns the hashes of RFC 6962 (SHA-256), the proofs and their verification. Refuses to know what an entry says, where
nodes are stored (it reads them through a function it is handed) and who vouches for a root (`checkpoints`).

A node is named by its level and its index: level 0 are the leaf hashes, node ``(l, i)`` stands over the leaves from
``i * 2**l`` to ``(i + 1) * 2**l - 1``, and it is complete, and never changes again, once the last of them is there. A
tree of any size is a row of complete nodes, at most one per level: its frontier.

Source of the rules: RFC 6962, sections 2.1 to 2.1.2; RFC 9162, sections 2.1.3 and 2.1.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from hashlib import sha256
from typing import Self

from proofgap.errors import BadInputError, ProofError

HASH_LENGTH = 32
"""How many bytes a hash has."""

EMPTY_ROOT = sha256().digest()
"""The root of a tree without entries."""

Node = Callable[[int, int], bytes]
"""Reads the hash of a complete node by level and index."""


def leaf_hash(payload: bytes) -> bytes:
    """Hash the bytes of an entry."""
    return sha256(b"\x00" + payload).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two nodes into the one above them. The prefix differs from that of a leaf: neither passes for the other."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """All that is needed to go on appending: how many leaves there are, and the hashes of the frontier."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Take up a tree of ``size`` leaves; ``hashes`` are those of its frontier, the widest node first.

        Raises:
            BadInputError: a tree of that size has more or fewer of them.

        """
        self.size, self.hashes = size, list(hashes)
        if size < 0 or len(self.hashes) != size.bit_count():
            problem = f"{len(self.hashes)} hashes are no frontier of {size} leaves"
            raise BadInputError("hashes", problem, "Hand in those of the nodes that frontier(size) names.")

    @classmethod
    def of(cls, size: int, node: Node) -> Self:
        """Take up a tree of ``size`` leaves from its stored nodes."""
        return cls(size, (node(level, index) for level, index in frontier(size)))

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash; give the nodes above it that are complete now, as level, index and hash, lowest first."""
        finished: list[tuple[int, int, bytes]] = []
        level, index, complete = 0, self.size, leaf
        while index & 1:
            complete = sha256(b"\x01" + self.hashes.pop() + complete).digest()
            level, index = level + 1, index >> 1
            finished.append((level, index, complete))
        self.hashes.append(complete)
        self.size += 1
        return finished

    def root(self) -> bytes:
        """Give the root of the tree as it is now."""
        return _joined(self.hashes) if self.hashes else EMPTY_ROOT


def frontier(size: int) -> list[tuple[int, int]]:
    """Name the complete nodes that a tree of ``size`` leaves is a row of, as level and index, the widest first."""
    return [(level, (size >> level) - 1) for level in reversed(range(size.bit_length())) if size >> level & 1]


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Prove that the leaf at ``index`` is in the tree of ``size`` leaves: hashes from its sibling up to the root's child.

    Raises:
        BadInputError: the tree has no such leaf.

    """
    if not 0 <= index < size:
        raise BadInputError("index", f"a tree of {size} has no entry {index}", "Hand in an index below the size.")
    return _path(0, index, size, node)


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Prove that the tree of ``new`` leaves begins with all leaves of the tree of ``old``; an empty one needs no proof.

    Raises:
        BadInputError: the old tree is the larger one.

    """
    if not 0 <= old <= new:
        raise BadInputError("old", f"a tree of {new} did not grow from {old}", "Hand in the smaller size first.")
    if old in {0, new}:
        return []
    level = _trailing_zeros(old)
    index = (old >> level) - 1
    known = [] if index == 0 else [node(level, index)]
    return known + _path(level, index, new, node)


def verify_inclusion(payload: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that an entry with these bytes is at ``index`` of the tree of ``size`` entries that has this root.

    It takes the bytes of the entry, never a leaf hash, and ``size`` and ``root`` belong to one signed checkpoint:
    whoever may choose a leaf hash and a size can pass an inner node off as a leaf.

    Raises:
        ProofError: it does not follow from the proof.

    """
    claim = f"entry {index} in a tree of {size}"
    if not 0 <= index < size:
        raise ProofError(claim, "there is no such entry")
    inner, border = _shape(index, size)
    _check_hashes(claim, proof, inner + border)
    if _climbed(leaf_hash(payload), index, proof, inner) != root:
        raise ProofError(claim, "the proof leads to another root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the new tree begins with all entries of the old one: that nothing was edited, removed or put between.

    Raises:
        ProofError: it does not follow from the proof.

    """
    claim = f"a tree of {new_size} that grew from {old_size}"
    if not 0 <= old_size <= new_size:
        raise ProofError(claim, "a log does not shrink")
    if old_size in {0, new_size}:
        _check_hashes(claim, proof, 0)
        if old_root != (new_root if old_size else EMPTY_ROOT):
            raise ProofError(claim, "the roots differ" if old_size else "the root is not that of an empty tree")
        return
    level = _trailing_zeros(old_size)
    index = (old_size >> level) - 1
    inner, border = _shape(index, (new_size - 1 >> level) + 1)
    _check_hashes(claim, proof, bool(index) + inner + border)
    shared, path = (proof[0], proof[1:]) if index else (old_root, proof)
    if _climbed(shared, index, path, inner, left_only=True) != old_root:
        raise ProofError(claim, "the proof leads to another old root")
    if _climbed(shared, index, path, inner) != new_root:
        raise ProofError(claim, "the proof leads to another new root")


def _path(level: int, index: int, size: int, node: Node) -> list[bytes]:
    """Collect the siblings on the way from a complete node up to the root."""
    path: list[bytes] = []
    last = size - 1 >> level
    while last:
        sibling = index ^ 1
        if sibling + 1 << level <= size:
            path.append(node(level, sibling))
        elif sibling <= last:
            path.append(_ragged(sibling << level, size, node))
        level, index, last = level + 1, index >> 1, last >> 1
    return path


def _ragged(start: int, size: int, node: Node) -> bytes:
    """Hash the leaves from ``start`` to the end of the tree: the node on its right edge that is not complete."""
    return _joined([node(level, index + (start >> level)) for level, index in frontier(size - start)])


def _joined(row: Sequence[bytes]) -> bytes:
    """Hash a row of nodes, the widest first, into the one above them all."""
    return reduce(lambda right, left: node_hash(left, right), reversed(row))


def _shape(index: int, size: int) -> tuple[int, int]:
    """Count the siblings on the way up: below the point where the way joins the right edge of the tree, and above it."""
    inner = (index ^ size - 1).bit_length()
    return inner, (index >> inner).bit_count()


def _climbed(start: bytes, index: int, path: Sequence[bytes], inner: int, *, left_only: bool = False) -> bytes:
    """Hash upwards from a node to a root; with ``left_only``, to the root of the tree that ends with that node."""
    reached = start
    for step, sibling in enumerate(path):
        if step >= inner or index >> step & 1:
            reached = node_hash(sibling, reached)
        elif not left_only:
            reached = node_hash(reached, sibling)
    return reached


def _check_hashes(claim: str, proof: Sequence[bytes], expected: int) -> None:
    if len(proof) != expected:
        raise ProofError(claim, f"the proof has {len(proof)} hashes where {expected} belong")
    if any(len(part) != HASH_LENGTH for part in proof):
        raise ProofError(claim, f"the proof holds a hash that has not {HASH_LENGTH} bytes")


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1
