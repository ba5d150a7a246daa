"""Lists of runs: who sees which of them, newest first, a page at a time; and the record that they were shown.

A page costs the same however many runs there are. Each scope is read along its index from where the page before
ended. A filter that finds little stops after a fixed number of runs, says so, and its next page goes on from there:
nothing is left out, and nobody waits for a million runs to be looked at. Which state a run is shown in depends on the
viewer, so SQL only leaves out what can have no such state; the decision decides.

Refuses to know what a decision means (`proofgap.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from proofgap.access import ANY_ENVIRONMENT, MAY, Action, Place, Role, as_seen, authorize, viewer_of
from proofgap.audit import EventType, view_stream
from proofgap.errors import BadInputError
from proofgap.hooks import Trigger, project
from proofgap.records import RunRecord
from proofgap.text import check_text
from proofgap.wording import DecisionState
from proofgap_store import read
from proofgap_store.audit_log import Draft, head_of, link
from proofgap_store.engine import Connection, rows
from proofgap_store.expiry import EvidenceOverError, expired
from proofgap_store.gate import Writing
from proofgap_store.shapes import ListedRun, Listing
from proofgap_store.views import Asked, Query

ROWS_MAX = 200
"""How many runs a page may hold."""

LOOKED_AT_MAX = 20_000
"""How many runs a filter looks at before a page ends, with what was found by then."""

_COST_OF_DECIDING = 20  # a run that is decided for the viewer costs as much as so many that are only looked at
_CHUNK = 2_000
_SCOPES_AT_ONCE = 400  # a database takes so many parts of one statement and no more
_DIGITS_MAX = 18  # of a time in microseconds that a database can hold
_NEWEST = (9_000_000_000_000_000_000, "")
_OF_SCOPE = """
SELECT * FROM (
  SELECT r.id, r.created_at_us, {wanted} AS wanted FROM restore_run AS r
  WHERE r.workspace = :w{n} AND r.environment = :e{n} AND (r.created_at_us, r.id) < (:created, :run) {times}
  ORDER BY r.created_at_us DESC, r.id DESC LIMIT :limit) AS scope{n}
"""
_ENVIRONMENTS = "SELECT workspace, id FROM environment ORDER BY workspace, id"
_MAY_BE: Mapping[DecisionState, str] = MappingProxyType(
    {
        DecisionState.NOT_EXECUTED: "(r.is_dry_run = 1 OR r.status IN ('draft', 'scoped', 'checked', 'previewed'))",
        DecisionState.IN_PROGRESS: "(r.imported = 1 OR r.status IN ('queued', 'running'))",
        DecisionState.COMPLETED_PROOF_INCOMPLETE: "r.status = 'completed'",
        DecisionState.COMPLETED_WITH_EVIDENCE: """(r.status = 'completed' AND EXISTS (
    SELECT 1 FROM evidence_snapshot AS s WHERE s.operation_run_id = r.operation_run_id AND s.status = 'active'))""",
        DecisionState.NEEDS_REVIEW: "r.status IN ('partial', 'completed_with_errors')",
        DecisionState.FAILED: "(r.imported = 1 OR r.status = 'failed')",
        DecisionState.BLOCKED_OR_CANCELLED: "(r.imported = 1 OR r.status = 'cancelled')",
    }
)
_TIMES = {"since_us": "AND r.created_at_us >= :since_us", "until_us": "AND r.created_at_us < :until_us"}
_TEXT = """(lower(r.id) LIKE :text ESCAPE '!' OR lower(r.details ->> '$.backup') LIKE :text ESCAPE '!'
    OR lower(r.details ->> '$.target') LIKE :text ESCAPE '!')"""

Scope = tuple[str, str]
Position = tuple[int, str]


class _Candidate(NamedTuple):
    """A run that a page may show, and where it stands in the list."""

    run: str
    created_at_us: int
    is_wanted: bool

    @property
    def position(self) -> Position:
        return self.created_at_us, self.run


class _LookedAt(NamedTuple):
    """A run that was looked at: its row, if it belongs on the page; where it stands; what it cost to find out."""

    row: ListedRun | None
    position: Position
    cost: int


class _Found(NamedTuple):
    """What is to be shown, and where the list goes on; ``None``: it ends here."""

    page: tuple[ListedRun, ...]
    more: Position | None


def listing(connection: Connection, asked: Asked, query: Query) -> Writing[Listing] | Listing:
    """Compute a page of runs for one person, and the one event that names every row of it.

    Raises:
        BadInputError: the page is too large, or its place is none.
        ForbiddenError: the actor sees something where the list is about, but nowhere what others are shown.
        EvidenceOverError: a row would rest on evidence whose time is over.

    """
    _let_look(connection, asked, query)
    if not 1 <= query.limit <= ROWS_MAX:
        raise BadInputError("limit", f"{query.limit} is out of range", f"Use 1 to {ROWS_MAX}.")
    if query.text is not None:
        check_text("text", query.text)
    found = _find(connection, asked, query)
    more = None if found.more is None else f"{found.more[0]}:{found.more[1]}"
    if not found.page:
        return Listing(rows=(), next=more, event_id=None)
    data = {
        "viewer": asked.viewer,
        "trigger": Trigger.LIST,
        "query": query,
        "rows": [[row.record.id, row.decision.state, row.facts_digest] for row in found.page],
    }
    head = head_of(connection, view_stream("runs", asked.viewer))
    draft = Draft(EventType.DECISIONS_LISTED, query.workspace, query.environment, None, None, data)
    return Writing(
        events=link(head, [draft], asked.actor, asked.at_us, asked.at_us),
        answer=lambda written: Listing(rows=found.page, next=more, event_id=written[0].event_id),
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


def _find(connection: Connection, asked: Asked, query: Query) -> _Found:
    """Fill a page; it ends early once so much was looked at that whoever waits would wait too long."""
    page: list[ListedRun] = []
    last, spent = None, 0
    for row, position, cost in _walk(connection, asked, query):
        if row is not None and len(page) == query.limit:
            return _Found(tuple(page), last)
        page += [] if row is None else [row]
        last, spent = position, spent + cost
        if spent >= LOOKED_AT_MAX:
            return _Found(tuple(page), last)
    return _Found(tuple(page), None)


def _walk(connection: Connection, asked: Asked, query: Query) -> Iterator[_LookedAt]:
    """Look at the runs that this person may be shown, newest first; those that belong on the page come with their row."""
    scopes = _visible_scopes(connection, asked, query)
    is_filtered = query.state is not None or query.text is not None
    chunk, position = _CHUNK if is_filtered else query.limit + 1, _position(query.after)
    while True:
        candidates = _candidates(connection, query, tuple(scopes), position, chunk)
        for start in range(0, len(candidates), query.limit + 1):
            part = candidates[start : start + query.limit + 1]
            listed = _listed(connection, part, asked, scopes)
            for candidate in part:
                row = listed.get(candidate.run)
                fits = row if row is not None and query.state in {None, row.decision.state} else None
                yield _LookedAt(fits, candidate.position, 1 if row is None else _COST_OF_DECIDING)
        if len(candidates) < chunk:
            return
        position = candidates[-1].position


def _visible_scopes(connection: Connection, asked: Asked, query: Query) -> dict[Scope, frozenset[Role]]:
    """Give the environments whose runs may be listed, each with the viewer's roles there."""
    grants = read.grants(connection, asked.viewer)
    overseen = grants if asked.viewer == asked.actor.id else read.grants(connection, asked.actor.id)
    needed = MAY[Action.VIEW if asked.viewer == asked.actor.id else Action.VIEW_AS]
    found = {}
    for row in rows(connection, _ENVIRONMENTS):
        scope = (row["workspace"], row["id"])
        asks_for_it = query.workspace in {None, scope[0]} and query.environment in {None, scope[1]}
        held = _roles(grants, scope)
        if asks_for_it and held and _roles(overseen, scope) & needed:
            found[scope] = held
    return found


