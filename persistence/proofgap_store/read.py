"""What the ledger reads: every SELECT on runs, evidence, roles and receipts.

Owns the queries. Refuses to write, and to decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from proofgap.access import ANY_ENVIRONMENT, Role, is_token
from proofgap.audit import GENESIS, NOTE, canonical, run_stream
from proofgap.errors import NotFoundError
from proofgap.facts import TERMINAL_RUN_STATUSES
from proofgap.records import RunRecord
from proofgap.text import check_id
from proofgap_store.audit_log import Head
from proofgap_store.dialect import Statement
from proofgap_store.documents import run_record
from proofgap_store.engine import Connection, Row, execute, rows
from proofgap_store.shapes import Opening

_RUN = """
SELECT r.*, CAST(m.payload ->> '$.rec_us' AS BIGINT) AS moved_at_us, e.approvals_required, o.status AS operation_status, o.outcome AS operation_outcome,
       o.version AS operation_version
FROM restore_run AS r
JOIN environment AS e ON e.workspace = r.workspace AND e.id = r.environment
LEFT JOIN audit_event AS m ON m.event_id = r.last_event_id
LEFT JOIN operation_run AS o
  ON o.workspace = r.workspace AND o.environment = r.environment AND o.id = r.operation_run_id
"""
_MAKER = """
SELECT e.actor FROM access_token AS t JOIN audit_event AS e ON e.event_id = t.created_event_id WHERE t.id = :principal
"""
_ONE_RUN = f"""
SELECT found.*, s.seq, s.head, (SELECT seq FROM audit_stream WHERE stream = 'system/ledger') AS law, (
  SELECT CAST(d.payload ->> '$.data.evidence_valid_us' AS BIGINT) FROM environment AS n
  JOIN audit_event AS d ON d.event_id = n.last_event_id
  WHERE n.workspace = found.workspace AND n.id = found.environment
) AS evidence_valid_us, (
  SELECT group_concat(role) FROM access_grant
  WHERE principal = :principal AND workspace = found.workspace AND environment IN (found.environment, :any) AND active = 1
) AS roles, (
  SELECT id FROM restore_run WHERE workspace = found.workspace AND environment = found.environment AND holds_env = 1
) AS held_by, ({_MAKER}) AS maker, EXISTS (SELECT 1 FROM evidence_snapshot WHERE operation_run_id = found.operation_run_id) AS has_evidence
FROM ({_RUN} WHERE r.id = ({{which}})) AS found
LEFT JOIN audit_stream AS s ON s.stream = 'run/' || found.id
"""  # noqa: S608 - put together from our own text only
_EVIDENCE = """
SELECT * FROM evidence_snapshot WHERE operation_run_id = :operation AND workspace = :workspace AND environment = :environment
ORDER BY id
"""
_ROLES = """
SELECT role FROM access_grant
WHERE principal = :principal AND workspace = :workspace AND environment IN (:environment, :any) AND active = 1
"""
_RECEIPT = "SELECT fingerprint, body, event_id FROM receipt WHERE actor = :actor AND key = :key"
OPENINGS = """(
  SELECT json_group_object(p.path, p.salt || ' ' || p.value)
  FROM audit_private AS p WHERE p.event_id = e.event_id)"""
"""What opens the commitments of an event, as an expression over ``audit_event AS e``; `openings` reads it."""

_OPENINGS = msgspec.json.Decoder(dict[str, str])
_NOTED = """
SELECT (SELECT value FROM audit_private WHERE event_id = e.event_id AND path = 'data.note') AS value,
       e.payload ->> '$.commit."data.note"' IS NOT NULL AS is_committed
