"""Why a run is decided as it is, and how that came about.

Owns the reading of projections for the record. Every answer is what the log says; nothing is decided anew here
(`replaying`). Refuses to know the rules (`proofgap.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofgap.access import Action
from proofgap.audit import EventType, run_stream
from proofgap.decision import RULES
from proofgap.errors import NotFoundError
from proofgap.facts import Struct
from proofgap_store import questions, views
from proofgap_store.engine import Connection
from proofgap_store.questions import Selection
from proofgap_store.shapes import LoggedEvent

_OF_RUN = "e.stream = :stream"
_PROJECTION = f"e.type = '{EventType.DECISION_PROJECTED}'"
_ABSENT = "absent"


class RuleAnswer(Struct):
    """One of the rules in words, and what it came to: ``True`` it decided, ``False`` it did not hold, ``None`` not asked."""

    rule: int
    condition: str
    state: bool | None


class Why(Struct):
    """The last decision of a run for the record: the facts that went in, the rules in their order, what came out."""

    run: str
    event_id: int
    leaf: str
    recorded_us: int
    facts: dict[str, Any]
    rules: tuple[RuleAnswer, ...]
    decision: dict[str, Any]


class Cause(Struct):
    """An event that led to a decision."""

    event_id: int
    type: str
    event: str | None  # what was fired; None: a record came into being
    source: str | None
    target: str | None
    actor: str


class Change(Struct):
    """A projection for the record that changed the decision: which fields, to what, and because of which events."""

    event_id: int
    recorded_us: int
    state: str
    rule: int
    status: str
    fields: tuple[str, ...]
    causes: tuple[Cause, ...]


class DecisionHistory(Struct):
    """Each change of a run's decision that is known, oldest first, and how many projections before them were pruned."""

    changes: tuple[Change, ...]
    pruned: int


def why(connection: Connection, run: str, principal: str) -> Why:
    """Read what the last decision of a run rests on.

    Raises:
        NotFoundError, ForbiddenError: there is no such run, or whoever asks may not read its log.
        PrunedError: its last decision was pruned.

    """
    views.visible(connection, run, principal, Action.AUDIT)
    chosen = Selection(f"{_OF_RUN} AND {_PROJECTION}", {"stream": run_stream(run)})
    found = next(questions.each(connection, chosen, newest_first=True, limit=1), None)
    if found is None:
        raise NotFoundError("decision of restore run", run)
    with questions.reading(found) as data:
        return Why(
            run=run,
            event_id=found.event_id,
            leaf=found.leaf,
            recorded_us=found.entry["rec_us"],
            facts=data["facts"],
            rules=tuple(_answers(data["rule"])),
            decision=data["decision"],
        )


def _answers(decided: int) -> Iterator[RuleAnswer]:
    for rule, condition in RULES.items():
        yield RuleAnswer(rule=rule, condition=condition, state=None if rule > decided else rule == decided)


def history(connection: Connection, run: str, principal: str) -> DecisionHistory:
    """Read every projection for the record that changed a run's decision, oldest first; after a pruning, from the first that is left.

    Raises:
        NotFoundError, ForbiddenError: as for `why`.

    """
    views.visible(connection, run, principal, Action.AUDIT)
    return _history(questions.each(connection, Selection(_OF_RUN, {"stream": run_stream(run)})))


def _history(events: Iterator[LoggedEvent]) -> DecisionHistory:
    changes: list[Change] = []
    causes: list[Cause] = []
    before: dict[str, Any] = {}
    pruned = 0
    for event in events:
        is_projection = event.entry["type"] == EventType.DECISION_PROJECTED
        if event.is_pruned and is_projection:
            pruned, causes = pruned + 1, []  # what came before it caused what nobody knows any more
        if event.is_pruned or event.entry["type"] == EventType.RUN_TRANSITION_REFUSED:
            continue
        with questions.reading(event) as data:
            if not is_projection:
                causes.append(_cause(event))
                continue
            decision: dict[str, Any] = data["decision"]
            change = _change(event, before, tuple(causes))
        if decision != before:
            changes.append(change)
        before, causes = decision, []
    return DecisionHistory(changes=tuple(changes), pruned=pruned)


def _change(event: LoggedEvent, before: dict[str, Any], causes: tuple[Cause, ...]) -> Change:
    decision = event.entry["data"]["decision"]
    return Change(
        event_id=event.event_id,
        recorded_us=event.entry["rec_us"],
        state=decision["state"],
        rule=decision["rule"],
        status=decision["status"],
        fields=tuple(name for name in decision if decision[name] != before.get(name, _ABSENT)),
        causes=causes,
    )


def _cause(event: LoggedEvent) -> Cause:
    data = event.entry["data"]
    return Cause(
        event_id=event.event_id,
        type=event.entry["type"],
        event=data.get("event"),
        source=data.get("source"),
        target=data.get("target"),
        actor=event.entry["actor"]["id"],
    )
