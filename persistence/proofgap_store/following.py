"""What is new in the log, for whoever follows runs: which run moved, and in which event; never what it came to.

A follower learns that there is something to read, and reads it then, as anybody else. Of evidence, whoever may not
read it does not even learn that there is any: for them only the run itself moves.

Owns these queries. Refuses to show decisions.
"""

from __future__ import annotations

from typing import NamedTuple

from proofgap.access import ANY_ENVIRONMENT, MAY, Action, Role, as_seen, viewer_of
from proofgap.audit import EventType, canonical, run_stream
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import Count, Struct
from proofgap.records import RunRecord
from proofgap_store import read, tree, views
from proofgap_store.dialect import dialect_of
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.questions import audited, audits_everything, logged, reading
from proofgap_store.read import OPENINGS
from proofgap_store.shapes import LoggedEvent

LIMIT_MAX = 500
_WINDOW = 10_000  # how many events one look walks over at most, whoever they belong to
_RUN_MOVES = (EventType.RUN_CREATED, EventType.RUN_IMPORTED, EventType.RUN_TRANSITIONED)
_EVIDENCE_MOVES = (EventType.EVIDENCE_CREATED, EventType.EVIDENCE_TRANSITIONED)
_HISTORY = (*_RUN_MOVES, EventType.RUN_TRANSITION_REFUSED)


