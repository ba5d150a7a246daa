"""Whether the rules still give what was recorded: every logged projection, decided anew from its own facts.

A projection is compared field by field, with its rule, its digest and what it withheld. Lists keep the digests of
facts and not the facts, so their rows cannot be decided anew. Refuses to know the rules (`proofgap.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from proofgap.access import Action
from proofgap.audit import EventType, canonical
from proofgap.decision import everyone
from proofgap.facts import Facts, Struct, Viewer
from proofgap.hooks import Trigger, project
from proofgap_store import questions, views
from proofgap_store.documents import DamagedError, projection_data
from proofgap_store.engine import Connection
from proofgap_store.questions import Progress
from proofgap_store.shapes import LoggedEvent, LogQuery

DIFFERENCES_MAX = 100
"""How many differences a replay names; it counts all of them."""

_FOR_RECORD = frozenset({Trigger.HOOK, Trigger.IMPORT})
_ABSENT = "absent"


class Difference(Struct):
    """A field of a projection that is not what the rules give for its logged facts."""

    event_id: int
    run: str | None
    field: str
    logged: Any
    replayed: Any


class Replay(Struct):
    """What a replay came to: how many projections, how many of them differ, and the first differences.

    ``pruned`` counts the projections whose facts are in an export of a pruning: they could not be decided anew.
    """

    projections: int
    differing: int
    pruned: int
    differences: tuple[Difference, ...]


def replay(connection: Connection, run: str | None, principal: str, progress: Progress) -> Replay:
    """Decide every logged projection anew, of one run or of all that are visible, and compare every field.

    Raises:
        NotFoundError, ForbiddenError: there is no such run, or whoever asks may not read its log.

    """
    if run is not None:
        views.visible(connection, run, principal, Action.AUDIT)
    query = LogQuery(run=run, types=(EventType.DECISION_PROJECTED,))
    chosen = questions.selection(query, questions.audited(connection, principal))
    last_number = questions.last_number(connection)
    projections, differing, pruned = 0, 0, 0
    kept: list[Difference] = []
    for event in questions.each(connection, chosen):
        if event.is_pruned:
            pruned += 1
            continue
        found = list(differences(event))
        projections, differing = projections + 1, differing + bool(found)
        kept += found[: DIFFERENCES_MAX - len(kept)]
        progress(event.event_id, last_number, projections)
    return Replay(projections=projections, differing=differing, pruned=pruned, differences=tuple(kept))


def differences(event: LoggedEvent) -> Iterator[Difference]:
    """Compare one projection with what the rules give for its facts and its viewer."""
    try:
        with questions.reading(event) as data:
            again = _decided_anew(data)
    except DamagedError as error:
        yield _difference(event, "data", event.entry.get("data"), error.problem)
        return
    for field, logged, replayed in _compared("", data, again):
        yield _difference(event, field, logged, replayed)


def _difference(event: LoggedEvent, field: str, logged: object, replayed: object) -> Difference:
    return Difference(
        event_id=event.event_id, run=event.entry.get("run"), field=field, logged=logged, replayed=replayed
    )


def _decided_anew(data: dict[str, Any]) -> dict[str, Any]:
    """Project the logged facts again; a projection for the record is for nobody, with everything authorised."""
    facts = msgspec.convert(data["facts"], Facts)
    trigger = Trigger(data["trigger"])
    viewer = everyone(facts) if trigger in _FOR_RECORD else msgspec.convert(data["viewer"], Viewer)
    again: dict[str, Any] = msgspec.json.decode(canonical(projection_data(project(facts, viewer, trigger))))
    return again


def _compared(path: str, logged: dict[str, Any], replayed: dict[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Find the fields that differ, as deep as both sides are objects."""
    for name in sorted({*logged, *replayed}):
        here, there = logged.get(name, _ABSENT), replayed.get(name, _ABSENT)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from _compared(f"{path}{name}.", here, there)
        elif here != there or type(here) is not type(there):
            yield f"{path}{name}", here, there
