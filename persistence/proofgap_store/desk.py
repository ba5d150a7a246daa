"""What an operator's desk needs beside the decision of a run: the end of its log, its steps, its comparisons.

Owns these questions, each with a fixed number of queries, however long the log is. What somebody may not be told is
left out, and asking for it is no attempt: a page asks for everything that it has room for. Refuses to know what a
page looks like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from proofgap.access import MAY, Action, Role, as_seen, viewer_of
from proofgap.audit import NOTE, Actor, EventType, run_stream, system_stream
from proofgap.errors import BadInputError
from proofgap.facts import SnapshotStatus, Struct
from proofgap.records import Check, CheckResult, RunDetails, RunRecord
from proofgap.text import check_words
from proofgap_store import denials, questions, read, sources, views
from proofgap_store.audit_log import Draft, alone
from proofgap_store.calls import made
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Gate, Writing
from proofgap_store.read import Noted
from proofgap_store.shapes import HistoryEvent
from proofgap_store.sources import Source

TRAIL_EVENTS = 10
"""How many events of a run its page shows."""

_ASIDE = (EventType.OPERATION_CREATED, EventType.OPERATION_TRANSITIONED, EventType.DECISION_PROJECTED)
_COLUMNS = f"e.event_id, e.leaf, e.payload, {read.OPENINGS} AS openings"
_OTHERS = "', '".join(_ASIDE)
_TRAIL = f"""
SELECT * FROM (
  SELECT {_COLUMNS} FROM audit_event AS e WHERE e.stream = :stream AND e.type NOT IN ('{_OTHERS}')
    AND {views.NOT_WITHHELD}
  ORDER BY e.seq DESC LIMIT :limit) AS moves
UNION ALL SELECT * FROM (
  SELECT {_COLUMNS} FROM audit_event AS e WHERE e.stream = :stream AND e.type = '{EventType.DECISION_PROJECTED}'
    AND {views.NOT_WITHHELD}
  ORDER BY e.seq DESC LIMIT 1) AS projection
ORDER BY event_id DESC
"""  # noqa: S608 - put together from our own text only
_LOG = f"""
SELECT {_COLUMNS} FROM audit_event AS e
WHERE e.run = :run AND e.event_id > :after AND {views.NOT_WITHHELD} ORDER BY e.event_id LIMIT :limit
"""  # noqa: S608 - as above
_CHECKS = """
SELECT number, document FROM evidence_check
WHERE snapshot = :snapshot AND number > :after AND (CAST(:result AS TEXT) IS NULL OR result = :result)
ORDER BY number LIMIT :limit
"""
_STEPS_MAX = 50
_STEPS = f"""
SELECT e.payload ->> '$.data.target' AS status, e.at_us, e.actor
FROM audit_event AS e WHERE e.stream = :stream AND e.type IN ('{EventType.RUN_CREATED}', '{EventType.RUN_TRANSITIONED}')
  AND (e.payload ->> '$.data.source' IS NULL OR e.payload ->> '$.data.source' <> e.payload ->> '$.data.target')
ORDER BY e.seq DESC LIMIT {_STEPS_MAX}
"""  # noqa: S608 - as above
_EARLIER_RUNS = 200  # how many of the newest runs of an environment are looked at for where backups came from
_EARLIER = """
SELECT workspace, environment, backup, target, driver, max(run) AS run FROM (
  SELECT workspace, environment, id AS run, details ->> '$.backup' AS backup, details ->> '$.target' AS target,
    details ->> '$.driver' AS driver
  FROM (SELECT * FROM restore_run WHERE workspace = :workspace AND environment = :environment
    ORDER BY created_at_us DESC, id DESC LIMIT :limit) AS newest) AS named
