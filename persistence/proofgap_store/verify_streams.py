"""Verifying what the log says: every stream read again, and every record held against what the log makes of it.

Owns the walk over streams and the comparison with the tables that follow from the log. What must hold of a stream is
the core's business (`proofgap.replay`). Refuses to know the tree (`verify_tree`) and to repair anything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from proofgap.audit import Entry, EventType, canonical
from proofgap.findings import Code, Finding
from proofgap.records import Machine
from proofgap.replay import Definitions, Report, Standing, Stored, StreamReplay, Tombstone
from proofgap_store.engine import Connection, Row, rows, walk
from proofgap_store.verification import UNREADABLE, decoded, encoded, said

_NAMES = ("type", "id", "stream", "seq", "ws", "env", "run", "actor", "at_us")
_STREAM_COLUMN = _NAMES.index("stream")
_COLUMNS = ", ".join(_NAMES)
_EVENTS = f"""
SELECT event_id, payload, leaf, {_COLUMNS} FROM audit_event
WHERE stream > :after AND (CAST(:upto AS TEXT) IS NULL OR stream <= :upto) ORDER BY stream, seq
"""  # noqa: S608 - put together from our own text only
_EVENTS_SINCE = f"""
SELECT event_id, payload, leaf, {_COLUMNS} FROM audit_event
WHERE stream > :after AND (CAST(:upto AS TEXT) IS NULL OR stream <= :upto)
  AND (stream LIKE 'system/%' OR stream IN (SELECT stream FROM audit_event WHERE event_id > :since))
ORDER BY stream, seq
"""  # noqa: S608 - as above
_HEAD = "SELECT seq, head, last_event_id FROM audit_stream WHERE stream = :stream"
_HEADLESS = """
SELECT stream FROM audit_stream AS s
WHERE stream > :after AND (CAST(:upto AS TEXT) IS NULL OR stream <= :upto)
  AND NOT EXISTS (SELECT 1 FROM audit_event WHERE stream = s.stream)
"""
_DEFINED = "SELECT event_id, payload, stream FROM audit_event WHERE type = 'machine.defined' ORDER BY event_id"
_ROW = {
    Machine.RUN: "SELECT * FROM restore_run WHERE id = :id",
    Machine.OPERATION: "SELECT * FROM operation_run WHERE id = :id",
    Machine.EVIDENCE: "SELECT * FROM evidence_snapshot WHERE id = :id",
}
_IMPORTED = frozenset({EventType.RUN_IMPORTED, EventType.OPERATION_IMPORTED, EventType.EVIDENCE_IMPORTED})
_ITEMS = "SELECT event_id, document FROM result_item WHERE run = :subject ORDER BY item_key"
_CHECKS = "SELECT event_id, document FROM evidence_check WHERE snapshot = :subject ORDER BY number"
_COVERS = """
SELECT l.event_id, c.at_us FROM audit_checkpoint AS c JOIN audit_leaf AS l ON l.idx = c.size - 1 ORDER BY c.size
"""
_SAID = f"""
SELECT 1 FROM audit_event WHERE stream = :stream AND event_id < :event
  AND ({said("data.facts_digest")} = :digest OR {said("pruned")} IS NOT NULL) LIMIT 1
