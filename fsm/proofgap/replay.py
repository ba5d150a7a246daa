"""The log read again: every stream from its first event on, under the definitions that were in force.

Owns what must hold of the events of one stream: their form, their links, the moves they make, and that each decision
follows from the facts it names, and the facts from the records as they stood. What comes out is where every record of
the stream stands in the end. Refuses to know where events are stored, what a tree is (`merkle`), and to repair
anything. The same rules hold here as on append, where triggers of the database hold them.

Source: ``docs/audit-format.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from proofgap.audit import GENESIS, Entry, EventType, canonical, digest, leaf_hash
from proofgap.decision import RULES_VERSION, decide
from proofgap.facts import Facts, Viewer
from proofgap.findings import Code, Finding
from proofgap.records import Machine

Edge = tuple[str, str, str]
Report = Callable[[Finding], None]
_CLOCK_TOLERANCE_US = 60_000_000  # two writers at once take their times before they know who is first
_ENTRIES = msgspec.json.Decoder(Entry)
_BIRTHS = MappingProxyType(
    {
        EventType.RUN_CREATED: (Machine.RUN, "draft"),
        EventType.RUN_IMPORTED: (Machine.RUN, None),
        EventType.OPERATION_CREATED: (Machine.OPERATION, "queued"),
        EventType.OPERATION_IMPORTED: (Machine.OPERATION, None),
        EventType.EVIDENCE_CREATED: (Machine.EVIDENCE, "queued"),
        EventType.EVIDENCE_IMPORTED: (Machine.EVIDENCE, None),
    }
)
"""What brings a record to life, and the status it begins with; an imported one begins anywhere."""

_MOVES = MappingProxyType(
    {
        EventType.RUN_TRANSITIONED: Machine.RUN,
        EventType.OPERATION_TRANSITIONED: Machine.OPERATION,
        EventType.EVIDENCE_TRANSITIONED: Machine.EVIDENCE,
    }
)


_MOVE_OF = MappingProxyType({machine: kind for kind, machine in _MOVES.items()})


class Stored(NamedTuple):
    """An event as it is stored: its number, its bytes, and the leaf hash beside it."""

    event_id: int
    payload: bytes
    leaf: str


class Tombstone(msgspec.Struct, forbid_unknown_fields=True):
    """What is left of an event whose payload was pruned: its place, and no word of what it said."""

    actor: dict[str, str]
    at_us: int
    env: str | None
    id: str
    pruned: int
    rec_us: int
    run: str | None
    seq: int
    stream: str
    type: EventType
    v: int
    ws: str | None


_TOMBSTONES = msgspec.json.Decoder(Tombstone)


class Definitions:
    """The machine definitions, as the log put them in force one after the other."""

    def __init__(self) -> None:
        """Begin without any."""
        self._edges: dict[str, frozenset[Edge]] = {}
        self._in_force: dict[str, list[tuple[int, str]]] = {}

    def define(self, event_id: int, data: Mapping[str, Any]) -> bool:
        """Take in a definition; tell whether its digest is that of its edges and guards."""
        guards = {tuple(row[:3]): row[3] for row in data["guards"]}
        edges = [tuple(edge) for edge in data["edges"]]
        known = {"machine": data["machine"], "edges": [(*edge, guards.get(edge, ())) for edge in edges]}
        self._edges[data["definition"]] = frozenset(edges)
        self._in_force.setdefault(data["machine"], []).append((event_id, data["definition"]))
        return bool(digest(known) == data["definition"])

    def edges(self, machine: Machine, definition: str, event_id: int) -> frozenset[Edge] | None:
        """Give the edges of a definition, or ``None`` if it was not in force when the event was written."""
        before = [named for number, named in self._in_force.get(machine, ()) if number < event_id]
        return self._edges[definition] if before and before[-1] == definition else None


class Standing(NamedTuple):
    """Where a record stands after its last event: the events that it began with and that moved it last.

    ``first`` is ``None`` where the beginning was pruned.
    """

    machine: Machine
    subject: str
    first: Entry | None
    last: Entry
    last_event_id: int


class StreamReplay:
    """One stream, read from its beginning."""

    def __init__(self, stream: str, definitions: Definitions, report: Report) -> None:
        """Begin at the genesis hash; findings go to ``report``."""
        self.stream, self._definitions, self._report = stream, definitions, report
        self.next_seq, self.head, self._rec_us = 0, GENESIS, 0
        self.is_pruned = False
        self.born: Tombstone | None = None  # what is left of the event that a run began with, where it was pruned
        self.standings: dict[tuple[Machine, str], Standing] = {}
        self.rows_digests: dict[int, tuple[str, str]] = {}  # by event: the subject, and the digest of its rows
        self.views: list[tuple[int, str, str]] = []  # of a viewer's stream: event, run, digest of the facts shown
        self._facts_digests: set[str] = set()
        self._types: Counter[EventType] = Counter()  # of all events, those that were pruned as well
        self._pruned: Counter[EventType] = Counter()
        self._pruned_moves: dict[tuple[Machine, str], int] = {}  # of its machine, when a record last moved

    def take(self, stored: Stored) -> Entry | None:
        """Check one event after the ones before it; give it, or ``None`` if it cannot be read."""
        leaf = leaf_hash(stored.payload)
        entry = self._read(stored, leaf)
        if entry is not None:
            self._follow(stored, entry, leaf)
            try:
                self._mean(stored, entry)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
                self._find(Code.FORM_INVALID, stored, f"its data are not those of {entry.type}: {error}")
        return entry

    def end(self) -> None:
        """Check, after the last event, that pruning left the last event of every record: versions count the moves."""
        for machine in Machine if self.is_pruned else ():
            versions = [at.last.data.get("version", 1) for (of, _), at in self.standings.items() if of is machine]
            began = sum(self._types[kind] for kind, (of, _) in _BIRTHS.items() if of is machine)
            moved = self._types[_MOVE_OF[machine]]
            if (began, moved) != (len(versions), sum(versions) - len(versions)):
                detail = f"the last event of a record is missing: {machine}, {began} began, and moved {moved} times"
                self._report(Finding(code=Code.PRUNE_INVALID, detail=detail, stream=self.stream))

    def _find(self, code: Code, stored: Stored, detail: str) -> None:
        self._report(Finding(code=code, detail=detail, event_id=stored.event_id, stream=self.stream))

    def _read(self, stored: Stored, leaf: str) -> Entry | None:
        try:
            entry = _ENTRIES.decode(stored.payload)
            is_canonical = canonical(entry) == stored.payload
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
            if self._is_tombstone(stored):
                return None
            self._find(Code.FORM_INVALID, stored, str(error))
            return None
        if not is_canonical:
            self._find(Code.FORM_INVALID, stored, "encoded again, it gives other bytes")
        if leaf != stored.leaf:
            self._find(Code.EVENT_EDITED, stored, f"its bytes do not hash to {stored.leaf}")
        return entry

    def _is_tombstone(self, stored: Stored) -> bool:
        """Step over what pruning left of an event; whether it was pruned with leave is not told here."""
        left = tombstone_of(stored.payload, stored.event_id)
        if left is None or (left.stream, left.seq) != (self.stream, self.next_seq):
            return False
        self.is_pruned, self.head, self.next_seq, self._rec_us = True, stored.leaf, self.next_seq + 1, left.rec_us
        self._types[left.type] += 1
        self._pruned[left.type] += 1
        if left.type in {EventType.RUN_CREATED, EventType.RUN_IMPORTED}:
            self.born = left
        return True

    def _follow(self, stored: Stored, entry: Entry, leaf: str) -> None:
        """Check the link to the event before, and go on from here in any case: one break is one finding."""
        if (entry.stream, entry.seq) != (self.stream, self.next_seq):
            where = f"{entry.stream} {entry.seq}, and {self.stream} {self.next_seq} was to come"
            self._find(Code.CHAIN_GAP, stored, f"it says that it is {where}")
        if entry.prev != self.head:
            self._find(Code.CHAIN_BROKEN, stored, f"it names {entry.prev} as the one before it, which is {self.head}")
        if entry.rec_us < self._rec_us - _CLOCK_TOLERANCE_US:
            detail = f"recorded {self._rec_us - entry.rec_us} microseconds before its predecessor"
            self._find(Code.TIME_BACKWARDS, stored, detail)
        self.next_seq, self.head, self._rec_us = entry.seq + 1, leaf, entry.rec_us

    def _mean(self, stored: Stored, entry: Entry) -> None:
        """Check what an event says against what stands."""
        self._types[entry.type] += 1
        if entry.type in _MOVES:
            self._move(stored, entry, _MOVES[entry.type])
        elif entry.type in _BIRTHS:
            self._begin(stored, entry, *_BIRTHS[entry.type])
        elif entry.type is EventType.DECISION_PROJECTED:
            self._project(stored, entry)
        elif entry.type is EventType.DECISIONS_LISTED:
            self.views += [(stored.event_id, str(run), str(said)) for run, _, said in entry.data["rows"]]

    def _begin(self, stored: Stored, entry: Entry, machine: Machine, initial: str | None) -> None:
        subject = entry.data["subject"]
        if (machine, subject) in self.standings:
            self._find(Code.MOVE_ILLEGAL, stored, f"{subject} begins a second time")
        if initial is not None and (entry.data["target"], entry.data["version"]) != (initial, 1):
            self._find(Code.MOVE_ILLEGAL, stored, f"{subject} does not begin as {initial}, version 1")
        self._stand(Standing(machine, subject, entry, entry, stored.event_id))

    def _stand(self, standing: Standing) -> None:
        key = (standing.machine, standing.subject)
        self.standings[key], self._pruned_moves[key] = standing, self._pruned[_MOVE_OF[standing.machine]]

    def _unseen(self, machine: Machine, subject: str) -> int:
        """Count the moves that were pruned since a record last moved: at most so many of them were its own."""
        return self._pruned[_MOVE_OF[machine]] - self._pruned_moves.get((machine, subject), 0)

    def _move(self, stored: Stored, entry: Entry, machine: Machine) -> None:
        data, subject = entry.data, entry.data["subject"]
        before = self.standings.get((machine, subject))
        edges = self._definitions.edges(machine, data["definition"], stored.event_id)
        if edges is None:
            self._find(Code.DEFINITION_UNKNOWN, stored, f"{data['definition']} was not in force")
        elif (data["source"], data["event"], data["target"]) not in edges:
            self._find(Code.MOVE_ILLEGAL, stored, f"no {data['event']} leads {data['source']} to {data['target']}")
        if before is None and not self._is_birth_pruned(machine):
            self._find(Code.MOVE_ILLEGAL, stored, f"{subject} moves, and never began")
        if before is not None and _scope_of(entry) != _scope_of(before.last):
            detail = f"{subject} moves to {_scope_of(entry)}, and was in {_scope_of(before.last)}"
            self._find(Code.MOVE_ILLEGAL, stored, detail)
        elif not self._is_next(before, machine, data):
            was = f"version {self._unseen(machine, subject) + 1}" if before is None else _told(before)
            self._find(Code.MOVE_ILLEGAL, stored, f"{subject} moves from {data['source']} to version {data['version']}, "
                       f"and a move from {was}, was to come")  # fmt: skip
        if "rows_digest" in data:
            self.rows_digests[stored.event_id] = (subject, data["rows_digest"])
        first = None if before is None else before.first
        self._stand(Standing(machine, subject, first, entry, stored.event_id))

    def _is_birth_pruned(self, machine: Machine) -> bool:
        return any(self._pruned[kind] for kind, (of, _) in _BIRTHS.items() if of is machine)

    def _is_next(self, before: Standing | None, machine: Machine, data: Mapping[str, Any]) -> bool:
        """Tell whether a move goes on from where a record stands, as far as moves in between were not pruned.

        A stream is of one run, so pruned moves of a run are all its own; of other records they may be of any.
        """
        status, version = (None, 2) if before is None else _next_of(before)
        unseen = self._unseen(machine, data["subject"])
        if unseen == 0 and before is not None:
            return (data["source"], data["version"]) == (status, version)
        least = version + unseen if machine is Machine.RUN else version
        return bool(least <= data["version"] <= version + unseen)

    def _project(self, stored: Stored, entry: Entry) -> None:
        """Run a projection again from its logged facts, and hold the facts against the records as they stand."""
        data = entry.data
        difference = projection_difference(data)
        if difference is not None:
            code = Code.RULES_UNKNOWN if data["rules_version"] != RULES_VERSION else Code.PROJECTION_MISMATCH
            self._find(code, stored, difference)
        run_id = data["facts"]["run"]["id"]
        if data["trigger"] in {"show", "list"}:
            self.views.append((stored.event_id, run_id, str(data["facts_digest"])))
        else:
            self._hold_facts(stored, data["facts"])
            self._facts_digests.add(data["facts_digest"])

    def _hold_facts(self, stored: Stored, facts: Mapping[str, Any]) -> None:
        linked = [(Machine.RUN, facts["run"])]
        linked += [(Machine.OPERATION, facts["operation"])] if facts["operation"] is not None else []
        linked += [(Machine.EVIDENCE, row) for row in facts["evidence"]]
        for machine, row in linked:
            standing = self.standings.get((machine, row["id"]))
            is_known = standing is not None and not self._unseen(machine, row["id"])
            if standing is not None and is_known and row["status"] != standing.last.data["target"]:
                was = standing.last.data["target"]
                self._find(Code.FACTS_MISMATCH, stored, f"{row['id']} is {row['status']} in it, and was {was}")
        run = self.standings.get((Machine.RUN, facts["run"]["id"]))
        if run is None and self.born is None:
            self._find(Code.FACTS_MISMATCH, stored, f"it is about {facts['run']['id']}, which this stream is not")
        is_known = run is not None and not self._unseen(Machine.RUN, run.subject)
        if run is not None and is_known and facts["run"].get("counts") != _counts_of(run):
            self._find(Code.FACTS_MISMATCH, stored, "its counts are not those of the run")


def tombstone_of(payload: bytes, event_id: int) -> Tombstone | None:
    """Read what pruning left of an event; ``None`` if these bytes are no such thing, or of the ledger's own affairs."""
    try:
        left = _TOMBSTONES.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if left.pruned != event_id or left.stream.startswith("system/") else left