WHERE backup IS NOT NULL GROUP BY workspace, environment, backup, target, driver ORDER BY backup, target, driver
"""
_REVIEWS_MAX = 20
_REVIEWS = f"""
SELECT e.event_id, e.actor, e.at_us, (SELECT value FROM audit_private AS p WHERE p.event_id = e.event_id AND p.path = :note) AS note
FROM audit_event AS e
WHERE e.run = :run AND {questions.OF_A_RUN} = '{EventType.EVIDENCE_REVIEWED}' AND e.payload ->> '$.data.snapshot' = :snapshot
ORDER BY e.event_id DESC LIMIT {_REVIEWS_MAX}
"""  # noqa: S608 - as above
_REVIEW_STREAM = system_stream("reviews")
_DECODER = msgspec.json.Decoder(Check)


class Around(NamedTuple):
    """What somebody is where a run is, the last events of the run, newest first (``None``: not for them), and the run.

    ``record`` holds what they may see of it. ``holds_environment``: it ended, and nobody has released its environment yet.
    """

    roles: frozenset[Role]
    trail: tuple[HistoryEvent, ...] | None
    record: RunRecord
    holds_environment: bool


class Step(NamedTuple):
    """When a run came to a status, and by whom; times are microseconds since 1970-01-01 UTC."""

    status: str
    at_us: int
    actor: str


class Earlier(NamedTuple):
    """Where a backup of an environment came from in an earlier run, where it went, and by which driver, as far as known.

    ``run`` is one that wanted this, the last by its id: what else it wanted is on its record.
    """

    workspace: str
    environment: str
    backup: str
    target: str | None
    driver: str | None
    run: str


class Review(NamedTuple):
    """That somebody looked at a snapshot: who, when (microseconds since 1970-01-01 UTC), and what they said of it."""

    event_id: int
    by: str
    at_us: int
    note: str | None


class CheckPage(NamedTuple):
    """Which checks to read: those after a number, of one result or of all."""

    result: CheckResult | None = None
    after: int = -1
    limit: int = 100


class NumberedCheck(NamedTuple):
    """A check, and its number within its snapshot."""

    number: int
    check: Check


class LogPart(Struct):
    """A part of the log of a run, oldest first; ``next`` continues after it, and is ``None`` at the end."""

    events: tuple[HistoryEvent, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operator's desk shows; `Ledger.desk` gives it. A denial is recorded, and raised."""

    gate: Gate
    clock: Callable[[], int]

    def around(self, run_id: str, principal: str) -> Around:
        """Read what surrounds the decision of a run on its page.

        Raises:
            NotFoundError: there is no such run, or they cannot see it.

        """
        return self.gate.read(lambda connection: _around(connection, run_id, principal), (principal,))

    def note(self, run_id: str, principal: str) -> Noted:
        """Read why a run ended, in the words of whoever ended it: known to be none also where that is not for them.

        Raises:
            NotFoundError: there is no such run, or they cannot see it.

        """
        return self.gate.read(lambda connection: _note(connection, run_id, principal), (principal,))

    def roles(self, principal: str) -> dict[tuple[str, str], frozenset[Role]]:
        """Read every role that somebody holds, by workspace and environment (``*``: all of them)."""
        return self.gate.read(lambda connection: read.grants(connection, principal), (principal,))

    def steps(self, run_id: str, principal: str) -> tuple[Step, ...] | None:
        """Read when a run came to each status, oldest first; ``None``: not for them. The last fifty at most.

        Raises:
            NotFoundError: there is no such run, or they cannot see it.

        """
        return self.gate.read(lambda connection: _steps(connection, run_id, principal), (principal,))

    def checks(self, snapshot_id: str, actor: Actor, page: CheckPage) -> tuple[NumberedCheck, ...]:
        """Read a page of the checks of an evidence snapshot, in the order they were made.

        Raises:
            NotFoundError, ForbiddenError: there is no such snapshot, or the actor may not read it.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: _checks(connection, snapshot_id, actor.id, page), (actor.id,))

    def earlier(self, scope: tuple[str, str], actor: Actor) -> tuple[Earlier, ...]:
        """Read which backups the newest runs of an environment restored, for whoever may create runs there.

        Raises:
            NotFoundError, ForbiddenError: the actor may not.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: _earlier(connection, scope, actor.id), (actor.id,))

    def sources(self, scope: tuple[str, str], actor: Actor) -> tuple[Source, ...]:
        """Read the registered sources of an environment, for whoever may create runs there.

        Raises:
            NotFoundError, ForbiddenError: the actor may not.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: sources.listing(connection, scope, actor.id), (actor.id,))

    def register_source(self, name: str, scope: tuple[str, str], details: RunDetails, actor: Actor) -> int:
        """Register a source, or replace what its name stood for; gives the event's id.

        Args:
            name: what it is called in that environment; letters, digits and . _ -
            scope: workspace and environment.
            details: backup, and as far as it matters driver, manifest, selection, options and password file.
            actor: who administers the environment.

        Raises:
            BadInputError: the name is none, the backup is missing, a fact is none of a source's, or it holds a secret.
            NotFoundError, ForbiddenError: the actor does not administer that environment.

        """
        call = made(self.clock(), actor)
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(lambda connection: sources.registering(connection, name, scope, details, call))

    def retire_source(self, name: str, scope: tuple[str, str], actor: Actor) -> int:
        """Take a source off the list; gives the event's id. Raises as `register_source`, and if there is none."""
        call = made(self.clock(), actor)
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(lambda connection: sources.retiring(connection, name, scope, call))

    def reviews(self, run_id: str, snapshot_id: str, actor: Actor) -> tuple[Review, ...]:
        """Read who said that they looked at a snapshot, the last one first.

        Raises:
            NotFoundError, ForbiddenError: the actor may not read evidence of that run.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: _reviews(connection, run_id, snapshot_id, actor.id), (actor.id,))

    def review(self, snapshot_id: str, actor: Actor, *, note: str | None = None) -> int:
        """Record that somebody looked at an active snapshot; gives the event's id. It changes no decision, and claims nothing.

        Raises:
            NotFoundError, ForbiddenError: there is no such snapshot, or the actor may not read it.
            BadInputError: it is not active, or the note is none.

        """
        words = None if note is None else check_words("note", note)
        with denials.recorded(self.gate, actor, self.clock):
            said = (actor, words)
            return self.gate.write(
                lambda connection: _reviewing(connection, snapshot_id, said, self.clock()), (actor.id,)
            )

    def log(self, run_id: str, actor: Actor, *, after: int = 0, limit: int = 100) -> LogPart:
        """Read a part of the log of a run, the views of it as well.

        Raises:
            NotFoundError, ForbiddenError: the actor may not.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: _log(connection, run_id, actor.id, (after, limit)), (actor.id,))


