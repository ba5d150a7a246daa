"""Pruning: the payloads of a prefix of the log go, after they were exported and the export was read back.

Owns what may go, and the order of doing it. Only the prefix after the last pruning, covered by a signed checkpoint, up
to the first event under a hold. First the export is written and synced; a crash there leaves a file that the same
command takes up again. Then it is read back, line by line, against the stored leaves and the signed root. Then the
event is committed, and triggers turn payloads into tombstones in the same transaction. Pruning never takes what
something still stands on, and commits to every tombstone it leaves: what goes and what stays is in the view
``audit_tombstone``, and the event has the digest of what it gave. Leaf hashes stay, so proofs of before still hold.

Refuses to do anything on its own: nothing calls it but a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from proofgap.access import Action, Role
from proofgap.admission import admitted
from proofgap.audit import Actor, EventType
from proofgap.checkpoints import open_checkpoint
from proofgap.errors import BadInputError, ForbiddenError, ProofgapError, StaleError
from proofgap.facts import Count, Struct
from proofgap.text import check_id
from proofgap_store import files, keys, prefix_file, questions, tree
from proofgap_store.audit_log import Draft, Written, alone
from proofgap_store.engine import Connection, rows, walk
from proofgap_store.gate import Gate, Writing
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.prefix_file import Prefix, PrefixManifest
from proofgap_store.read import law

_FIRST = """
SELECT coalesce(max(CAST(payload ->> '$.data.last' AS BIGINT)) + 1, 0) AS first FROM audit_event WHERE type = 'audit.pruned'
"""
_NOT_BEFORE = """
SELECT min(l.idx) AS idx FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id
WHERE l.idx >= :first AND CAST(e.payload ->> '$.rec_us' AS BIGINT) >= :before_us
"""
_HELD = """
SELECT l.idx, l.event_id, h.id AS hold FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id, audit_hold AS h
WHERE l.idx BETWEEN :first AND :last AND substr(e.stream, 1, 7) <> 'system/' AND h.active = 1 AND (
  (h.workspace IS NULL OR h.workspace = e.ws)
  AND (h.environment IS NULL OR h.environment = e.env) AND (h.run IS NULL OR h.run = e.run)
  OR e.type = 'restore.decision.listed' AND EXISTS (
    SELECT 1 FROM json_each(e.payload, '$.data.rows') AS line JOIN restore_run AS r ON r.id = line.value ->> 0
    WHERE (h.workspace IS NULL OR h.workspace = r.workspace)
      AND (h.environment IS NULL OR h.environment = r.environment) AND (h.run IS NULL OR h.run = r.id)))
ORDER BY l.idx LIMIT 1
"""
_TOMBSTONES = "SELECT tombstone FROM audit_tombstone WHERE idx BETWEEN :first AND :last ORDER BY idx"
_IN_PREFIX = "e.event_id IN (SELECT event_id FROM audit_leaf WHERE idx BETWEEN :first AND :last)"


class HeldError(ProofgapError):
    """The next event to be pruned is under a hold; nothing was pruned."""

    def __init__(self, hold: str, event_id: int) -> None:
        """Name the hold, and the event that it covers."""
        self.hold, self.event_id = hold, event_id
        self.remedy = f"If it need not be kept any more: proofgap audit release {hold}."
        super().__init__(f"nothing was pruned: audit event {event_id} is under the hold {hold}. {self.remedy}")


class Stop(Struct):
    """Where pruning stopped before what was asked for: an event, and the hold that covers it."""

    event_id: int
    hold: str


class PruneOrder(Struct):
    """What to prune: so many ``events`` after the last pruning, or all recorded ``before_us``; and the export's file."""

    file: str
    events: Count | None = None
    before_us: Count | None = None


class Pruned(Struct):
    """What was pruned, and the event that says so. ``stopped`` names the hold that kept the rest.

    ``tombstones`` says how many payloads went, and ``tombstones_sha256`` is the digest of what stands in their place.
    """

    first: int
    last: int
    size: int
    root: str
    export_sha256: str
    kept_as: str
    tombstones: int
    tombstones_sha256: str
    event_id: int
    stopped: Stop | None


class _Plan(NamedTuple):
    prefix: Prefix
    stopped: Stop | None


def prune(gate: Gate, order: PruneOrder, actor: Actor, rec_us: int) -> Pruned:
    """Export a prefix, read the export back, and prune it.

    Raises:
        BadInputError: there is nothing to prune, or a file of this name is not the export of these events.
        HeldError: a hold covers the first event.
        ForbiddenError: the actor does not administer everything that the prefix speaks of.
        StaleError: somebody pruned or put a hold meanwhile.

    """
    order = admitted("order", order)
    file = Path(order.file)
    check_id("FILE", file.name)
    plan = gate.read(lambda connection: _plan(connection, order, actor.id))
    if not file.exists():
        _export(gate, plan.prefix, file)
    manifest = gate.read(lambda connection: prefix_file.check(connection, plan.prefix, file))
    prefix_file.keep_manifest(manifest, file)

    def prepare(connection: Connection) -> Writing[Pruned] | Pruned:
        if _plan(connection, order, actor.id) != plan:
            raise StaleError("what may be pruned", None, None)
        return _recording(connection, (plan, manifest), actor, rec_us)

    return gate.write(prepare)


