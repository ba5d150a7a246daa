"""What people are shown: one run, a page of runs, a log, items, checks; and the record that they were shown it.

Owns who sees which rows. No event, no view: a projection for a person is written before it is given out. Refuses to
know what a decision means (`proofgap.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from proofgap.access import ANY_ENVIRONMENT, MAY, Action, Place, Role, as_seen, authorize, viewer_of
from proofgap.audit import Actor, EventType, view_stream
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import TERMINAL_RUN_STATUSES, ItemResult, Struct
from proofgap.hooks import Trigger, project
from proofgap.records import Check, Item, RunRecord
from proofgap.text import check_text
from proofgap.wording import DecisionState
from proofgap_store import read
from proofgap_store.audit_log import Draft, head_of, link
from proofgap_store.documents import projection_draft
from proofgap_store.engine import Connection, rows
from proofgap_store.expiry import EvidenceOverError, expired
from proofgap_store.gate import Writing
from proofgap_store.shapes import HistoryEvent, ListedRun, Listing, Shown

_ROWS_MAX = 200
_DIGITS_MAX = 18  # of a time in microseconds that a database can hold
_ITEMS = msgspec.json.Decoder(Item)
_CHECKS = msgspec.json.Decoder(Check)
_SELECT_HISTORY = f"""
SELECT e.event_id, e.leaf, e.payload, {read.OPENINGS} AS openings FROM audit_event AS e
WHERE e.run = :run AND e.event_id > :after ORDER BY e.event_id
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
    may_be_told = record.status in TERMINAL_RUN_STATUSES and found.roles & MAY[Action.READ_LOG]
    note = read.last_note(connection, run_id) if may_be_told else None
    unchanged = read.unchanged(connection, run_id)
    return Writing(
        events=events,
        answer=lambda written: Shown(
            record=as_seen(record, viewer),
            decision=projection.decision,
            viewer=viewer,
            facts_digest=projection.facts_digest,
            event_id=written[0].event_id,
            at_us=asked.at_us,
            note=note,
            unchanged=unchanged,
        ),
    )


def listing(connection: Connection, asked: Asked, query: Query) -> Writing[Listing] | Listing:
    """Compute a page of runs for one person, and the one event that names every row of it.

    Raises:
        BadInputError: the page is too large, or its place is none.
        ForbiddenError: the actor sees something where the list is about, but nowhere what others are shown.
        EvidenceOverError: a row would rest on evidence whose time is over.

    """
    _let_look(connection, asked, query)
    if not 1 <= query.limit <= _ROWS_MAX:
        raise BadInputError("limit", f"{query.limit} is out of range", f"Use 1 to {_ROWS_MAX}.")
    over: list[str] = []
    wanted = list(_first(_projected(connection, asked, query, over), query.limit + 1))
    if over:
        raise EvidenceOverError(over)
    shown = wanted[: query.limit]
    more = _cursor(*shown[-1][1:]) if len(wanted) > len(shown) else None
    page = tuple(row for row, *_ in shown)
    if not page:
        return Listing(rows=(), next=None, event_id=None)
    data = {
        "viewer": asked.viewer,
        "trigger": Trigger.LIST,
        "query": query,
        "rows": [[row.record.id, row.decision.state, row.facts_digest] for row in page],
    }
    head = head_of(connection, view_stream("runs", asked.viewer))
    draft = Draft(EventType.DECISIONS_LISTED, query.workspace, query.environment, None, None, data)
    return Writing(
        events=link(head, [draft], asked.actor, asked.at_us, asked.at_us),
        answer=lambda written: Listing(rows=page, next=more, event_id=written[0].event_id),
    )


def _let_look(connection: Connection, asked: Asked, query: Query) -> None:
    """Refuse a list for somebody else to those who may look as others nowhere; who holds no role finds it empty."""
    held = frozenset(
        role
        for (workspace, environment), found in read.grants(connection, asked.actor.id).items()
        if query.workspace in {None, workspace}
        and (query.environment is None or environment in {query.environment, ANY_ENVIRONMENT})
        for role in found
    )
    if held and asked.viewer != asked.actor.id:
        place = Place(query.workspace, query.environment)
        authorize(asked.actor.id, held, Action.VIEW_AS, ("list of runs", asked.viewer), place)


