"""What a verification is asked, and what it says: shapes, and the collector of findings.

Owns how many findings are told. Refuses to know how anything is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from proofgap.facts import Struct
from proofgap.findings import Code, Finding, Severity, Verdict
from proofgap.notes import VerifierKey
from proofgap_store.engine import Connection, rows

FINDINGS_KEPT_MAX = 1_000
"""How many findings are told; the others are counted."""

_INDEX = "SELECT idx FROM audit_leaf WHERE event_id = :event"


def said(path: str, of: str = "payload") -> str:
    """Give the SQL for what an event says under a path; ``NULL`` where its bytes are no JSON any more."""
    return f"CASE WHEN json_valid({of}) THEN {of} ->> '$.{path}' END"


def encoded(payload: str) -> bytes:
    """Give the stored bytes of an event, also where they are no text any more; see ``verify_work.reading``."""
    return payload.encode("utf-8", "surrogateescape")


def decoded(payload: str) -> dict[str, Any]:
    """Give what an event says; nothing where its bytes are no object in JSON any more, which is found elsewhere."""
    try:
        found = msgspec.json.decode(encoded(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What is raised where an event does not say what events of its type say."""


class Anchors(Struct):
    """What a log is held against from outside: all of it optional, and the verdict says what there was.

    ``keys`` are those that the auditor trusts; ``pin`` is a checkpoint that the auditor kept, ``head`` the head file,
    ``since`` a checkpoint up to which everything was verified before. All three are signed notes.
    """

    keys: tuple[VerifierKey, ...] = ()
    pin: str | None = None
    head: str | None = None
    since: str | None = None


class Depth(Struct):
    """How deep to look. A quick look reads no payloads, and never says OK. ``now_us`` dates what is old.

    ``age_us_max`` is how old the last checkpoint may be; ``None``: a ledger in which nothing happens needs no new one.
    """

    now_us: int
    is_quick: bool = False
    jobs: int = 1
    age_us_max: int | None = None


class Verification(Struct):
    """What a verification found."""

    verdict: Verdict
    anchor: str  # what the log was held against from outside
    unseen: str  # what that anchor cannot see
    events: int
    size: int  # of the tree
    root: str | None  # of the tree, in hex
    checkpoint: str | None  # the last signed note, for whoever pins it
    pruned_before: int  # payloads of leaves below this were pruned
    since: int  # leaves below this were not read
    counts: dict[Code, int]
    findings: tuple[Finding, ...]


class Findings:
    """Everything found so far, with the places of events in the tree."""

    def __init__(self, connection: Connection) -> None:
        """Begin without any; the connection tells which leaf an event has."""
        self._connection = connection
        self.counts: Counter[Code] = Counter()
        self.kept: list[Finding] = []

    def __call__(self, finding: Finding) -> None:
        """Take in a finding."""
        self.counts[finding.code] += 1
        if len(self.kept) < FINDINGS_KEPT_MAX:
            self.kept.append(self._placed(finding))

    def _placed(self, finding: Finding) -> Finding:
        if finding.index is not None or finding.event_id is None:
            return finding
        found = rows(self._connection, _INDEX, event=finding.event_id)
        where = {name: getattr(finding, name) for name in ("code", "detail", "event_id", "stream")}
        return Finding(index=found[0]["idx"] if found else None, **where)

    def merge(self, counts: Counter[Code], kept: Sequence[Finding]) -> None:
        """Take in what was found in another part of the log."""
        self.counts.update(counts)
        self.kept += kept[: FINDINGS_KEPT_MAX - len(self.kept)]

    @property
    def severities(self) -> frozenset[Severity]:
        """How grave the findings are."""
        return frozenset(code.meaning.severity for code in self.counts)