"""  # noqa: S608 - put together from our own text only
_RECEIPT = "SELECT 1 FROM receipt WHERE actor = :actor AND key = :key AND event_id = :event"
_OPENING = "SELECT salt, value FROM audit_private WHERE event_id = :event AND path = :path"
_REDACTED = f"""
SELECT {said("data.redacted")} AS event, {said("data.path")} AS path FROM audit_event WHERE type = 'audit.redacted'
"""  # noqa: S608 - as above
_CLOCK_SKEW_US_MAX = 60_000_000
_REMEMBERED_MAX = 20_000


def definitions_of(connection: Connection, report: Report) -> Definitions:
    """Read the machine definitions of the log, each checked against its own digest."""
    found = Definitions()
    for row in rows(connection, _DEFINED):
        try:
            is_sound = found.define(row["event_id"], decoded(row["payload"])["data"])
        except UNREADABLE:
            is_sound = False
        if not is_sound:
            detail = "the digest of the definition is not that of its edges"
            report(Finding(code=Code.DEFINITION_UNKNOWN, detail=detail, event_id=row["event_id"], stream=row["stream"]))
    return found


def _untold(_finding: Finding) -> None:
    """Tell nobody."""


class Streams:
    """The walk over the streams of one part of the log, in the order of their names."""

    def __init__(self, connection: Connection, report: Report) -> None:
        """Read what all streams share."""
        self._connection, self._report = connection, report
        self._definitions = definitions_of(connection, _untold)  # told once, whatever the number of parts
        covers = rows(connection, _COVERS)
        self._covered = [row["event_id"] for row in covers]
        self._signed_at = [row["at_us"] for row in covers]
        self._known: dict[tuple[str, str], bool] = {}
        self._last = 0
        self._redacted = {(str(row["event"]), row["path"]) for row in rows(connection, _REDACTED)}

    def walk(self, after: str, upto: str | None, since: int | None) -> Iterator[int]:
        """Check every stream after one name, up to another; yields after each event, for whoever counts."""
        bounds = {"after": after, "upto": upto}
        statement, more = (_EVENTS, {}) if since is None else (_EVENTS_SINCE, {"since": since})
        replay: StreamReplay | None = None
        for event_id, payload, leaf, *columns in walk(self._connection, statement, {**bounds, **more}):
            stream = columns[_STREAM_COLUMN]
            if replay is None or replay.stream != stream:
                self._end(replay)
                replay = StreamReplay(stream, self._definitions, self._report)
            entry = replay.take(Stored(event_id, encoded(payload), leaf))
            self._columns(event_id, columns, decoded(payload) if entry is None else _said_by(entry))
            if entry is not None:
                self._beside(event_id, entry)
            self._views(replay)
            self._last = event_id
            yield event_id
        self._end(replay)
        for row in rows(self._connection, _HEADLESS, **bounds):
            self._find(Code.STREAM_HEAD, "it has a head, and no events", row["stream"])

    def _find(self, code: Code, detail: str, stream: str | None, event_id: int | None = None) -> None:
        self._report(Finding(code=code, detail=detail, stream=stream, event_id=event_id))

    def _columns(self, event_id: int, columns: list[object], event: Mapping[str, Any]) -> None:
        """Hold the columns of an event, which queries go by, against its bytes."""
        actor = event.get("actor")
        says = {**event, "actor": actor.get("id") if isinstance(actor, dict) else None}
        differing = [name for name, found in zip(_NAMES, columns, strict=True) if says.get(name) != found]
        if differing:
            detail = f"{', '.join(differing)}: not what the bytes of the event say"
            self._find(Code.COLUMN_MISMATCH, detail, str(columns[_STREAM_COLUMN]), event_id)

    def _beside(self, event_id: int, entry: Entry) -> None:
        """Check what lies beside one event: its time against the checkpoint over it, its openings."""
        place = bisect_left(self._covered, event_id)
        if place < len(self._signed_at) and entry.rec_us > self._signed_at[place] + _CLOCK_SKEW_US_MAX:
            detail = f"recorded at {entry.rec_us}, and its checkpoint was signed at {self._signed_at[place]}"
            self._find(Code.TIME_WINDOW, detail, entry.stream, event_id)
        for path, commitment in entry.commit.items():
            self._opening(event_id, entry.stream, path, commitment)
        key = entry.data.get("key") if "request" in entry.data else None
        if isinstance(key, str) and not rows(self._connection, _RECEIPT, actor=entry.actor.id, key=key, event=event_id):
            self._find(Code.RECEIPT_MISMATCH, f"its receipt under the key {key!r} is gone", entry.stream, event_id)

    def _opening(self, event_id: int, stream: str, path: str, commitment: str) -> None:
        found = rows(self._connection, _OPENING, event=event_id, path=path)
        is_redacted = (str(event_id), path) in self._redacted
        if not found and not is_redacted:
            self._find(Code.OPENING_MISSING, f"{path} is gone", stream, event_id)
        for row in found:
            if sha256(_salt(row["salt"]) + encoded(row["value"])).hexdigest() != commitment:
                self._find(Code.OPENING_INVALID, f"{path} is not what was committed to", stream, event_id)
            if is_redacted:
                self._find(Code.OPENING_INVALID, f"{path} was redacted, and is still there", stream, event_id)

    def _end(self, replay: StreamReplay | None) -> None:
        """Hold the end of a stream against its head, its records, its rows and what was shown of it."""
        if replay is None:
            return
        replay.end()
        head = next(iter(rows(self._connection, _HEAD, stream=replay.stream)), None)
        end = (replay.next_seq - 1, replay.head, self._last)
        if head is None or (head["seq"], head["head"], head["last_event_id"]) != end:
            says = "has no head" if head is None else f"has its head at {tuple(head.values())}"
            self._find(Code.STREAM_HEAD, f"it ends at {end}, and {says}", replay.stream)
        for standing in replay.standings.values():
            self._record(replay, standing)
        self._rows(replay)

    def _views(self, replay: StreamReplay) -> None:
        """Hold what was shown against what was the case before."""
        for event_id, run, facts_digest in replay.views:
            if not self._was_said(event_id, run, facts_digest):
                detail = f"facts {facts_digest} of {run} were never the case before"
                self._find(Code.FACTS_MISMATCH, detail, replay.stream, event_id)
        replay.views.clear()

    def _record(self, replay: StreamReplay, standing: Standing) -> None:
        stream = replay.stream
        try:
            wanted = expected_row(standing) | _of_birth(standing, replay.born)
        except UNREADABLE as error:
            detail = f"its data are not those of {standing.last.type}: {error}"
            self._find(Code.FORM_INVALID, detail, stream, standing.last_event_id)
            return
        found = next(iter(rows(self._connection, _ROW[standing.machine], id=standing.subject)), None)
        if found is None:
            self._find(Code.ROW_MISSING, f"the {standing.machine} {standing.subject}", stream, standing.last_event_id)
            return
        differing = {name: (found[name], value) for name, value in wanted.items() if found[name] != value}
        if differing:
            said = "; ".join(f"{name} is {was}, and follows as {follows}" for name, (was, follows) in differing.items())
            detail = f"the {standing.machine} {standing.subject}: {said}"
            self._find(Code.ROW_MISMATCH, detail, stream, standing.last_event_id)

    def _rows(self, replay: StreamReplay) -> None:
        """Hold item and check rows against the digests in the events that they came with."""
        runs = {key[1] for key in replay.standings if key[0] is Machine.RUN}
        for subject in runs | {subject for subject, _ in replay.rows_digests.values()}:
            wanted = {number: said for number, (of, said) in replay.rows_digests.items() if of == subject}
            statement = _ITEMS if subject in runs else _CHECKS
            found = _digests(walk(self._connection, statement, {"subject": subject}))
            for event_id in {**wanted, **found}:
                if wanted.get(event_id) != found.get(event_id):
                    self._find(Code.ROWS_DIGEST, f"the rows of {subject}", replay.stream, event_id)

    def _was_said(self, event_id: int, run: str, facts_digest: str) -> bool:
        """Tell whether a run's own stream has these facts in a decision before an event, or lost that to pruning."""
        if (run, facts_digest) not in self._known:
            if len(self._known) > _REMEMBERED_MAX:
                self._known.clear()
            found = rows(self._connection, _SAID, stream=f"run/{run}", event=event_id, digest=facts_digest)
            self._known[run, facts_digest] = bool(found)
        return self._known[run, facts_digest]