def _told(standing: Standing) -> str:
    return "{}, version {}".format(*_next_of(standing))


def _scope_of(entry: Entry) -> tuple[object, ...]:
    """Give what no move changes: workspace, environment, and whether it is a dry run."""
    return entry.ws, entry.env, entry.data.get("is_dry_run")


def _next_of(standing: Standing) -> tuple[str, int]:
    """Give the status and the version that the next move of a record has to name."""
    data = standing.last.data
    return data["target"], data.get("version", 1) + 1


def _counts_of(run: Standing) -> object:
    details = run.last.data["details"]
    return details.get("item_counts", details.get("counts"))


def projection_difference(data: Mapping[str, Any]) -> str | None:
    """Decide again from a projection's logged facts: ``None``, or the name of the first field that differs and how.

    Raises:
        KeyError, ValueError: these are no data of a projection.

    """
    if data["rules_version"] != RULES_VERSION:
        return f"made by rules {data['rules_version']}; these are rules {RULES_VERSION}"
    facts = msgspec.convert(data["facts"], Facts)
    if digest(facts) != data["facts_digest"]:
        return "facts_digest is not that of the facts"
    decision = decide(facts, msgspec.convert(data["viewer"], Viewer))
    if data["rule"] != decision.rule:
        return f"rule is {data['rule']}, and the facts lead to {decision.rule}"
    if canonical(decision) == canonical(data["decision"]):
        return None
    again = msgspec.to_builtins(decision)
    fields = [name for name in {**again, **data["decision"]} if again.get(name) != data["decision"].get(name)]
    said, follows = ([side.get(name) for name in fields] for side in (data["decision"], again))
    return f"{', '.join(fields)}: {said}, and the facts lead to {follows}"
