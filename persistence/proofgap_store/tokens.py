"""API tokens: a principal of its own each, with the roles that it was made with, until it expires or is revoked.

A token's secret is given out once; the ledger keeps its SHA-256, which says nothing of 256 random bits. Making and
revoking are events, and so are the grants that belong to them: a token is let in by the same rows as everybody else.
Who may make one is who may grant what it holds.

Owns the events and the rows of tokens. Refuses to know how a token is sent.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from proofgap.access import TOKEN_ROLES, Action, Role, is_token, token_id
from proofgap.admission import admitted
from proofgap.audit import EventType
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import Count, Struct
from proofgap.text import check_code, check_id
from proofgap_store.administration import check_scope, demand_admin, grant_draft, roles_over, system_writing
from proofgap_store.audit_log import Draft
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.gate import Writing
from proofgap_store.questions import audited
from proofgap_store.transitions import Call

PREFIX = "proofgap_token_"
"""What a secret begins with, so that it is found where it should not be."""

_DAY_US = 86_400_000_000
_EXPIRES_US_MAX = 366 * _DAY_US
_USED_US = 60_000_000  # how exact the time of the last use is: a minute
_BEARER = """
SELECT t.id, t.expires_at_us, u.used_at_us FROM access_token AS t LEFT JOIN access_token_use AS u ON u.id = t.id
WHERE t.sha256 = :sha256 AND t.active = 1
"""
_STAMP = """
INSERT INTO access_token_use VALUES (:id, :now) ON CONFLICT (id) DO UPDATE SET used_at_us = excluded.used_at_us
"""
_ALL = """
SELECT t.*, u.used_at_us, e.actor AS created_by, e.at_us AS created_at_us, (
  SELECT group_concat(role) FROM access_grant AS g WHERE g.principal = t.id) AS roles
FROM access_token AS t JOIN audit_event AS e ON e.event_id = t.created_event_id
LEFT JOIN access_token_use AS u ON u.id = t.id
ORDER BY t.created_event_id DESC
"""
_ONE = "SELECT * FROM access_token WHERE id = :id"


class NewToken(Struct):
    """A token that is to be made: ``name`` says what it is for, and ends up in its id. Times in microseconds since 1970 UTC."""

    name: str
    workspace: str
    environment: str
    roles: tuple[Role, ...]
    expires_at_us: Count


class Token(Struct):
    """A token as its administrators see it. ``used_at_us`` is exact to a minute; ``None``: it was never used."""

    id: str
    workspace: str
    environment: str
    roles: tuple[Role, ...]
    created_by: str
    created_at_us: int
    expires_at_us: int
    used_at_us: int | None
    active: bool


class Issued(Struct):
    """A token that was just made. The secret is nowhere else, and cannot be shown again."""

    token: str
    secret: str
    expires_at_us: int
    event_id: int


class Bearer(NamedTuple):
    """Whoever sent a secret that is in force; ``is_fresh``: the time of its last use needs no new stamp."""

    id: str
    is_fresh: bool


def hashed(secret: str) -> str:
    """Give what the ledger keeps of a secret."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def checked(new: NewToken, now_us: int) -> NewToken:
    """Let what is wanted of a new token through.

    Raises:
        BadInputError: no role, one that no token may hold, or a time that is past or too far away.

    """
    new = admitted("token", new)
    check_code("name", new.name)
    check_scope((new.workspace, new.environment))
    if not new.roles or not TOKEN_ROLES.issuperset(new.roles):
        may = ", ".join(sorted(TOKEN_ROLES))
        raise BadInputError("roles", "are none that a token may hold", f"Use one or more of: {may}.")
    if not now_us < new.expires_at_us <= now_us + _EXPIRES_US_MAX:
        raise BadInputError("expires_at_us", "is past, or more than a year away", "Use 1 to 366 days from now.")
    return new


