"""Envelopes and statements: the example of DSSE, the form of in-toto, and what is refused before it is read."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from proofgap.dsse import (
    PAYLOAD_TYPE,
    STATEMENT_TYPE,
    parse_statement,
    pre_authentication,
    seal,
    statement,
    unseal,
)
from proofgap.errors import BadInputError, MalformedError, SignatureError, UnknownKeyError
from proofgap.notes import SignerKey

SIGNER = SignerKey.from_seed("log.example/one", bytes(range(32)))
OTHER = SignerKey.from_seed("log.example/two", bytes(32))
KEYS = [SIGNER.verifier]
SHA = sha256(b"events").hexdigest()
PREDICATE_TYPE = "https://proofgap.example/bundle/v1"
STATEMENT = statement({"events.jsonl": SHA}, PREDICATE_TYPE, {"entries": 3, "by": "Zoë"})
SEALED = seal(PAYLOAD_TYPE, STATEMENT, SIGNER)
DOCUMENT = json.loads(SEALED)
STATED = json.loads(STATEMENT)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1, max_size=3), inner),
    max_leaves=3,
)


def sealed(**changes):
    return json.dumps({**DOCUMENT, **changes}).encode()


def test_the_example_of_the_specification_gives_the_bytes_that_are_signed():
    signed = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_length_of_the_kind_is_counted_in_bytes():
    assert pre_authentication("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_an_envelope_gives_the_bytes_that_were_signed():
    assert unseal(SEALED, PAYLOAD_TYPE, KEYS) == STATEMENT
    assert DOCUMENT == {
        "payload": base64.b64encode(STATEMENT).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [
            {
                "keyid": SIGNER.verifier.text,
                "sig": base64.b64encode(SIGNER.signed(pre_authentication(PAYLOAD_TYPE, STATEMENT))).decode(),
            }
        ],
    }
    assert SEALED == rfc8785.dumps(DOCUMENT)


def test_a_statement_has_the_form_of_in_toto():
    assert STATED == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "events.jsonl", "digest": {"sha256": SHA}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"entries": 3, "by": "Zoë"},
    }
    assert STATEMENT == rfc8785.dumps(STATED)
    read = parse_statement(STATEMENT)
    assert (read.type, read.predicate_type, read.predicate) == (STATEMENT_TYPE, PREDICATE_TYPE, STATED["predicate"])
    assert [(subject.name, subject.digest.sha256) for subject in read.subject] == [("events.jsonl", SHA)]


def test_one_right_signature_of_several_is_enough():
    both = seal(PAYLOAD_TYPE, STATEMENT, OTHER, SIGNER)
    assert unseal(both, PAYLOAD_TYPE, KEYS) == STATEMENT
    assert unseal(both, PAYLOAD_TYPE, [OTHER.verifier]) == STATEMENT


def test_the_hint_at_the_key_decides_nothing():
    signature = DOCUMENT["signatures"][0]["sig"]
    for hint in ({}, {"keyid": ""}, {"keyid": OTHER.verifier.text}, {"keyid": "\ud800"}):
        assert unseal(sealed(signatures=[{"sig": signature, **hint}]), PAYLOAD_TYPE, KEYS) == STATEMENT
    with pytest.raises(UnknownKeyError):
        unseal(sealed(signatures=[{"sig": signature, "keyid": "x"}]), PAYLOAD_TYPE, [OTHER.verifier])


def test_an_envelope_of_a_stranger_cannot_be_verified():
    with pytest.raises(UnknownKeyError, match=r"this envelope cannot be verified: signed by log\.example/one"):
        unseal(SEALED, PAYLOAD_TYPE, [OTHER.verifier])
    with pytest.raises(UnknownKeyError, match="known are none"):
        unseal(SEALED, PAYLOAD_TYPE, [])
    with pytest.raises(UnknownKeyError, match="signed by nobody"):
        unseal(sealed(signatures=[]), PAYLOAD_TYPE, KEYS)
    with pytest.raises(UnknownKeyError, match="signed by a key without a name"):
        unseal(sealed(signatures=[{"sig": ""}]), PAYLOAD_TYPE, KEYS)


def test_a_changed_payload_is_refused_by_name():
    for changed in (STATEMENT.replace(b"3", b"4"), STATEMENT + b" ", b""):
        with pytest.raises(SignatureError, match=r"signature of log\.example/one"):
            unseal(sealed(payload=base64.b64encode(changed).decode()), PAYLOAD_TYPE, KEYS)


def test_a_payload_of_another_kind_is_refused_before_it_is_read():
    with pytest.raises(MalformedError, match="it holds 'text/plain', and not application"):
        unseal(seal("text/plain", STATEMENT, SIGNER), PAYLOAD_TYPE, KEYS)
    with pytest.raises(SignatureError):
        unseal(sealed(payloadType="text/plain"), "text/plain", KEYS)


def test_a_change_of_any_bit_is_refused_or_leaves_the_payload_as_it_was():
    """What is not signed is the hint at the key, and its name."""
    raw, hint = SEALED, SEALED.index(b'"keyid"')
    for place in range(len(raw)):
        for bit in range(0, 8, 3):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            with suppress(MalformedError, SignatureError, UnknownKeyError):
                assert unseal(bytes(changed), PAYLOAD_TYPE, KEYS) == STATEMENT
                assert hint < place < raw.index(b'"sig"')


def test_the_url_safe_alphabet_is_taken_too():
    payload = b"\xfb\xff\xfe" * 5
    document = json.loads(seal("a/b", payload, SIGNER))
    document["payload"] = document["payload"].replace("+", "-").replace("/", "_")
    assert "-" in document["payload"]
    assert unseal(json.dumps(document).encode(), "a/b", KEYS) == payload


def test_fields_that_are_not_known_are_ignored():
    assert unseal(sealed(later={"version": [1, None, 2.5]}), PAYLOAD_TYPE, KEYS) == STATEMENT


@pytest.mark.parametrize(
    ("envelope", "problem"),
    [
        (b"", "Expecting value"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"{}", "missing required field `payload`"),
        (SEALED[:-1], "delimiter|Expecting"),
        (SEALED + b"x", "Extra data"),
        (b"\xff" + SEALED, "can't decode"),
        (b"\xef\xbb\xbf" + SEALED, "BOM"),
        (SEALED.decode().encode("utf-16"), "can't decode"),
        (SEALED[:-1] + b',"payload":""}', "a key is in it twice"),
        (SEALED[:-1] + b',"a":{"b":1,"b":1}}', "a key is in it twice"),
        (SEALED[:-1] + b',"a":NaN}', "NaN is no number"),
        (SEALED[:-1] + b',"a":' + b"9" * 5000 + b"}", "integer"),
        (SEALED[:-1] + b',"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", "recursion"),
        (sealed(payload=1), "Expected `str`"),
        (sealed(payload=None), "Expected `str`"),
        (sealed(payload="\ud800"), "Base64"),
        (sealed(payload="A"), "Base64"),
        (sealed(payload="QQ"), "Base64"),
        (sealed(payload="QR=="), "Base64"),
        (sealed(payload="QQ==\n"), "Base64"),
        (sealed(payloadType=["a"]), "Expected `str`"),
        (sealed(payloadType="\ud800"), r"holds '\\ud800'"),
        (sealed(signatures={}), "Expected `array`"),
        (sealed(signatures=[{}]), "missing required field `sig`"),
        (sealed(signatures=[{"sig": "?"}]), "Base64"),
        (sealed(signatures=[{"sig": "", "keyid": None}]), "Expected `str`"),
    ],
)
def test_what_is_no_envelope_is_refused_by_name(envelope, problem):
    with pytest.raises(MalformedError, match=f"this is no envelope: .*({problem})"):
        unseal(envelope, PAYLOAD_TYPE, KEYS)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "truncated|malformed"),
        (b"{}", "missing required field"),
        (b"\xff", "malformed|invalid"),
        (STATEMENT + b"\n", "canonical form"),
        (STATEMENT.replace(b'"predicate":', b'"predicate": '), "canonical form"),
        (STATEMENT.replace(b'"entries":3', b'"entries":3,"entries":3'), "a key is in it twice"),
        (STATEMENT.replace(b'"_type":', b'"_type":"x","_type":'), "_type|twice|enum"),
        (STATEMENT.replace(b"/v1", b"/v2", 1), "enum|Statement"),
        (STATEMENT.replace(b'"predicate":', b'"later":1,"predicate":'), "unknown field"),
        (STATEMENT.replace(SHA.encode(), SHA.upper().encode()), "regex|matching"),
        (STATEMENT.replace(SHA.encode(), SHA.encode() + b"\\n"), "regex|matching"),
        (STATEMENT.replace(b"Zo", b"\\ud800"), "surrogate|malformed|invalid"),
        (STATEMENT.replace(b":3", b":" + b"[" * 10**5 + b"]" * 10**5), "recursion"),
        (rfc8785.dumps({**STATED, "subject": []}), "length"),
    ],
)
def test_what_is_no_statement_is_refused_by_name(payload, problem):
    with pytest.raises(MalformedError, match=f"this is no statement: .*({problem})"):
        parse_statement(payload)


@pytest.mark.parametrize(
    ("subjects", "predicate"),
    [
        ({}, {}),
        ({"a": "00"}, {}),
        ({"a": SHA.upper()}, {}),
        ({"a": SHA + "\n"}, {}),
        ({"\ud800": SHA}, {}),
        ({"a": SHA}, {"b": "\ud800"}),
    ],
)
def test_a_statement_that_would_not_read_back_is_not_written(subjects, predicate):
    with pytest.raises(BadInputError):
        statement(subjects, PREDICATE_TYPE, predicate)


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=3), VALUES, max_size=4), st.binary(max_size=8))
@settings(max_examples=100)
def test_any_statement_is_read_as_it_was_written(predicate, content):
    payload = statement({"file": sha256(content).hexdigest()}, PREDICATE_TYPE, predicate)
    assert parse_statement(unseal(seal(PAYLOAD_TYPE, payload, SIGNER), PAYLOAD_TYPE, KEYS)).predicate == predicate


@given(st.binary(max_size=60) | st.text('{}[]":,payloadTsigntur0.5e', max_size=60).map(str.encode))
def test_any_bytes_are_refused_by_name(raw):
    with pytest.raises(MalformedError):
        unseal(raw, PAYLOAD_TYPE, KEYS)
    with pytest.raises(MalformedError):
        parse_statement(raw)
