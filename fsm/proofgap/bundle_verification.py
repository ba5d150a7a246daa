"""Verifying a bundle: from the bytes of its files and a policy to findings, without ledger, network or clock.

Owns what must hold of a bundle. It believes the policy that is handed in and nothing else: the policy inside says only
whom to ask about. Where the signer is not known, everything else is checked all the same, as far as the bundle's own
word goes, and the verdict is "unverifiable" at best. Refuses to know how files are packed.

Source: ``docs/audit-format.md``, "Bundles"; RFC 6962; C2SP tlog-proof, tlog-checkpoint and tlog-policy; DSSE; in-toto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from proofgap.audit import Entry, EventType, canonical, digest, leaf_hash, run_stream
from proofgap.bundles import (
    ALWAYS,
    CHECKPOINT,
    CHECKS,
    CONSISTENCY,
    EVENTS,
    ITEMS,
    MANIFEST,
    PAGE,
    POLICY,
    PREDICATE_TYPE,
    SYSTEM_TYPES,
    BundleFacts,
    Content,
    Logged,
    Row,
    State,
    StreamEnd,
    is_view_of,
    parse_consistency,
    proof_name,
)
from proofgap.checkpoints import Checkpoint
from proofgap.dsse import PAYLOAD_TYPE, Statement, is_as_sealed, parse_statement, unseal
from proofgap.endorsement import is_endorsed
from proofgap.errors import MalformedError, ProofError, ProofgapError, QuorumError, SignatureError, UnknownKeyError
from proofgap.findings import Code, Finding
from proofgap.merkle import verify_consistency, verify_inclusion
from proofgap.notes import ED25519, VerifierKey, parse_note, verify_note
from proofgap.page_verification import check_page
from proofgap.proofs import Policy, accept, parse_policy, parse_proof
from proofgap.replay import Definitions, Report, Stored, StreamReplay
from proofgap.text import safe, shown

Files = Mapping[str, bytes]
_ENTRIES = msgspec.json.Decoder(Entry)
_US_PER_SECOND = 1_000_000
_DECLARED = {
    EventType.GAP_DECLARED: Code.GAP_DECLARED,
    EventType.RESTORE_DECLARED: Code.RESTORE_DECLARED,
    EventType.PRUNED: Code.PRUNED,
}
_ROWS = ((ITEMS, "item"), (CHECKS, "check"))


class _Trusted(NamedTuple):
    """The checkpoint that everything leads to, when it was signed, by which keys, and under which policy it counts."""

    note: str
    checkpoint: Checkpoint
    at_seconds: int | None
    signers: Sequence[VerifierKey]
    policy: Policy


def verify(files: Files, policy: Policy | None, previous: str | None = None) -> list[Finding]:
    """Find everything that is wrong with a bundle; an empty list means that it is as the log of the policy signed it.

    Args:
        files: the bytes of every file, by name.
        policy: whom to believe; ``None``: nobody, so that the best that can be said is which key to compare.
        previous: the signed checkpoint of an earlier bundle, from which the log must have grown.

    """
    found: list[Finding] = []
    trusted = _trusted(files, policy, found.append)
    payloads = _lines(files, EVENTS, found.append)
    _check_names(files, len(payloads), found.append)
    if trusted is None:
        return found
    facts = _manifest(files, trusted, found.append)
    walk = _Walk(files, trusted, found.append)
    for number, payload in enumerate(payloads):
        walk.take(number, payload)
    walk.check_key()
    if facts is not None:
        _check_facts(facts, trusted, found.append)
        walk.check_streams(facts)
        items, checks = (list(_rows(files, name, kind, found.append)) for name, kind in _ROWS)
        _check_rows({ITEMS: items, CHECKS: checks}, walk.rows_digests(facts.run), facts.run, found.append)
        content = Content(facts, trusted.note, walk.events, items, checks, None)
        check_page(files.get(PAGE, b""), content, trusted.signers, found.append)
    before = _consistency(files, facts, trusted, found.append)
    _check_previous(before, previous, trusted, found.append)
    return found


def _text(files: Files, name: str) -> str:
    """Read a file as text.

    Raises:
        MalformedError: it is missing, or no UTF-8.

    """
    try:
        return files[name].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise MalformedError(name, "it is missing, or no UTF-8") from error


def _trusted(files: Files, policy: Policy | None, report: Report) -> _Trusted | None:
    """Open the checkpoint: as the policy says, or else as the bundle says of itself, and then that is a finding."""
    try:
        note, own = _text(files, CHECKPOINT), parse_policy(_text(files, POLICY))
        if policy is not None:
            try:
                return _opened(note, policy)
            except (UnknownKeyError, QuorumError) as error:
                report(Finding(code=Code.KEY_UNKNOWN, detail=f"{error} {_claimed(own)}"))
        else:
            report(Finding(code=Code.KEY_UNKNOWN, detail=f"no policy was handed in. {_claimed(own)}"))
        return _opened(note, own)
    except (MalformedError, SignatureError, UnknownKeyError, QuorumError) as error:
        report(Finding(code=Code.NOTE_INVALID, detail=str(error)))
        return None


def _claimed(own: Policy) -> str:
    names = ", ".join(shown(log.key.text, length_max=200) for log in own.logs)
    return f"It says of itself that this key signed it; compare it with the one you were given: {names}"


def _opened(note: str, policy: Policy) -> _Trusted:
    opened = accept(note, policy)
    logs = [log.key for log in policy.logs if (log.key.name, log.key.algorithm) == (opened.checkpoint.origin, ED25519)]
    signers = [found.key for found in verify_note(parse_note(note), logs)]
    return _Trusted(note, opened.checkpoint, opened.at_seconds, signers, policy)


def _lines(files: Files, name: str, report: Report) -> list[bytes]:
    data = files.get(name, b"")
    if data and not data.endswith(b"\n"):
        report(Finding(code=Code.FORM_INVALID, detail=f"{name} does not end with a line break"))
    return data.split(b"\n")[:-1]


def _check_names(files: Files, events: int, report: Report) -> None:
    belong = {*ALWAYS, *map(proof_name, range(events))}
    for name in sorted(belong - files.keys()):
        report(Finding(code=Code.FILE_MISSING, detail=name))
    for name in sorted(files.keys() - belong - {CONSISTENCY}):
        report(Finding(code=Code.FILE_FOREIGN, detail=safe(name)))


def _manifest(files: Files, trusted: _Trusted, report: Report) -> BundleFacts | None:
    """Open the manifest with the key that signed the checkpoint, and hold every file against it."""
    envelope = files.get(MANIFEST, b"")
    try:
        stated = parse_statement(unseal(envelope, PAYLOAD_TYPE, trusted.signers))
        facts = msgspec.convert(stated.predicate, BundleFacts)
        if stated.predicate_type != PREDICATE_TYPE:
            report(Finding(code=Code.MANIFEST_INVALID, detail=f"it states {shown(stated.predicate_type)}"))
        if not is_as_sealed(envelope, trusted.signers):
            report(Finding(code=Code.MANIFEST_INVALID, detail="its envelope is not in its one form"))
    except (MalformedError, SignatureError, UnknownKeyError, msgspec.ValidationError) as error:
        report(Finding(code=Code.MANIFEST_INVALID, detail=safe(str(error))))
        return None
    _check_subjects(files, stated, report)
    return facts


def _check_subjects(files: Files, stated: Statement, report: Report) -> None:
    signed = {subject.name: subject.digest.sha256 for subject in stated.subject}
    if len(signed) != len(stated.subject):
        report(Finding(code=Code.MANIFEST_INVALID, detail="it names a file twice"))
    for name, data in files.items():
        if name != MANIFEST and name not in signed:
            report(Finding(code=Code.FILE_FOREIGN, detail=f"{safe(name)} is not in the manifest"))
        elif name != MANIFEST and sha256(data).hexdigest() != signed[name]:
            report(Finding(code=Code.FILE_CHANGED, detail=safe(name)))
    for name in sorted(signed.keys() - files.keys()):
        report(Finding(code=Code.FILE_MISSING, detail=safe(name)))


def _check_facts(facts: BundleFacts, trusted: _Trusted, report: Report) -> None:
    checkpoint = trusted.checkpoint
    said = (facts.origin, facts.checkpoint)
    if said != (checkpoint.origin, State(size=checkpoint.size, root=checkpoint.root.hex())):
        report(Finding(code=Code.MANIFEST_INVALID, detail="it is about another checkpoint than the one in the bundle"))


class _Walk:
    """The events one after the other: each proven to be in the log, and each stream read again."""

    def __init__(self, files: Files, trusted: _Trusted, report: Report) -> None:
        self._files, self._trusted, self._report = files, trusted, report
        self._definitions, self._streams = Definitions(), dict[str, StreamReplay]()
        self._index, self._system_seq = -1, dict[str, int]()
        self.events: list[Logged] = []  # that can be read, for whoever makes the page of them
        self._key: VerifierKey | None = None

    def take(self, number: int, payload: bytes) -> None:
        """Check one event: its proof from its bytes, its order, and what it means after the ones before it."""
        try:
            index = self._proven(number, payload)
        except (MalformedError, ProofError) as error:
            self._find(Code.PROOF_INVALID, f"event {number}: {error}")
            return
        if index <= self._index:
            self._find(Code.EVENT_ORDER, f"event {number} has place {index}, after place {self._index}", index)
        self._index = index
        try:
            entry = _ENTRIES.decode(payload)
        except (ValueError, RecursionError) as error:
            self._find(Code.FORM_INVALID, safe(str(error)), index)
            return
        self.events.append(Logged(index, payload, ()))
        self._check_time(entry, index)
        if entry.type in SYSTEM_TYPES and entry.stream.startswith("system/"):
            self._system(entry, payload, index)
        else:
            self._replay(entry.stream).take(Stored(index, payload, leaf_hash(payload)))

    def _proven(self, number: int, payload: bytes) -> int:
        proof = parse_proof(_text(self._files, proof_name(number)))
        if proof.checkpoint != self._trusted.note or proof.extra is not None:
            raise MalformedError("proof", "it leads to another checkpoint than that of the bundle, or says more")
        checkpoint = self._trusted.checkpoint
        verify_inclusion(payload, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        return proof.index

    def _find(self, code: Code, detail: str, index: int | None = None, stream: str | None = None) -> None:
        self._report(Finding(code=code, detail=detail, index=index, stream=stream))

    def _check_time(self, entry: Entry, index: int) -> None:
        signed = self._trusted.at_seconds
        if signed is not None and entry.rec_us // _US_PER_SECOND > signed:
            self._find(Code.TIME_WINDOW, f"recorded at {entry.rec_us} microseconds, signed at {signed} seconds", index)

    def _replay(self, stream: str) -> StreamReplay:
        """Give the reader of a stream; in a bundle, the place of an event in the tree takes the place of its number."""
        if stream not in self._streams:

            def report(finding: Finding) -> None:
                self._report(replace(finding, index=finding.event_id, event_id=None))

            self._streams[stream] = StreamReplay(stream, self._definitions, report)
        return self._streams[stream]

    def _system(self, entry: Entry, payload: bytes, index: int) -> None:
        """Take in what the ledger says of itself; of these streams a bundle holds only some events."""
        if canonical(entry) != payload:
            self._find(Code.FORM_INVALID, "encoded again, it gives other bytes", index, entry.stream)
        if entry.seq <= self._system_seq.get(entry.stream, -1):
            self._find(Code.CHAIN_GAP, f"{entry.stream} {entry.seq} is there twice, or too late", index, entry.stream)
        self._system_seq[entry.stream] = entry.seq
        try:
            self._mean(entry, index)
        except (AttributeError, LookupError, TypeError, ValueError, MalformedError) as error:
            self._find(Code.FORM_INVALID, f"its data are not those of {entry.type}: {error}", index, entry.stream)

    def _mean(self, entry: Entry, index: int) -> None:
        if entry.type is EventType.MACHINE_DEFINED:
            if not self._definitions.define(index, entry.data):
                self._find(Code.DEFINITION_UNKNOWN, "its digest is not that of its edges and guards", index)
        elif entry.type is EventType.KEY_ROTATED:
            self._rotate(entry.data, index)
        else:
            self._find(_DECLARED[entry.type], f"by {safe(entry.actor.id)}", index)

    def _rotate(self, data: Mapping[str, Any], index: int) -> None:
        """Take in the next key: the one before it must have endorsed it, and must not have signed the checkpoint."""
        new, before = VerifierKey.parse(data["key"]), self._key
        if before is None and data["previous"] is not None:
            self._find(Code.KEY_UNENDORSED, f"{shown(new.label)} after a key whose event is not in the bundle", index)
        if before is not None:
            if data["previous"] != before.text or not is_endorsed(new, before, data["endorsement"] or ""):
                self._find(Code.KEY_UNENDORSED, f"{shown(new.label)} after {shown(before.label)}", index)
            if before in self._trusted.signers:
                self._find(Code.KEY_RETIRED, f"{shown(before.label)} signed after {shown(new.label)} took over", index)
        self._key = new

    def check_key(self) -> None:
        """Hold the keys that signed against the one that is in force after all events."""
        in_force = self._key
        if any(signer != in_force for signer in self._trusted.signers):
            named = "no key" if in_force is None else shown(in_force.label)
            self._find(Code.KEY_UNENDORSED, f"{named} is in force as its events say, and another key signed")

    def check_streams(self, facts: BundleFacts) -> None:
        """Hold the streams that were read against those that the manifest says are in the bundle, whole."""
        read = [StreamEnd(stream=name, events=walk.next_seq, head=walk.head) for name, walk in self._streams.items()]
        said = {end.stream: end for end in facts.streams}
        for end in read:
            if end != said.pop(end.stream, None):
                detail = f"{end.events} events up to {end.head}, and the manifest says otherwise"
                self._find(Code.STREAM_HEAD, detail, stream=end.stream)
            if end.stream != run_stream(facts.run) and not is_view_of(end.stream, facts.run):
                self._find(Code.STREAM_HEAD, f"it is no stream of {safe(facts.run)}", stream=end.stream)
        for name in [*said, *({run_stream(facts.run)} - self._streams.keys())]:
            self._find(Code.STREAM_HEAD, "no event of it is in the bundle", stream=name)

    def rows_digests(self, run: str) -> Mapping[int, tuple[str, str]]:
        """Give what events of the run's stream say of their rows: by place, the subject and the digest."""
        return self._replay(run_stream(run)).rows_digests


