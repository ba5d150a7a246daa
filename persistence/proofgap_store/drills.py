"""Drills: restores that are due by the calendar, exactly one run for each tick, and a word for every tick that was missed.

Theory. A drill is an event with a cron expression; where it stands is the last tick that was decided. Any worker may
decide what is due: the latest tick fires if it is not too late, which creates its run in the same transaction; whatever
lies between is missed, and that is an event, too. The database takes a decision only if it lies after the last one, so
however many workers look at the same clock, each tick is decided once. The clock is that of the database; ticks are UTC.

Owns declaring, firing and reading. Refuses to know how a run is prepared and executed: that is a worker's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cronsim import CronSim, CronSimError
from msgspec import json
from msgspec.structs import replace

from proofgap.access import ANY_ENVIRONMENT, Action, Place, authorize
from proofgap.admission import admitted
from proofgap.audit import Actor, EventType, canonical, system_stream
from proofgap.effects import CHOSEN, given_fields, refuse_results_at_birth
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import utc_text
from proofgap.records import RunRecord, instant, microseconds
from proofgap.secret import refuse_in_options
from proofgap.text import check_id, shown
from proofgap_store.administration import check_scope
from proofgap_store.audit_log import Draft, Written, head_of, link
from proofgap_store.births import born, drafted
from proofgap_store.calls import made
from proofgap_store.clock import new_id
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.environments import seen
from proofgap_store.fleet_shapes import Drill, NewDrill, Ticked
from proofgap_store.gate import Gate, Insert, Writing
from proofgap_store.read import law, roles
from proofgap_store.shapes import NewRun
from proofgap_store.transitions import Call
from proofgap_store.workers import now_us, served

PURPOSE = "test"
"""The purpose of every run of a drill."""

TICK = "{tick}"
"""What the target of a drill may hold: the time of the tick takes its place, so that each run has a target of its own."""

_NEW = json.Decoder(NewDrill)
_TICKS_MAX = 100_000  # of one decision: what is left is decided next time
_COLUMNS = "SELECT d.id, d.workspace, d.environment, d.details, d.active, d.decided_us FROM drill AS d"
_ONE = f"{_COLUMNS} WHERE d.id = :drill"
_SEEN = f"""
{_COLUMNS} WHERE EXISTS (
  SELECT 1 FROM json_each(:scopes) AS scope
  WHERE scope.value ->> 0 = d.workspace AND scope.value ->> 1 IN (d.environment, :any))
ORDER BY d.id
"""  # noqa: S608 - put together from our own text only
_DECLARED = "SELECT actor FROM audit_event WHERE stream = :stream ORDER BY seq LIMIT 1"
_UNPREPARED = """
SELECT r.id, t.drill FROM drill_tick AS t JOIN restore_run AS r ON r.id = t.run
JOIN environment AS n ON n.workspace = r.workspace AND n.id = r.environment
JOIN audit_event AS e ON e.event_id = r.last_event_id
WHERE r.status IN ('draft', 'scoped', 'checked', 'previewed') AND (r.status <> 'previewed' OR n.approvals_required = 0)
  AND CAST(e.payload ->> '$.rec_us' AS BIGINT) < :before ORDER BY r.id
