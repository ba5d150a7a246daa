"""Making a bundle: everything about one run, with the proofs that it is the log's, in one file.

The order is fixed. First a checkpoint, so that every event of the run is covered. Then everything is read in one
transaction, and written under a temporary name. Then the event that says who took it is committed, and last the file
gets its name: a crash before that leaves an event whose file was never handed out, and no bundle is without its event.

Owns this order, and which events belong to a bundle. Refuses to know their form (`proofgap.bundles`), how they are
packed (`packing`), and what the page in it says (`proofgap.decision_record`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from proofgap.access import Action
from proofgap.audit import Actor, EventType, run_stream, view_stream
from proofgap.bundles import (
    CHECKPOINT,
    SYSTEM_TYPES,
    BundleFacts,
    Consistency,
    Content,
    Logged,
    Row,
    State,
    StreamEnd,
    files_of,
)
from proofgap.checkpoints import Checkpoint, open_checkpoint
from proofgap.decision_page import FORM, page
from proofgap.decision_record import record_of
from proofgap.errors import BadInputError, NotFoundError, ProofgapError
from proofgap.facts import Struct
from proofgap.merkle import consistency_proof, inclusion_proof
from proofgap.notes import VerifierKey, parse_note, verify_note
from proofgap.text import check_id
from proofgap_store import files, keys, packing, tree, views
from proofgap_store.audit_log import Draft, Written, head_of, link
from proofgap_store.custody import Custody
from proofgap_store.engine import Connection, rows
from proofgap_store.gate import Gate, Writing
from proofgap_store.keys import AUDIT_STREAM
from proofgap_store.read import law
from proofgap_store.sequencer import Checkpointed
from proofgap_store.shapes import LogQuery

_EVENTS = f"""
SELECT l.idx, e.event_id, e.id, e.leaf, e.stream, e.payload, e.payload ->> '$.pruned' AS pruned
FROM audit_event AS e JOIN audit_leaf AS l ON l.event_id = e.event_id
WHERE l.idx < :size AND (e.stream = :run OR substr(e.stream, 1, length(:views)) = :views
  OR (substr(e.stream, 1, 7) = 'system/' AND e.type IN ({", ".join(f"'{kind}'" for kind in SYSTEM_TYPES)})))
