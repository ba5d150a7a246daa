"""Checkpoints: the examples of C2SP, one way to write them, and what a signed one says after every change to it."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofgap.checkpoints import Checkpoint, Opened, open_checkpoint, parse_checkpoint, sign_checkpoint
from proofgap.errors import BadInputError, MalformedError, SignatureError, UnknownKeyError
from proofgap.merkle import EMPTY_ROOT
from proofgap.notes import Note, SignerKey, VerifierKey, cosignature, parse_note, sign, signature

# The example of C2SP tlog-checkpoint, with the witness of tlog-cosignature.
EXAMPLE_BODY = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
EXAMPLE = f"""{EXAMPLE_BODY}
— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""
ORIGIN = "log.example/one"
SIGNER = SignerKey.from_seed(ORIGIN, bytes(range(32)))
KEYS = [SIGNER.verifier]
WITNESS = SignerKey.from_seed("witness.example", bytes(32))
CHECKPOINT = Checkpoint(ORIGIN, 5, bytes(range(32)))
AT = 1_790_000_000
SIGNED = sign_checkpoint(CHECKPOINT, SIGNER, AT)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
CHECKPOINTS = st.builds(
    Checkpoint,
    LINES,
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(LINES, max_size=3).map(tuple),
)


def opened(note):
    """Open a checkpoint; give ``None`` where it is refused by name."""
    try:
        return open_checkpoint(note, KEYS)
    except (MalformedError, SignatureError, UnknownKeyError):
        return None


def test_the_example_of_the_specification_is_read_and_written_alike():
    note = parse_note(EXAMPLE)
    checkpoint = parse_checkpoint(note.text)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.root == base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    assert checkpoint.body == note.text == EXAMPLE_BODY
    assert note.encoded == EXAMPLE
    assert int.from_bytes(note.signatures[1].value[:8], "big") == 1679315147


def test_a_signed_checkpoint_opens_with_its_time():
    assert open_checkpoint(SIGNED, KEYS) == (CHECKPOINT, AT)
    assert [line.label for line in parse_note(SIGNED).signatures] == [
        SIGNER.verifier.label,
        SIGNER.verifier.cosigner.label,
    ]


def test_the_empty_log_has_a_checkpoint():
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert open_checkpoint(sign_checkpoint(empty, SIGNER, 0), KEYS) == Opened(empty, 0)


def test_a_change_of_any_bit_is_refused_or_costs_the_time_and_changes_nothing_else():
    """The name and the key id of the second line are not signed: changed, they make it a line by somebody unknown."""
    raw, lost = SIGNED.encode(), 0
    second_line = SIGNED.encode().rindex("— ".encode())
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            found = opened(changed.decode(errors="surrogateescape"))
            assert found is None or (found == Opened(CHECKPOINT, None) and place > second_line)
            lost += found is not None
    assert 0 < lost < 8 * (len(ORIGIN) + 8)


def test_a_checkpoint_without_its_second_line_is_genuine_and_has_no_time():
    assert open_checkpoint(sign(CHECKPOINT.body, SIGNER), KEYS) == (CHECKPOINT, None)


def test_a_checkpoint_with_only_the_time_line_is_not_the_logs():
    note = Note(CHECKPOINT.body, (cosignature(CHECKPOINT.body, SIGNER, AT),)).encoded
    with pytest.raises(UnknownKeyError, match=r"signed by log\.example/one"):
        open_checkpoint(note, KEYS)


def test_a_time_line_of_another_checkpoint_is_refused():
    other = Checkpoint(ORIGIN, 6, bytes(32)).body
    note = Note(CHECKPOINT.body, (signature(CHECKPOINT.body, SIGNER), cosignature(other, SIGNER, AT))).encoded
    with pytest.raises(SignatureError):
        open_checkpoint(note, KEYS)


def test_the_latest_time_that_the_log_signed_counts():
    times = [cosignature(CHECKPOINT.body, SIGNER, at) for at in (AT, AT + 5, AT - 5)]
    note = Note(CHECKPOINT.body, (signature(CHECKPOINT.body, SIGNER), *times)).encoded
    assert open_checkpoint(note, KEYS) == (CHECKPOINT, AT + 5)


def test_the_time_of_a_witness_is_not_the_logs():
    lines = (signature(CHECKPOINT.body, SIGNER), cosignature(CHECKPOINT.body, WITNESS, AT))
    note = Note(CHECKPOINT.body, lines).encoded
    assert open_checkpoint(note, [*KEYS, WITNESS.verifier.cosigner]) == (CHECKPOINT, None)