"""


class Due(NamedTuple):
    """Ticks that are to be decided: the first, the last, how many."""

    first_us: int
    last_us: int
    ticks: int


class Served(NamedTuple):
    """What whoever looks at drills could prepare now: its labels of environments and its drivers; none of either is all.

    A drill that it is ``busy`` with fires nothing more for it: else runs would pile up of which each takes longer than a period.
    """

    environments: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    busy: frozenset[str] = frozenset()

    def has(self, connection: Connection, principal: str, drill: Drill) -> bool:
        """Tell whether a drill is for a machine like that: elsewhere its backup may not be there."""
        wanted = drill.wanted
        scopes = served(seen(connection, principal, Action.EXECUTE), self.environments)
        is_here = any((wanted.workspace, place) in scopes for place in (wanted.environment, ANY_ENVIRONMENT))
        is_mine = is_here and (not self.drivers or wanted.details.driver in self.drivers)
        return is_mine and drill.id not in self.busy


EVERYTHING = Served()


class Unprepared(NamedTuple):
    """A run of a drill that nobody has prepared, and what it is to restore."""

    run: str
    drill: Drill


def declaring(connection: Connection, new: NewDrill, call: Call) -> Writing[Drill] | Drill:
    """Compute the event that declares a drill; ticks count from now on.

    Raises:
        BadInputError: the expression is none, or it is not said what to restore where with which driver.
        NotFoundError, ForbiddenError: the actor may not prepare runs there.

    """
    new = admitted("new", new)
    scope = (new.workspace, new.environment)
    check_scope(scope)
    _check(new)
    held = roles(connection, call.actor.id, *scope)
    authorize(call.actor.id, held, Action.PREPARE, ("environment", "/".join(scope)), Place(*scope))
    drill = new_id("dr")
    event = Draft(EventType.DRILL_DECLARED, *scope, None, None, {"drill": drill, "details": new})
    events = link(head_of(connection, _stream(drill)), [event], call.actor, call.rec_us, call.rec_us)
    answer = _drill(drill, new, is_active=True, decided_us=call.rec_us)
    return Writing(events=events, answer=lambda _written: answer, law=law(connection))


def retiring(connection: Connection, drill_id: str, call: Call) -> Writing[None] | None:
    """Compute the event after which a drill does not fire any more; one that is retired stays so.

    Raises:
        NotFoundError, ForbiddenError: there is no such drill to see, or the actor may not prepare runs there.

    """
    found = next(iter(rows(connection, _ONE, drill=check_id("drill", drill_id))), None)
    if found is None:
        raise NotFoundError("drill", drill_id)
    scope = (found["workspace"], found["environment"])
    held = roles(connection, call.actor.id, *scope)
    authorize(call.actor.id, held, Action.PREPARE, ("drill", drill_id), Place(*scope))
    if not found["active"]:
        return None
    event = Draft(EventType.DRILL_RETIRED, *scope, None, None, {"drill": drill_id})
    events = link(head_of(connection, _stream(drill_id)), [event], call.actor, call.rec_us, call.rec_us)
    return Writing(events=events, answer=lambda _written: None, law=law(connection))


def listing(connection: Connection, principal: str, action: Action = Action.VIEW) -> tuple[Drill, ...]:
    """Read the drills where somebody may do something, those that were retired as well."""
    scopes = canonical(seen(connection, principal, action)).decode()
    return tuple(_of(row) for row in rows(connection, _SEEN, scopes=scopes, any=ANY_ENVIRONMENT))


def unprepared(
    connection: Connection, principal: str, before_us: int, of: Served = EVERYTHING
) -> tuple[Unprepared, ...]:
    """Read the runs of drills that did not move since a time and wait for nobody: whoever prepared them is gone."""
    mine = (drill for drill in listing(connection, principal, Action.EXECUTE) if of.has(connection, principal, drill))
    known = {drill.id: drill for drill in mine}
    found = rows(connection, _UNPREPARED, before=before_us)
    return tuple(Unprepared(row["id"], known[row["drill"]]) for row in found if row["drill"] in known)


def fire_due(gate: Gate, clock: Callable[[], int], actor: Actor, of: Served = EVERYTHING) -> tuple[Ticked, ...]:
    """Decide what is due of every drill where the actor may execute runs; what is not served only once it was missed."""
    found = gate.read(lambda connection: listing(connection, actor.id, Action.EXECUTE), (actor.id,))
    decided: list[Ticked] = []
    for drill in found:
        if drill.is_active and drill.next_us is not None:
            ticked: tuple[Ticked, ...] = gate.write(_decision(drill.id, clock, actor, of), (actor.id,))
            decided += ticked
    return tuple(decided)


def _decision(
    drill_id: str, clock: Callable[[], int], actor: Actor, of: Served
) -> Callable[[Connection], Writing[tuple[Ticked, ...]] | tuple[Ticked, ...]]:
    return lambda connection: _deciding(connection, drill_id, made(clock(), actor), of)


def _deciding(
    connection: Connection, drill_id: str, call: Call, of: Served
) -> Writing[tuple[Ticked, ...]] | tuple[Ticked, ...]:
    """Compute the events that decide what is due of one drill: what was missed, and the run of what fires."""
    drill, now = _of(rows(connection, _ONE, drill=drill_id)[0]), now_us(connection)
    may_fire = of.has(connection, call.actor.id, drill)
    upto = now if may_fire else now - drill.wanted.grace_us - 1  # what may still fire is for somebody else
    due = due_since(drill.wanted.cron, drill.decided_us, upto)
    if due is None or not drill.is_active:
        return ()
    fires = now - due.last_us <= drill.wanted.grace_us
    missed = _missed(drill.wanted.cron, due, drill.decided_us) if fires else due
    scope = (drill.wanted.workspace, drill.wanted.environment)
    record = _run_of(connection, drill, due.last_us) if fires else None
    drafts = [] if missed is None else [_event(EventType.DRILL_MISSED, drill, missed, None)]
    if record is not None:
        drafts.append(_event(EventType.DRILL_FIRED, drill, Due(due.last_us, due.last_us, 1), record.id))
    birth = None if record is None else born(connection, record, call)
    mine = link(head_of(connection, _stream(drill.id)), drafts, call.actor, call.rec_us, call.rec_us)
    events = [*(birth.events if birth else ()), *mine]  # the run first: its tick points to it
    held = roles(connection, call.actor.id, *scope)
    authorize(call.actor.id, held, Action.EXECUTE, ("drill", drill.id), Place(*scope))

    def answer(written: Sequence[Written]) -> tuple[Ticked, ...]:
        return tuple(_ticked(done) for done in written[-len(mine) :])

    def inserted(written: Sequence[Written]) -> Sequence[Insert]:
        return birth.rows(written) if birth else ()

    return Writing(events=events, answer=answer, law=law(connection), rows=inserted)


def _event(kind: EventType, drill: Drill, due: Due, run: str | None) -> Draft:
    scope = (drill.wanted.workspace, drill.wanted.environment)
    data = {"drill": drill.id, "first_us": due.first_us, "last_us": due.last_us, "ticks": due.ticks}
    return Draft(kind, *scope, run, None, data)


def _ticked(done: Written) -> Ticked:
    return Ticked(run=done.event.run, event_id=done.event_id, **done.event.data)


def _run_of(connection: Connection, drill: Drill, tick_us: int) -> RunRecord:
    """Give the run of a tick: whoever declared the drill asked for it, so it is for others to approve."""
    declared_by = rows(connection, _DECLARED, stream=_stream(drill.id))[0]["actor"]
    target = (drill.wanted.details.target or "").replace(TICK, instant(tick_us).strftime("%Y%m%dT%H%M%SZ"))
    details = replace(drill.wanted.details, purpose=PURPOSE, target=target)
    new = NewRun(workspace=drill.wanted.workspace, environment=drill.wanted.environment, details=details)
    return drafted(connection, new_id("rr"), new, declared_by)


def due_since(cron: str, decided_us: int, now: int) -> Due | None:
    """Give the ticks after one time and up to another; ``None``: there is none."""
    first = last = None
    count = 0
    for tick in _ticks(cron, decided_us):
        if tick > now or count == _TICKS_MAX:
            break
        first, last, count = (tick if first is None else first), tick, count + 1
    return None if first is None or last is None else Due(first, last, count)


def _missed(cron: str, due: Due, decided_us: int) -> Due | None:
    """Give the ticks before the last one."""
    return None if due.ticks == 1 else due_since(cron, decided_us, due.last_us - 1)


def _ticks(cron: str, after_us: int) -> Iterator[int]:
    """Give the ticks after a time, one by one, in microseconds since 1970 UTC."""
    for moment in CronSim(cron, instant(after_us)):
        tick = microseconds(utc_text(moment))
        if tick is not None and tick > after_us:
            yield tick


def _check(new: NewDrill) -> None:
    try:
        next(_ticks(new.cron, 0))
    except (CronSimError, StopIteration):
        remedy = "Write five fields, such as '30 2 * * sun': minute, hour, day, month, weekday, in UTC."
        raise BadInputError("cron", f"{shown(new.cron)!r} is no time that ever comes", remedy) from None
    refuse_results_at_birth(new.details)
    for name in sorted(CHOSEN.intersection(given_fields(new.details))):
        raise BadInputError(f"details.{name}", "does not belong to the details of a drill", "Say it beside them.")
    refuse_in_options(new.options)
    for name in ("backup", "target", "driver"):
        if getattr(new.details, name) is None:
            raise BadInputError(name, "is missing", "Say what a drill restores into what, and with which driver.")


def _of(row: Row) -> Drill:
    return _drill(row["id"], _NEW.decode(row["details"]), is_active=bool(row["active"]), decided_us=row["decided_us"])


def _drill(drill_id: str, new: NewDrill, *, is_active: bool, decided_us: int) -> Drill:
    upcoming = next(_ticks(new.cron, decided_us), None) if is_active else None
    return Drill(id=drill_id, wanted=new, is_active=is_active, decided_us=decided_us, next_us=upcoming)


def _stream(drill_id: str) -> str:
    return system_stream(f"drill/{drill_id}")