FROM audit_event AS e WHERE e.event_id = :event
"""
_LAST_EVENT = "SELECT last_event_id FROM restore_run WHERE id = :run"
_LAST_NOTE = """
SELECT p.value FROM restore_run AS r JOIN audit_private AS p ON p.event_id = r.last_event_id AND p.path = :note
WHERE r.id = :run
"""
_UNCHANGED = """
SELECT count(*) AS number FROM result_item
WHERE run = :run AND result = 'succeeded' AND document ->> '$.action' = 'unchanged'
"""
_OWNER_OF_SNAPSHOT = "SELECT run FROM evidence_snapshot WHERE id = :snapshot AND run IS NOT NULL"

GRANTS = "SELECT workspace, environment, role FROM access_grant WHERE principal = :principal AND active = 1"
"""Gives every role that a principal holds, and where; `granted` reads it."""

_PAGE = f"""
{_RUN} WHERE r.id IN (SELECT value FROM json_each(:runs)) ORDER BY r.created_at_us DESC, r.id DESC
"""  # noqa: S608 - as above
_EVIDENCE_OF_PAGE = """
SELECT * FROM evidence_snapshot WHERE operation_run_id IN (SELECT value FROM json_each(:operations))
ORDER BY id
"""


class Found(NamedTuple):
    """A run as it stands, the end of its stream, and the roles that one principal holds where it is."""

    record: RunRecord
    head: Head
    roles: frozenset[Role]
    law: int  # number of the last event on grants and environments
    held_by: str | None  # the run that holds its environment
    evidence_valid_us: int | None  # how long evidence counts there; for ever, unless the environment says so
    maker: str | None  # who made the token that the principal is


def run(connection: Connection, run_id: str, principal: str) -> Found:
    """Read a run with everything that a transition or a projection of it needs.

    Raises:
        NotFoundError: there is none.

    """
    found = run_that(connection, ":run", principal, run=check_id("run", run_id))
    if found is None:
        raise NotFoundError("restore run", run_id)
    return found


def run_that(connection: Connection, which: str, principal: str, /, **parameters: object) -> Found | None:
    """Read the run whose id an expression gives, in the same statement; ``None``: it gives none."""
    statement = _ONE_RUN.format(which=which)
    row = next(iter(rows(connection, statement, principal=principal, any=ANY_ENVIRONMENT, **parameters)), None)
    if row is None:
        return None
    stream, record = run_stream(row["id"]), run_record(row, _evidence(connection, row))
    head = Head(stream, 0, GENESIS) if row["seq"] is None else Head(stream, row["seq"] + 1, row["head"])
    held = frozenset(map(Role, row["roles"].split(","))) if row["roles"] else frozenset()
    return Found(record, head, held, row["law"], row["held_by"], row["evidence_valid_us"], row["maker"])


def _evidence(connection: Connection, row: Row) -> list[Row]:
    if not row["has_evidence"]:
        return []
    return rows(
        connection,
        _EVIDENCE,
        operation=row["operation_run_id"],
        workspace=row["workspace"],
        environment=row["environment"],
    )


def roles(connection: Connection, principal: str, workspace: str, environment: str) -> frozenset[Role]:
    """Read the roles that a principal holds in one workspace and environment."""
    found = rows(
        connection, _ROLES, principal=principal, workspace=workspace, environment=environment, any=ANY_ENVIRONMENT
    )
    return frozenset(Role(row["role"]) for row in found)


def maker_of(connection: Connection, principal: str) -> str | None:
    """Read who made a token; ``None``: this is no token."""
    found = rows(connection, _MAKER, principal=principal) if is_token(principal) else []
    return found[0]["actor"] if found else None


def holds(found: Found) -> bool:
    """Tell whether a run that has ended still holds its environment: nobody has released it."""
    return found.held_by == found.record.id and found.record.status in TERMINAL_RUN_STATUSES


def run_of_snapshot(connection: Connection, snapshot_id: str) -> str:
    """Read which run an evidence snapshot belongs to.

    Raises:
        NotFoundError: there is no such snapshot, or no run is linked to it.

    """
    found = rows(connection, _OWNER_OF_SNAPSHOT, snapshot=check_id("snapshot", snapshot_id))
    if not found:
        raise NotFoundError("evidence snapshot", snapshot_id)
    owner: str = found[0]["run"]
    return owner


LAW: Statement = "SELECT coalesce(max(seq), -1) AS seq FROM audit_stream WHERE stream = 'system/ledger'", {}
"""Gives the number of the last event on grants and environments: what a permission rests on."""


def law(connection: Connection) -> int:
    """Read that number."""
    number: int = rows(connection, LAW[0])[0]["seq"]
    return number


def receipt(connection: Connection, actor: str, key: str) -> Row | None:
    """Read the receipt that an actor got under a key, if any."""
    return next(iter(rows(connection, _RECEIPT, actor=actor, key=key)), None)


class Noted(NamedTuple):
    """What is known of an event's note: ``value`` is it, or that there was none, if that ``is_known``."""

    value: str | None
    is_known: bool


def noted(connection: Connection, event_id: int) -> Noted:
    """Read the note of an event; one that was erased is not known any more."""
    row = rows(connection, _NOTED, event=event_id)[0]
    return Noted(row["value"], row["value"] is not None or not row["is_committed"])


def last_noted(connection: Connection, run_id: str) -> Noted:
    """Read the note of the event that moved a run last, as `noted` does."""
    return noted(connection, rows(connection, _LAST_EVENT, run=run_id)[0]["last_event_id"])


def last_note(connection: Connection, run_id: str) -> str | None:
    """Read the note of the event that moved a run last, if there is one still."""
    found = rows(connection, _LAST_NOTE, run=run_id, note=NOTE)
    return found[0]["value"] if found else None


def unchanged(connection: Connection, run_id: str) -> int:
    """Count the items of a run that succeeded although nothing was written: the target held them already."""
    number: int = rows(connection, _UNCHANGED, run=run_id)[0]["number"]
    return number


def openings(text: str) -> dict[str, Opening]:
    """Read what the expression `OPENINGS` gave."""
    found = {path: opening.split(" ", 1) for path, opening in _OPENINGS.decode(text).items()}
    return {path: Opening(salt=salt, value=value) for path, (salt, value) in found.items()}


def grants(connection: Connection, principal: str) -> dict[tuple[str, str], frozenset[Role]]:
    """Read every role that a principal holds, by workspace and environment."""
    return granted(execute(connection, GRANTS, {"principal": principal}))


def granted(found: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], frozenset[Role]]:
    """Put together what `GRANTS` gave."""
    held: dict[tuple[str, str], frozenset[Role]] = {}
    for workspace, environment, role in found:
        scope = (workspace, environment)
        held[scope] = held.get(scope, frozenset()) | {Role(role)}
    return held


def runs(connection: Connection, ids: Sequence[str]) -> list[RunRecord]:
    """Read runs by their ids, newest first: two queries in all."""
    found = rows(connection, _PAGE, runs=canonical(ids).decode())
    operations = [row["operation_run_id"] for row in found if row["operation_run_id"] is not None]
    evidence: dict[str, list[Row]] = {}
    for row in rows(connection, _EVIDENCE_OF_PAGE, operations=canonical(operations).decode()):
        evidence.setdefault(row["operation_run_id"], []).append(row)
    return [run_record(row, evidence.get(row["operation_run_id"], [])) for row in found]
