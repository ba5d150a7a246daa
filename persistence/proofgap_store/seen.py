"""What a person had been shown of a run at a moment: the event that says so, or that there is none.

A person was shown a run when they looked at it, whoever's view they chose; a view that somebody else took in their
name was not shown to them. Owns this one question. Refuses to guess: what is not in the log was not shown, unless
views of that time were pruned; then it is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from proofgap.access import Action
from proofgap.facts import Struct
from proofgap.hooks import Trigger
from proofgap.text import check_id
from proofgap_store import questions, views
from proofgap_store.engine import Connection
from proofgap_store.questions import Scope, Selection
from proofgap_store.shapes import LoggedEvent, LogQuery

_SHOWN = """e.actor = :person AND CAST(e.payload ->> '$.rec_us' AS BIGINT) <= :at_us
  AND (e.type = 'restore.decision.projected' AND e.run = :run AND e.payload ->> '$.data.trigger' = 'show'
    OR e.type = 'restore.decision.listed' AND EXISTS (
      SELECT 1 FROM json_each(e.payload, '$.data.rows') AS line WHERE line.value ->> 0 = :run))"""


_PRUNED = """e.payload ->> '$.pruned' IS NOT NULL AND CAST(e.payload ->> '$.rec_us' AS BIGINT) <= :at_us
  AND (e.type = 'restore.decision.projected' AND e.run = :run OR e.type = 'restore.decision.listed')"""


class Seen(Struct):
    """The last time, up to a moment, that a person was shown a run; all of it is ``None`` where they never were.

    ``decision`` holds every field that was shown, for a run that was shown alone; of a row of a list the log keeps
    the state and the digest of the facts. ``event`` is ``None`` when the event also names runs that whoever asks may
    not see: then it is there, and its bytes are not given.
    """

    person: str
    run: str
    at_us: int  # the moment that was asked about
    event_id: int | None = None
    recorded_us: int | None = None
    trigger: Trigger | None = None  # shown alone, or as a row of a list
    viewer: str | None = None  # whose view it was
    state: str | None = None
    facts_digest: str | None = None
    decision: dict[str, Any] | None = None
    event: LoggedEvent | None = None
    is_pruned: bool = False  # nothing was found, and some views of that time were pruned: it is not known


class Moment(NamedTuple):
    """Who was shown which run, up to when (microseconds since 1970-01-01 UTC, by time of recording)."""

    person: str
    run: str
    at_us: int


def last_shown(connection: Connection, moment: Moment, principal: str) -> Seen:
    """Read the last event by which a person was shown a run.

    Raises:
        NotFoundError, ForbiddenError: there is no such run, or whoever asks may not read its log.

    """
    check_id("person", moment.person)
    views.visible(connection, moment.run, principal, Action.AUDIT)
    chosen = Selection(_SHOWN, dict(moment._asdict()))
    found = next(questions.each(connection, chosen, newest_first=True, limit=1), None)
    if found is None:
        lost = questions.each(connection, Selection(_PRUNED, dict(moment._asdict())), limit=1)
        return Seen(**moment._asdict(), is_pruned=next(lost, None) is not None)
    return _seen(moment, found, is_visible=_is_visible(connection, found, questions.audited(connection, principal)))


def _is_visible(connection: Connection, found: LoggedEvent, scopes: Sequence[Scope]) -> bool:
    visible = questions.selection(LogQuery(), scopes)
    chosen = Selection(f"e.event_id = :found AND {visible.condition}", visible.parameters | {"found": found.event_id})
    return next(questions.each(connection, chosen, limit=1), None) is not None


def _seen(moment: Moment, found: LoggedEvent, *, is_visible: bool) -> Seen:
    common = Seen(**moment._asdict(), event_id=found.event_id, event=found if is_visible else None)
    with questions.reading(found) as data:
        return replace(common, recorded_us=found.entry["rec_us"], **_view(data, moment.run))


def _view(data: dict[str, Any], run: str) -> dict[str, Any]:
    """Pick what was shown out of the event: the whole decision of one run, or the row of a list."""
    if "decision" in data:
        decision = data["decision"]
        seen = {"viewer": data["viewer"]["id"], "state": decision["state"], "facts_digest": data["facts_digest"]}
        return {"trigger": Trigger.SHOW, "decision": decision, **seen}
    _, state, facts_digest = next(row for row in data["rows"] if row[0] == run)
    return {"trigger": Trigger.LIST, "viewer": data["viewer"], "state": state, "facts_digest": facts_digest}
