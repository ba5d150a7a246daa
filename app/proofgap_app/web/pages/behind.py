"""The pages that primary actions lead to: each exists, and does what the action says.

They show facts of a run and no decision, so that nothing is recorded as shown; that is the run page's business. Owns
how these requests are answered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from starlette.responses import Response

from proofgap.access import MAY, Action
from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, SnapshotStatus, Struct
from proofgap.records import CheckResult, RunRecord, SnapshotRecord
from proofgap.text import shown
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses, forms, operation, outcome, preparing, tables, trail, words
from proofgap_app.web.pages.about import About, News
from proofgap_app.web.pages.frames import answered, frame_around, run_named
from proofgap_app.web.replies import cursor
from proofgap_app.web.table import Handler, Route, Scope
from proofgap_store import Around, CheckPage, Noted, Page
from proofgap_store.clock import now_us

_SAMPLE = 20
_Choice = TypeVar("_Choice", bound=StrEnum)


class Items(Struct):
    """Which items are wanted."""

    result: str = ""
    after: str = ""


class Evidence(Struct):
    """Which comparisons of which snapshot are wanted; the active one, unless one is named."""

    snapshot: str = ""
    result: str = ""
    after: str = ""


def items(call: Call, query: Items) -> Response:
    """Show what became of each item."""
    around = _around(call)
    result = _chosen("result", query.result, ItemResult)
    found = call.ledger.items(
        around.record.id, call.actor.id, Page(result=result, after=query.after, limit=tables.ROWS + 1)
    )
    return answered(
        "items.html", frame=frame_around(call, around), page=tables.items_page(around.record, found, result)
    )


def evidence(call: Call, query: Evidence) -> Response:
    """Show what was found when the restored target was read."""
    around = _around(call)
    snapshot, result = _snapshot(around.record, query.snapshot), _chosen("result", query.result, CheckResult)
    wanted = CheckPage(result, trail.number("after", query.after, -1), tables.ROWS + 1)
    found = () if snapshot is None else call.ledger.desk.checks(snapshot.id, call.actor, wanted)
    page = tables.evidence_page(around.record, snapshot, found, result)
    if snapshot is not None:
        reviews = tables.reviewed(call.ledger.desk.reviews(around.record.id, snapshot.id, call.actor))
        is_current = snapshot.status is SnapshotStatus.ACTIVE
        page = page._replace(reviews=reviews, form=forms.review(around.record, snapshot) if is_current else None)
    return answered("evidence.html", frame=frame_around(call, around), page=page)


def operation_run(call: Call) -> Response:
    """Show the phases, the progress and the last messages of the execution, live."""
    since = call.ledger.feed.settled()  # before anything is read: whatever comes after is news to the page
    around = _around(call)
    run_id, person = around.record.id, call.actor.id
    steps = call.ledger.desk.steps(run_id, person)
    failed = call.ledger.items(run_id, person, Page(result=ItemResult.FAILED, limit=_SAMPLE))
    page = operation.page(around.record, steps, failed, now_us())
    return _about(call, around, page._replace(news=_news(around.record, since)))


def _news(record: RunRecord, since: int) -> News | None:
    """Say where a page hears of its run; an imported one never moves."""
    if record.imported:
        return None
    stream = addresses.stream(record.workspace, record.id, cursor(str(since)))
    return News(stream, since, f"{words.clock(now_us())} UTC")


def failure(call: Call) -> Response:
    """Show why a run failed."""
    around = _around(call)
    failed = call.ledger.items(around.record.id, call.actor.id, Page(result=ItemResult.FAILED, limit=_SAMPLE))
    return _about(call, around, outcome.failure(around, _note(call), failed))


def blocker(call: Call) -> Response:
    """Show what stopped a run before it was executed."""
    around = _around(call)
    refusals = tuple(row for row in trail.rows(around.record.id, around.trail or ()) if row.kind == "refusal")
    return _about(call, around, outcome.blocker(around.record, _note(call), refusals))


def proof_gap(call: Call) -> Response:
    """Show what is missing for a proof."""
    around = _around(call)
    why = call.ledger.audit.why(around.record.id, call.actor) if around.roles & MAY[Action.AUDIT] else None
    return _about(call, around, outcome.proof_gap(around.record, why))


def preview(call: Call) -> Response:
    """Show what the plan would do."""
    around = _around(call)
    return _about(
        call, around, preparing.preview(around.record, now_us())._replace(forms=tuple(forms.of_preview(around)))
    )


def preparation(call: Call) -> Response:
    """Show how far a run is prepared."""
    around = _around(call)
    offered = tuple(forms.of_preparation(around, is_local=call.settings.sign_in is None))
    return _about(call, around, preparing.preparation(around.record)._replace(forms=offered))


def _around(call: Call) -> Around:
    return call.ledger.desk.around(run_named(call), call.actor.id)


def _note(call: Call) -> Noted:
    return call.ledger.desk.note(run_named(call), call.actor.id)


def _about(call: Call, around: Around, page: About) -> Response:
    return answered("about.html", frame=frame_around(call, around), page=page.followed_by(around.roles))


def _chosen(name: str, text: str, kinds: type[_Choice]) -> _Choice | None:
    """Read a choice of a filter; none is all.

    Raises:
        BadInputError: there is no such choice.

    """
    if not text:
        return None
    if text not in set(kinds):
        raise BadInputError(name, f"'{shown(text)}' is none", f"Use one of: {', '.join(kinds)}.")
    return kinds(text)


def _snapshot(record: RunRecord, named: str) -> SnapshotRecord | None:
    """Give the snapshot that is named, else the latest active one: of those that this person may view."""
    found = [row for row in record.evidence if row.id == named or (not named and row.status is SnapshotStatus.ACTIVE)]
    return max(found, key=lambda row: (row.captured_at_us or 0, row.id), default=None) if record.operation else None


def _route(page: str, handler: Handler, summary: str) -> Route:
    path = f"/runs/{{run}}/{page}"
    return Route(
        method="GET",
        path=path,
        handler=handler,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary=summary,
        media=("text/html",),
        is_page=True,
    )


ROUTES = (
    _route("items", items, "What became of each item"),
    _route("evidence", evidence, "What was found when the target was read"),
    _route("operation", operation_run, "The execution of a run"),
    _route("failure", failure, "Why a run failed"),
    _route("blocker", blocker, "What stopped a run"),
    _route("proof-gap", proof_gap, "What is missing for a proof"),
    _route("preview", preview, "What the plan would do"),
    _route("preparation", preparation, "How far a run is prepared"),
)