def _export(gate: Gate, prefix: Prefix, file: Path) -> None:
    with files.temporary(file) as (stream, partial):
        gate.read(lambda connection: prefix_file.write(connection, prefix, stream))
        files.sync(stream)
        partial.rename(file)  # a crash from here on: the file is there, and is taken up the next time
    files.sync_folder(file.parent)


def _recording(
    connection: Connection, kept: tuple[_Plan, PrefixManifest], actor: Actor, rec_us: int
) -> Writing[Pruned]:
    plan, manifest = kept
    data: dict[str, Any] = {
        "first": manifest.first,
        "last": manifest.last,
        "size": manifest.size,
        "root": manifest.root,
        "export_sha256": manifest.sha256,
        "kept_as": manifest.file,
        **_tombstones(connection, plan.prefix),
    }
    draft = Draft(EventType.PRUNED, None, None, None, None, data)

    def answer(written: Sequence[Written]) -> Pruned:
        return Pruned(event_id=written[0].event_id, stopped=plan.stopped, **data)

    return Writing(events=alone(connection, AUDIT_STREAM, draft, actor, rec_us), answer=answer, law=law(connection))


def _tombstones(connection: Connection, prefix: Prefix) -> dict[str, Any]:
    """Commit to what will stand in the place of payloads: how many, and the digest of their bytes, one a line."""
    count, found = 0, sha256()
    for (tombstone,) in walk(connection, _TOMBSTONES, {"first": prefix.first, "last": prefix.last}):
        count += 1
        found.update(f"{tombstone}\n".encode())
    return {"tombstones": count, "tombstones_sha256": found.hexdigest()}


def _plan(connection: Connection, order: PruneOrder, principal: str) -> _Plan:
    """Say which leaves may go."""
    questions.audited(connection, principal, Action.ADMINISTER)
    first: int = rows(connection, _FIRST)[0]["first"]
    wanted = _asked_for(connection, order, first)
    bounds = {"first": first, "last": wanted}
    held = next(iter(rows(connection, _HELD, **bounds)), None)
    if held is not None and held["idx"] == first:
        raise HeldError(held["hold"], held["event_id"])
    last = wanted if held is None else held["idx"] - 1
    _demand_all(connection, (first, last), principal)
    stopped = None if held is None else Stop(event_id=held["event_id"], hold=held["hold"])
    checkpoint = tree.checkpoint_covering(connection, last + 1)
    if checkpoint is None:
        raise _nothing("no checkpoint covers it")
    open_checkpoint(checkpoint.note, [period.key for period in keys.history(connection)])
    return _Plan(Prefix(first, last, checkpoint), stopped)


def _asked_for(connection: Connection, order: PruneOrder, first: int) -> int:
    """Give the last leaf that was asked for, within what a checkpoint covers."""
    if (order.events is None) == (order.before_us is None):
        raise BadInputError("before", "or events says how much to prune", "Give one of them.")
    signed = tree.last_checkpoint(connection)
    covered = 0 if signed is None else signed.size
    if order.events is not None:
        if not 1 <= order.events <= covered - first:
            problem = f"{order.events} is out of range: checkpoints cover {covered - first} events that were not pruned"
            raise BadInputError("events", problem, "Ask for fewer, or make a checkpoint: proofgap audit checkpoint.")
        return first + order.events - 1
    later = rows(connection, _NOT_BEFORE, first=first, before_us=order.before_us)[0]["idx"]
    last = (covered if later is None else min(later, covered)) - 1
    if last < first:
        raise _nothing("no event that a checkpoint covers was recorded before that time and not pruned")
    return last


def _nothing(problem: str) -> BadInputError:
    return BadInputError("before", problem, "There is nothing to prune.")


def _demand_all(connection: Connection, bounds: tuple[int, int], principal: str) -> None:
    """Refuse a prefix that speaks of anything that somebody does not administer."""
    scopes = questions.audited(connection, principal, Action.ADMINISTER)
    theirs = questions.selection(questions.EVERY_EVENT, scopes)
    found = rows(
        connection,
        f"SELECT 1 FROM audit_event AS e WHERE {_IN_PREFIX} AND NOT ({theirs.condition}) LIMIT 1",  # noqa: S608 - our own text only
        **theirs.parameters, first=bounds[0], last=bounds[1],
    )  # fmt: skip
    if found:
        raise ForbiddenError(principal, Action.ADMINISTER, [Role.ADMIN])
