"""Signed notes: a text, and under it the lines of whoever vouches for it.

Owns keys and their texts, signatures (Ed25519) and cosignatures with a time. Refuses to know what a note says
(`checkpoints`), where keys are kept, and how a seed is drawn.

A line by a key that is not known is kept and ignored: there is room for witnesses, and for the next key. A line that
bears the name and the id of a known key must be right. A private key is never written into an error or a ``repr``.

Source of the rules: C2SP signed-note and tlog-cosignature; the text of a private key is that of Go's sumdb/note.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Self

from proofgap.errors import BadInputError, MalformedError, SignatureError, UnknownKeyError
from proofgap.text import shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = 0x01
"""The kind of a key that signs the text of a note."""

COSIGNATURE = 0x04
"""The kind of a key that signs the text of a note together with the time."""

SECONDS_MAX = 2**63 - 1
"""The last moment that can be signed, in seconds since 1970-01-01 UTC."""

_SIGNATURES_MAX = 100
_KEY_LENGTH = 32
_ID_LENGTH = 4
_TIME_LENGTH = 8
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


class VerifierKey(NamedTuple):
    """Who signs, by name, and what it takes to check it: the kind of signature and the public key."""

    name: str
    algorithm: int
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key from its text: name, id and key, joined by plus signs. Kinds that cannot be verified are read too.

        Raises:
            MalformedError: it is no such text, or the id is not that of this key.

        """
        name, kind, public_key = _parsed_key("verifier key", text)
        key = cls(name, kind, public_key)
        if key.text != text:
            raise MalformedError("verifier key", "the id is not that of this name and key")
        if key.can_verify and len(public_key) != _KEY_LENGTH:
            raise MalformedError("verifier key", f"an Ed25519 key has {_KEY_LENGTH} bytes, and not {len(public_key)}")
        return key

    @property
    def text(self) -> str:
        """The key as it is handed to whoever is to trust it."""
        return f"{self.label}+{_encoded(bytes([self.algorithm]) + self.public_key)}"

    @property
    def label(self) -> str:
        """Name and id, as errors show them."""
        return f"{self.name}+{self.id.hex()}"

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return key_id(self.name, self.algorithm, self.public_key)

    @property
    def cosigner(self) -> VerifierKey:
        """The same key, as it signs with the time."""
        return VerifierKey(self.name, COSIGNATURE, self.public_key)

    @property
    def can_verify(self) -> bool:
        """Whether signatures of this kind can be verified here."""
        return self.algorithm in {ED25519, COSIGNATURE}

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether this is the key's Ed25519 signature of exactly these bytes."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it is slow to load
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - it is slow to load

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SignerKey(NamedTuple):
    """A private key, with the name that it signs under."""

    name: str
    seed: bytes

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Self:
        """Make a key from 32 bytes that nobody can guess.

        Raises:
            BadInputError: the name cannot stand in a note, or the seed has another length.

        """
        if problem := _name_problem(name):
            raise BadInputError("name", f"'{shown(name)}' {problem}", "Hand in a name such as example.com/log.")
        if len(seed) != _KEY_LENGTH:
            raise BadInputError("seed", f"has {len(seed)} bytes", f"Hand in {_KEY_LENGTH} random bytes.")
        return cls(name, seed)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a private key from its text, without a line break at the end.

        Raises:
            MalformedError: it is no such text, or the id is not that of this key.

        """
        prefix, start, rest = text.partition("PRIVATE+KEY+")
        if prefix or not start:
            raise MalformedError("private key", "it does not begin with PRIVATE+KEY+")
        name, algorithm, seed = _parsed_key("private key", rest)
        if algorithm != ED25519 or len(seed) != _KEY_LENGTH:
            raise MalformedError("private key", "it is not for Ed25519")
        key = cls(name, seed)
        if key.text != text:
            raise MalformedError("private key", "the id is not that of this name and key")
        return key

    @property
    def text(self) -> str:
        """The private key in one line, for a file that only its owner may read."""
        return f"PRIVATE+KEY+{self.verifier.label}+{_encoded(bytes([ED25519]) + self.seed)}"

    @property
    def verifier(self) -> VerifierKey:
        """What others need to check what this key signs."""
        return VerifierKey(self.name, ED25519, self._private.public_key().public_bytes_raw())

    def signed(self, message: bytes) -> bytes:
        """Give the Ed25519 signature of these bytes. They must not pass for a message of another kind."""
        return self._private.sign(message)

    @property
    def _private(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - it is slow to load

        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override came with Python 3.12
        """Show whose key it is, and nothing of the key."""
        return f"SignerKey({self.name!r})"


class Signature(NamedTuple):
    """A signature line: the name and the id of the key, and what it made of the text."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def label(self) -> str:
        """Name and id of the key, as errors show them."""
        return f"{self.name}+{self.key_id.hex()}"