def _check_rows(
    found: Mapping[str, Sequence[Row]], digests: Mapping[int, tuple[str, str]], run: str, report: Report
) -> None:
    """Hold items and checks against the digests in the events that they came with."""
    for name, kind in _ROWS:
        expected = {index: said for index, (subject, said) in digests.items() if (subject == run) == (kind == "item")}
        rows: dict[int, list[object]] = {}
        for index, document in found[name]:
            rows.setdefault(index, []).append(document)
        for index in sorted(expected.keys() | rows.keys()):
            if digest(rows.get(index, [])) != expected.get(index):
                report(Finding(code=Code.ROWS_DIGEST, detail=f"{name}: the rows of this event", index=index))


def _rows(files: Files, name: str, kind: str, report: Report) -> Iterator[Row]:
    for number, line in enumerate(_lines(files, name, report), 1):
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
            is_one = row.keys() == {"event", kind} and type(row["event"]) is int and isinstance(row[kind], dict)
            if not is_one or canonical(row) != line:
                raise MalformedError(name, f"line {number} is not in its one form")
        except (ProofgapError, ValueError, RecursionError) as error:
            report(Finding(code=Code.FORM_INVALID, detail=safe(f"{name}, line {number}: {error}")))
        else:
            yield Row(row["event"], row[kind])


