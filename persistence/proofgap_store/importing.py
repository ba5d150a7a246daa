"""How records of other systems become stored runs: all of a file, or none of it.

Owns what an import means. Every imported run begins its log with an event that carries the digest of the line it came
from; a link that dangles or points out of scope is kept as text, counts as no link, and is recorded as a conflict.
Refuses to overwrite anything. Source: ``docs/operations.md``, "Import".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from msgspec import convert
from msgspec.structs import replace

from proofgap.admission import admitted
from proofgap.audit import EventType, digest, run_stream, system_stream
from proofgap.decision import everyone, linked_operation
from proofgap.errors import BadInputError
from proofgap.facts import Facts, OperationFacts, SnapshotFacts
from proofgap.hooks import Trigger, project
from proofgap.records import RunDetails, SnapshotDetails, microseconds, snapshot_facts
from proofgap.text import check_id
from proofgap_store import administration, read
from proofgap_store.audit_log import Draft, Linked, head_of, link
from proofgap_store.documents import projection_data, snapshot_record
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Writing
from proofgap_store.shapes import ImportResult
from proofgap_store.transitions import Call

_EXISTING = """
SELECT r.*, e.payload ->> '$.data.line_digest' AS line_digest FROM restore_run AS r
JOIN audit_event AS e ON e.stream = 'run/' || r.id AND e.seq = 0 WHERE r.id = :run
"""
_OPERATION = "SELECT id, workspace, environment, status, outcome FROM operation_run WHERE id = :id AND imported = 1"
_SNAPSHOT = "SELECT * FROM evidence_snapshot WHERE id = :id AND imported = 1"
_EVIDENCE_OF = "SELECT id FROM evidence_snapshot WHERE operation_run_id = :operation"
_NATIVE = """
SELECT id FROM operation_run WHERE id = :id AND imported = 0
UNION ALL SELECT id FROM evidence_snapshot WHERE id = :id AND imported = 0
"""


Linkable = OperationFacts | SnapshotFacts


class _Import:
    """One import under way: what was seen so far in this file, and what is to be written."""

    def __init__(self, connection: Connection, call: Call) -> None:
        self.connection, self.call = connection, call
        self.events: list[Linked] = []
        self.openings: dict[tuple[str, str], list[Draft]] = {}
        self.lines: dict[str, str] = {}
        self.linked: dict[tuple[str, str], Linkable] = {}
        self.evidence: dict[str, frozenset[str]] = {}
        self.unchanged = self.conflicts = 0

    def take(self, number: int, facts: Facts, line: bytes) -> None:
        """Take in one line, unless it is there already."""
        _admit(number, facts)
        line_digest = sha256(line).hexdigest()
        self._let_in(number, facts)
        if self._is_known(number, facts, line_digest):
            self.unchanged += 1
            return
        self.lines[facts.run.id] = line_digest
        drafts = list(self._drafts(number, facts, line_digest))
        head = head_of(self.connection, run_stream(facts.run.id))
        self.events += link(head, drafts, self.call.actor, self.call.at_us, self.call.rec_us)

    def _is_known(self, number: int, facts: Facts, line_digest: str) -> bool:
        run_id = facts.run.id
        stored = rows(self.connection, _EXISTING, run=run_id)
        if stored and not read.roles(
            self.connection, self.call.actor.id, stored[0]["workspace"], stored[0]["environment"]
        ):
            raise _clash(number, "run.id", f"{run_id!r} cannot be used", "Rename it.")  # not theirs to know why
        if stored and not stored[0]["imported"]:
            raise _clash(number, "run.id", f"{run_id!r} is a native run", "An import never overwrites one; rename it.")
        before = self.lines.get(run_id) or (stored[0]["line_digest"] if stored else None)
        if before not in {None, line_digest}:
            raise _clash(number, "run.id", f"{run_id!r} was imported with other facts", "Imported runs never change.")
        return before is not None

    def _let_in(self, number: int, facts: Facts) -> None:
        """Check that the actor may import here; a workspace that nobody has yet comes into being, with them as admin."""
        workspace, environment = facts.run.workspace, facts.run.environment
        if workspace is None or environment is None:
            field = "run.workspace" if workspace is None else "run.environment"
            raise _clash(number, field, "is not known", "A stored run needs its workspace and environment.")
        scope, actor = (workspace, environment), self.call.actor.id
        if scope not in self.openings and not administration.may_administer(self.connection, scope, actor):
            self.openings[scope] = administration.opening(scope, actor)

    def _drafts(self, number: int, facts: Facts, line_digest: str) -> Iterator[Draft]:
        """Give the events of one line: the run first, then its links, then the decision that they lead to."""
        run, operation = facts.run, linked_operation(facts)
        link_id = operation.id if operation else None
        yield self._draft(facts, EventType.RUN_IMPORTED, link_id, _run_data(facts, link_id, line_digest))
        if operation is not None and self._is_new(number, "operation", operation, self._stored_operation(operation.id)):
            data = {"subject": operation.id, "target": operation.status, "outcome": operation.outcome}
            yield self._draft(facts, EventType.OPERATION_IMPORTED, link_id, data)
        if operation is not None:
            self._demand_the_same_evidence(number, facts, operation)
        if operation is None and run.operation_run_id is not None:
            yield self._conflict(facts, "operation_run", run.operation_run_id, facts.operation)
        for snapshot in facts.evidence:
            yield from self._evidence(number, facts, link_id, snapshot)
        kept = _as_kept(facts, link_id)
        projection = project(kept, everyone(kept), Trigger.IMPORT)
        yield self._draft(facts, EventType.DECISION_PROJECTED, link_id, projection_data(projection))

    def _evidence(self, number: int, facts: Facts, link_id: str | None, snapshot: SnapshotFacts) -> Iterator[Draft]:
        run = facts.run
        ours = link_id is not None and snapshot.operation_run_id == link_id
        if not ours or (snapshot.workspace, snapshot.environment) != (run.workspace, run.environment):
            yield self._conflict(facts, "evidence_snapshot", snapshot.id, snapshot)
        elif self._is_new(number, "evidence", snapshot, self._stored_snapshot(snapshot.id)):
            data = {
                "subject": snapshot.id,
                "target": snapshot.status,
                "captured_at_us": microseconds(snapshot.captured_at),
                "details": SnapshotDetails(),
            }
            yield self._draft(facts, EventType.EVIDENCE_IMPORTED, link_id, data)

    def _demand_the_same_evidence(self, number: int, facts: Facts, operation: OperationFacts) -> None:
        """Refuse a line that gives one of several runs of an operation run more evidence than the others."""
        run = facts.run
        scope = (run.workspace, run.environment)
        brought = frozenset(
            row.id
            for row in facts.evidence
            if row.operation_run_id == operation.id and (row.workspace, row.environment) == scope
        )
        stored = rows(self.connection, _EVIDENCE_OF, operation=operation.id)
        known = frozenset(row["id"] for row in stored) if self._stored_operation(operation.id) else brought
        if self.evidence.setdefault(operation.id, known) != brought:
            remedy = "Give the operation run an id of its own, or both runs the same evidence."
            raise _clash(number, "evidence", f"differs from that of another run of {operation.id!r}", remedy)

    def _stored_operation(self, operation_id: str) -> OperationFacts | None:
        stored = rows(self.connection, _OPERATION, id=operation_id)
        return convert(stored[0], OperationFacts) if stored else None

    def _stored_snapshot(self, snapshot_id: str) -> SnapshotFacts | None:
        stored = rows(self.connection, _SNAPSHOT, id=snapshot_id)
        return snapshot_facts(snapshot_record(stored[0])) if stored else None

    def _is_new(self, number: int, field: str, taken: Linkable, stored: Linkable | None) -> bool:
        """Tell whether a linked record is new; one that is there already must say the same."""
        if rows(self.connection, _NATIVE, id=taken.id):
            raise _clash(number, f"{field}.id", f"{taken.id!r} cannot be used", "Native records are never taken over.")
        is_first = (field, taken.id) not in self.linked
        known = self.linked.setdefault((field, taken.id), stored or taken)
        if known != taken:
            raise _clash(number, f"{field}.id", f"{taken.id!r} is there with other facts", "Give it an id of its own.")
        return stored is None and is_first

    def _conflict(self, facts: Facts, kind: str, link_id: str, found: object) -> Draft:
        self.conflicts += 1
        data = {"kind": kind, "link": link_id, "found": found, "counts_as": "no link"}
        return self._draft(facts, EventType.LINK_CONFLICTED, None, data)

    def _draft(self, facts: Facts, kind: EventType, operation: str | None, data: dict[str, Any]) -> Draft:
        run = facts.run
        return Draft(kind, run.workspace, run.environment, run.id, operation, data)


def writing(
    connection: Connection, lines: Sequence[tuple[Facts, bytes]], call: Call
) -> Writing[ImportResult] | ImportResult:
    """Compute everything an import writes; nothing at all if every line is there already.

    Raises:
        BadInputError: names the line and the field that contradict what is stored.

    """
    work = _Import(connection, call)
    for number, (facts, line) in enumerate(lines, 1):
        work.take(number, facts, line)
    result = ImportResult(imported=len(work.lines), unchanged=work.unchanged, conflicts=work.conflicts)
    if not work.events:
        return result
    openings = [draft for drafts in work.openings.values() for draft in drafts]
    first = link(head_of(connection, system_stream("ledger")), openings, call.actor, call.at_us, call.rec_us)
    return Writing(events=[*first, *work.events], answer=lambda _written: result)


def _as_kept(facts: Facts, link_id: str | None) -> Facts:
    """Give the facts as they will be read again: a link that counts as none is none, and evidence is in its order."""
    scope = (facts.run.workspace, facts.run.environment)
    ours = [
        row for row in facts.evidence if row.operation_run_id == link_id and (row.workspace, row.environment) == scope
    ]
    return replace(
        facts,
        run=replace(facts.run, operation_run_id=link_id),
        operation=facts.operation if link_id is not None else None,
        evidence=tuple(sorted(ours, key=lambda row: row.id)) if link_id is not None else (),
    )


def _run_data(facts: Facts, link_id: str | None, line_digest: str) -> dict[str, Any]:
    run = facts.run
    return {
        "subject": run.id,
        "target": run.status,
        "is_dry_run": run.is_dry_run,
        "operation_run_ref": run.operation_run_id if link_id is None else None,
        "details": RunDetails(counts=run.counts, items=run.items, attention=run.attention),
        "line_digest": line_digest,
        "facts_digest": digest(facts),
    }


def _admit(number: int, facts: Facts) -> None:
    """Hold facts to what the intake of lines lets through, whoever built them."""
    try:
        admitted("", facts)
        for place, value in _ids(facts):
            if value is not None:
                check_id(place, value)
    except BadInputError as error:
        raise _clash(number, error.field, error.problem, error.remedy) from None


def _ids(facts: Facts) -> Iterator[tuple[str, str | None]]:
    """Give the place and the value of every id in a line."""
    run = facts.run
    for name in ("id", "workspace", "environment", "operation_run_id"):
        yield f"run.{name}", getattr(run, name)
    if facts.operation is not None:
        yield "operation.id", facts.operation.id
    for number, row in enumerate(facts.evidence):
        yield f"evidence[{number}].id", row.id


def _clash(number: int, field: str, problem: str, remedy: str) -> BadInputError:
    return BadInputError(f"line {number}: {field}", problem, remedy)
