"""Item outcomes: reported in batches while a run executes, and read by whoever sees the run.

A batch is stored as a whole or not at all. It is a JSON array, or JSON lines. Owns these routes. Refuses to count:
the run's totals follow from the rows (`proofgap.effects`).
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

from starlette.responses import Response

from proofgap.access import Action
from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, RunEvent, Struct
from proofgap.records import Item
from proofgap.text import check_id, shown
from proofgap_app.web import replies
from proofgap_app.web.api import receipts
from proofgap_app.web.api.runs import ONE, looked_up
from proofgap_app.web.calls import JSON, NDJSON, Call, form_of, listed
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope
from proofgap_store import Page

_BATCH_MAX = 1000


class Stored(Struct):
    """What became of a batch."""

    stored: int
    version: int
    event_id: int


class Items(Struct):
    """One page of outcomes, ordered by key; ``next`` is what to hand in as ``after``, and null at the end."""

    items: tuple[Item, ...]
    next: str | None


class ItemsAsked(Struct):
    """Which outcomes."""

    result: ItemResult | None = None
    after: replies.Cursor | None = None
    limit: replies.Limit = replies.LIMIT


def report(call: Call) -> Response:
    """Report outcomes of items: all of a batch, or none of it."""
    key = receipts.key_of(call, must=False)
    items = _batch(call)
    run = looked_up(call).record.id
    receipt = call.ledger.fire(run, RunEvent.REPORT, call.actor, items=items, key=key, token=receipts.fence_of(call))
    found = Stored(stored=len(items), version=receipt.version, event_id=receipt.event_id)
    replayed = {"idempotent-replayed": "true"} if receipt.replayed else {}
    return replies.reply(found, HTTPStatus.ACCEPTED, {"etag": f'"{receipt.version}"', **replayed})


def _batch(call: Call) -> list[Item]:
    items = listed(call, Item, _BATCH_MAX)
    for number, item in enumerate(items):
        check_id(f"[{number}].key", item.key)
    key, count = Counter(item.key for item in items).most_common(1)[0]
    if count > 1:
        raise BadInputError("", f"'{shown(key)}' occurs {count} times", "Report every item once.")
    return items


def list_items(call: Call, query: ItemsAsked) -> Response:
    """Read outcomes, ordered by key."""
    run = looked_up(call).record.id
    after = "" if query.after is None else replies.place_of(query.after)
    found = call.ledger.items(run, call.actor.id, Page(result=query.result, after=after, limit=query.limit + 1))
    page = found[: query.limit]
    following = replies.cursor(page[-1].key) if len(found) > len(page) else None
    asked = form_of({"result": query.result, "limit": str(query.limit)})
    return replies.paged(call, page, following, asked)


ROUTES = (
    Route(
        method="POST",
        path=ONE + "/item-outcomes",
        handler=report,
        scope=Scope.RUN,
        asks=(Action.EXECUTE,),
        summary="Report outcomes of items, at most 1,000 at a time",
        gives=Stored,
        status=HTTPStatus.ACCEPTED,
        takes={JSON: tuple[Item, ...], NDJSON: None},
        problems=(
            *(Code.KEY_REUSED, Code.TRANSITION_NOT_ALLOWED, Code.GUARD_FAILED, Code.CONFLICT),
            *(Code.FORBIDDEN, Code.NOT_FOUND),
        ),
        headers=(f"{receipts.KEY}?", f"{receipts.FENCE}?"),
        brings=("ETag", "Idempotent-Replayed?"),
    ),
    Route(
        method="GET",
        path=ONE + "/item-outcomes",
        handler=list_items,
        scope=Scope.RUN,
        asks=(Action.VIEW,),
        summary="Read outcomes of items, ordered by key",
        gives=Items,
        brings=("Link?",),
        problems=(Code.NOT_FOUND,),
    ),
)