def _around(connection: Connection, run_id: str, principal: str) -> Around:
    found = views.visible(connection, run_id, principal, Action.VIEW)
    record = as_seen(found.record, viewer_of(principal, found.roles, found.record.facts()))
    if not found.roles & MAY[Action.READ_LOG]:
        return Around(found.roles, None, record, read.holds(found))
    events = rows(connection, _TRAIL, stream=run_stream(run_id), limit=TRAIL_EVENTS, **views.told_to(found))
    return Around(found.roles, tuple(map(views.history_event, events)), record, read.holds(found))


def _note(connection: Connection, run_id: str, principal: str) -> Noted:
    found = views.visible(connection, run_id, principal, Action.VIEW)
    return read.last_noted(connection, run_id) if views.is_told_why(found) else Noted(None, is_known=True)


def _steps(connection: Connection, run_id: str, principal: str) -> tuple[Step, ...] | None:
    if not views.visible(connection, run_id, principal, Action.VIEW).roles & MAY[Action.READ_LOG]:
        return None
    found = rows(connection, _STEPS, stream=run_stream(run_id))
    return tuple(Step(row["status"], row["at_us"], row["actor"]) for row in reversed(found))


def _checks(connection: Connection, snapshot_id: str, principal: str, page: CheckPage) -> tuple[NumberedCheck, ...]:
    views.visible_snapshot(connection, snapshot_id, principal)
    found = rows(connection, _CHECKS, snapshot=snapshot_id, **page._asdict())
    return tuple(NumberedCheck(row["number"], _DECODER.decode(row["document"])) for row in found)


def _log(connection: Connection, run_id: str, principal: str, place: tuple[int, int]) -> LogPart:
    told = views.told_to(views.visible(connection, run_id, principal, Action.READ_LOG))
    after, limit = place
    found = rows(connection, _LOG, run=run_id, after=after, limit=limit + 1, **told)
    events = tuple(map(views.history_event, found[:limit]))
    return LogPart(events=events, next=events[-1].event_id if len(found) > limit else None)


def _earlier(connection: Connection, scope: tuple[str, str], principal: str) -> tuple[Earlier, ...]:
    views.permit(connection, Action.CREATE, scope, principal)
    found = rows(connection, _EARLIER, workspace=scope[0], environment=scope[1], limit=_EARLIER_RUNS)
    return tuple(Earlier(**row) for row in found)


def _reviews(connection: Connection, run_id: str, snapshot_id: str, principal: str) -> tuple[Review, ...]:
    views.visible_snapshot(connection, snapshot_id, principal)
    found = rows(connection, _REVIEWS, run=run_id, snapshot=snapshot_id, note=NOTE)
    return tuple(Review(row["event_id"], row["actor"], row["at_us"], row["note"]) for row in found)


def _reviewing(
    connection: Connection, snapshot_id: str, said: tuple[Actor, str | None], rec_us: int
) -> Writing[int] | int:
    actor, note = said
    found = views.visible_snapshot(connection, snapshot_id, actor.id)
    record = found.record
    snapshot = next((row for row in record.evidence if row.id == snapshot_id), None)
    if snapshot is None or snapshot.status is not SnapshotStatus.ACTIVE:
        raise BadInputError("snapshot", f"'{snapshot_id}' is not active", "Review the one that is.")
    data = {"snapshot": snapshot_id, "verdict": snapshot.details.verdict}
    private = () if note is None else ((NOTE, note),)
    draft = Draft(
        EventType.EVIDENCE_REVIEWED,
        record.workspace,
        record.environment,
        record.id,
        record.operation_run_id,
        data,
        private,
    )
    events = alone(connection, _REVIEW_STREAM, draft, actor, rec_us)
    return Writing(events=events, answer=lambda written: written[0].event_id, law=found.law)
