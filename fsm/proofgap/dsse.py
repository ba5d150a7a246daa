"""Statements about files, in a signed envelope: the form in which a bundle says what it holds.

Owns the envelope (DSSE) and the statement (in-toto). Refuses to know what is stated: the predicate is its writer's.

The bytes that were verified are the bytes that are handed on; the envelope is never read a second time. A statement
is in canonical form v1 (`audit`), so that there is one way to write it, and a key that is there twice is found.

Source of the rules: DSSE 1.0.2, protocol and envelope; in-toto Attestation Framework, Statement v1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NoReturn

import msgspec

from proofgap.audit import canonical
from proofgap.errors import BadInputError, MalformedError, SignatureError, UnknownKeyError
from proofgap.facts import Struct
from proofgap.notes import SignerKey, VerifierKey, decoded
from proofgap.text import shown

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""What an envelope calls a statement."""

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
"""What a statement calls itself."""

_URL_SAFE = str.maketrans("-_", "+/")


class _Signature(msgspec.Struct, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    """Fields that are not known are ignored: the specification asks for it."""

    payload: str
    payloadType: str  # noqa: N815 - the name of the field
    signatures: list[_Signature]


class Digest(Struct):
    """The SHA-256 of a file, in lower-case hex."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Subject(Struct):
    """A file that a statement is about."""

    name: str
    digest: Digest


class Statement(Struct):
    """Something that is stated about files: the predicate, and the address that says how to read it."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[Subject, ...], msgspec.Meta(min_length=1)]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: dict[str, Any]


def statement(subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """Write a statement about files, each by its name and its SHA-256 in hex; the predicate is canonical form v1.

    Raises:
        BadInputError: it is about no file, or a digest or the predicate cannot be written.

    """
    about = tuple(Subject(name=name, digest=Digest(sha256=sha256)) for name, sha256 in subjects.items())
    stated = Statement(type=STATEMENT_TYPE, subject=about, predicate_type=predicate_type, predicate=dict(predicate))
    payload = canonical(stated)
    try:
        parse_statement(payload)
    except MalformedError as error:
        raise BadInputError("statement", error.problem, "Name files with their SHA-256 in lower-case hex.") from error
    return payload


def parse_statement(payload: bytes) -> Statement:
    """Read a statement from bytes that were verified.

    Raises:
        MalformedError: it is none, or is not written in canonical form.

    """
    try:
        stated = msgspec.json.decode(payload, type=Statement)
        written = canonical(stated)
    except (BadInputError, ValueError, RecursionError) as error:
        raise MalformedError("statement", shown(str(error))) from error
    if written != payload:
        raise MalformedError("statement", "it is not in canonical form, or a key is in it twice")
    return stated


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Give the bytes that are signed: the kind of payload and the payload, each after its length."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signer: SignerKey, *others: SignerKey) -> bytes:
    """Put a payload into an envelope that each signer signs. The hint at the key is its verifier key."""
    message = pre_authentication(payload_type, payload)
    signatures = [(each.verifier.text, each.signed(message)) for each in (signer, *others)]
    return _envelope(payload_type, payload, signatures)


def is_as_sealed(envelope: bytes, keys: Iterable[VerifierKey]) -> bool:
    """Tell whether an envelope is byte for byte as `seal` writes it, with no signature but those of these keys.

    Others may write it in other ways, and it says the same; who demands the one way finds every change.

    Raises:
        MalformedError: it is no envelope.

    """
    read, known = _parsed(envelope), {key.text: key for key in keys}
    payload = _decoded(read.payload)
    message = pre_authentication(read.payloadType, payload)
    signatures = [(each.keyid, _decoded(each.sig)) for each in read.signatures]
    if not all(hint in known and known[hint].has_signed(message, value) for hint, value in signatures):
        return False
    return _envelope(read.payloadType, payload, signatures) == envelope


def _envelope(payload_type: str, payload: bytes, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    coded = base64.b64encode(payload).decode()
    signed = [{"keyid": hint, "sig": base64.b64encode(value).decode()} for hint, value in signatures]
    return canonical({"payload": coded, "payloadType": payload_type, "signatures": signed})


def unseal(envelope: bytes, payload_type: str, keys: Iterable[VerifierKey]) -> bytes:
    """Give the payload of an envelope that at least one of the keys signed.

    The hint at the key is not signed: it only tells a changed envelope from one that somebody else signed.

    Raises:
        MalformedError: it is no envelope, or one of another kind of payload.
        SignatureError: no signature is right, and one of them says that it is by a key that is known.
        UnknownKeyError: no signature is by a key that is known.

    """
    read, known = _parsed(envelope), list(keys)
    if read.payloadType != payload_type:
        raise MalformedError("envelope", f"it holds '{shown(read.payloadType)}', and not {payload_type}")
    payload = _decoded(read.payload)
    message = pre_authentication(payload_type, payload)
    signatures = [(_decoded(each.sig), each.keyid) for each in read.signatures]
    if not any(key.has_signed(message, value) for key in known for value, _ in signatures):
        _refuse([key.text for key in known], [hint for _, hint in signatures])
    return payload


def _refuse(known: list[str], hints: list[str]) -> NoReturn:
    for hint in hints:
        if hint in known:
            raise SignatureError("envelope", shown(hint))
    raise UnknownKeyError("envelope", map(shown, known), (shown(hint) or "a key without a name" for hint in hints))


def _parsed(envelope: bytes) -> _Envelope:
    try:
        read = json.loads(envelope.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        return msgspec.convert(read, _Envelope)
    except (ValueError, RecursionError) as error:
        raise MalformedError("envelope", shown(str(error))) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object whose keys are there once. Readers differ in which of two they take."""
    if len(found := dict(pairs)) != len(pairs):
        msg = "a key is in it twice"
        raise ValueError(msg)
    return found


def _no_number(text: str) -> NoReturn:
    msg = f"{text} is no number"
    raise ValueError(msg)


def _decoded(text: str) -> bytes:
    """Decode Base64 in either alphabet: a reader must take both."""
    return decoded("envelope", text.translate(_URL_SAFE))