def history(connection: Connection, run_id: str, principal: str, after: int) -> list[HistoryEvent]:
    """Read the events after one that name a run, oldest first."""
    visible(connection, run_id, principal, Action.READ_LOG)
    return [
        HistoryEvent(
            event_id=row["event_id"],
            leaf=row["leaf"],
            entry=msgspec.json.decode(row["payload"]),
            openings=read.openings(row["openings"]),
        )
        for row in rows(connection, _SELECT_HISTORY, run=run_id, after=after)
    ]


def items(connection: Connection, run_id: str, principal: str, page: Page) -> list[Item]:
    """Read a page of item outcomes; they are part of the run's result, so whoever sees the run sees them."""
    visible(connection, run_id, principal, Action.VIEW)
    found = rows(connection, _SELECT_ITEMS, run=run_id, after=page.after, result=page.result, limit=page.limit)
    return [_ITEMS.decode(row["document"]) for row in found]


def checks(connection: Connection, snapshot_id: str, principal: str) -> list[Check]:
    """Read the checks of an evidence snapshot."""
    owner = read.run_of_snapshot(connection, snapshot_id)
    visible(connection, owner, principal, Action.READ_EVIDENCE, ("evidence snapshot", snapshot_id))
    return [_CHECKS.decode(row["document"]) for row in rows(connection, _SELECT_CHECKS, snapshot=snapshot_id)]


def _first(found: Iterator[Any], count: int) -> Iterator[Any]:
    for _, row in zip(range(count), found, strict=False):
        yield row


def _projected(
    connection: Connection, asked: Asked, query: Query, over: list[str]
) -> Iterator[tuple[ListedRun, int, str]]:
    """Walk the visible runs, newest first, a batch at a time, and project each for the viewer.

    ``over`` takes the ids of those whose evidence has stopped counting.
    """
    grants = read.grants(connection, asked.viewer)
    overseen = grants if asked.viewer == asked.actor.id else read.grants(connection, asked.actor.id)
    needed = MAY[Action.VIEW if asked.viewer == asked.actor.id else Action.VIEW_AS]
    position = _position(query.after)
    while True:
        batch = read.page_of_runs(connection, list(grants), (query.workspace, query.environment), position)
        for record, created_at_us in batch:
            if not _roles(overseen, (record.workspace, record.environment)) & needed:
                continue
            if expired(record, asked.at_us) is not None:
                over.append(record.id)
            row = _listed(record, asked.viewer, _roles(grants, (record.workspace, record.environment)))
            if query.state in {None, row.decision.state}:
                yield row, created_at_us, record.id
        if len(batch) < read.BATCH:
            return
        position = (batch[-1][1], batch[-1][0].id)


def _roles(grants: dict[tuple[str, str], frozenset[Role]], scope: tuple[str, str]) -> frozenset[Role]:
    return grants.get(scope, frozenset()) | grants.get((scope[0], ANY_ENVIRONMENT), frozenset())


def _listed(record: RunRecord, principal: str, held: frozenset[Role]) -> ListedRun:
    facts = record.facts()
    viewer = viewer_of(principal, held, facts)
    projection = project(facts, viewer, Trigger.LIST)
    return ListedRun(record=as_seen(record, viewer), decision=projection.decision, facts_digest=projection.facts_digest)


def _cursor(created_at_us: int, run_id: str) -> str:
    return f"{created_at_us}:{run_id}"


def _position(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    created, _, run_id = cursor.partition(":")
    check_text("after", cursor)
    if not created.isdecimal() or not created.isascii() or len(created) > _DIGITS_MAX or not run_id:
        raise BadInputError("after", f"{cursor!r} is no place in a list", "Use the value of next of the page before.")
    return int(created), run_id
