"""Taking part of the log out: a file, its manifest, and the event that says who took what.

The order is fixed. The file is written under a temporary name and synced; a crash there leaves nothing but that file.
Then the event is committed, with the digest of the file in it. Then the manifest gets its name, and last the file
does: a crash before that leaves an event whose file was never handed out. So there is no export without its event.

Owns this order, and the manifest. Refuses to know forms (`formats`) and questions (`questions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
from msgspec.structs import asdict

from proofgap.admission import admitted
from proofgap.audit import Actor, EventType
from proofgap.errors import StaleError
from proofgap.facts import Struct
from proofgap.text import check_id
from proofgap_store import files, questions
from proofgap_store.audit_log import Draft, Written, alone
from proofgap_store.engine import Connection, rows
from proofgap_store.formats import ExportFormat, encoder
from proofgap_store.gate import Gate, Writing
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.questions import Progress, Scope
from proofgap_store.read import law
from proofgap_store.shapes import LoggedEvent, LogQuery

MANIFEST = ".manifest.json"
"""What the name of a manifest ends in, after the name of the file that it is about."""

_FORM = "proofgap audit export 1"
_FIRST = "SELECT id FROM audit_event ORDER BY event_id LIMIT 1"


class Export(Struct):
    """What to take out, in which form, and into which file."""

    file: str
    format: ExportFormat = ExportFormat.JSONL
    query: LogQuery = questions.EVERY_EVENT


class Ends(Struct):
    """The first or the last event of an export."""

    event_id: int
    id: str
    leaf: str


class Manifest(Struct):
    """What an export holds, and the event that recorded it; written beside the file as ``FILE.manifest.json``."""

    form: str
    file: str  # its name, without its folder
    format: ExportFormat
    query: LogQuery
    scopes: tuple[Scope, ...]  # workspace and environment (``*``: all), as the exporter could read them
    count: int
    first: Ends | None
    last: Ends | None
    bytes: int
    sha256: str  # of the file
    exported_us: int
    actor: str
    event: Ends  # the export itself


class _Written(Struct):
    """What went into the file."""

    scopes: tuple[Scope, ...]
    count: int
    first: Ends | None
    last: Ends | None


class _Order(NamedTuple):
    """An export on its way."""

    file: Path
    export: Export
    actor: Actor
    rec_us: int


def export(gate: Gate, wanted: Export, actor: Actor, rec_us: int, progress: Progress) -> Manifest:
    """Take events out of the log.

    Raises:
        BadInputError: the file is there already, or cannot be written; nothing is recorded.
        ForbiddenError: the actor audits nothing.
        StaleError: what the actor may read changed meanwhile; nothing is recorded.
        OSError: writing failed; there is no file.

    """
    wanted = admitted("export", wanted)
    order = _Order(_new_file(wanted.file), wanted, actor, rec_us)
    with files.temporary(order.file) as (stream, partial):
        written = gate.read(lambda connection: _write(connection, stream, order, progress), (actor.id,))
        files.sync(stream)
        facts = _facts(order, written, partial)
        manifest = gate.write(lambda connection: _recording(connection, order, written, facts), (actor.id,))
        _publish(partial, order.file, manifest)
    return manifest


def _new_file(name: str) -> Path:
    """Let the name of a new file through; an export never takes the place of another."""
    file = Path(name)
    check_id("FILE", file.name)
    files.refuse_taken(file, _manifest_of(file))
    return file


def _manifest_of(file: Path) -> Path:
    return file.with_name(file.name + MANIFEST)


def _write(connection: Connection, stream: IO[bytes], order: _Order, progress: Progress) -> _Written:
    """Write every selected event, as the log stands at one moment; what was pruned is in the export of its day."""
    scopes = questions.audited(connection, order.actor.id)
    chosen = questions.selection(order.export.query, scopes)
    last_number = questions.last_number(connection)
    out = encoder(order.export.format, stream, f"urn:uuid:{rows(connection, _FIRST)[0]['id']}")
    count = 0
    first: Ends | None = None
    last: Ends | None = None
    for event in questions.each(connection, questions.kept(chosen)):
        with questions.reading(event):
            out.add(event)
        count, last = count + 1, _end(event)
        first = first or last
        progress(event.event_id, last_number, count)
    out.finish()
    return _Written(scopes=scopes, count=count, first=first, last=last)


def _end(event: LoggedEvent) -> Ends:
    return Ends(event_id=event.event_id, id=event.entry["id"], leaf=event.leaf)


def _facts(order: _Order, written: _Written, partial: Path) -> dict[str, Any]:
    """Say what the file holds; the digest is that of the bytes that are on the disk."""
    with partial.open("rb") as stream:
        found = file_digest(stream, "sha256").hexdigest()
    return {
        "file": order.file.name,
        "format": order.export.format,
        "query": order.export.query,
        **asdict(written),
        "bytes": partial.stat().st_size,
        "sha256": found,
    }


def _recording(
    connection: Connection, order: _Order, written: _Written, facts: dict[str, Any]
) -> Writing[Manifest] | Manifest:
    if questions.audited(connection, order.actor.id) != written.scopes:
        raise StaleError("what you may read", None, None)
    draft = Draft(EventType.LOG_EXPORTED, *_place(order.export.query, written.scopes), None, None, facts)
    events = alone(connection, AUDIT_STREAM, draft, order.actor, order.rec_us)

    def answer(recorded: Sequence[Written]) -> Manifest:
        event_id, event = recorded[0]
        itself = Ends(event_id=event_id, id=msgspec.json.decode(event.payload)["id"], leaf=event.leaf)
        return Manifest(form=_FORM, **facts, exported_us=order.rec_us, actor=order.actor.id, event=itself)

    return Writing(events=events, answer=answer, law=law(connection))


def _place(query: LogQuery, scopes: tuple[Scope, ...]) -> tuple[str | None, str | None]:
    """Say where an export belongs: nobody writes into the log of a workspace in which they audit nothing."""
    is_theirs = query.workspace is None or query.workspace in {workspace for workspace, _ in scopes}
    return (query.workspace, query.environment) if is_theirs else (None, None)


def _publish(partial: Path, file: Path, manifest: Manifest) -> None:
    """Give manifest and file their names: from here on the export is there."""
    beside = _manifest_of(file)
    with files.temporary(beside) as (stream, unnamed):
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        files.sync(stream)
        unnamed.rename(beside)
    try:
        partial.rename(file)
    except OSError:
        beside.unlink()
        raise
    files.sync_folder(file.parent)
