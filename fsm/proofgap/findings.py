"""What a verification of the log can find: every code, how grave it is, and what to do about it.

Owns the closed set of findings and how they add up to a verdict. Refuses to know how they are found (`replay`, and the
verifier of the store).

A verdict speaks of the log, never of a restore: that the log is as it was written says nothing of what was restored.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from proofgap.facts import Struct


class Severity(StrEnum):
    """How grave a finding is, the gravest first."""

    TAMPERED = "tampered"  # something is not as it was written
    UNVERIFIABLE = "unverifiable"  # it cannot be told, for want of a key or of a place to hold it against
    WARNING = "warning"  # it has an honest explanation; look at it
    NOTE = "note"  # a logged act that takes something away from what can be verified


class Verdict(StrEnum):
    """What a verification comes to."""

    OK = "OK"
    TAMPERED = "TAMPERED"
    UNVERIFIABLE = "UNVERIFIABLE"
    WARN = "WARN"
    QUICK = "QUICK"  # no tampering found, but nearly nothing was looked at


class Meaning(NamedTuple):
    """How grave a finding is, what it says, and what to do."""

    severity: Severity
    says: str
    hint: str


class Code(StrEnum):
    """Everything that a verification can find."""

    GUARD_MISSING = "GUARD_MISSING"
    GUARD_FOREIGN = "GUARD_FOREIGN"
    NOTE_INVALID = "NOTE_INVALID"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_RETIRED = "KEY_RETIRED"
    KEY_UNENDORSED = "KEY_UNENDORSED"
    CHECKPOINT_TIME = "CHECKPOINT_TIME"
    CHECKPOINT_MISSING = "CHECKPOINT_MISSING"
    LEAF_GAP = "LEAF_GAP"
    LEAF_MISMATCH = "LEAF_MISMATCH"
    EVENT_MISSING = "EVENT_MISSING"
    EVENT_UNQUEUED = "EVENT_UNQUEUED"
    EVENT_ORDER = "EVENT_ORDER"
    NODE_MISMATCH = "NODE_MISMATCH"
    ROOT_MISMATCH = "ROOT_MISMATCH"
    ROLLBACK = "ROLLBACK"
    FORK = "FORK"
    STALE = "STALE"
    UNSEQUENCED = "UNSEQUENCED"
    FORM_INVALID = "FORM_INVALID"
    EVENT_EDITED = "EVENT_EDITED"
    COLUMN_MISMATCH = "COLUMN_MISMATCH"
    DATABASE_DAMAGED = "DATABASE_DAMAGED"
    CHAIN_GAP = "CHAIN_GAP"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    STREAM_HEAD = "STREAM_HEAD"
    MOVE_ILLEGAL = "MOVE_ILLEGAL"
    DEFINITION_UNKNOWN = "DEFINITION_UNKNOWN"
    ROW_MISMATCH = "ROW_MISMATCH"
    ROW_MISSING = "ROW_MISSING"
    ROW_FOREIGN = "ROW_FOREIGN"
    ROWS_DIGEST = "ROWS_DIGEST"
    RECEIPT_MISMATCH = "RECEIPT_MISMATCH"
    TIME_BACKWARDS = "TIME_BACKWARDS"
    TIME_WINDOW = "TIME_WINDOW"
    OPENING_INVALID = "OPENING_INVALID"
    OPENING_MISSING = "OPENING_MISSING"
    PROJECTION_MISMATCH = "PROJECTION_MISMATCH"
    FACTS_MISMATCH = "FACTS_MISMATCH"
    RULES_UNKNOWN = "RULES_UNKNOWN"
    PRUNE_INVALID = "PRUNE_INVALID"
    GAP_DECLARED = "GAP_DECLARED"
    PRUNED = "PRUNED"
    RESTORE_DECLARED = "RESTORE_DECLARED"
    BUNDLE_UNREADABLE = "BUNDLE_UNREADABLE"
    FILE_MISSING = "FILE_MISSING"
    FILE_FOREIGN = "FILE_FOREIGN"
    FILE_CHANGED = "FILE_CHANGED"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    PROOF_INVALID = "PROOF_INVALID"
    PAGE_MISMATCH = "PAGE_MISMATCH"
    PAGE_UNKNOWN = "PAGE_UNKNOWN"
    CONSISTENCY_MISSING = "CONSISTENCY_MISSING"

    @property
    def meaning(self) -> Meaning:
        """How grave it is, what it says, and what to do."""
        return MEANINGS[self]


_FROM_COPY = "Compare with an earlier copy, export or bundle, and find out who could write the file."
_FROM_OWNER = "Ask the owner of the ledger for the bundle again, and compare."
_T, _U, _W, _N = Severity.TAMPERED, Severity.UNVERIFIABLE, Severity.WARNING, Severity.NOTE
MEANINGS = MappingProxyType(
    {
        Code.GUARD_MISSING: Meaning(_T, "a guard of the database is missing or changed", "Find out who removed it."),
        Code.GUARD_FOREIGN: Meaning(_T, "the database has a part that no version made", "Find out who put it there."),
        Code.NOTE_INVALID: Meaning(_T, "a signed checkpoint does not verify", _FROM_COPY),
        Code.KEY_UNKNOWN: Meaning(_U, "no known key signed it", "Hand in the key that you trust, as --policy FILE."),
        Code.KEY_RETIRED: Meaning(_T, "a key signed after it was replaced", "Ask who still holds the old key."),
        Code.KEY_UNENDORSED: Meaning(
            _T, "a new key was not endorsed by the one before it", "Ask the owner of the ledger for the new key."
        ),
        Code.CHECKPOINT_TIME: Meaning(_T, "the time of a checkpoint did not advance", "Look at the clock of that day."),
        Code.CHECKPOINT_MISSING: Meaning(_T, "leaves are covered by no checkpoint", _FROM_COPY),
        Code.LEAF_GAP: Meaning(_T, "leaves are missing", _FROM_COPY),
        Code.LEAF_MISMATCH: Meaning(_T, "an event is not the one that its leaf stands for", _FROM_COPY),
        Code.EVENT_MISSING: Meaning(_T, "a leaf stands for an event that is gone", _FROM_COPY),
        Code.EVENT_UNQUEUED: Meaning(_T, "an event is neither in the tree nor in the queue for it", _FROM_COPY),
        Code.EVENT_ORDER: Meaning(_T, "events and leaves are not in the same order", _FROM_COPY),
        Code.NODE_MISMATCH: Meaning(_T, "a stored node is not the hash of what is below it", _FROM_COPY),
        Code.ROOT_MISMATCH: Meaning(_T, "the leaves do not lead to the root that was signed", _FROM_COPY),
        Code.ROLLBACK: Meaning(
            _T, "the log is shorter than what was seen before", "If it was restored: proofgap audit declare-restore."
        ),
        Code.FORK: Meaning(_T, "the log is another one than what was seen before", _FROM_COPY),
        Code.STALE: Meaning(_W, "the last checkpoint is old", "Make one with: proofgap audit checkpoint."),
        Code.UNSEQUENCED: Meaning(_W, "events wait for a checkpoint", "Make one with: proofgap audit checkpoint."),
        Code.FORM_INVALID: Meaning(_T, "an event is not in canonical form", _FROM_COPY),
        Code.EVENT_EDITED: Meaning(_T, "the bytes of an event do not give its hash", _FROM_COPY),
        Code.COLUMN_MISMATCH: Meaning(
            _T, "a column says something else than the event that it is read off", _FROM_COPY
        ),
        Code.DATABASE_DAMAGED: Meaning(_T, "the database itself is not sound, or an index hides rows", _FROM_COPY),
        Code.CHAIN_GAP: Meaning(_T, "events are missing from a stream, or there twice", _FROM_COPY),
        Code.CHAIN_BROKEN: Meaning(_T, "an event does not name the one before it", _FROM_COPY),
        Code.STREAM_HEAD: Meaning(_T, "a stream does not end where its head says", _FROM_COPY),
        Code.MOVE_ILLEGAL: Meaning(_T, "an event moves a record as the machine in force did not allow", _FROM_COPY),
        Code.DEFINITION_UNKNOWN: Meaning(_T, "an event names a machine that was not in force", _FROM_COPY),
        Code.ROW_MISMATCH: Meaning(_T, "a record is not what the log makes of it", "Believe the log."),
        Code.ROW_MISSING: Meaning(_T, "a record that the log knows is gone", "Believe the log."),
        Code.ROW_FOREIGN: Meaning(_T, "a record is there that the log does not know", "Believe the log."),
        Code.ROWS_DIGEST: Meaning(_T, "item or check rows are not those that were reported", _FROM_COPY),
        Code.RECEIPT_MISMATCH: Meaning(_T, "a receipt is not that of its event", "Believe the log."),
        Code.TIME_BACKWARDS: Meaning(_W, "the clock went back between two events", "Look at the clock of that day."),
        Code.TIME_WINDOW: Meaning(
            _W, "an event was recorded after the checkpoint that covers it", "Look at the clock."
        ),
        Code.OPENING_INVALID: Meaning(_T, "a stored value is not the one that was committed to", _FROM_COPY),
        Code.OPENING_MISSING: Meaning(_T, "a committed value is gone, and no event says why", _FROM_COPY),
        Code.PROJECTION_MISMATCH: Meaning(_T, "a decision does not follow from its facts", "Believe the facts."),
        Code.FACTS_MISMATCH: Meaning(_T, "a decision was made from facts that were not the case", "Believe the log."),
        Code.RULES_UNKNOWN: Meaning(
            _W, "decisions were made by rules of another version", "Verify with that version of proofgap, too."
        ),
        Code.PRUNE_INVALID: Meaning(
            _T,
            "a pruning is not as the rules allow, or what it left was changed",
            "Look into the export that was kept.",
        ),
        Code.GAP_DECLARED: Meaning(_W, "guards were missing for a time that nobody knows", "Read the reason given."),
        Code.PRUNED: Meaning(_N, "payloads were pruned; the root is intact", "Look into the export that was kept."),
        Code.RESTORE_DECLARED: Meaning(_N, "this ledger was itself restored from a copy", "Pin it anew, if you agree."),
        Code.BUNDLE_UNREADABLE: Meaning(_T, "the file of a bundle is damaged, or made to do harm", _FROM_OWNER),
        Code.FILE_MISSING: Meaning(_T, "a file is missing from the bundle", _FROM_OWNER),
        Code.FILE_FOREIGN: Meaning(_T, "a file is in the bundle that does not belong to it", _FROM_OWNER),
        Code.FILE_CHANGED: Meaning(_T, "a file of the bundle is not the one that was signed", _FROM_OWNER),
        Code.MANIFEST_INVALID: Meaning(_T, "the manifest of the bundle is not what the log signed", _FROM_OWNER),
        Code.PROOF_INVALID: Meaning(_T, "an event is not proven to be in the log", _FROM_OWNER),
        Code.PAGE_MISMATCH: Meaning(_T, "the page is not the page of these events", "Believe the events."),
        Code.PAGE_UNKNOWN: Meaning(
            _U, "the page was written by another version", "Verify with that version of proofgap, too."
        ),
        Code.CONSISTENCY_MISSING: Meaning(
            _U, "nothing leads from the earlier checkpoint to this one", "Ask for a bundle made with --previous."
        ),
    }
)
"""What each code means. A test holds that none is forgotten."""


class Finding(Struct):
    """One thing found: what, where, and what exactly. ``index`` is the place of the leaf in the tree."""

    code: Code
    detail: str
    index: int | None = None
    event_id: int | None = None
    stream: str | None = None


_OF_SEVERITY = (
    (Severity.TAMPERED, Verdict.TAMPERED),
    (Severity.UNVERIFIABLE, Verdict.UNVERIFIABLE),
    (Severity.WARNING, Verdict.WARN),
)


def verdict(severities: frozenset[Severity], *, is_quick: bool) -> Verdict:
    """Add findings up: the gravest counts, and a quick look is never OK."""
    for severity, found in _OF_SEVERITY:
        if severity in severities:
            return found
    return Verdict.QUICK if is_quick else Verdict.OK
