"""What auditors ask of the log: which events they may read, and which of those a question selects.

Owns every SELECT over the log of a whole scope. An event is visible to
whoever audits the workspace and environment that it names. One that names no environment is visible where all that it
speaks of is: the runs of a list, the scopes of an export; what concerns a workspace, to whoever audits any part of
it; that somebody signed in, to whoever audits all that this person ever held a role for; what concerns the ledger
itself, to every auditor. A list that was pruned does not tell any more which runs it
named, so nobody sees it. Whatever is not visible answers like what does not exist.

Reading changes nothing and is not recorded. Refuses to know what the events mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from proofgap.access import ANY_ENVIRONMENT, MAY, Action
from proofgap.admission import admitted
from proofgap.audit import REFUSALS
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError, ProofgapError
from proofgap.text import check_id
from proofgap_store.documents import DamagedError
from proofgap_store.engine import Connection, execute, rows, walk
from proofgap_store.read import OPENINGS, grants, openings
from proofgap_store.shapes import LoggedEvent, LogListing, LogPage, LogQuery

PAGE_EVENTS_MAX = 500
"""How many events one page may hold."""

_DIGITS_MAX = 18  # of an event's number that a database can hold
_REC_US = "CAST(e.payload ->> '$.rec_us' AS BIGINT)"
_CLAUSES = {
    "run": "e.run = :run",
    "stream": "e.stream = :stream",
    "actor": "e.actor = :actor",
    "workspace": "e.ws = :workspace",
    "environment": "e.env = :environment",
    "since_us": f"{_REC_US} >= :since_us",
    "until_us": f"{_REC_US} < :until_us",
    "state": """e.type IN ('restore.decision.projected', 'restore.decision.listed')
  AND (e.payload ->> '$.data.decision.state' = :state
    OR EXISTS (SELECT 1 FROM json_each(e.payload, '$.data.rows') AS line WHERE line.value ->> 1 = :state))""",
}
OF_A_RUN = "e.type || ''"
"""The type of an event, where its run is asked for as well: by the index of runs, for a type has events of every run."""

_REFUSED = "e.type IN ('" + "', '".join(sorted(REFUSALS)) + "')"
_VISIBLE = """CASE
  WHEN e.ws IS NOT NULL AND e.env IS NOT NULL THEN {event_held}
  WHEN e.type = 'restore.decision.listed' THEN NOT EXISTS (
    SELECT 1 FROM json_each(e.payload, '$.data.rows') AS line LEFT JOIN restore_run AS r ON r.id = line.value ->> 0
    WHERE r.id IS NULL OR NOT ({run_held})) AND e.payload ->> '$.pruned' IS NULL
  WHEN e.type = 'audit.exported' THEN NOT EXISTS (
    SELECT 1 FROM json_each(e.payload, '$.data.scopes') AS line WHERE NOT ({scope_held}))
  WHEN e.ws IS NOT NULL THEN e.ws IN ({workspaces})
  WHEN e.type IN ('worker.registered', 'worker.retired', 'worker.lost') THEN EXISTS (
    SELECT 1 FROM worker AS w JOIN access_grant AS g ON g.principal = w.principal
    WHERE w.id = e.payload ->> '$.data.worker' AND g.workspace IN ({workspaces})) AND NOT EXISTS (
    SELECT 1 FROM json_each(e.payload, '$.data.details.environments') AS label WHERE NOT ({label_held}))
  WHEN e.type IN ('access.link_made', 'access.signed_in', 'access.signed_out') THEN NOT EXISTS (
    SELECT 1 FROM access_grant AS g WHERE g.principal = e.actor AND NOT ({grant_held}))
  ELSE TRUE END"""


EVERY_EVENT = LogQuery()
NEWEST = LogPage()
Scope = tuple[str, str]
Progress = Callable[[int, int, int], None]
"""Told how far work over the log is: number of the event reached, number of the last event, how many were taken."""


def silent(_reached: int, _last: int, _count: int) -> None:
    """Report no progress."""


class PrunedError(ProofgapError):
    """What an event said was pruned; the ledger keeps its place and its hash."""

    def __init__(self, event_id: int) -> None:
        """Name the event."""
        self.event_id = event_id
        self.remedy = "Look into the export that was kept: proofgap audit list --type audit.pruned."
        super().__init__(f"what audit event {event_id} said was pruned. {self.remedy}")


class Selection(NamedTuple):
    """A condition on ``audit_event AS e``, and its parameters."""

    condition: str
    parameters: dict[str, object]


def audited(connection: Connection, principal: str, action: Action = Action.AUDIT) -> tuple[Scope, ...]:
    """Read the scopes whose log somebody may read, or where they may do something else; sorted.

    Raises:
        ForbiddenError: there is none.

    """
    found = sorted(scope for scope, held in grants(connection, principal).items() if held & MAY[action])
    if not found:
        raise ForbiddenError(principal, action, sorted(MAY[action]))
    return tuple(found)


def audits_everything(connection: Connection, principal: str) -> bool:
    """Tell whether somebody audits every environment that the ledger has.

    Raises:
        ForbiddenError: they audit nothing.

    """
    scopes = audited(connection, principal)
    places = rows(connection, "SELECT workspace, id FROM environment")
    return all(
        (row["workspace"], ANY_ENVIRONMENT) in scopes or (row["workspace"], row["id"]) in scopes for row in places
    )


def selection(query: LogQuery, scopes: Sequence[Scope]) -> Selection:
    """Put a question, and the scopes of whoever asks, into a condition."""
    query = admitted("query", query)
    values = {name: getattr(query, name) for name in _CLAUSES if getattr(query, name) is not None}
    parameters: dict[str, object] = dict(values)
    clauses = [_CLAUSES[name] for name in values]
    if query.types:
        parameters |= {f"type{n}": kind for n, kind in enumerate(query.types)}
        kind = "e.type" if query.run is None else OF_A_RUN
        clauses.append(f"{kind} IN ({', '.join(f':type{n}' for n in range(len(query.types)))})")
    if query.refused:
        clauses.append(_REFUSED)
    visible = _visibility(scopes)
    return Selection(" AND ".join([*clauses, visible.condition]), parameters | visible.parameters)


def kept(chosen: Selection) -> Selection:
    """Narrow a condition to the events whose payload is still there."""
    return Selection(f"e.payload ->> '$.pruned' IS NULL AND {chosen.condition}", chosen.parameters)


def _visibility(scopes: Sequence[Scope]) -> Selection:
    parameters: dict[str, object] = {
        name: text for n, scope in enumerate(scopes) for name, text in zip((f"w{n}", f"e{n}"), scope, strict=True)
    }
    whole = [f":w{n}" for n, scope in enumerate(scopes) if scope[1] == ANY_ENVIRONMENT]
    single = [f"(:w{n}, :e{n})" for n, scope in enumerate(scopes) if scope[1] != ANY_ENVIRONMENT]

    def held(workspace: str, environment: str) -> str:
        ways = [f"{workspace} IN ({', '.join(whole)})"] if whole else []
        ways += [f"({workspace}, {environment}) IN (VALUES {', '.join(single)})"] if single else []
        return " OR ".join(ways)

    condition = _VISIBLE.format(
        event_held=held("e.ws", "e.env"),
        run_held=held("r.workspace", "r.environment"),
        grant_held=held("g.workspace", "g.environment"),
        scope_held=held("(line.value ->> 0)", "(line.value ->> 1)"),
        label_held=" OR ".join(f"substr(label.value, 1, length(:w{n}) + 1) = :w{n} || '/'" for n in range(len(scopes))),
        workspaces=", ".join(f":w{n}" for n in range(len(scopes))),
    )
    return Selection(condition, parameters)


def listing(connection: Connection, query: LogQuery, principal: str, page: LogPage) -> LogListing:
    """Read one page of the events that a question selects.

    Raises:
        BadInputError: the page is none.
        ForbiddenError: they audit nothing.

    """
    page = admitted("page", page)
    if not 1 <= page.limit <= PAGE_EVENTS_MAX:
        raise BadInputError("limit", f"{page.limit} is out of range", f"Use 1 to {PAGE_EVENTS_MAX}.")
    chosen = selection(query, audited(connection, principal))
    if page.after is not None:
        sign = ">" if page.oldest_first else "<"
        beyond = f"e.event_id {sign} :after AND {chosen.condition}"
        chosen = Selection(beyond, chosen.parameters | {"after": _place(page.after)})
    found = list(each(connection, chosen, newest_first=not page.oldest_first, limit=page.limit + 1))
    shown = tuple(found[: page.limit])
    return LogListing(events=shown, next=str(shown[-1].event_id) if len(found) > page.limit else None)


def _place(cursor: str) -> int:
    if not is_number(cursor):
        raise BadInputError("after", f"{cursor!r} is no place in the log", "Use the value of next of the page before.")
    return int(cursor)


def is_number(text: str) -> bool:
    """Tell whether a text can be the number of an event."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX


