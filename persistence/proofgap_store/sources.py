"""Backup sources that are registered: what can be restored in an environment, by name, so that nobody types where it is.

Theory. Whoever administers an environment registers a source: where the backup is, how it is read, and where its password is
to be found (a file, never the password). Registering a name again replaces what it stood for; retiring it takes it off the
list, and changes no run. All of it is events of one stream, and the list is what they come to: there are few of them, the
stream is never pruned, and no row could differ from the log.

Owns these events and the list. Refuses to know drivers, and what restores from a source (`proofgap_app`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from proofgap.access import Action, Place
from proofgap.admission import admitted
from proofgap.audit import EventType, system_stream
from proofgap.effects import given_fields
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import Struct
from proofgap.records import RunDetails
from proofgap.secret import refuse_secrets
from proofgap.text import check_code
from proofgap_store import views
from proofgap_store.administration import check_scope
from proofgap_store.audit_log import Draft, alone
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Writing
from proofgap_store.read import law
from proofgap_store.transitions import Call

_STREAM = system_stream("sources")
_SAYS = frozenset({"backup", "driver", "manifest", "select", "options", "password_file"})
_SAID = """
SELECT type, actor, at_us, payload ->> '$.data' AS data FROM audit_event
WHERE stream = :stream AND ws = :workspace AND env = :environment ORDER BY seq
"""


class _Data(Struct):
    source: str
    details: RunDetails = RunDetails()


_DATA = msgspec.json.Decoder(_Data)


class Source(NamedTuple):
    """A registered source: its name, what is restored from it and how, who registered it and when (microseconds since 1970 UTC)."""

    name: str
    details: RunDetails
    by: str
    at_us: int


def registering(
    connection: Connection, name: str, scope: tuple[str, str], details: RunDetails, call: Call
) -> Writing[int] | int:
    """Compute the event that registers a source, or replaces what its name stood for; gives the event's id.

    Raises:
        BadInputError: the name is none, the backup is missing, a fact is none of a source's, or it holds a secret.
        NotFoundError, ForbiddenError: the actor does not administer that environment.

    """
    check_code("name", name)
    details = admitted("details", details)
    refuse_secrets(details)
    for field in given_fields(details):
        if field not in _SAYS:
            raise BadInputError(field, "does not belong to a source", f"It takes: {', '.join(sorted(_SAYS))}.")
    if details.backup is None:
        raise BadInputError("backup", "is missing", "Say what is restored from this source.")
    return _saying(connection, EventType.SOURCE_REGISTERED, scope, {"source": name, "details": details}, call)


def retiring(connection: Connection, name: str, scope: tuple[str, str], call: Call) -> Writing[int] | int:
    """Compute the event that takes a source off the list; gives the event's id.

    Raises:
        NotFoundError, ForbiddenError: there is no such source, or the actor does not administer that environment.

    """
    writing = _saying(connection, EventType.SOURCE_RETIRED, scope, {"source": check_code("name", name)}, call)
    if name not in _on_record(connection, scope):
        raise NotFoundError("source", name)
    return writing


def listing(connection: Connection, scope: tuple[str, str], principal: str) -> tuple[Source, ...]:
    """Read the sources of an environment, by name, for whoever may create runs there.

    Raises:
        NotFoundError, ForbiddenError: they may not.

    """
    check_scope(scope)
    views.permit(connection, Action.CREATE, scope, principal)
    found = _on_record(connection, scope)
    return tuple(found[name] for name in sorted(found))


def _saying(
    connection: Connection, kind: EventType, scope: tuple[str, str], data: dict[str, object], call: Call
) -> Writing[int]:
    check_scope(scope)
    views.permit_in(connection, Action.ADMINISTER, Place(*scope), call.actor.id)
    events = alone(connection, _STREAM, Draft(kind, *scope, None, None, data), call.actor, call.rec_us)
    return Writing(events=events, answer=lambda written: written[0].event_id, law=law(connection))


def _on_record(connection: Connection, scope: tuple[str, str]) -> dict[str, Source]:
    """Follow the log: what was registered last under each name, and not retired since."""
    found: dict[str, Source] = {}
    for row in rows(connection, _SAID, stream=_STREAM, workspace=scope[0], environment=scope[1]):
        data = _DATA.decode(row["data"])
        if row["type"] == EventType.SOURCE_REGISTERED:
            found[data.source] = Source(data.source, data.details, row["actor"], row["at_us"])
        else:
            found.pop(data.source, None)
    return found
