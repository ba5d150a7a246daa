"""What people are shown: one run, a log, items, checks; and the record that they were shown it. Lists are in `lists`.

Owns who sees which rows. No event, no view: a projection for a person is written before it is given out. Refuses to
know what a decision means (`proofgap.decision`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from proofgap.access import MAY, Action, Place, as_seen, authorize, viewer_of
from proofgap.audit import Actor, EventType, view_stream
from proofgap.errors import NotFoundError
from proofgap.facts import TERMINAL_RUN_STATUSES, Count, ItemResult, Struct
from proofgap.hooks import Trigger, project
from proofgap.records import Check, Item, Machine, RunRecord
from proofgap.secret import without_secrets
from proofgap.wording import DecisionState
from proofgap_store import read
from proofgap_store.audit_log import head_of, link
from proofgap_store.documents import projection_draft
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.expiry import EvidenceOverError, expired
from proofgap_store.gate import Writing
from proofgap_store.shapes import HistoryEvent, Shown

_ITEMS = msgspec.json.Decoder(Item)
_CHECKS = msgspec.json.Decoder(Check)
_OF_EVIDENCE = (
    EventType.EVIDENCE_CREATED,
    EventType.EVIDENCE_IMPORTED,
    EventType.EVIDENCE_TRANSITIONED,
    EventType.EVIDENCE_REVIEWED,
    EventType.DECISION_PROJECTED,
)
NOT_WITHHELD = f"""(:evident = 1 OR (
  e.type NOT IN ('{"', '".join(_OF_EVIDENCE)}')
  AND coalesce(e.payload ->> '$.data.machine', '') <> '{Machine.EVIDENCE}'
  AND coalesce(e.payload ->> '$.data.kind', '') NOT IN ('evidence', 'evidence snapshot', 'evidence_snapshot')))"""
"""What of a run's log everybody may read who reads it: of evidence, whoever may not read it does not learn that there is any.

