"""The tree: against the vectors of certificate transparency, against the definition in the RFC, and against liars."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofgap import audit, merkle
from proofgap.errors import BadInputError, ProofError
from proofgap.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    frontier,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

VECTOR_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
NODES = {
    (0, 0): "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    (0, 1): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    (0, 2): "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    (0, 3): "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    (0, 4): "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    (0, 5): "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
    (0, 6): "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    (0, 7): "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
    (1, 0): "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    (1, 1): "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    (1, 2): "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    (1, 3): "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    (2, 0): "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (2, 1): "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    (3, 0): "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
# (index, size) -> proof, and (old, new) -> proof: the test vectors of google/certificate-transparency.
VECTOR_INCLUSIONS = {
    (0, 1): [],
    (0, 8): [(0, 1), (1, 1), (2, 1)],
    (5, 8): [(0, 4), (1, 3), (2, 0)],
    (2, 3): [(1, 0)],
    (1, 5): [(0, 0), (1, 1), (0, 4)],
}
VECTOR_INCLUSIONS_HEX = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
VECTOR_CONSISTENCIES = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
SIZES = range(65)
ENTRIES = [b"entry %d" % number for number in range(SIZES[-1])]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def split(size):
    """The largest power of two below a size: RFC 6962, section 2.1."""
    return 1 << (size - 1).bit_length() - 1


def naive_root(leaves):
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


def naive_inclusion(index, leaves):
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return [*naive_inclusion(index, leaves[:half]), naive_root(leaves[half:])]
    return [*naive_inclusion(index - half, leaves[half:]), naive_root(leaves[:half])]


def naive_consistency(old, leaves, *, known=True):
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if old == len(leaves):
        return [] if known else [naive_root(leaves)]
    half = split(len(leaves))
    if old <= half:
        return [*naive_consistency(old, leaves[:half], known=known), naive_root(leaves[half:])]
    return [*naive_consistency(old - half, leaves[half:], known=False), naive_root(leaves[:half])]


def grown(leaves):
    """Append leaves; give the range, every complete node by name, and the root at every size."""
    tree, nodes, roots = CompactRange(), {}, [EMPTY_ROOT]
    for index, leaf in enumerate(leaves):
        nodes[0, index] = leaf
        for level, above, complete in tree.append(leaf):
            assert (level, above) not in nodes
            nodes[level, above] = complete
        roots.append(tree.root())
    return tree, nodes, roots


TREE, STORED, ROOTS = grown(LEAVES)


def node(level, index):
    return STORED[level, index]


def test_the_vectors_of_certificate_transparency_give_their_nodes_and_roots():
    _, nodes, roots = grown(leaf_hash(entry) for entry in VECTOR_INPUTS)
    assert VECTOR_ROOTS == [root.hex() for root in roots]
    assert NODES == {name: complete.hex() for name, complete in nodes.items()}


@pytest.mark.parametrize(("at", "expected"), VECTOR_INCLUSIONS.items())
def test_the_vectors_of_certificate_transparency_give_their_inclusion_proofs(at, expected):
    index, size = at
    proof = inclusion_proof(index, size, lambda *name: bytes.fromhex(NODES[name]))
    assert [NODES[name] for name in expected] == [part.hex() for part in proof]
    assert VECTOR_INCLUSIONS_HEX.get(at, []) == [part.hex() for part in proof]
    verify_inclusion(VECTOR_INPUTS[index], index, size, proof, bytes.fromhex(VECTOR_ROOTS[size]))


@pytest.mark.parametrize(("sizes", "expected"), VECTOR_CONSISTENCIES.items())
def test_the_vectors_of_certificate_transparency_give_their_consistency_proofs(sizes, expected):
    old, new = sizes
    proof = consistency_proof(old, new, lambda *name: bytes.fromhex(NODES[name]))
    assert expected == [part.hex() for part in proof]
    verify_consistency(old, bytes.fromhex(VECTOR_ROOTS[old]), new, bytes.fromhex(VECTOR_ROOTS[new]), proof)


def test_every_root_is_that_of_the_definition():
    assert [naive_root(LEAVES[:size]) for size in SIZES] == ROOTS


def test_every_inclusion_proof_is_that_of_the_definition_and_verifies():
    for size in SIZES:
        for index in range(size):
            proof = inclusion_proof(index, size, node)
            assert naive_inclusion(index, LEAVES[:size]) == proof
            verify_inclusion(ENTRIES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof_is_that_of_the_definition_and_verifies():
    for new in SIZES:
        for old in range(new + 1):
            proof = consistency_proof(old, new, node)
            assert old == 0 or naive_consistency(old, LEAVES[:new]) == proof
            verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def test_a_range_taken_up_from_stored_nodes_goes_on_as_the_one_that_grew():
    for size in SIZES:
        taken = CompactRange.of(size, node)
        assert taken.root() == ROOTS[size]
        assert frontier(size) == sorted(frontier(size), reverse=True)
        assert sum(1 << level for level, _ in frontier(size)) == size
        for index in range(size, min(size + 3, SIZES[-1])):
            assert all(STORED[level, above] == complete for level, above, complete in taken.append(LEAVES[index]))
            assert taken.root() == ROOTS[index + 1]


def test_a_proof_reads_few_nodes_of_a_large_tree():
    size, read = 10**9 + 7, []

    def stored(level, index):
        assert (index + 1) << level <= size
        read.append((level, index))
        return bytes(32)

    for index in (0, 1, 5 * 10**8, size - 2, size - 1):
        read.clear()
        inclusion_proof(index, size, stored)
        assert len(read) <= 2 * size.bit_length()
    for old in (1, 2**29, 5 * 10**8 + 1, size - 1):
        read.clear()
        consistency_proof(old, size, stored)
        assert len(read) <= 2 * size.bit_length()


def tampered(proof):
    """Every proof that differs in one byte, lacks one hash, has one more or one twice, or has two swapped."""
    for place, part in enumerate(proof):
        for byte in range(len(part)):
            changed = bytearray(part)
            changed[byte] ^= 1
            yield [*proof[:place], bytes(changed), *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[: place + 1], *proof[place:]]
        yield [*proof[:place], part[:-1], *proof[place + 1 :]]
        yield [*proof[:place], part + b"\x00", *proof[place + 1 :]]
    for place in range(len(proof) - 1):
        yield [*proof[:place], proof[place + 1], proof[place], *proof[place + 2 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_an_inclusion_proof_that_was_tampered_with_is_refused(size):
    for index in range(size):
        for proof in tampered(inclusion_proof(index, size, node)):
            with pytest.raises(ProofError, match=rf"not proven: entry {index} in a tree of {size}: the proof"):
                verify_inclusion(ENTRIES[index], index, size, proof, ROOTS[size])


@pytest.mark.parametrize("size", [2, 3, 7, 8, 13])
def test_an_inclusion_proof_proves_nothing_about_another_entry_index_size_or_root(size):
    for index in range(size):
        proof = inclusion_proof(index, size, node)
        for other in {*range(-1, size + 2), 10**30} - {index}:
            with pytest.raises(ProofError):
                verify_inclusion(ENTRIES[index], other, size, proof, ROOTS[size])
        for other in set(range(size)) - {index}:
            with pytest.raises(ProofError):
                verify_inclusion(ENTRIES[other], index, size, proof, ROOTS[size])
        for other in set(SIZES) - {size}:
            with pytest.raises(ProofError):
                verify_inclusion(ENTRIES[index], index, size, proof, ROOTS[other])
            with pytest.raises(ProofError):
                verify_inclusion(ENTRIES[index], index, other, inclusion_proof(index, size, node), ROOTS[other])
        with pytest.raises(ProofError):
            verify_inclusion(ENTRIES[index], index, size, proof, b"")


@pytest.mark.parametrize(("old", "new"), [(0, 5), (1, 2), (3, 7), (4, 8), (6, 8), (6, 13), (7, 7), (8, 13)])
def test_a_consistency_proof_that_was_tampered_with_is_refused(old, new):
    for proof in tampered(consistency_proof(old, new, node)):
        with pytest.raises(ProofError, match=rf"not proven: a tree of {new} that grew from {old}: the proof"):
            verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (1, 2), (3, 7), (4, 8), (6, 8), (6, 13), (7, 7), (8, 13)])
def test_a_consistency_proof_proves_nothing_about_other_roots(old, new):
    proof = consistency_proof(old, new, node)
    for other in set(SIZES) - {old}:
        with pytest.raises(ProofError):
            verify_consistency(old, ROOTS[other], new, ROOTS[new], proof)
    for other in set(SIZES) - {new}:
        if old:  # every tree begins with the empty one
            with pytest.raises(ProofError):
                verify_consistency(old, ROOTS[old], new, ROOTS[other], proof)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (10**30, 3), (0, -1)])
def test_a_log_that_shrank_is_refused(old, new):
    with pytest.raises(ProofError, match="a log does not shrink"):
        verify_consistency(old, ROOTS[3], new, ROOTS[3], [])


def test_the_old_root_of_nothing_must_be_that_of_the_empty_tree():
    with pytest.raises(ProofError, match="not that of an empty tree"):
        verify_consistency(0, ROOTS[1], 3, ROOTS[3], [])


def test_an_inner_node_does_not_pass_for_an_entry():
    """With a leaf hash and a size of the attacker's choice it would: the tree of 4 read as one of 2."""
    inside = STORED[0, 0] + STORED[0, 1]
    assert node_hash(STORED[1, 0], STORED[1, 1]) == ROOTS[4]
    for payload in (inside, b"\x01" + inside, STORED[1, 0]):
        with pytest.raises(ProofError, match="another root"):
            verify_inclusion(payload, 0, 2, [STORED[1, 1]], ROOTS[4])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_an_entry_that_is_not_there_has_no_proof(index, size):
    with pytest.raises(BadInputError, match=f"a tree of {size} has no entry {index}"):
        inclusion_proof(index, size, node)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3)])
def test_a_tree_that_shrank_has_no_proof(old, new):
    with pytest.raises(BadInputError, match=f"a tree of {new} did not grow from {old}"):
        consistency_proof(old, new, node)


@pytest.mark.parametrize(("size", "hashes"), [(3, [bytes(32)]), (0, [bytes(32)]), (-1, []), (-1, [bytes(32)])])
def test_hashes_that_are_no_frontier_of_the_size_are_refused(size, hashes):
    with pytest.raises(BadInputError, match="no frontier"):
        CompactRange(size, hashes)


def test_the_log_hashes_its_events_as_the_tree_does():
    assert audit.leaf_hash(b"event") == merkle.leaf_hash(b"event").hex()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_any_log_proves_any_entry_and_its_growth(entries, data):
    _, nodes, roots = grown(map(leaf_hash, entries))
    size = len(entries)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    proof = inclusion_proof(index, size, lambda *name: nodes[name])
    verify_inclusion(entries[index], index, size, proof, roots[size])
    verify_consistency(old, roots[old], size, roots[size], consistency_proof(old, size, lambda *name: nodes[name]))


def test_every_append_changes_the_root():
    assert all(before != after for before, after in pairwise(ROOTS))
