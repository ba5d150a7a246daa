"""Signed notes: the examples of C2SP and of Go's sumdb, every flipped byte, keys nobody knows, and hostile texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofgap.errors import BadInputError, MalformedError, SignatureError, UnknownKeyError
from proofgap.notes import (
    COSIGNATURE,
    ED25519,
    Note,
    Signature,
    SignerKey,
    Verified,
    VerifierKey,
    cosignature,
    key_id,
    parse_note,
    sign,
    signature,
    verify_note,
)

# The example of C2SP signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# The keys and signatures of the tests of Go's sumdb/note.
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
PETER, ENOCH = VerifierKey.parse(PETER_KEY), VerifierKey.parse(ENOCH_KEY)
SIGNER = SignerKey.from_seed("log.example/one", bytes(range(32)))
OTHER = SignerKey.from_seed("log.example/two", bytes(32))
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=60).map("{}\n".format)
SEEDS = st.binary(min_size=32, max_size=32)


def refusal(note, keys):
    """Read and verify a note; give the named error, or ``None``."""
    try:
        verify_note(parse_note(note), keys)
    except (MalformedError, SignatureError, UnknownKeyError) as error:
        return error
    return None


def test_the_example_of_the_specification_is_verified_by_its_key():
    key, note = VerifierKey.parse(EXAMPLE_KEY), parse_note(EXAMPLE_NOTE)
    assert [Verified(key, None)] == verify_note(note, [key])
    assert note.text == "This is an example message.\n"
    assert note.encoded == EXAMPLE_NOTE
    assert key.text == EXAMPLE_KEY


def test_the_first_example_of_the_specification_has_the_key_id_it_shows():
    line = "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n"
    note = parse_note(f"{poem}\n{line}")
    assert note.text == poem
    assert note.signatures[0].label == "quasimodo.example/salvatore+367ba04b"


def test_a_private_key_of_go_signs_as_go_does():
    signer = SignerKey.parse(PETER_PRIVATE)
    assert sign(TEXT, signer) == f"{TEXT}\n{PETER_LINE}"
    assert signer.text == PETER_PRIVATE
    assert signer.verifier == PETER
    assert signer.verifier.text == PETER_KEY


def test_every_known_key_is_reported_in_the_order_of_the_lines():
    note = parse_note(f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}")
    assert [Verified(PETER, None), Verified(ENOCH, None)] == verify_note(note, [ENOCH, PETER])


def test_a_line_by_an_unknown_key_is_ignored_and_kept():
    text = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}"
    note = parse_note(text)
    assert [Verified(PETER, None)] == verify_note(note, [PETER])
    assert note.encoded == text
    assert [line.label for line in note.signatures] == ["PeterNeumann+c74f20a3", "EnochRoot+af0cfe78"]


def test_a_note_by_nobody_known_is_not_called_tampered_with():
    with pytest.raises(UnknownKeyError, match="signed by EnochRoot\\+af0cfe78, known are PeterNeumann") as caught:
        verify_note(parse_note(f"{TEXT}\n{ENOCH_LINE}"), [PETER])
    assert caught.value.found == ("EnochRoot+af0cfe78",)
    with pytest.raises(UnknownKeyError, match="known are none"):
        verify_note(parse_note(f"{TEXT}\n{ENOCH_LINE}"), [])


def test_a_bad_line_of_a_known_key_refuses_the_note_though_another_is_good():
    bad = PETER_LINE[:60] + "ABCD" + PETER_LINE[60:]
    for lines in (PETER_LINE + bad, bad + PETER_LINE, bad + ENOCH_LINE, ENOCH_LINE + bad):
        with pytest.raises(SignatureError, match="signature of PeterNeumann\\+c74f20a3 does not belong"):
            verify_note(parse_note(f"{TEXT}\n{lines}"), [PETER, ENOCH])


def test_a_known_name_with_another_id_is_another_key():
    stranger = SignerKey.from_seed("PeterNeumann", bytes(32))
    with pytest.raises(UnknownKeyError):
        verify_note(parse_note(sign(TEXT, stranger)), [PETER])


def test_every_flipped_bit_of_a_note_is_refused():
    raw = sign("Entry 1\n\nrätsel\n", SIGNER).encode()
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            note = changed.decode(errors="surrogateescape")
            assert refusal(note, [SIGNER.verifier]) is not None, (place, bit)


def test_every_cut_and_every_doubled_character_of_a_note_is_refused():
    note = sign("Entry 1\n", SIGNER)
    for place in range(len(note)):
        assert refusal(note[:place], [SIGNER.verifier]) is not None
        assert refusal(note[:place] + note[place + 1 :], [SIGNER.verifier]) is not None
        assert refusal(note[: place + 1] + note[place:], [SIGNER.verifier]) is not None


@pytest.mark.parametrize(
    ("note", "problem"),
    [
        ("", "does not end with a line break"),
        ("\n", "not signed"),
        (TEXT, "not signed"),
        (f"{TEXT}\n", "not signed"),
        (f"{TEXT}{PETER_LINE}", "not signed"),
        (f"\n{PETER_LINE}", "not signed"),
        (f"{TEXT}\n{PETER_LINE}"[:-1], "does not end with a line break"),
        (f"\x01{TEXT}\n{PETER_LINE}", r"it holds \\x01 at character 0"),
        (f"\udcff{TEXT}\n{PETER_LINE}", r"it holds \\udcff"),
        (f"{TEXT}\n{PETER_LINE}".replace("\n", "\r\n"), r"it holds \\x0d"),
        (f"{TEXT}\n{PETER_LINE}".replace("is", "i\ts"), r"it holds \\x09"),
        (f"{TEXT}\n{PETER_LINE}Unexpected line.\n", "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("—", "-"), "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("PeterNeumann", "Peter Neumann"), "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("PeterNeumann", "Peter+Neumann"), "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("PeterNeumann", "Peter\xa0Neumann"), "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("PeterNeumann", ""), "is no signature line"),
        (f"{TEXT}\n{PETER_LINE}".replace("AM=", "AM"), "not in standard form"),
        (f"{TEXT}\n{PETER_LINE}".replace("AM=", "AN="), "not in standard form"),
        (f"{TEXT}\n{PETER_LINE}".replace("/ZJ", "_ZJ"), "not in standard form"),
        (f"{TEXT}\n— PeterNeumann x08gow==\n", "too short"),
        (f"{TEXT}\n— PeterNeumann \n", "too short"),
        (f"{TEXT}\n{PETER_LINE * 101}", "more than 100 signatures"),
    ],
)
def test_what_is_no_note_is_refused_by_name(note, problem):
    with pytest.raises(MalformedError, match=problem):
        parse_note(note)


def test_a_note_may_bear_a_hundred_signatures():
    assert len(verify_note(parse_note(f"{TEXT}\n{PETER_LINE * 100}"), [PETER])) == 100


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "joined by plus signs"),
        ("PeterNeumann", "joined by plus signs"),
        ("PeterNeumann+c74f20a3", "joined by plus signs"),
        (PETER_KEY.replace("PeterNeumann", ""), "its name is empty"),
        (PETER_KEY.replace("PeterNeumann", "Peter Neumann"), "its name holds a space"),
        (PETER_KEY.replace("PeterNeumann", "Peter\ud800"), "its name holds a space, a plus sign or a control"),
        (PETER_KEY.replace("PeterNeumann", "PeterNewmann"), "the id is not that"),
        (PETER_KEY.replace("c74f20a3", "c74f20a4"), "the id is not that"),
        (PETER_KEY.replace("c74f20a3", "C74F20A3"), "the id is not that"),
        (PETER_KEY + "\n", "not in standard form"),
        (PETER_KEY + "=", "not in standard form"),
        ("PeterNeumann+c74f20a3+", "the key is empty"),
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", "Base64|bytes"),
        (VerifierKey("short", ED25519, bytes(31)).text, "has 32 bytes, and not 31"),
        (VerifierKey("long", COSIGNATURE, bytes(33)).text, "has 32 bytes, and not 33"),
    ],
)
def test_what_is_no_verifier_key_is_refused_by_name(text, problem):
    with pytest.raises(MalformedError, match=problem):
        VerifierKey.parse(text)


def test_a_key_of_a_kind_that_cannot_be_verified_is_read_and_verifies_nothing():
    """ML-DSA-44 has type 6, and keys of 1312 bytes."""
    key = VerifierKey("w.example", 6, bytes(1312))
    assert VerifierKey.parse(key.text) == key
    note = Note("text\n", (Signature(key.name, key.id, bytes(2428)), signature("text\n", SIGNER)))
    assert [Verified(SIGNER.verifier, None)] == verify_note(note, [key, SIGNER.verifier])
    with pytest.raises(UnknownKeyError):
        verify_note(note, [key])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not begin with"),
        (PETER_KEY, "does not begin with"),
        (" " + PETER_PRIVATE, "does not begin with"),
        ("PRIVATE+KEY+", "joined by plus signs"),
        (PETER_PRIVATE + "\n", "not in standard form"),
        (PETER_PRIVATE.replace("c74f20a3", "c74f20a4"), "the id is not that"),
        (PETER_PRIVATE.replace("PeterNeumann", "PeterNewmann"), "the id is not that"),
        (PETER_PRIVATE.replace("+AY", "+BI"), "not for Ed25519"),
        (PETER_PRIVATE[:-4], "not for Ed25519"),
    ],
)
def test_what_is_no_private_key_is_refused_and_not_shown(text, problem):
    with pytest.raises(MalformedError, match=problem) as caught:
        SignerKey.parse(text)
    assert "EKFALVFGyNhPJEMz" not in str(caught.value)


def test_a_private_key_is_not_shown_by_its_repr():
    assert repr(SIGNER) == f"{SIGNER}" == "SignerKey('log.example/one')"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "\ud800", "a\x7f\x00"])
def test_a_name_that_cannot_stand_in_a_note_makes_no_key(name):
    with pytest.raises(BadInputError, match="name: "):
        SignerKey.from_seed(name, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_makes_no_key(length):
    with pytest.raises(BadInputError, match=f"seed: has {length} bytes"):
        SignerKey.from_seed("log.example", bytes(length))


@pytest.mark.parametrize("text", ["", "abc", "a\r\n", "a\tb\n", "\ud800\n", "a\x00\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text):
    for attempt in (sign, signature, lambda *given: cosignature(*given, 1)):
        with pytest.raises(MalformedError, match="this is no note"):
            attempt(text, SIGNER)


def test_the_id_of_a_key_is_made_as_the_specification_says():
    assert key_id("example.com/foo", 1, VerifierKey.parse(EXAMPLE_KEY).public_key).hex() == "530d903a"
    assert SIGNER.verifier.id != SIGNER.verifier.cosigner.id


def test_a_cosignature_signs_the_message_of_the_specification():
    body = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    line = cosignature(body, SIGNER, 1679315147)
    message = b"cosignature/v1\ntime 1679315147\n" + body.encode()
    assert line.value == (1679315147).to_bytes(8, "big") + SIGNER.signed(message)
    assert line.key_id == SIGNER.verifier.cosigner.id


def test_a_cosignature_is_verified_with_its_time():
    note = parse_note(Note("text\n", (cosignature("text\n", SIGNER, 1679315147),)).encoded)
    assert [Verified(SIGNER.verifier.cosigner, 1679315147)] == verify_note(note, [SIGNER.verifier.cosigner])
    with pytest.raises(UnknownKeyError):
        verify_note(note, [SIGNER.verifier])


def test_every_flipped_bit_and_every_cut_of_a_cosignature_is_refused():
    key, line = SIGNER.verifier.cosigner, cosignature("text\n", SIGNER, 1679315147)
    for bit in range(8 * len(line.value)):
        value = bytearray(line.value)
        value[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError):
            verify_note(Note("text\n", (line._replace(value=bytes(value)),)), [key])
    for length in range(1, len(line.value)):
        with pytest.raises(SignatureError):
            verify_note(Note("text\n", (line._replace(value=line.value[:length]),)), [key])


@pytest.mark.parametrize("at_seconds", [-1, 2**63, 10**400])
def test_a_time_that_does_not_fit_is_not_signed(at_seconds):
    with pytest.raises(BadInputError, match="at_seconds"):
        cosignature("text\n", SIGNER, at_seconds)


def test_two_keys_that_share_name_and_id_are_both_tried():
    twin = VerifierKey(SIGNER.name, ED25519, OTHER.verifier.public_key)
    note = Note("text\n", (signature("text\n", SIGNER),))
    assert [Verified(SIGNER.verifier, None)] == verify_note(note, [twin, SIGNER.verifier])


@given(TEXTS, st.lists(st.tuples(NAMES, SEEDS), min_size=1, max_size=3))
@settings(max_examples=100)
def test_any_note_that_is_signed_is_read_and_verified(text, drawn):
    signers = [SignerKey.from_seed(name, seed) for name, seed in drawn]
    note = parse_note(sign(text, *signers))
    assert note.text == text
    assert [Verified(signer.verifier, None) for signer in signers] == verify_note(
        note, [signer.verifier for signer in signers]
    )


@given(NAMES, SEEDS)
def test_any_key_is_read_as_it_was_written(name, seed):
    signer = SignerKey.from_seed(name, seed)
    assert SignerKey.parse(signer.text) == signer
    for key in (signer.verifier, signer.verifier.cosigner):
        assert VerifierKey.parse(key.text) == key


@given(st.text(max_size=80) | st.text("— \nabcA=+/", max_size=80))
def test_any_text_is_a_note_or_is_refused_by_name(text):
    refusal(text, [SIGNER.verifier])
    for parse in (VerifierKey.parse, SignerKey.parse):
        with pytest.raises(MalformedError):
            parse(text)