ORDER BY l.idx
"""  # noqa: S608 - put together from our own text only
_ITEMS = """
SELECT l.idx, i.document FROM result_item AS i JOIN audit_leaf AS l ON l.event_id = i.event_id
WHERE i.run = :run AND l.idx < :size ORDER BY l.idx, i.item_key
"""
_CHECKS = """
SELECT l.idx, c.document FROM evidence_check AS c JOIN evidence_snapshot AS s ON s.id = c.snapshot
JOIN audit_leaf AS l ON l.event_id = c.event_id
WHERE s.run = :run AND l.idx < :size ORDER BY l.idx, c.number
"""


class Order(NamedTuple):
    """A bundle that is asked for: of which run, by whom, into which file, after which earlier signed checkpoint."""

    run: str
    actor: Actor
    file: Path
    previous: str | None
    rec_us: int


class Bundled(Struct):
    """A bundle that was made: its file, what is in it, and the event that says so."""

    file: str
    run: str
    events: int
    size: int  # events that the checkpoint covers
    key: str  # that signed it: hand it to whoever is to verify the bundle, on another way
    bytes: int
    sha256: str
    event_id: int


class _Part(NamedTuple):
    """What was read for a bundle: its content, its scope, and its first and last event as they are named elsewhere."""

    content: Content
    signer: VerifierKey  # of the checkpoint, and so of the manifest
    scope: tuple[str, str]
    ends: tuple[dict[str, Any], dict[str, Any]]


def previous_checkpoint(bundle: Path) -> str:
    """Read the signed checkpoint of an earlier bundle.

    Raises:
        BadInputError: it cannot be read, or holds none.

    """
    try:
        return packing.unpack(bundle)[CHECKPOINT].decode()
    except (packing.UnreadableBundleError, BadInputError, KeyError, UnicodeDecodeError) as error:
        problem = error.problem if isinstance(error, BadInputError) else "holds no checkpoint"
        raise BadInputError("--previous", problem, "Name a bundle of this ledger.") from error


def bundle(gate: Gate, custody: Custody, order: Order, checkpoint: Callable[[], Checkpointed | None]) -> Bundled:
    """Make a bundle of a run, as the log stands at a checkpoint that is made first.

    Raises:
        BadInputError: the file is there already, the earlier checkpoint is not of this log, or events were pruned.
        NotFoundError: there is no such run, or the actor cannot see it.
        ForbiddenError: the actor may not read the log of the run.
        OSError: writing failed; there is no file.

    """
    check_id("FILE", order.file.name)
    files.refuse_taken(order.file)
    readers = (order.actor.id,)
    gate.read(lambda connection: demand_auditor(connection, order), readers)
    checkpointed = checkpoint()
    if checkpointed is None:  # not in a ledger that has a run
        raise NotFoundError("restore run", order.run)
    part = gate.read(lambda connection: _read(connection, order, checkpointed), readers)
    signer = custody.key_file.signer(part.signer)
    made = files_of(part.content, page(record_of(part.content, signer.verifier)), signer)
    with files.temporary(order.file) as (stream, partial):
        packing.pack(made, stream)
        files.sync(stream)
        with partial.open("rb") as written:
            sha256 = file_digest(written, "sha256").hexdigest()
        data = _data(order, part, partial.stat().st_size, sha256)
        event_id = gate.write(lambda connection: _recording(connection, order, part, data), readers)
        partial.rename(order.file)  # a crash before this: an event, and no file
    files.sync_folder(order.file.parent)
    return Bundled(
        file=str(order.file),
        run=order.run,
        events=len(part.content.events),
        size=checkpointed.size,
        key=signer.verifier.text,
        bytes=data["bytes"],
        sha256=sha256,
        event_id=event_id,
    )


def demand_auditor(connection: Connection, order: Order) -> tuple[str, str]:
    """Let somebody through who may read the log of a run; give the scope of the run."""
    record = views.visible(connection, order.run, order.actor.id, Action.AUDIT).record
    return record.workspace, record.environment


def _read(connection: Connection, order: Order, checkpointed: Checkpointed) -> _Part:
    """Read everything that belongs to a run, with its proofs, as of a checkpoint."""
    scope = demand_auditor(connection, order)
    size, node = checkpointed.size, tree.node_reader(connection)
    known = [period.key for period in keys.history(connection)]
    signer = next(found.key for found in verify_note(parse_note(checkpointed.note), known))
    found = _events(connection, order.run, size)
    previous = None if order.previous is None else _earlier(connection, order.previous, known, size)
    facts = BundleFacts(
        run=order.run,
        origin=signer.name,
        made_us=order.rec_us,
        made_by=order.actor.id,
        checkpoint=State(size=size, root=checkpointed.root),
        previous=None if previous is None else State(size=previous.size, root=previous.root.hex()),
        page_form=FORM,
        streams=_ends(found),
    )
    content = Content(
        facts=facts,
        checkpoint=checkpointed.note,
        events=[
            Logged(row["idx"], row["payload"].encode(), tuple(inclusion_proof(row["idx"], size, node))) for row in found
        ],
        items=_rows(connection, _ITEMS, order.run, size),
        checks=_rows(connection, _CHECKS, order.run, size),
        consistency=None
        if previous is None or order.previous is None
        else Consistency(tuple(consistency_proof(previous.size, size, node)), order.previous),
    )
    return _Part(content, signer, scope, (_end(found[0]), _end(found[-1])))


def _events(connection: Connection, run: str, size: int) -> list[dict[str, Any]]:
    found = rows(connection, _EVENTS, run=run_stream(run), views=view_stream(run, ""), size=size)
    if any(row["pruned"] is not None for row in found):
        raise BadInputError("RUN", "has events that were pruned", "Use the export that was kept when they were pruned.")
    return found


def _ends(found: Sequence[dict[str, Any]]) -> tuple[StreamEnd, ...]:
    """Say where the streams end that are in the bundle whole; of those of the ledger itself only some events are."""
    heads: dict[str, tuple[int, str]] = {}
    for row in found:
        if not row["stream"].startswith("system/"):
            heads[row["stream"]] = (heads.get(row["stream"], (0, ""))[0] + 1, row["leaf"])
    return tuple(StreamEnd(stream=name, events=count, head=head) for name, (count, head) in sorted(heads.items()))


def _end(row: dict[str, Any]) -> dict[str, Any]:
    return {"event_id": row["event_id"], "id": row["id"], "leaf": row["leaf"]}


def _rows(connection: Connection, statement: str, run: str, size: int) -> list[Row]:
    found = rows(connection, statement, run=run, size=size)
    return [Row(row["idx"], msgspec.json.decode(row["document"], type=dict[str, Any])) for row in found]


def _earlier(connection: Connection, note: str, known: Sequence[VerifierKey], size: int) -> Checkpoint:
    """Open the checkpoint of an earlier bundle, and make sure that the log grew from it."""
    remedy = "Name a bundle of this ledger; if it is one, run: proofgap audit verify."
    try:
        earlier = open_checkpoint(note, known).checkpoint
    except ProofgapError as error:
        raise BadInputError("--previous", "was not signed by a key of this ledger", remedy) from error
    if earlier.size > size or tree.root_at(connection, earlier.size) != earlier.root:
        raise BadInputError("--previous", "saw events that are not in this ledger", remedy)
    return earlier


def _data(order: Order, part: _Part, size_bytes: int, sha256: str) -> dict[str, Any]:
    first, last = part.ends
    return {
        "file": order.file.name,
        "format": "bundle",
        "query": LogQuery(run=order.run),
        "scopes": [part.scope],
        "count": len(part.content.events),
        "first": first,
        "last": last,
        "bytes": size_bytes,
        "sha256": sha256,
    }


def _recording(connection: Connection, order: Order, part: _Part, data: dict[str, Any]) -> Writing[int] | int:
    demand_auditor(connection, order)
    draft = Draft(EventType.LOG_EXPORTED, *part.scope, order.run, None, data)
    events = link(head_of(connection, AUDIT_STREAM), [draft], order.actor, order.rec_us, order.rec_us)

    def answer(written: Sequence[Written]) -> int:
        return written[0].event_id

    return Writing(events=events, answer=answer, law=law(connection))