def _said_by(entry: Entry) -> dict[str, Any]:
    fields = {name: getattr(entry, name) for name in _NAMES}
    return {**fields, "actor": {"id": entry.actor.id}}


def _digests(documents: Iterator[tuple[int, str]]) -> dict[int, str]:
    """Hash rows into one digest per event, as if they were one array in canonical form; memory stays flat."""
    found: dict[int, Any] = {}
    for event_id, document in documents:
        digest = found.get(event_id)
        if digest is None:
            digest = found[event_id] = sha256(b"[")
        else:
            digest.update(b",")
        digest.update(encoded(document))
    for digest in found.values():
        digest.update(b"]")
    return {event_id: digest.hexdigest() for event_id, digest in found.items()}


def expected_row(standing: Standing) -> Row:
    """Give the columns of a record that follow from the log."""
    first, last = standing.first, standing.last
    wanted = {
        "workspace": last.ws,
        "environment": last.env,
        "status": last.data["target"],
        "version": last.data.get("version", 1),
        "last_event_id": standing.last_event_id,
    }
    if first is not None:
        wanted["imported"] = int(first.type in _IMPORTED)
    match standing.machine:
        case Machine.RUN:
            return wanted | _of_run(first, last)
        case Machine.OPERATION:
            return wanted | {"run": last.run, "outcome": last.data.get("outcome")}
        case Machine.EVIDENCE:
            return wanted | _of_snapshot(first, last)


def _of_birth(standing: Standing, born: Tombstone | None) -> Row:
    """Give what a run's row says of its beginning, where only the tombstone of that is left."""
    if standing.machine is not Machine.RUN or standing.first is not None or born is None:
        return {}
    return {"created_at_us": born.at_us, "imported": int(born.type in _IMPORTED)}


def _of_run(first: Entry | None, last: Entry) -> Row:
    wanted: Row = {"operation_run_id": last.op, "details": _text(last.data["details"])}
    wanted["is_dry_run"] = int(last.data["is_dry_run"])
    if first is not None:
        wanted |= {"operation_run_ref": first.data.get("operation_run_ref"), "created_at_us": first.at_us}
    return wanted


def _of_snapshot(first: Entry | None, last: Entry) -> Row:
    wanted: Row = {"run": last.run, "details": _text(last.data["details"])}
    if first is not None:
        wanted |= {"operation_run_id": first.op, "captured_at_us": first.data["captured_at_us"]}
        wanted["operation_run_ref"] = first.data.get("operation_run_ref")
    return wanted


def _salt(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return encoded(text)


def _text(value: object) -> str:
    return canonical(value).decode()