def _candidates(
    connection: Connection, query: Query, scopes: Sequence[Scope], position: Position, limit: int
) -> list[_Candidate]:
    """Read the next runs of all scopes, newest first; whether each may belong on the page, as far as SQL can tell."""
    found: list[_Candidate] = []
    for start in range(0, len(scopes), _SCOPES_AT_ONCE):
        statement, parameters = _statement(query, scopes[start : start + _SCOPES_AT_ONCE])
        places = {"created": position[0], "run": position[1], "limit": limit}
        read_now = rows(connection, statement, **parameters, **places)
        found += [_Candidate(row["id"], row["created_at_us"], bool(row["wanted"])) for row in read_now]
    return sorted(found, key=lambda candidate: candidate.position, reverse=True)[:limit]


def _statement(query: Query, scopes: Sequence[Scope]) -> tuple[str, dict[str, object]]:
    clauses = [_MAY_BE[query.state]] if query.state is not None else []
    clauses += [_TEXT] if query.text is not None else []
    wanted = f"CASE WHEN {' AND '.join(clauses)} THEN 1 ELSE 0 END" if clauses else "1"
    times = " ".join(clause for name, clause in _TIMES.items() if getattr(query, name) is not None)
    parts = [_OF_SCOPE.format(n=n, wanted=wanted, times=times) for n in range(len(scopes))]
    parameters: dict[str, object] = {
        name: value for n, scope in enumerate(scopes) for name, value in zip((f"w{n}", f"e{n}"), scope, strict=True)
    }
    parameters |= {name: getattr(query, name) for name in _TIMES if getattr(query, name) is not None}
    parameters |= {} if query.text is None else {"text": f"%{_literal(query.text.lower())}%"}
    return f"{' UNION ALL '.join(parts)} ORDER BY created_at_us DESC, id DESC LIMIT :limit", parameters


def _literal(text: str) -> str:
    """Take from a text what has a meaning in a pattern."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _listed(
    connection: Connection, part: Sequence[_Candidate], asked: Asked, scopes: Mapping[Scope, frozenset[Role]]
) -> dict[str, ListedRun]:
    """Project those runs for the viewer that may belong on the page."""
    wanted = [candidate.run for candidate in part if candidate.is_wanted]
    found = read.runs(connection, wanted) if wanted else []
    over = [record.id for record in found if expired(record, asked.at_us) is not None]
    if over:
        raise EvidenceOverError(over)
    return {record.id: _row(record, asked.viewer, scopes[record.workspace, record.environment]) for record in found}


def _row(record: RunRecord, principal: str, held: frozenset[Role]) -> ListedRun:
    facts = record.facts()
    viewer = viewer_of(principal, held, facts)
    projection = project(facts, viewer, Trigger.LIST)
    return ListedRun(record=as_seen(record, viewer), decision=projection.decision, facts_digest=projection.facts_digest)


def _roles(grants: Mapping[Scope, frozenset[Role]], scope: Scope) -> frozenset[Role]:
    return grants.get(scope, frozenset()) | grants.get((scope[0], ANY_ENVIRONMENT), frozenset())


def _position(cursor: str | None) -> Position:
    if cursor is None:
        return _NEWEST
    created, _, run_id = cursor.partition(":")
    check_text("after", cursor)
    if not created.isdecimal() or not created.isascii() or len(created) > _DIGITS_MAX or not run_id:
        raise BadInputError("after", f"{cursor!r} is no place in a list", "Use the value of next of the page before.")
    return int(created), run_id