def _listed(kinds: tuple[EventType, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


_IN = """
EXISTS (SELECT 1 FROM json_each(:{scopes}) AS scope WHERE scope.value ->> 0 = e.ws AND scope.value ->> 1 IN (e.env, :any))
"""
_CHANGES = f"""
SELECT max(e.event_id) AS event_id, e.run FROM audit_event AS e
WHERE e.event_id > :after AND e.event_id <= :upto AND e.ws = :workspace AND (CAST(:run AS TEXT) IS NULL OR e.run = :run)
  AND (e.type IN ({_listed(_RUN_MOVES)}) AND {_IN.format(scopes="visible")}
    OR e.type IN ({_listed(_EVIDENCE_MOVES)}) AND {_IN.format(scopes="evident")})
GROUP BY e.run ORDER BY event_id LIMIT :limit
"""  # noqa: S608 - put together from our own text only
_MOVES = f"""
SELECT e.event_id, e.leaf, e.payload, {OPENINGS} AS opened FROM audit_event AS e
WHERE e.run = :run AND e.stream = :stream AND e.event_id > :after AND e.type IN ({_listed(_HISTORY)})
  AND {views.NOT_WITHHELD}
ORDER BY e.event_id LIMIT :limit
"""  # noqa: S608 - as above
_SHOWN = f"""
SELECT e.event_id, e.leaf, e.payload, {OPENINGS} AS opened FROM audit_event AS e
WHERE e.event_id = :event AND e.run = :run AND e.type = 'restore.decision.projected'
"""  # noqa: S608 - as above
_TALLIES = """
SELECT ws, env, type, count(*) AS n FROM audit_event WHERE event_id > :after AND event_id <= :upto GROUP BY ws, env, type
"""
_QUEUED = """
SELECT workspace || '' AS ws, environment || '' AS env, count(*) AS n FROM restore_run WHERE status = 'queued' AND imported = 0
GROUP BY 1, 2
"""
"""By the index of those that wait: in the order of the columns themselves, SQLite would look at every run there is."""
_LEASES = "SELECT count(*) AS workers, max({clock} - beat_at_us) AS oldest_us FROM worker_lease"


class Following(Struct):
    """What somebody wants to follow: a workspace, or one run in it, from after an event on."""

    workspace: str
    after: Count
    run: str | None = None
    limit: Count = 100


class Moved(Struct):
    """A run that moved, and the last event by which it did."""

    event_id: int
    run: str


class News(Struct):
    """What moved, oldest first, and the event to go on after; ``more``: there is more to read already."""

    changes: tuple[Moved, ...]
    next: int
    more: bool


class Look(Struct):
    """A run as somebody may see it, and the roles that they hold where it is."""

    record: RunRecord
    roles: tuple[Role, ...]


class Tally(Struct):
    """How many events of a type were recorded, or how many runs wait, in one place. ``None``: in no place."""

    ws: str | None
    env: str | None
    n: int
    type: str = ""


class Tallies(Struct):
    """What was recorded after one event, and up to which."""

    upto: int
    found: tuple[Tally, ...]


class Reach(NamedTuple):
    """Whose numbers somebody may read: those of some places, or all there are."""

    scopes: frozenset[tuple[str, str]]
    is_all: bool

    def covers(self, tally: Tally) -> bool:
        """Tell whether a number is of these places; one of a workspace as a whole belongs to whoever audits any part of it."""
        if self.is_all or tally.ws is None:
            return self.is_all
        if tally.env is None:
            return any(workspace == tally.ws for workspace, _ in self.scopes)
        return not self.scopes.isdisjoint({(tally.ws, tally.env), (tally.ws, ANY_ENVIRONMENT)})


class Backlog(Struct):
    """What waits: runs for a worker, events for their checkpoint, and since when (microseconds since 1970 UTC); who works."""

    queued: tuple[Tally, ...]
    workers: int
    oldest_lease_us: int | None  # since the last beat of the worker that was silent longest; None: there is no worker
    unsequenced: int
    unsequenced_since_us: int | None


def news(connection: Connection, wanted: Following, principal: str, upto: int) -> News:
    """Read which runs moved; ``upto`` is the number up to which the log is settled.

    Raises:
        BadInputError: the limit is none.
        NotFoundError: a run is wanted that is not there, or not visible.

    """
    if not 1 <= wanted.limit <= LIMIT_MAX:
        raise BadInputError("limit", f"{wanted.limit} is out of range", f"Use 1 to {LIMIT_MAX}.")
    if wanted.run is not None:
        views.visible(connection, wanted.run, principal, Action.VIEW)
    reached = max(wanted.after, min(upto, wanted.after + _WINDOW))
    held = read.grants(connection, principal)
    found = rows(
        connection,
        _CHANGES,
        after=wanted.after,
        upto=reached,
        workspace=wanted.workspace,
        run=wanted.run,
        visible=_scopes(held, Action.VIEW),
        evident=_scopes(held, Action.READ_EVIDENCE),
        any=ANY_ENVIRONMENT,
        limit=wanted.limit,
    )
    changes = tuple(Moved(**row) for row in found)
    following = changes[-1].event_id if len(changes) == wanted.limit else reached
    return News(changes=changes, next=following, more=following < upto)


def _scopes(held: dict[tuple[str, str], frozenset[Role]], action: Action) -> str:
    return canonical([scope for scope, roles in held.items() if roles & MAY[action]]).decode()


def look(connection: Connection, run_id: str, principal: str) -> Look:
    """Read a run as somebody may see it, with their roles. Raises as `views.visible` does."""
    found = views.visible(connection, run_id, principal, Action.VIEW)
    record = as_seen(found.record, viewer_of(principal, found.roles, found.record.facts()))
    return Look(record=record, roles=tuple(sorted(found.roles)))


class PageOf(NamedTuple):
    """Which part of a run's history: after which event, and how many."""

    after: int
    limit: int


def moves(connection: Connection, run_id: str, principal: str, page: PageOf) -> tuple[LoggedEvent, ...]:
    """Read what moved a run, and what was refused, oldest first.

    Raises:
        NotFoundError, ForbiddenError: they may not.

    """
    told = views.told_to(views.visible(connection, run_id, principal, Action.READ_LOG))
    found = rows(connection, _MOVES, run=run_id, stream=run_stream(run_id), **page._asdict(), **told)
    return tuple(map(_event, found))


def shown(connection: Connection, run_id: str, event_id: int, principal: str) -> LoggedEvent:
    """Read a decision as it was shown: to whom it was shown themselves, or to whoever reads the log there.

    Who lost a role since is not told again what they may not see now.

    Raises:
        NotFoundError: there is none, or it was shown to somebody else, or tells what they may not see now.
        PrunedError: what it said was pruned.

    """
    found = views.visible(connection, run_id, principal, Action.VIEW)
    row = next(iter(rows(connection, _SHOWN, event=event_id, run=run_id)), None)
    if row is None:
        raise NotFoundError("decision", str(event_id))
    event = _event(row)
    with reading(event) as data:
        viewer, seen_now = data["viewer"], viewer_of(principal, found.roles, found.record.facts()).may_view
        is_theirs = viewer["id"] == principal and data["trigger"] == "show" and seen_now.issuperset(viewer["may_view"])
    if not is_theirs and not found.roles & MAY[Action.AUDIT]:
        raise NotFoundError("decision", str(event_id))
    return event


def _event(row: Row) -> LoggedEvent:
    return logged(row["event_id"], row["leaf"], row["payload"], row["opened"])


def reach(connection: Connection, principal: str) -> Reach:
    """Say whose numbers somebody may read.

    Raises:
        ForbiddenError: they audit nothing.

    """
    return Reach(frozenset(audited(connection, principal)), audits_everything(connection, principal))


def tallies(connection: Connection, after: int, upto: int) -> Tallies:
    """Count the events after one, by place and type."""
    found = rows(connection, _TALLIES, after=after, upto=upto)
    return Tallies(upto=upto, found=tuple(Tally(**row) for row in found))


def backlog(connection: Connection) -> Backlog:
    """Count what waits."""
    queue = tree.queue(connection)
    leases = rows(connection, _LEASES.format(clock=dialect_of(connection).clock))[0]
    return Backlog(
        queued=tuple(Tally(**row) for row in rows(connection, _QUEUED)),
        workers=leases["workers"],
        oldest_lease_us=leases["oldest_us"],
        unsequenced=queue.events,
        unsequenced_since_us=queue.oldest_us,
    )
