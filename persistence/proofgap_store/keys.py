"""The key that signs a ledger's checkpoints: a file of its own, outside the database, and the log of which key holds.

Owns the key file, and the events by which one key follows another. The log names the key that is in force; the file
holds it. A new key is written beside the old one first, then the log names it, then it takes the place of the old one:
after a crash in between, whoever signs next finishes that. A key that is in the file and that the log does not name is
never overwritten: it may be the only copy of another log's key. Refuses to know what is signed.

Source of the form of keys: C2SP signed-note.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofgap.audit import EventType, system_stream
from proofgap.endorsement import endorsement_text
from proofgap.errors import MalformedError
from proofgap.notes import SignerKey, VerifierKey, sign
from proofgap_store import outside
from proofgap_store.audit_log import Draft
from proofgap_store.documents import DamagedError
from proofgap_store.engine import Connection, rows
from proofgap_store.outside import CustodyError

AUDIT_STREAM = system_stream("audit")
"""The stream of what is done to the log itself."""

_WHAT = "key file"
_SEED_LENGTH = 32
_PRIVATE = 0o600
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HISTORY = """
SELECT e.event_id, l.idx, e.payload FROM audit_event AS e LEFT JOIN audit_leaf AS l ON l.event_id = e.event_id
WHERE e.type = 'audit.key_rotated' ORDER BY e.event_id
"""


class _Data(msgspec.Struct, frozen=True):
    key: str
    previous: str | None
    endorsement: str | None


class _Rotated(msgspec.Struct, frozen=True):
    data: _Data


_ROTATED = msgspec.json.Decoder(_Rotated)


class KeyPeriod(NamedTuple):
    """A key, and the event that put it in force; ``idx`` is that event's leaf, ``None`` while it waits for one."""

    key: VerifierKey
    previous: VerifierKey | None
    endorsement: str | None
    event_id: int
    idx: int | None


def history(connection: Connection) -> list[KeyPeriod]:
    """Read which keys were in force, one after the other.

    Raises:
        DamagedError: an event that names one is not as it was written.

    """
    return [_period(row["event_id"], row["idx"], row["payload"]) for row in rows(connection, _HISTORY)]


def log_name(connection: Connection) -> str | None:
    """Read the name of the log, which is that of its first key; ``None`` before there is one."""
    return next((period.key.name for period in history(connection)), None)


def _period(event_id: int, idx: int | None, payload: str) -> KeyPeriod:
    try:
        data = _ROTATED.decode(payload).data
        previous = None if data.previous is None else VerifierKey.parse(data.previous)
        return KeyPeriod(VerifierKey.parse(data.key), previous, data.endorsement, event_id, idx)
    except (msgspec.MsgspecError, MalformedError) as error:
        raise DamagedError(f"event {event_id}", str(error)) from error


def rotation_draft(new: VerifierKey, old: SignerKey | None, previous: VerifierKey | None) -> Draft:
    """Give the event that puts a key in force; without the old key in hand it is not endorsed, and verify says so."""
    endorsement = None if old is None else sign(endorsement_text(new), old)
    data = {"key": new.text, "previous": previous and previous.text, "endorsement": endorsement}
    return Draft(EventType.KEY_ROTATED, None, None, None, None, data)


class KeyFile:
    """The file of the signing key; a ledger in memory keeps its key in memory, too."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; nothing is read yet."""
        self.path, self._in_memory = path, dict[str, SignerKey]()

    @property
    def place(self) -> str:
        """Where the key is, for people."""
        return "memory" if self.path is None else str(self.path)

    def propose(self, name: str, current: VerifierKey | None) -> SignerKey:
        """Give a new key for a log of this name, kept already; what an interrupted rotation proposed is proposed again.

        Raises:
            CustodyError: it cannot be kept, or a key is there that is not the one in force.

        """
        if self.path is None:
            return self._remembered(_generated(name))
        with outside.writing(self.path, _WHAT):
            self._settle(self.path, current)  # the rotation before this one may have been interrupted after its event
            return self._staged_for(self.path, name, current)

    def signer(self, key: VerifierKey) -> SignerKey:
        """Give the key that the log says is in force.

        Raises:
            CustodyError: it is not there, or others may read it.

        """
        found = self.found(key)
        if found is None:
            remedy = "Put it back; if it is lost: proofgap audit key rotate --lost."
            raise CustodyError(f"the key {key.label} is not at {self.place}", remedy)
        return found

    def found(self, key: VerifierKey) -> SignerKey | None:
        """Give the key that the log says is in force, if it is there; a rotation that was interrupted is finished.

        Raises:
            CustodyError: a file cannot be read or written, holds no key, or is open to others.

        """
        held = self.held(key)
        if held is not None or self.path is None or _read(_staged(self.path)) is None:
            return held
        with outside.writing(self.path, _WHAT):
            self._settle(self.path, key)
        return self.held(key)

    def held(self, key: VerifierKey) -> SignerKey | None:
        """Give the key if it has its place in the file; nothing is written.

        Raises:
            CustodyError: the file cannot be read, holds no key, or is open to others.

        """
        if self.path is None:
            return self._in_memory.get(key.text)
        found = _read(self.path)
        return found if found is not None and found.verifier == key else None

    def can_sign(self, key: VerifierKey) -> bool:
        """Tell whether the key is there, in its place or on its way; nothing is written. Errors: those of `held`."""
        if self.held(key) is not None:
            return True
        waiting = None if self.path is None else _read(_staged(self.path))
        return waiting is not None and waiting.verifier == key

    @staticmethod
    def _settle(path: Path, key: VerifierKey | None) -> None:
        """Give a staged key its place, if the log names it: the last step of a rotation."""
        staged = _staged(path)
        found, before = _read(staged), _read(path)
        if found is None or found.verifier != key:
            return
        if before is not None and before.name != found.name:
            raise _foreign(path, before)
        outside.move(staged, path)  # a crash before this: the next one who signs does it

    def _staged_for(self, path: Path, name: str, current: VerifierKey | None) -> SignerKey:
        """Give the key that waits beside the file, and make one where there is none."""
        kept, staged = _read(path), _staged(path)
        if kept is not None and kept.verifier != current:
            raise _foreign(path, kept)
        found = _read(staged)
        if found is not None and current is not None and found.name != name:
            raise _foreign(staged, found)
        if found is None:
            found = _generated(name)
            outside.replace(staged, found.text + "\n", _PRIVATE)
        return found

    def _remembered(self, key: SignerKey) -> SignerKey:
        self._in_memory[key.verifier.text] = key
        return key


def _foreign(path: Path, found: SignerKey) -> CustodyError:
    problem = f"{path} holds {found.verifier.label}, which this log does not name as its key"
    return CustodyError(problem, "Move it away, or name another file with PROOFGAP_KEY.")


def _staged(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _read(path: Path) -> SignerKey | None:
    found = outside.read(path, _WHAT)
    if found is None:
        return None
    text, mode = found
    if mode & _FOR_OTHERS:
        raise CustodyError(f"its key file {path} is open to others", f"Run: chmod 600 {path}")
    try:
        return SignerKey.parse(text.strip())
    except MalformedError as error:
        problem = f"its key file {path} holds no key: {error.problem}"
        raise CustodyError(problem, "Put the key back, or move the file away.") from error


def _generated(name: str) -> SignerKey:
    return SignerKey.from_seed(name, os.urandom(_SEED_LENGTH))
