"""The log over HTTP, for its auditors: events in the order of their numbers, and whole parts of it as a file.

Numbers only rise, and a page ends before whatever is still on its way, so whoever goes on after the last one misses
nothing. An event is given by its exact bytes: its hash can be computed from them. Owns these routes. Refuses to know
who may read what (`proofgap_store.questions`).
"""

from __future__ import annotations

import shutil
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Literal

import msgspec
from starlette.responses import Response

from proofgap.access import Action
from proofgap.audit import EventType
from proofgap.facts import Struct
from proofgap_app.web import replies
from proofgap_app.web.api.transitions import event_number
from proofgap_app.web.calls import NDJSON, Call, form_of
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_app.web.whole import Whole
from proofgap_store import Export, LoggedEvent, LogQuery, Manifest, Opening

PATH = "/v1/workspaces/{ws}/audit-events"


class EventsAsked(Struct):
    """Which events: of a run, of a type, of an environment; oldest first."""

    after: replies.Cursor | None = None
    run: str | None = None
    kind: EventType | None = None
    environment: str | None = None
    limit: replies.Limit = replies.LIMIT


class ExportAsked(Struct):
    """In which form, and which events."""

    format: Literal["jsonl"] = "jsonl"
    run: str | None = None
    environment: str | None = None


class Event(Struct):
    """An event: ``leaf`` is the RFC 6962 leaf hash of the exact bytes of ``entry``."""

    event_id: int
    leaf: str
    entry: msgspec.Raw
    openings: dict[str, Opening]


class Events(Struct):
    """One page of events; ``next`` is what to hand in as ``after``, now or when there are more."""

    items: tuple[Event, ...]
    next: str


def list_events(call: Call, query: EventsAsked) -> Response:
    """Read events of a workspace, oldest first."""
    after = event_number(query.after)
    found = call.ledger.audit.tail(after, call.actor, _question(call, query))[: query.limit]
    following = replies.cursor(str(found[-1].event_id if found else after))
    asked = form_of({"run": query.run, "kind": query.kind, "environment": query.environment, "limit": str(query.limit)})
    return replies.paged(call, [_event(event) for event in found], following, asked)


def export(call: Call, query: ExportAsked) -> Response:
    """Take the events of a workspace out into a file, and send it; that this was done is an event."""
    call.ledger.audit.is_all(call.actor)  # whoever audits nothing is refused here
    folder = Path(tempfile.mkdtemp(prefix="proofgap-export-"))
    try:
        file = folder / "audit-events.jsonl"
        wanted = Export(
            file=str(file), query=LogQuery(workspace=call.workspace, run=query.run, environment=query.environment)
        )
        with call.around.exporting.one():
            manifest = call.ledger.audit.export(wanted, call.actor)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Whole(file, NDJSON, _told(manifest))


def _told(manifest: Manifest) -> dict[str, str]:
    """Say what the file is, and by which event it was taken out (RFC 9530 for the digest)."""
    found = b64encode(bytes.fromhex(manifest.sha256)).decode()
    return {
        "cache-control": "no-store",
        "content-disposition": 'attachment; filename="audit-events.jsonl"',
        "repr-digest": f"sha-256=:{found}:",
        "proofgap-event": str(manifest.event.event_id),
    }


def _question(call: Call, query: EventsAsked) -> LogQuery:
    types = () if query.kind is None else (query.kind,)
    return LogQuery(workspace=call.workspace, run=query.run, environment=query.environment, types=types)


def _event(event: LoggedEvent) -> Event:
    return Event(
        event_id=event.event_id, leaf=event.leaf, entry=msgspec.Raw(event.payload), openings=dict(event.openings)
    )


ROUTES = (
    Route(
        method="GET",
        path=PATH,
        handler=list_events,
        scope=Scope.WORKSPACE,
        asks=(Action.AUDIT,),
        summary="Read the log of a workspace, oldest first",
        gives=Events,
        brings=("Link?",),
        problems=(Code.FORBIDDEN,),
    ),
    Route(
        method="GET",
        path=PATH + "/export",
        handler=export,
        scope=Scope.WORKSPACE,
        asks=(Action.AUDIT,),
        summary="Take the log of a workspace out as JSON lines; an audit event",
        media=(NDJSON,),
        problems=(Code.FORBIDDEN, Code.VERSION_MISMATCH, Code.RATE_LIMITED),
        brings=("Content-Disposition", "Repr-Digest", "Proofgap-Event"),
        is_event=True,
    ),
)