def _consistency(files: Files, facts: BundleFacts | None, trusted: _Trusted, report: Report) -> Checkpoint | None:
    """Check that the log only grew since the earlier checkpoint that the bundle names, if it names one; give that."""
    said = None if facts is None else facts.previous
    if CONSISTENCY not in files:
        if said is not None:
            report(Finding(code=Code.FILE_MISSING, detail=CONSISTENCY))
        return None
    try:
        proof = parse_consistency(_text(files, CONSISTENCY))
        old, new = accept(proof.checkpoint, trusted.policy).checkpoint, trusted.checkpoint
        verify_consistency(old.size, old.root, new.size, new.root, proof.hashes)
    except (UnknownKeyError, QuorumError) as error:
        report(Finding(code=Code.KEY_UNKNOWN, detail=f"{CONSISTENCY}: {error}"))
        return None
    except (MalformedError, SignatureError, ProofError) as error:
        report(Finding(code=Code.FORK, detail=f"{CONSISTENCY}: {error}"))
        return None
    is_other = facts is not None and said != State(size=old.size, root=old.root.hex())
    if old.origin != new.origin or is_other:
        report(Finding(code=Code.FORK, detail=f"{CONSISTENCY} is about another checkpoint than the manifest says"))
    return old


def _check_previous(before: Checkpoint | None, previous: str | None, trusted: _Trusted, report: Report) -> None:
    """Hold an earlier checkpoint that was handed in against the one that the bundle grew from, or against its own."""
    if previous is None:
        return
    try:
        kept = accept(previous, trusted.policy).checkpoint
    except (UnknownKeyError, QuorumError, MalformedError, SignatureError) as error:
        report(Finding(code=Code.KEY_UNKNOWN, detail=f"the earlier checkpoint: {error}"))
        return
    now = trusted.checkpoint
    if kept.origin != now.origin:
        report(Finding(code=Code.FORK, detail=f"the earlier checkpoint is of {shown(kept.origin)}"))
    elif kept.size > now.size:
        report(Finding(code=Code.ROLLBACK, detail=f"{now.size} events, and there were {kept.size} before"))
    else:
        _check_grown(kept, [now] if before is None else [now, before], report)


def _check_grown(kept: Checkpoint, proven: Sequence[Checkpoint], report: Report) -> None:
    same = [state for state in proven if state.size == kept.size]
    if any(state.root != kept.root for state in same):
        report(Finding(code=Code.FORK, detail=f"another history of the first {kept.size} events was signed before"))
    elif not same:
        report(Finding(code=Code.CONSISTENCY_MISSING, detail=f"from the checkpoint of {kept.size} events"))