class Note(NamedTuple):
    """A text that ends with a line break, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    @property
    def encoded(self) -> str:
        """The note as it is stored and handed on."""
        lines = (f"— {line.name} {_encoded(line.key_id + line.value)}\n" for line in self.signatures)
        return f"{self.text}\n{''.join(lines)}"


class Verified(NamedTuple):
    """A signature that was verified: by which key, and at which time if the key signed one (seconds since 1970 UTC)."""

    key: VerifierKey
    at_seconds: int | None


def key_id(name: str, algorithm: int, public_key: bytes) -> bytes:
    """Give the four bytes by which a signature names its key."""
    return sha256(name.encode(errors="replace") + b"\n" + bytes([algorithm]) + public_key).digest()[:_ID_LENGTH]


def signature(text: str, signer: SignerKey) -> Signature:
    """Sign the text of a note.

    Raises:
        MalformedError: the text does not end with a line break, or holds a character that a note may not hold.

    """
    check_characters("note", text)
    return Signature(signer.name, signer.verifier.id, signer.signed(text.encode()))


def cosignature(text: str, signer: SignerKey, at_seconds: int) -> Signature:
    """Sign the text of a checkpoint with the time: that by then no larger tree of the log was seen.

    Raises:
        BadInputError: the time is before 1970, or too large.
        MalformedError: the text does not end with a line break, or holds a character that a note may not hold.

    """
    check_characters("note", text)
    if not 0 <= at_seconds <= SECONDS_MAX:
        raise BadInputError("at_seconds", f"{at_seconds} cannot be signed", "Hand in seconds since 1970 UTC.")
    value = at_seconds.to_bytes(_TIME_LENGTH, "big") + signer.signed(_timed(text, at_seconds))
    return Signature(signer.name, signer.verifier.cosigner.id, value)


def sign(text: str, signer: SignerKey, *others: SignerKey) -> str:
    """Write a note: the text, and under it one signature of each signer.

    Raises:
        MalformedError: the text does not end with a line break, or holds a character that a note may not hold.

    """
    return Note(text, tuple(signature(text, each) for each in (signer, *others))).encoded


def parse_note(note: str) -> Note:
    """Take a note apart. This says nothing about its signatures: the text is not to be used before `verify_note`.

    Raises:
        MalformedError: it is no note.

    """
    check_characters("note", note)
    text, blank, lines = note.rpartition("\n\n")
    found = lines.split("\n")[:-1]
    if not blank or not found:
        raise MalformedError("note", "it is not signed")
    if len(found) > _SIGNATURES_MAX:
        raise MalformedError("note", f"it has more than {_SIGNATURES_MAX} signatures")
    return Note(text + "\n", tuple(map(_parsed_line, found)))


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> list[Verified]:
    """Verify every signature of a known key, in the order of the lines; lines by other keys are ignored.

    Raises:
        SignatureError: a line bears the name and the id of a known key, and that key did not make it.
        UnknownKeyError: there is no line by a known key.

    """
    known = [key for key in keys if key.can_verify]
    verified: list[Verified] = []
    for line in note.signatures:
        named = [key for key in known if (key.name, key.id) == (line.name, line.key_id)]
        right = [found for key in named if (found := _verified(note.text, line, key))]
        if named and not right:
            raise SignatureError("note", shown(line.label))
        verified += right[:1]
    if not verified:
        signers = (shown(line.label) for line in note.signatures)
        raise UnknownKeyError("note", (shown(key.label) for key in known), signers)
    return verified


def check_characters(document: str, text: str) -> None:
    """Refuse a text that no signed document can hold.

    Raises:
        MalformedError: it holds a control character or a lone surrogate, or does not end with a line break.

    """
    if found := _CONTROL.search(text):
        raise MalformedError(document, f"it holds {shown(found[0])} at character {found.start()}")
    if not text.endswith("\n"):
        raise MalformedError(document, "it does not end with a line break")


def decoded(document: str, text: str) -> bytes:
    """Decode standard Base64 that is written in the one right way.

    Raises:
        MalformedError: it is not.

    """
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        value = b""
    if _encoded(value) != text:
        raise MalformedError(document, "it holds Base64 that is not in standard form")
    return value


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _timed(text: str, at_seconds: int) -> bytes:
    return f"cosignature/v1\ntime {at_seconds}\n{text}".encode()


def _verified(text: str, line: Signature, key: VerifierKey) -> Verified | None:
    if key.algorithm == ED25519:
        return Verified(key, None) if key.has_signed(text.encode(), line.value) else None
    at_seconds = int.from_bytes(line.value[:_TIME_LENGTH], "big")
    right = at_seconds <= SECONDS_MAX and key.has_signed(_timed(text, at_seconds), line.value[_TIME_LENGTH:])
    return Verified(key, at_seconds) if right else None


def _parsed_line(line: str) -> Signature:
    dash, name, coded = (*line.split(" "), "", "")[:3]
    if dash != "—" or line.count(" ") != 2 or _name_problem(name):  # noqa: PLR2004 - dash, name and signature
        raise MalformedError("note", f"'{shown(line)}' is no signature line")
    value = decoded("note", coded)
    if len(value) <= _ID_LENGTH:
        raise MalformedError("note", f"the signature of '{shown(name)}' is too short")
    return Signature(name, value[:_ID_LENGTH], value[_ID_LENGTH:])


def _parsed_key(document: str, text: str) -> tuple[str, int, bytes]:
    """Give name, kind and key; whether the id is right is told by writing the key again."""
    name, _, rest = text.partition("+")
    _, plus, coded = rest.partition("+")
    if not plus:
        raise MalformedError(document, "it is not made of a name, an id and a key, joined by plus signs")
    if problem := _name_problem(name):
        raise MalformedError(document, f"its name {problem}")
    value = decoded(document, coded)
    if not value:
        raise MalformedError(document, "the key is empty")
    return name, value[0], value[1:]


def _name_problem(name: str) -> str:
    if not name:
        return "is empty"
    if _CONTROL.search(name) or "+" in name or any(map(str.isspace, name)):
        return "holds a space, a plus sign or a control character"
    return ""
