"""Checkpoints: the log signs what its tree is, how large, and at which time.

Owns the text of a checkpoint, how it is signed and how a signed one is opened. Refuses to know how the root came
about (`merkle`), when to sign, and whether one checkpoint is consistent with another.

The log signs twice with one key: the checkpoint alone, which every tool can verify, and the checkpoint with the time.
The first signature is what makes it the log's; a checkpoint whose second line is gone is genuine and has no time.
The two messages cannot be mistaken for each other: the second line of the one is a number, that of the other a time.

Source of the rules: C2SP tlog-checkpoint and tlog-cosignature.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import NamedTuple

from proofgap.errors import BadInputError, MalformedError, UnknownKeyError
from proofgap.merkle import HASH_LENGTH
from proofgap.notes import (
    ED25519,
    Note,
    SignerKey,
    Verified,
    VerifierKey,
    check_characters,
    cosignature,
    decoded,
    parse_note,
    signature,
    verify_note,
)
from proofgap.text import shown

_LINES_MIN = 3
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")
_NUMBER_MAX = 2**63 - 1


class Checkpoint(NamedTuple):
    """The state of a log: whose it is, how many entries it has, and the root over them.

    ``extensions`` are further lines that others may add. They are signed too, and mean nothing here.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """The text that is signed."""
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


class Opened(NamedTuple):
    """A checkpoint that the log signed, and when: seconds since 1970 UTC, ``None`` where it signed no time."""

    checkpoint: Checkpoint
    at_seconds: int | None


def parse_checkpoint(body: str) -> Checkpoint:
    """Read the text of a checkpoint. This says nothing about who signed it.

    Raises:
        MalformedError: it is none, or is not written in the one right way.

    """
    check_characters("checkpoint", body)
    lines = body.split("\n")[:-1]
    if len(lines) < _LINES_MIN or not all(lines):
        raise MalformedError("checkpoint", f"it has not {_LINES_MIN} or more lines, none of them empty")
    origin, size, root, *extensions = lines
    return Checkpoint(origin, number("checkpoint", size), hash_of("checkpoint", root), tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, signer: SignerKey, at_seconds: int) -> str:
    """Write a note of the checkpoint, signed by the log without and with the time (seconds since 1970 UTC).

    Raises:
        BadInputError: the key has another name than the log, or the time or the checkpoint cannot be signed.

    """
    if signer.name != checkpoint.origin:
        problem = f"the key of {shown(signer.name)} does not sign for {shown(checkpoint.origin)}"
        raise BadInputError("signer", problem, "Hand in the key of the log.")
    body = checkpoint.body
    if not _reads_back(checkpoint):
        raise BadInputError(
            "checkpoint", "would not read back as it is", "Hand in a size from 0 and a root of 32 bytes."
        )
    return Note(body, (signature(body, signer), cosignature(body, signer, at_seconds))).encoded


def open_checkpoint(note_text: str, keys: Iterable[VerifierKey]) -> Opened:
    """Verify a signed checkpoint with the keys of logs (and of witnesses), and read it.

    A key of a log stands for its cosignatures too. The time is the latest that the log itself signed: each of them
    says that the checkpoint was there by then.

    Raises:
        MalformedError: it is no note, or no checkpoint.
        SignatureError: a line bears the name and the id of a known key, and that key did not make it.
        UnknownKeyError: no known key of the log that it names signed it.

    """
    note, keys = parse_note(note_text), list(keys)
    logs = [key for key in keys if key.algorithm == ED25519]
    verified = verify_note(note, [*keys, *(key.cosigner for key in logs)])
    checkpoint = parse_checkpoint(note.text)
    signed = {found.key for found in verified if found.key.name == checkpoint.origin}
    signers = signed.intersection(logs)
    if not signers:
        found = (shown(line.label) for line in note.signatures)
        raise UnknownKeyError("checkpoint", (shown(key.label) for key in logs), found)
    return Opened(checkpoint, _time(verified, {key.cosigner for key in signers}))


def number(document: str, text: str) -> int:
    """Read a whole number from 0 to 2**63 - 1, written in decimal without leading zeros.

    Raises:
        MalformedError: it is none.

    """
    if not _NUMBER.fullmatch(text) or int(text) > _NUMBER_MAX:
        raise MalformedError(document, f"'{shown(text)}' is no number from 0 to 2**63 - 1 without leading zeros")
    return int(text)


def hash_of(document: str, text: str) -> bytes:
    """Read a SHA-256 hash from Base64.

    Raises:
        MalformedError: it is none.

    """
    value = decoded(document, text)
    if len(value) != HASH_LENGTH:
        raise MalformedError(document, f"'{shown(text)}' is no hash of {HASH_LENGTH} bytes")
    return value


def _reads_back(checkpoint: Checkpoint) -> bool:
    try:
        return parse_checkpoint(checkpoint.body) == checkpoint
    except MalformedError:
        return False


def _time(verified: Iterable[Verified], cosigners: set[VerifierKey]) -> int | None:
    times = (found.at_seconds for found in verified if found.key in cosigners and found.at_seconds is not None)
    return max(times, default=None)