def each(
    connection: Connection, chosen: Selection, *, newest_first: bool = False, limit: int | None = None
) -> Iterator[LoggedEvent]:
    """Read the selected events one by one, in the order of their numbers; however many, no two are held at once."""
    order = "DESC" if newest_first else "ASC"
    statement = f"""SELECT e.event_id, e.leaf, e.payload, {OPENINGS} FROM audit_event AS e
WHERE {chosen.condition} ORDER BY e.event_id {order}{"" if limit is None else f" LIMIT {limit}"}"""  # noqa: S608 - put together from our own text only
    read = walk if limit is None else execute
    for event_id, leaf, payload, opened in read(connection, statement, chosen.parameters):
        yield logged(event_id, leaf, payload, opened)


def logged(event_id: int, leaf: str, payload: str, opened: str) -> LoggedEvent:
    """Turn a row of the log into an event.

    Raises:
        DamagedError: its bytes are no JSON object.

    """
    exact = payload.encode()
    try:
        entry = msgspec.json.decode(exact, type=dict[str, Any])
    except ValueError as error:
        raise DamagedError(f"audit event {event_id}", str(error)) from error
    return LoggedEvent(event_id=event_id, leaf=leaf, payload=exact, entry=entry, openings=openings(opened))


@contextmanager
def reading(event: LoggedEvent) -> Iterator[dict[str, Any]]:
    """Give what an event says, to be read as its type says; who does not find it there meets a forged event.

    Raises:
        PrunedError: its payload was pruned.
        DamagedError: something that belongs to the type is missing, or is something else.

    """
    if event.is_pruned:
        raise PrunedError(event.event_id)
    try:
        yield msgspec.convert(event.entry["data"], dict[str, Any])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"audit event {event.event_id}", f"{type(error).__name__}: {error}") from error


def one(connection: Connection, event: int | str, principal: str, action: Action = Action.AUDIT) -> LoggedEvent:
    """Read one event, by its number or by its id, for somebody who may do something where it belongs.

    Raises:
        NotFoundError: there is none, or it is not visible.
        ForbiddenError: they audit nothing.

    """
    named = check_id("event", str(event))
    visible = selection(EVERY_EVENT, audited(connection, principal, action))
    column, value = ("event_id", int(named)) if is_number(named) else ("id", named)
    chosen = Selection(f"e.{column} = :named AND {visible.condition}", visible.parameters | {"named": value})
    found = next(each(connection, chosen, limit=1), None)
    if found is None:
        raise NotFoundError("audit event", named)
    return found


def last_number(connection: Connection) -> int:
    """Read the number of the last event."""
    number: int = rows(connection, "SELECT coalesce(max(event_id), 0) AS n FROM audit_event")[0]["n"]
    return number