def creating(connection: Connection, new: NewToken, made: tuple[str, str], call: Call) -> Writing[Issued] | Issued:
    """Compute the events of a new token and of its grants; ``made`` is the end of its id, and its secret."""
    scope = (new.workspace, new.environment)
    demand_admin(call.actor.id, roles_over(connection, call.actor.id, scope), scope)
    named = token_id(new.name, made[0])
    data = {
        "token": named,
        "sha256": hashed(made[1]),
        "expires_at_us": new.expires_at_us,
        "roles": sorted({*new.roles}),
    }
    drafts = [
        _draft(EventType.TOKEN_CREATED, scope, data),
        *(grant_draft(named, role, scope) for role in sorted({*new.roles})),
    ]
    writing = system_writing(connection, drafts, call)
    return Writing(
        events=writing.events,
        answer=lambda written: Issued(
            token=named, secret=made[1], expires_at_us=new.expires_at_us, event_id=written[0].event_id
        ),
    )


def revoking(connection: Connection, named: str, call: Call) -> Writing[int] | int:
    """Compute the events that end a token and take its roles.

    Raises:
        NotFoundError: there is none that the actor can view, or it was revoked before.
        ForbiddenError: the actor is no admin where it is.

    """
    found = rows(connection, _ONE, id=check_id("token", named))
    if not found:
        raise NotFoundError("token", named)
    scope = (found[0]["workspace"], found[0]["environment"])
    held = roles_over(connection, call.actor.id, scope)
    if not held:
        raise NotFoundError("token", named)
    demand_admin(call.actor.id, held, scope)
    if not found[0]["active"]:
        raise NotFoundError("token", named, done="revoked")
    roles = rows(
        connection, "SELECT role FROM access_grant WHERE principal = :id AND active = 1 ORDER BY role", id=named
    )
    drafts = [
        _draft(EventType.TOKEN_REVOKED, scope, {"token": named}),
        *(grant_draft(named, Role(row["role"]), scope, EventType.ACCESS_REVOKED) for row in roles),
    ]
    return system_writing(connection, drafts, call)


def listing(connection: Connection, principal: str) -> tuple[Token, ...]:
    """Read the tokens of what somebody administers, the newest first.

    Raises:
        ForbiddenError: they administer nothing.

    """
    scopes = audited(connection, principal, Action.ADMINISTER)
    return tuple(
        _token(row)
        for row in rows(connection, _ALL)
        if (row["workspace"], "*") in scopes or (row["workspace"], row["environment"]) in scopes
    )


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        workspace=row["workspace"],
        environment=row["environment"],
        roles=tuple(sorted(map(Role, (row["roles"] or "").split(",")))),
        created_by=row["created_by"],
        created_at_us=row["created_at_us"],
        expires_at_us=row["expires_at_us"],
        used_at_us=row["used_at_us"],
        active=bool(row["active"]),
    )


def bearer(connection: Connection, secret: str, now_us: int) -> Bearer | None:
    """Find out whose secret this is; ``None``: nobody's, or of a token that expired or was revoked."""
    found = next(iter(rows(connection, _BEARER, sha256=hashed(secret))), None)
    if found is None or found["expires_at_us"] <= now_us:
        return None
    used = found["used_at_us"]
    return Bearer(found["id"], used is not None and now_us - used < _USED_US)


def stamp(named: str, now_us: int) -> tuple[str, dict[str, Any]]:
    """Give the statement that says when a token was last used: it is volatile, and no event."""
    return _STAMP, {"id": named, "now": now_us}


def refuse_token(principal: str) -> None:
    """Refuse a person who is called like a token: they would hold its roles.

    Raises:
        BadInputError: they are.

    """
    if is_token(principal):
        raise BadInputError("principal", f"{principal!r} is the name of a token", "Sign in as a person.")


def _draft(kind: EventType, scope: tuple[str, str], data: dict[str, Any]) -> Draft:
    return Draft(kind, scope[0], None if scope[1] == "*" else scope[1], None, None, data)
