"""The key that signs a ledger's checkpoints: a file of its own, outside the database, and the log of which key holds.

Owns the key file, and the events by which one key follows another. The log names the key that is in force; the file
holds it. A new key is written beside the old one first, then the log names it, then it takes the place of the old one:
after a crash in between, whoever signs next finishes that. Refuses to know what is signed.

Source of the form of keys: C2SP signed-note.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofgap.audit import EventType, system_stream
from proofgap.notes import SignerKey, VerifierKey, sign
from proofgap_store.audit_log import Draft
from proofgap_store.engine import Connection, UnavailableError, rows

AUDIT_STREAM = system_stream("audit")
"""The stream of what is done to the log itself."""

_SEED_LENGTH = 32
_PRIVATE = 0o600
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HISTORY = """
SELECT e.event_id, l.idx, e.payload FROM audit_event AS e LEFT JOIN audit_leaf AS l ON l.event_id = e.event_id
WHERE e.type = 'audit.key_rotated' ORDER BY e.event_id
"""


class KeyPeriod(NamedTuple):
    """A key, and the event that put it in force; ``idx`` is that event's leaf, ``None`` while it waits for one."""

    key: VerifierKey
    previous: VerifierKey | None
    endorsement: str | None
    event_id: int
    idx: int | None


def history(connection: Connection) -> list[KeyPeriod]:
    """Read which keys were in force, one after the other."""
    return [_period(row["event_id"], row["idx"], row["payload"]) for row in rows(connection, _HISTORY)]


def _period(event_id: int, idx: int | None, payload: str) -> KeyPeriod:
    data = msgspec.json.decode(payload)["data"]
    previous = data["previous"] and VerifierKey.parse(data["previous"])
    return KeyPeriod(VerifierKey.parse(data["key"]), previous, data["endorsement"], event_id, idx)


def endorsement_text(new: VerifierKey) -> str:
    """Give what the old key signs when a new one takes its place."""
    return f"proofgap key rotation\n{new.name}\n{new.text}\n"


def rotation_draft(new: VerifierKey, old: SignerKey | None, previous: VerifierKey | None) -> Draft:
    """Give the event that puts a key in force; without the old key in hand it is not endorsed, and verify says so."""
    endorsement = None if old is None else sign(endorsement_text(new), old)
    data = {"key": new.text, "previous": previous and previous.text, "endorsement": endorsement}
    return Draft(EventType.KEY_ROTATED, None, None, None, None, data)


class KeyFile:
    """The file of the signing key; a ledger in memory keeps its key in memory, too."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; nothing is read yet."""
        self._path, self._in_memory = path, dict[str, SignerKey]()

    @property
    def place(self) -> str:
        """Where the key is, for people."""
        return "memory" if self._path is None else str(self._path)

    def propose(self, name: str, current: VerifierKey | None) -> SignerKey:
        """Give a new key for a log of this name, kept already; what an interrupted rotation proposed is proposed again.

        Raises:
            UnavailableError: it cannot be kept.

        """
        if self._path is None:
            return self._remembered(_generated(name))
        staged = self._staged(self._path)
        found = self._read(staged)
        if found is not None and found.verifier != current:
            return found
        if found is not None:
            self.signer(found.verifier)  # the rotation before this one was interrupted after its event
        return self._stage(staged, _generated(name))

    def signer(self, key: VerifierKey) -> SignerKey:
        """Give the key that the log says is in force.

        Raises:
            UnavailableError: it is not there, or others may read it.

        """
        found = self._in_memory.get(key.text) if self._path is None else self._settled(self._path, key)
        if found is None:
            raise UnavailableError(
                f"the key that signs its checkpoints, {key.label}, is not at {self.place}",
                "Put it back; if it is lost: proofgap audit key rotate --lost.",
            )
        return found

    def _settled(self, path: Path, key: VerifierKey) -> SignerKey | None:
        kept, staged = self._read(path), self._staged(path)
        if kept is not None and kept.verifier == key:
            return kept
        proposed = self._read(staged)
        if proposed is None or proposed.verifier != key:
            return None
        staged.replace(path)  # a crash before this: the next one who signs does it
        return proposed

    def _remembered(self, key: SignerKey) -> SignerKey:
        self._in_memory[key.verifier.text] = key
        return key

    @staticmethod
    def _staged(path: Path) -> Path:
        return path.with_name(f"{path.name}.new")

    @staticmethod
    def _read(path: Path) -> SignerKey | None:
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"its key file {path} cannot be read: {error}", "Check the file.") from error
        if mode & _FOR_OTHERS:
            raise UnavailableError(f"its key file {path} is open to others", f"Run: chmod 600 {path}")
        return SignerKey.parse(text.strip())

    def _stage(self, staged: Path, key: SignerKey) -> SignerKey:
        """Write a key under its name for later, wholly or not at all; if another process was faster, take its key."""
        written = staged.with_name(f"{staged.name}.{os.getpid()}")
        try:
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(key.text + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            _link(written, staged)
        except OSError as error:
            raise UnavailableError(
                f"its key file {staged} cannot be written: {error.strerror}", "Check the folder."
            ) from error
        finally:
            written.unlink(missing_ok=True)
        return self._read(staged) or key


def _link(written: Path, staged: Path) -> None:
    try:
        os.link(written, staged)
    except FileExistsError:
        return


def _generated(name: str) -> SignerKey:
    return SignerKey.from_seed(name, os.urandom(_SEED_LENGTH))
