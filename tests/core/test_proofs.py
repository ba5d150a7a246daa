"""Proofs and policies as files: what they prove together, and that no other reading of either is taken."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofgap.checkpoints import Checkpoint, sign_checkpoint
from proofgap.errors import (
    BadInputError,
    MalformedError,
    ProofError,
    ProofgapError,
    QuorumError,
    SignatureError,
    UnknownKeyError,
)
from proofgap.merkle import CompactRange, inclusion_proof, leaf_hash
from proofgap.notes import ED25519, SignerKey, VerifierKey, cosignature, parse_note
from proofgap.proofs import (
    Group,
    Log,
    Policy,
    Proof,
    Witness,
    accept,
    parse_policy,
    parse_proof,
    policy_text,
    verify_proof,
)

ORIGIN = "log.example/one"
SIGNER = SignerKey.from_seed(ORIGIN, bytes(range(32)))
ENTRIES = [b"entry %d" % number for number in range(11)]
AT = 1_790_000_000


def logged(entries):
    nodes, tree = {}, CompactRange()
    for index, entry in enumerate(entries):
        nodes[0, index] = leaf_hash(entry)
        for level, above, complete in tree.append(leaf_hash(entry)):
            nodes[level, above] = complete
    return nodes, tree.root()


NODES, ROOT = logged(ENTRIES)
CHECKPOINT = Checkpoint(ORIGIN, len(ENTRIES), ROOT)
SIGNED = sign_checkpoint(CHECKPOINT, SIGNER, AT)
PROOFS = [
    Proof(index=index, hashes=tuple(inclusion_proof(index, 11, lambda *at: NODES[at])), checkpoint=SIGNED)
    for index in range(len(ENTRIES))
]
POLICY = Policy((Log(SIGNER.verifier),))
WITNESSES = {
    name: SignerKey.from_seed(f"{name}.example", name.encode() * 16) for name in ("x1", "x2", "x3", "y1", "y2")
}
NESTED = "".join(
    [
        f"log {SIGNER.verifier.text}\n\n# witnesses\n",
        *(f"witness {name} {key.verifier.cosigner.text}\n" for name, key in WITNESSES.items()),
        "group xs 2 x1 x2 x3\n",
        "group ys any y1 y2\n",
        "group both all xs ys\nquorum both\n",
    ]
)
KEY = SIGNER.verifier.text
W1 = WITNESSES["x1"].verifier.cosigner.text
W2 = WITNESSES["x2"].verifier.cosigner.text
HASHES = """gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=
"""
# The example of C2SP tlog-proof; the signatures of its checkpoint are left out there, so the checkpoint is another.
EXAMPLE = f"""c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
{HASHES}
{SIGNED}"""


def cosigned(*names):
    note = parse_note(SIGNED)
    lines = (cosignature(note.text, WITNESSES[name], AT + 1) for name in names)
    return note._replace(signatures=(*note.signatures, *lines)).encoded


def test_the_example_of_the_specification_is_read_and_written_alike():
    proof = parse_proof(EXAMPLE)
    assert proof.index == 73894
    assert len(proof.hashes) == 5
    assert proof.hashes[0].hex().startswith("8122b25e8619")
    assert proof.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert proof.checkpoint == SIGNED
    assert proof.text == EXAMPLE


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_a_proof_file_proves_its_entry_and_no_other(index):
    proof = parse_proof(PROOFS[index].text)
    assert proof == PROOFS[index]
    assert verify_proof(ENTRIES[index], proof, POLICY) == (CHECKPOINT, AT)
    for other in ENTRIES:
        if other != ENTRIES[index]:
            with pytest.raises(ProofError):
                verify_proof(other, proof, POLICY)


def test_a_proof_of_an_unknown_log_cannot_be_verified():
    stranger = SignerKey.from_seed(ORIGIN, bytes(32))
    with pytest.raises(UnknownKeyError):
        verify_proof(ENTRIES[3], PROOFS[3], Policy((Log(stranger.verifier),)))


def test_a_change_of_any_bit_of_a_proof_file_is_refused_or_costs_only_the_time():
    raw = PROOFS[10].text.encode()
    for place in range(len(raw)):
        for bit in range(0, 8, 3):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            try:
                opened = verify_proof(ENTRIES[10], parse_proof(changed.decode(errors="surrogateescape")), POLICY)
            except ProofgapError:
                continue
            assert opened == (CHECKPOINT, None)


def test_a_line_break_too_many_before_the_checkpoint_is_a_change_to_it():
    with pytest.raises(SignatureError):
        verify_proof(ENTRIES[10], parse_proof(TEXT.replace("\n\n", "\n\n\n", 1)), POLICY)


def test_an_entry_alone_in_its_log_needs_no_hashes():
    alone = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(b"only")), SIGNER, AT)
    proof = parse_proof(Proof(index=0, hashes=(), checkpoint=alone).text)
    assert verify_proof(b"only", proof, POLICY).checkpoint.size == 1


TEXT = PROOFS[10].text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not end with a line break"),
        ("\n", "is not c2sp"),
        (TEXT.replace("@v1", "@v2"), "is not c2sp"),
        (" " + TEXT, "is not c2sp"),
        (TEXT.replace("\n", "\r\n"), r"it holds \\x0d"),
        (TEXT[:-1], "does not end with a line break"),
        (TEXT.replace("index 10", "index \udc80"), r"it holds \\udc80"),
        (TEXT.replace("index 10", "index 010"), "is no number"),
        (TEXT.replace("index 10", "index -1"), "is no number"),
        (TEXT.replace("index 10", "index  10"), "is no number"),
        (TEXT.replace("index 10", "index"), "where the index belongs"),
        (TEXT.replace("index 10", f"index {'9' * 5000}"), "is no number"),
        (TEXT.replace("index 10\n", ""), "where the index belongs"),
        (TEXT.replace("index 10", "index 10\nindex 10"), "Base64"),
        (TEXT.replace("index 10", "index 10\nextra AA=="), "Base64"),
        (TEXT.replace("index 10", "extra AA\nindex 10"), "Base64"),
        (TEXT.replace("index 10", "extra\nindex 10"), "where the index belongs"),
        (TEXT.replace("index 10", "extra AA==\nextra AA==\nindex 10"), "where the index belongs"),
        (TEXT.replace("index 10", "index 10\nAAAA"), "is no hash"),
        (TEXT.replace("index 10", "index 10\n" + HASHES * 13), "more than 63 hashes"),
        ("c2sp.org/tlog-proof@v1\n\n" + SIGNED, "where the index belongs"),
        ("c2sp.org/tlog-proof@v1\nindex 1\n\n", "does not end with a line break"),
        ("c2sp.org/tlog-proof@v1\nindex 1\n\nlog\n1\nroot\n", "not signed"),
    ],
)
def test_what_is_no_proof_is_refused_by_name(text, problem):
    with pytest.raises(MalformedError, match=problem):
        verify_proof(ENTRIES[10], parse_proof(text), POLICY)


def test_a_policy_of_one_log_reads_back():
    text = policy_text(POLICY)
    assert text == f"log {KEY}\nquorum none\n"
    assert parse_policy(text) == POLICY
    assert accept(SIGNED, parse_policy(text)) == (CHECKPOINT, AT)


def test_a_policy_with_nested_groups_is_read_as_the_specification_says():
    policy = parse_policy(NESTED)
    assert policy.groups == (
        Group("xs", 2, ("x1", "x2", "x3")),
        Group("ys", 1, ("y1", "y2")),
        Group("both", 2, ("xs", "ys")),
    )
    assert [witness.name for witness in policy.witnesses] == list(WITNESSES)
    assert parse_policy(policy_text(policy)) == policy


@pytest.mark.parametrize("names", [("x1", "x2", "y1"), ("x1", "x3", "y2"), ("y1", "x3", "x2"), tuple(WITNESSES)])
def test_a_quorum_of_witnesses_is_enough(names):
    assert accept(cosigned(*names), parse_policy(NESTED)) == (CHECKPOINT, AT)


@pytest.mark.parametrize("names", [(), ("x1", "x2"), ("x1", "x2", "x3"), ("x1", "y1", "y2"), ("x1", "x1", "y1")])
def test_fewer_witnesses_than_the_quorum_are_refused_by_name(names):
    with pytest.raises(QuorumError, match=r"quorum both: of its witnesses, .* cosigned"):
        accept(cosigned(*names), parse_policy(NESTED))


def test_a_single_witness_can_be_the_quorum():
    policy = parse_policy(f"log {KEY}\nwitness x1 {W1}\nquorum x1\n")
    assert accept(cosigned("x1"), policy) == (CHECKPOINT, AT)
    with pytest.raises(QuorumError, match="nobody cosigned"):
        accept(SIGNED, policy)


def test_comments_blanks_tabs_and_addresses_are_read():
    policy = parse_policy(
        f"  # é\n\t\n\tlog \t {KEY}  https://log.example/ \n witness w {W1} https://w.example\nquorum\tw\n"
    )
    assert policy.logs == (Log(SIGNER.verifier, "https://log.example/"),)
    assert policy.witnesses == (Witness("w", VerifierKey.parse(W1), "https://w.example"),)
    assert parse_policy(policy_text(policy)) == policy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not end with a line break"),
        ("\n", "no quorum line"),
        (f"log {KEY}\n", "no quorum line"),
        (f"log {KEY}\nquorum none", "does not end with a line break"),
        (f"log {KEY}\r\nquorum none\r\n", r"it holds \\x0d"),
        (f"log {KEY}\nquorum none\x00\n", r"it holds \\x00"),
        (f"log {KEY}\nquorum none\x7f\n", r"it holds the control character \\x7f"),
        (f"log {KEY}\nquorum \ud800\n", r"it holds \\ud800"),
        (f"log {KEY}\nquorum none\nquorum none\n", "or a second quorum"),
        ("quorum\n", "no line of it"),
        ("quorum a b\n", "no line of it"),
        ("quorum x\n", "not defined before"),
        (f"quorum x\nwitness x {W1}\n", "not defined before"),
        ("log\nquorum none\n", "no line of it"),
        (f"log {KEY} a b\nquorum none\n", "no line of it"),
        (f"LOG {KEY}\nquorum none\n", "no line of it"),
        (f"log\xa0{KEY}\nquorum none\n", "no line of it"),
        ("log not-a-key\nquorum none\n", "this is no verifier key"),
        (f"log {KEY}\nlog {KEY}\nquorum none\n", "in it twice"),
        (f"log {KEY}\nlog {VerifierKey('b', ED25519, SIGNER.verifier.public_key).text}\nquorum none\n", "in it twice"),
        (f"witness a {W1}\nwitness b {W1}\nquorum none\n", "in it twice"),
        (f"witness a {W1}\nwitness a {W2}\nquorum none\n", "'a' is a name already"),
        (f"witness none {W1}\nquorum none\n", "'none' is a name already"),
        (f"witness a {W1}\ngroup a any a\nquorum a\n", "'a' is a name already"),
        (f"witness a {W1}\ngroup g any a b\nquorum g\n", "not defined before"),
        (f"witness a {W1}\ngroup g any none\nquorum g\n", "not defined before"),
        ("group g any g\nquorum g\n", "not defined before"),
        (f"witness a {W1}\ngroup g any a a\nquorum g\n", "in a group already"),
        (f"witness a {W1}\ngroup g any a\ngroup h any a\nquorum g\n", "in a group already"),
        (f"witness a {W1}\ngroup g any\nquorum g\n", "no line of it"),
        (f"witness a {W1}\ngroup g most a\nquorum g\n", "is no number"),
        (f"witness a {W1}\ngroup g 01 a\nquorum g\n", "is no number"),
        (f"witness a {W1}\ngroup g -1 a\nquorum g\n", "is no number"),
        (f"witness a {W1}\ngroup g {'9' * 5000} a\nquorum g\n", "is no number"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(text, problem):
    with pytest.raises(MalformedError, match=problem):
        parse_policy(text)


MLDSA = VerifierKey("m.example", 6, bytes(1312)).text


@pytest.mark.parametrize(
    "text",
    [
        f"witness a {W1}\ngroup g 2 a\nquorum g\n",
        f"witness a {W1}\ngroup g 0 a\nquorum g\n",
        f"witness a {MLDSA}\nquorum a\n",
        f"witness a {W1}\nwitness m {MLDSA}\ngroup g all a m\nquorum g\n",
        f"witness a {KEY}\nquorum a\n",
    ],
)
def test_a_quorum_that_can_never_be_met_is_refused_by_name(text):
    with pytest.raises(QuorumError, match=r"can never cosign|would not be enough"):
        parse_policy(text)


def test_a_witness_of_a_kind_that_cannot_be_verified_does_no_harm_where_others_are_enough():
    policy = parse_policy(f"log {KEY}\nwitness a {W1}\nwitness m {MLDSA}\ngroup g any a m\nquorum g\n")
    assert accept(cosigned("x1"), policy) == (CHECKPOINT, AT)


def test_a_cosignature_does_not_make_a_checkpoint_without_its_log():
    note = parse_note(cosigned("x1"))
    policy = parse_policy(f"log {KEY}\nwitness a {W1}\nquorum a\n")
    with pytest.raises(UnknownKeyError):
        accept(note._replace(signatures=note.signatures[2:]).encoded, policy)


@pytest.mark.parametrize(
    "policy",
    [
        POLICY._replace(logs=(Log(SIGNER.verifier, "a b"),)),
        POLICY._replace(logs=(Log(SIGNER.verifier, ""),)),
        POLICY._replace(logs=(Log(SIGNER.verifier, "x\nquorum none"),)),
        POLICY._replace(quorum="other"),
    ],
)
def test_a_policy_that_would_not_read_back_is_not_written(policy):
    with pytest.raises((BadInputError, MalformedError)):
        policy_text(policy)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    st.none() | st.binary(max_size=20),
)
def test_any_proof_is_read_as_it_was_written(index, hashes, extra):
    proof = Proof(index=index, hashes=hashes, checkpoint=SIGNED, extra=extra)
    assert parse_proof(proof.text) == proof


@given(st.text(max_size=60), st.text("index 0123\nA=\t", max_size=40))
def test_any_text_is_a_proof_or_a_policy_or_is_refused_by_name(text, lines):
    for attempt in (text, f"c2sp.org/tlog-proof@v1\n{lines}\n{SIGNED}", f"quorum none\n{text}\n"):
        with suppress(MalformedError, QuorumError):
            assert parse_proof(attempt).text == attempt
        with suppress(MalformedError, QuorumError):
            assert parse_policy(policy_text(parse_policy(attempt))) == parse_policy(attempt)
