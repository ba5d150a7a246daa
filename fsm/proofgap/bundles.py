"""A bundle: everything about one run that somebody needs who has neither the ledger nor trust in its owner.

Owns the names of its files, what is in them, and how they are written: the exact bytes of events, one proof for each,
the checkpoint that all proofs lead to, rows of items and checks, and a manifest over all of it that the key of the
log signed. Refuses to know where events are stored, how files are packed, and what must hold of them
(`bundle_verification`).

Source: ``docs/audit-format.md``, "Bundles".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from proofgap.audit import EventType, canonical, view_stream
from proofgap.checkpoints import hash_of
from proofgap.dsse import PAYLOAD_TYPE, seal, statement
from proofgap.errors import MalformedError
from proofgap.facts import Count, Struct
from proofgap.notes import SignerKey
from proofgap.proofs import Log, Policy, Proof, policy_text

EVENTS, ITEMS, CHECKS = "events.jsonl", "items.jsonl", "checks.jsonl"
CHECKPOINT, POLICY, CONSISTENCY = "checkpoint", "policy", "consistency"
MANIFEST, PAGE = "manifest.json", "index.html"
ALWAYS = (PAGE, MANIFEST, CHECKPOINT, POLICY, EVENTS, ITEMS, CHECKS)
"""The files that every bundle has, in this order; proofs follow, and `CONSISTENCY` where there is one."""

PREDICATE_TYPE = "urn:proofgap:bundle:v1"
"""What the statement in the manifest says of the files."""

SYSTEM_TYPES = (
    EventType.MACHINE_DEFINED,
    EventType.KEY_ROTATED,
    EventType.GAP_DECLARED,
    EventType.RESTORE_DECLARED,
    EventType.PRUNED,
)
"""The events on the ledger itself that it takes to read a run: machines, keys, and for ever what was declared or pruned."""

_CONSISTENCY_HEADER = "proofgap consistency v1"


class StreamEnd(Struct):
    """Where a stream ended when the bundle was made: its events, and the leaf hash of the last."""

    stream: str
    events: Count
    head: str


class State(Struct):
    """A state of the log: how many events its tree had, and its root in hex."""

    size: Count
    root: str


class BundleFacts(Struct):
    """What the manifest says besides its files.

    ``page_form`` is the form that the page was written in; ``streams`` are those that are in it whole, by name.
    """

    run: str
    origin: str
    made_us: Count
    made_by: str
    checkpoint: State
    previous: State | None
    page_form: Count
    streams: tuple[StreamEnd, ...]


class Logged(NamedTuple):
    """An event with its place in the tree, its exact bytes, and the hashes of its proof."""

    place: int
    payload: bytes
    proof: tuple[bytes, ...]


class Row(NamedTuple):
    """A stored item or check, and the place of the event that it came with."""

    place: int
    document: dict[str, Any]


class Consistency(NamedTuple):
    """That the log only grew since an earlier signed checkpoint."""

    hashes: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        """The proof as it is stored."""
        hashes = (base64.b64encode(part).decode() for part in self.hashes)
        return "\n".join([_CONSISTENCY_HEADER, *hashes, "", self.checkpoint])


class Content(NamedTuple):
    """What goes into a bundle, except its manifest and its page. ``events`` are in the order of the tree."""

    facts: BundleFacts
    checkpoint: str
    events: Sequence[Logged]
    items: Sequence[Row]
    checks: Sequence[Row]
    consistency: Consistency | None


def proof_name(number: int) -> str:
    """Name the proof of an event by its line in `EVENTS`, from 0."""
    return f"proofs/{number:06}.tlog-proof"


def is_view_of(stream: str, run: str) -> bool:
    """Tell whether a stream is what somebody was shown of a run."""
    return stream.startswith(view_stream(run, ""))


def parse_consistency(text: str) -> Consistency:
    """Read a consistency proof. This says nothing about whether it proves anything.

    Raises:
        MalformedError: it is none.

    """
    head, blank, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _CONSISTENCY_HEADER or not blank:
        raise MalformedError("consistency proof", "it does not begin as one, or no checkpoint follows an empty line")
    return Consistency(tuple(hash_of("consistency proof", line) for line in lines), checkpoint)


def files_of(content: Content, page: str, signer: SignerKey) -> dict[str, bytes]:
    """Write all files of a bundle, in the order in which they are packed; the manifest is signed."""
    files = {
        PAGE: page.encode(),
        CHECKPOINT: content.checkpoint.encode(),
        POLICY: policy_text(Policy((Log(signer.verifier),))).encode(),
        EVENTS: b"".join(event.payload + b"\n" for event in content.events),
        ITEMS: _lines("item", content.items),
        CHECKS: _lines("check", content.checks),
    }
    for number, event in enumerate(content.events):
        proof = Proof(index=event.place, hashes=event.proof, checkpoint=content.checkpoint)
        files[proof_name(number)] = proof.text.encode()
    if content.consistency is not None:
        files[CONSISTENCY] = content.consistency.text.encode()
    signed = {MANIFEST: _manifest(files, content.facts, signer), **files}
    return {name: signed[name] for name in dict.fromkeys([*ALWAYS, *signed])}


def _lines(kind: str, rows: Sequence[Row]) -> bytes:
    return b"".join(canonical({"event": row.place, kind: row.document}) + b"\n" for row in rows)


def _manifest(files: Mapping[str, bytes], facts: BundleFacts, signer: SignerKey) -> bytes:
    subjects = {name: sha256(data).hexdigest() for name, data in sorted(files.items())}
    predicate = msgspec.to_builtins(facts)
    return seal(PAYLOAD_TYPE, statement(subjects, PREDICATE_TYPE, predicate), signer)