def test_a_witness_line_is_verified_once_its_key_is_known():
    wrong = cosignature(CHECKPOINT.body, WITNESS, AT)._replace(value=bytes(72))
    note = parse_note(SIGNED)
    with_witness = note._replace(signatures=(*note.signatures, wrong)).encoded
    assert open_checkpoint(with_witness, KEYS) == (CHECKPOINT, AT)
    with pytest.raises(SignatureError, match=r"witness\.example"):
        open_checkpoint(with_witness, [*KEYS, WITNESS.verifier.cosigner])


def test_the_key_of_another_log_does_not_vouch_for_this_one():
    note = sign(CHECKPOINT.body, WITNESS)
    with pytest.raises(UnknownKeyError):
        open_checkpoint(note, [*KEYS, WITNESS.verifier])


def test_a_key_signs_only_for_the_log_of_its_name():
    with pytest.raises(BadInputError, match="does not sign for"):
        sign_checkpoint(CHECKPOINT, WITNESS, AT)


@pytest.mark.parametrize(
    "checkpoint",
    [
        CHECKPOINT._replace(size=-1),
        CHECKPOINT._replace(size=2**63),
        CHECKPOINT._replace(root=bytes(31)),
        CHECKPOINT._replace(root=b""),
        CHECKPOINT._replace(extensions=("",)),
        CHECKPOINT._replace(extensions=("a\nb",)),
        CHECKPOINT._replace(extensions=("a\r",)),
    ],
)
def test_a_checkpoint_that_would_not_read_back_is_not_signed(checkpoint):
    with pytest.raises(BadInputError, match="would not read back"):
        sign_checkpoint(checkpoint, SIGNER, AT)


@pytest.mark.parametrize("at_seconds", [-1, 2**63])
def test_a_checkpoint_is_not_signed_with_a_time_that_does_not_fit(at_seconds):
    with pytest.raises(BadInputError, match="at_seconds"):
        sign_checkpoint(CHECKPOINT, SIGNER, at_seconds)


ROOT_LINE = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "does not end with a line break"),
        ("\n\n\n", "none of them empty"),
        ("origin\n1\n", "not 3 or more lines"),
        (f"\n1\n{ROOT_LINE}\n", "none of them empty"),
        (f"origin\n\n{ROOT_LINE}\n", "none of them empty"),
        (f"origin\n1\n{ROOT_LINE}", "does not end with a line break"),
        (f"origin\n1\n{ROOT_LINE}\n\n", "none of them empty"),
        (f"origin\n1\n{ROOT_LINE}\n\next\n", "none of them empty"),
        (f"origin\r\n1\r\n{ROOT_LINE}\r\n", r"it holds \\x0d"),
        (f"origin\ud800\n1\n{ROOT_LINE}\n", r"it holds \\ud800"),
        *(
            (f"origin\n{size}\n{ROOT_LINE}\n", "is no number from 0")
            for size in (
                "01",
                "00",
                "-1",
                "+1",
                "1 ",
                " 1",
                "1_0",
                "1.0",
                "0x1",
                "\u0661",
                "1e3",
                str(2**63),
                "9" * 5000,
            )
        ),
        *(
            (f"origin\n1\n{root}\n", "Base64|no hash")
            for root in (
                "A",
                ROOT_LINE[:-1],
                ROOT_LINE.replace("2I=", "2J="),
                ROOT_LINE.replace("/", "_"),
                ROOT_LINE + " ",
                ROOT_LINE + "=",
                "CsUYapGG",
                "é",
            )
        ),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(body, problem):
    with pytest.raises(MalformedError, match=problem):
        parse_checkpoint(body)


def test_a_signed_note_that_is_no_checkpoint_is_refused_by_name():
    with pytest.raises(MalformedError, match="this is no checkpoint"):
        open_checkpoint(sign("Hello\n", SIGNER), KEYS)


def test_extension_lines_are_kept():
    checkpoint = CHECKPOINT._replace(extensions=("— looks like a signature", "x"))
    assert open_checkpoint(sign_checkpoint(checkpoint, SIGNER, AT), KEYS) == (checkpoint, AT)


@given(CHECKPOINTS)
def test_any_checkpoint_is_read_as_it_was_written(checkpoint):
    assert parse_checkpoint(checkpoint.body) == checkpoint


@given(st.text(max_size=60) | st.text("0123456789ab=\n", max_size=60))
def test_any_text_is_written_as_it_was_read_or_is_refused_by_name(text):
    with suppress(MalformedError):
        assert parse_checkpoint(text).body == text


def test_a_key_given_as_text_opens_what_its_signer_signed():
    assert open_checkpoint(SIGNED, [VerifierKey.parse(SIGNER.verifier.text)]) == (CHECKPOINT, AT)
