"""The auditors' pages: how the log is asked, verified, signed and taken out of.

Owns how these requests are answered. Reading the log records nothing; taking a bundle out is an event.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from starlette.responses import Response

from proofgap.access import Action
from proofgap.errors import NotFoundError
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses, audit
from proofgap_app.web.pages.frames import answered, event_named, frame_anywhere, run_named
from proofgap_app.web.table import Route, Scope
from proofgap_app.web.whole import Whole
from proofgap_store import LogPage
from proofgap_store.clock import now_us

_HTML = ("text/html",)
_TEXT, _ZIP = "text/plain; charset=utf-8", "application/zip"


def log(call: Call, query: audit.Wanted) -> Response:
    """Show the log of everything that this person audits."""
    found = call.ledger.audit.list(audit.query(query), call.actor, LogPage(limit=audit.ROWS, after=query.after or None))
    keys = [(key.key, key.event_id) for key in call.ledger.audit.keys(call.actor)]
    page = audit.page(found, query, call.ledger.audit.waiting(), keys)
    return answered("audit.html", frame=frame_anywhere(call), page=page)


def event(call: Call) -> Response:
    """Show one event, whole."""
    found = call.ledger.audit.get(event_named(call), call.actor)
    return answered("event.html", frame=frame_anywhere(call), page=audit.event_page(found))


def verify(call: Call) -> Response:
    """Verify the whole log, held against the head file, and show what was found; where, to whoever audits all of it."""
    is_all = call.ledger.audit.is_all(call.actor)  # whoever audits nothing is refused here
    with call.around.verifying.one():
        found = call.ledger.verify()
    return answered("verified.html", frame=frame_anywhere(call), page=audit.verify_page(found, now_us(), is_all=is_all))


def checkpoint(call: Call) -> Response:
    """Sign what waits, and give the signed checkpoint to whoever is to keep it."""
    call.ledger.audit.keys(call.actor)  # whoever audits nothing is refused here
    signed = call.ledger.audit.checkpoint()
    if signed is None:
        raise NotFoundError("checkpoint", "of an empty log")
    return _download(signed.note.encode(), f"checkpoint-{signed.size}.txt", _TEXT)


def bundle(call: Call) -> Response:
    """Give everything about a run in one file that can be verified without the ledger."""
    run_id, folder = run_named(call), Path(mkdtemp(prefix="proofgap-bundle-"))
    try:
        file = folder / "bundle.zip"
        made = call.ledger.audit.bundle(run_id, call.actor, file)
    except BaseException:
        rmtree(folder, ignore_errors=True)
        raise
    return Whole(file, _ZIP, _named(f"bundle-{made.event_id}.zip"))


def _download(content: bytes, name: str, media: str) -> Response:
    return Response(content, HTTPStatus.OK, _named(name), media_type=media)


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}


ROUTES = (
    Route(method="GET", path=addresses.AUDIT, handler=log, scope=Scope.LEDGER, asks=(Action.AUDIT,), summary="The log", media=_HTML, is_page=True),
    Route(method="GET", path=f"{addresses.AUDIT}/events/{{event_id}}", handler=event, scope=Scope.LEDGER, asks=(Action.AUDIT,), summary="One event", media=_HTML, is_page=True),
    Route(method="POST", path=f"{addresses.AUDIT}/verify", handler=verify, scope=Scope.LEDGER, asks=(Action.AUDIT,), summary="Verify the log", media=_HTML, is_page=True),
    Route(method="POST", path=f"{addresses.AUDIT}/checkpoint", handler=checkpoint, scope=Scope.LEDGER, asks=(Action.AUDIT,), summary="Sign a checkpoint", media=(_TEXT,), is_page=True),
    Route(method="POST", path="/runs/{run}/bundle", handler=bundle, scope=Scope.RUN, asks=(Action.AUDIT,), summary="Take out everything about a run", media=(_ZIP,), is_page=True),
)  # fmt: skip