Not by its events, nor by a refusal or a denial about it, nor by a decision, whose event holds every fact. Takes the parameter of
`told_to`."""

_SELECT_HISTORY = f"""
SELECT e.event_id, e.leaf, e.payload, {read.OPENINGS} AS openings FROM audit_event AS e
WHERE e.run = :run AND e.event_id > :after AND {NOT_WITHHELD} ORDER BY e.event_id
"""  # noqa: S608 - put together from our own text only
_SELECT_ITEMS = """
SELECT document FROM result_item WHERE run = :run AND item_key > :after AND (CAST(:result AS TEXT) IS NULL OR result = :result)
ORDER BY item_key LIMIT :limit
"""
_DECLARED = "SELECT 1 FROM environment WHERE workspace = :workspace AND id = :environment"
_SELECT_CHECKS = "SELECT document FROM evidence_check WHERE snapshot = :snapshot ORDER BY number"


class Asked(NamedTuple):
    """Who asked, for whom, and when (microseconds since 1970-01-01 UTC)."""

    actor: Actor
    viewer: str
    at_us: int


class Query(Struct):
    """Which runs to list: all of them, unless narrowed; ``after`` is the ``next`` of the page before."""

    workspace: str | None = None
    environment: str | None = None
    state: DecisionState | None = None
    text: str | None = None  # part of the run's id, its backup or its target; upper and lower case are one
    since_us: Count | None = None  # created from then on, in microseconds since 1970-01-01 UTC
    until_us: Count | None = None  # created before then
    limit: int = 50
    after: str | None = None


class Page(Struct):
    """Which items to read: those after a key, of one result or of all."""

    result: ItemResult | None = None
    after: str = ""
    limit: int = 1000


EVERYTHING = Query()
FIRST_PAGE = Page()


def visible(
    connection: Connection, run_id: str, principal: str, action: Action, named: tuple[str, str] | None = None
) -> read.Found:
    """Read a run for somebody who wants to do something with it.

    Raises:
        NotFoundError: there is none, or they hold no role where it is.
        ForbiddenError: they see it, but may not do this.

    """
    found = read.run(connection, run_id, principal)
    place = Place(found.record.workspace, found.record.environment, run_id)
    authorize(principal, found.roles, action, named or ("restore run", run_id), place)
    return found


def permit(connection: Connection, action: Action, scope: tuple[str, str], principal: str) -> None:
    """Let somebody through who may do something in a workspace and environment. Raises as `authorize` does."""
    held = read.roles(connection, principal, *scope)
    authorize(principal, held, action, ("environment", "/".join(scope)), Place(*scope))


def permit_in(connection: Connection, action: Action, place: Place, principal: str) -> None:
    """Let somebody through who may do something in an environment that is there.

    Raises:
        NotFoundError, ForbiddenError: as for `permit`; or a role for every environment was granted, and this is none.

    """
    scope = (place.workspace or "", place.environment or "")
    permit(connection, action, scope, principal)
    if not rows(connection, _DECLARED, workspace=scope[0], environment=scope[1]):
        raise NotFoundError("environment", "/".join(scope))


def peek(connection: Connection, run_id: str, principal: str) -> RunRecord:
    """Read a run as somebody may see it."""
    found = visible(connection, run_id, principal, Action.VIEW)
    return as_seen(found.record, viewer_of(principal, found.roles, found.record.facts()))


def showing(connection: Connection, run_id: str, asked: Asked) -> Writing[Shown] | Shown:
    """Compute what one person is shown of one run, and the event that says so."""
    if asked.viewer != asked.actor.id:
        visible(connection, run_id, asked.actor.id, Action.VIEW_AS)
    found = visible(connection, run_id, asked.viewer, Action.VIEW)
    record, facts = found.record, found.record.facts()
    if expired(record, asked.at_us) is not None:
        raise EvidenceOverError([run_id])
    viewer = viewer_of(asked.viewer, found.roles, facts)
    projection = project(facts, viewer, Trigger.SHOW)
    head = head_of(connection, view_stream(run_id, asked.viewer))
    events = link(head, [projection_draft(projection, record)], asked.actor, asked.at_us, asked.at_us)
    note = read.last_note(connection, run_id) if is_told_why(found) else None
    unchanged = read.unchanged(connection, run_id)
    return Writing(
        events=events,
        answer=lambda written: Shown(
            record=as_seen(record, viewer),
            decision=projection.decision,
            viewer=viewer,
            facts_digest=projection.facts_digest if found.roles & MAY[Action.READ_EVIDENCE] else None,
            event_id=written[0].event_id,
            at_us=asked.at_us,
            note=note,
            unchanged=unchanged,
            holds_environment=read.holds(found),
        ),
    )


def is_told_why(found: read.Found) -> bool:
    """Tell whether a run has ended, and why, in the words of whoever ended it, is for somebody who holds these roles."""
    return found.record.status in TERMINAL_RUN_STATUSES and bool(found.roles & MAY[Action.READ_LOG])


def history(connection: Connection, run_id: str, principal: str, after: int) -> list[HistoryEvent]:
    """Read the events after one that name a run, oldest first."""
    told = told_to(visible(connection, run_id, principal, Action.READ_LOG))
    return [history_event(row) for row in rows(connection, _SELECT_HISTORY, run=run_id, after=after, **told)]


def told_to(found: read.Found) -> dict[str, int]:
    """Give the parameter of `NOT_WITHHELD` for somebody who reads the log of a run."""
    return {"evident": int(bool(found.roles & MAY[Action.READ_EVIDENCE]))}


def history_event(row: Row) -> HistoryEvent:
    """Turn a row of the log into an event of a run's history."""
    return HistoryEvent(
        event_id=row["event_id"],
        leaf=row["leaf"],
        entry=msgspec.json.decode(row["payload"]),
        openings=read.openings(row["openings"]),
    )


def items(connection: Connection, run_id: str, principal: str, page: Page) -> list[Item]:
    """Read a page of item outcomes; they are part of the run's result, so whoever sees the run sees them.

    What was reported before secrets were taken out of reports is shown without them, too.
    """
    visible(connection, run_id, principal, Action.VIEW)
    found = rows(connection, _SELECT_ITEMS, run=run_id, after=page.after, result=page.result, limit=page.limit)
    return list(without_secrets([_ITEMS.decode(row["document"]) for row in found]))


def checks(connection: Connection, snapshot_id: str, principal: str) -> list[Check]:
    """Read the checks of an evidence snapshot."""
    visible_snapshot(connection, snapshot_id, principal)
    return [_CHECKS.decode(row["document"]) for row in rows(connection, _SELECT_CHECKS, snapshot=snapshot_id)]


def visible_snapshot(connection: Connection, snapshot_id: str, principal: str) -> read.Found:
    """Read the run of an evidence snapshot for somebody who wants to read the snapshot. Raises as `visible` does."""
    owner = read.run_of_snapshot(connection, snapshot_id)
    return visible(connection, owner, principal, Action.READ_EVIDENCE, ("evidence snapshot", snapshot_id))
