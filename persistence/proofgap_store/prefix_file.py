"""The file that keeps what is pruned: one line per event, in the order of the tree, and a manifest beside it.

Owns its form, and the comparison of every line with the stored tree. A line holds the exact bytes of an event as text,
with its leaf; a prefix of lines leads to the root of a signed checkpoint, so the file can be checked without the
ledger. Refuses to know when anything is pruned (`pruning`). Form: ``docs/audit-format.md``, "The export of a pruning".
"""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from proofgap.audit import canonical
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.merkle import CompactRange, consistency_proof, leaf_hash, verify_consistency
from proofgap.text import shown
from proofgap_store import files, tree
from proofgap_store.engine import Connection, walk
from proofgap_store.tree import StoredCheckpoint

MANIFEST = ".manifest.json"
_FORM = "proofgap pruned prefix 1"
_EVENTS = """
SELECT l.idx, l.event_id, l.hash, e.payload FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id
WHERE l.idx BETWEEN :first AND :last ORDER BY l.idx
"""
_LEAVES = "SELECT idx, event_id, hash FROM audit_leaf WHERE idx BETWEEN :first AND :last ORDER BY idx"


class Prefix(NamedTuple):
    """Which leaves are pruned, first to last, and the first checkpoint that covers them."""

    first: int
    last: int
    checkpoint: StoredCheckpoint


class Line(Struct):
    """One event in the file."""

    event_id: int
    idx: int
    leaf: str
    payload: str


class PrefixManifest(Struct):
    """What the file holds, and the signed checkpoint that its lines lead to."""

    form: str
    file: str
    first: int
    last: int
    size: int
    root: str
    note: str
    bytes: int
    sha256: str


_LINES = msgspec.json.Decoder(Line)


def write(connection: Connection, prefix: Prefix, stream: IO[bytes]) -> None:
    """Write every event of a prefix."""
    bounds = {"first": prefix.first, "last": prefix.last}
    for idx, event_id, leaf, payload in walk(connection, _EVENTS, bounds):
        stream.write(canonical(Line(event_id=event_id, idx=idx, leaf=leaf, payload=payload)) + b"\n")


def check(connection: Connection, prefix: Prefix, file: Path) -> PrefixManifest:
    """Read a file back, and hold each line against the stored leaf, and all of them against the signed root.

    Raises:
        BadInputError: it is not, byte for byte, the export of this prefix; or the manifest beside it is another one.
        ProofError: the events do not lead to the root of the checkpoint.

    """
    grown = CompactRange.of(prefix.first, tree.node_reader(connection))
    try:
        with file.open("rb") as stream:
            _check_lines(connection, prefix, stream, grown)
            stream.seek(0)
            digest = file_digest(stream, "sha256").hexdigest()
            length = stream.seek(0, 2)
    except OSError as error:
        raise _differs(file, f"cannot be read: {error.strerror}") from None
    _check_root(connection, prefix, grown)
    signed = prefix.checkpoint
    return PrefixManifest(
        form=_FORM, file=file.name, first=prefix.first, last=prefix.last, size=signed.size, root=signed.root,
        note=signed.note, bytes=length, sha256=digest,
    )  # fmt: skip


def _check_lines(connection: Connection, prefix: Prefix, stream: IO[bytes], grown: CompactRange) -> None:
    file = Path(stream.name)
    stored = walk(connection, _LEAVES, {"first": prefix.first, "last": prefix.last})
    for number, (idx, event_id, leaf) in enumerate(stored, 1):
        text = stream.readline()
        line = _parsed(text)
        if line is None or (line.idx, line.event_id, line.leaf) != (idx, event_id, leaf):
            raise _differs(file, f"line {number} is not event {event_id}")
        found = leaf_hash(line.payload.encode())
        if found.hex() != leaf:
            raise _differs(file, f"the payload in line {number} is not that of event {event_id}")
        grown.append(found)
    if stream.read(1):
        raise _differs(file, "it goes on after the last event")


def _parsed(text: bytes) -> Line | None:
    """Read a line, if it is in canonical form to the last byte."""
    try:
        line = _LINES.decode(text)
        return line if canonical(line) + b"\n" == text else None
    except (msgspec.MsgspecError, UnicodeError, BadInputError):
        return None


def _check_root(connection: Connection, prefix: Prefix, grown: CompactRange) -> None:
    signed = prefix.checkpoint
    proof = consistency_proof(grown.size, signed.size, tree.node_reader(connection))
    verify_consistency(grown.size, grown.root(), signed.size, bytes.fromhex(signed.root), proof)


def keep_manifest(manifest: PrefixManifest, file: Path) -> None:
    """Write the manifest beside a file; one that is there already must say the same.

    Raises:
        BadInputError: it says something else, or cannot be written.

    """
    beside = file.with_name(file.name + MANIFEST)
    wanted = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    if beside.exists():
        if beside.read_bytes() != wanted:
            raise _differs(beside, "it is not the manifest of this export")
        return
    with files.temporary(beside) as (stream, partial):
        stream.write(wanted)
        files.sync(stream)
        partial.rename(beside)
    files.sync_folder(file.parent)


def _differs(file: Path, problem: str) -> BadInputError:
    remedy = "Nothing was pruned. Name a new file, and find out who changed this one."
    return BadInputError("FILE", f"'{shown(str(file))}' is not the export of these events: {problem}", remedy)
