"""What somebody who owns the file can do to a log: with the guards away, and with the key of the ledger or without it."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from proofgap.access import Role
from proofgap.audit import GENESIS, canonical, leaf_hash
from proofgap.checkpoints import Checkpoint, sign_checkpoint
from proofgap.errors import NotAllowedError
from proofgap.facts import ItemResult, RunEvent
from proofgap.merkle import CompactRange
from proofgap.notes import SignerKey
from proofgap.records import Item
from proofgap_store import Anchors, Depth, Ledger, NewRun, Verification, verify_file
from proofgap_store.clock import now_us
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    PATHS,
    VERA,
    WIM,
    facts,
    fire,
    lines,
    live,
    operation,
    prove,
    snapshot,
)

URL = "sqlite:///{}".format


class Made(NamedTuple):
    """A ledger in which everything happened, closed, and what was seen of it from outside along the way."""

    path: Path
    notes: list[str]  # every checkpoint that was signed, the smallest first


def make(path: Path) -> Made:
    """Make a ledger of some fifty events, with three checkpoints."""
    notes = []
    with Ledger.open(URL(path), owner=ADA.id, synchronous="OFF") as ledger:
        for actor, role in ((OLGA, Role.OPERATOR), (WIM, Role.WORKER), (VERA, Role.VIEWER)):
            ledger.access.grant(actor.id, role, HOME, ADA)
        run_id = ledger.create(NewRun(), OLGA, key="k1").run_id
        fire(ledger, run_id, *PATHS["queued"], actor=OLGA)
        fire(ledger, run_id, "start", actor=WIM)
        notes.append(ledger.audit.checkpoint().note)
        items = [Item(key=name, result=ItemResult.SUCCEEDED) for name in ("b", "a")]
        ledger.fire(run_id, RunEvent.REPORT, WIM, items=items, key="k2")
        fire(ledger, run_id, "complete", actor=WIM)
        prove(ledger, run_id, captured_at_us=0, actor=WIM)
        ledger.show(run_id, VERA.id, VERA)
        notes.append(ledger.audit.checkpoint().note)
        ledger.list_runs(OLGA.id, OLGA)
        try:
            ledger.fire(run_id, RunEvent.SCOPE, OLGA)
        except NotAllowedError:
            ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot(), snapshot("s2", "o9"))), ADA)
        live(ledger, "cancelled", actor=OLGA)
        notes.append(ledger.audit.checkpoint().note)
    return Made(path, notes)


def copied(made: Made, to: Path) -> Path:
    """Give a copy of a closed ledger, with its key and its head file."""
    for ending in ("", ".key", ".head"):
        shutil.copy(f"{made.path}{ending}", f"{to}{ending}")
    return to


def verified(path: Path, **anchors: Any) -> Verification:
    """Verify a file against what is handed in, and nothing else."""
    depth = Depth(
        now_us=now_us(), **{name: anchors.pop(name) for name in ("jobs", "is_quick", "age_us_max") if name in anchors}
    )
    return verify_file(URL(path), Anchors(**anchors), depth)


def codes(path: Path, **anchors: Any) -> set[str]:
    """Give the codes of what a verification finds."""
    return set(verified(path, **anchors).counts)


@contextmanager
def unguarded(path: Path) -> Iterator[Any]:
    """Take every guard away, let somebody at the tables, and put every guard back as it was."""
    connection = sqlite.connect(str(path), isolation_level=None)
    for pragma in ("ignore_check_constraints = ON", "synchronous = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    for _, sql in guards:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def payloads(connection: Any) -> list[tuple[int, str]]:
    """Read the log, oldest first."""
    return list(connection.execute("SELECT event_id, payload FROM audit_event ORDER BY event_id"))


def rewrite(connection: Any, path: Path, *, with_key: bool = True, **changed: str) -> None:
    """Put other payloads into the log, and make everything follow: links, leaves, nodes, heads, and checkpoints.

    ``changed`` holds payloads by event, as ``e12``. Without the key, the checkpoints keep their old signatures, and
    their roots in the table follow all the same.
    """
    heads: dict[str, str] = defaultdict(lambda: GENESIS)
    grown, checkpoints = CompactRange(), _checkpoints(connection)
    connection.execute("DELETE FROM audit_node")
    for index, (event_id, payload) in enumerate(payloads(connection)):
        event = msgspec.json.decode(changed.get(f"e{event_id}", payload))
        event["prev"] = heads[event["stream"]]
        written = canonical(event)
        heads[event["stream"]] = leaf = leaf_hash(written)
        connection.execute(
            "UPDATE audit_event SET payload = ?, leaf = ? WHERE event_id = ?", (written.decode(), leaf, event_id)
        )
        connection.execute("UPDATE audit_leaf SET hash = ? WHERE idx = ?", (leaf, index))
        for level, number, node in grown.append(bytes.fromhex(leaf)):
            connection.execute("INSERT INTO audit_node VALUES (?, ?, ?)", (level, number, node.hex()))
        if grown.size in checkpoints:
            _sign(connection, path, grown, checkpoints[grown.size], with_key=with_key)
        body = "UPDATE receipt SET body = json_set(body, '$.leaf', ?) WHERE event_id = ?"
        connection.execute(body, (leaf, event_id))
    for stream, leaf in heads.items():
        connection.execute("UPDATE audit_stream SET head = ? WHERE stream = ?", (leaf, stream))


def _checkpoints(connection: Any) -> dict[int, int]:
    return dict(connection.execute("SELECT size, at_us FROM audit_checkpoint"))


def _sign(connection: Any, path: Path, grown: CompactRange, at_us: int, *, with_key: bool) -> None:
    root = grown.root()
    connection.execute("UPDATE audit_checkpoint SET root = ? WHERE size = ?", (root.hex(), grown.size))
    if with_key:
        key = SignerKey.parse(Path(f"{path}.key").read_text("ascii").strip())
        note = sign_checkpoint(Checkpoint(key.name, grown.size, root), key, at_us // 1_000_000)
        connection.execute("UPDATE audit_checkpoint SET note = ? WHERE size = ?", (note, grown.size))


def find(connection: Any, kind: str, **data: Any) -> tuple[int, dict[str, Any]]:
    """Give the first event of a type that says something, and its number."""
    for event_id, payload in payloads(connection):
        event = msgspec.json.decode(payload)
        if event["type"] == kind and all(event["data"].get(name) == value for name, value in data.items()):
            return event_id, event
    raise LookupError(kind, data)


def forge(path: Path, kind: str, *, with_key: bool = True, said: dict[str, Any] | None = None, **data: Any) -> int:
    """Change what one event says, with the key of the ledger or without it; give the event's number."""
    with unguarded(path) as connection:
        event_id, event = find(connection, kind, **data)
        event["data"] |= said or {}
        rewrite(connection, path, with_key=with_key, **{f"e{event_id}": canonical(event).decode()})
    return event_id


def redefine(path: Path, name: str, new: str) -> str:
    """Write another definition of a table or an index into the schema itself, and leave its content; give the old one."""
    connection = sqlite.connect(str(path), isolation_level=None)
    where = "WHERE name = ? AND type IN ('table', 'index')"
    old: str = connection.execute(f"SELECT sql FROM sqlite_master {where}", (name,)).fetchone()[0]  # noqa: S608 - our own text
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(f"UPDATE sqlite_master SET sql = ? {where}", (new, name))  # noqa: S608 - our own text
    version = connection.execute("PRAGMA schema_version").fetchone()[0]
    connection.execute(f"PRAGMA schema_version = {version + 1}")
    connection.close()
    return old


@contextmanager
def ungenerated(path: Path) -> Iterator[Any]:
    """Let somebody write the columns that are read off an event's bytes, and put their definition back."""
    table = "audit_event"
    with unguarded(path) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        assert guards == []
        connection.execute("COMMIT")
        (old,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        redefine(path, table, re.sub(r"GENERATED ALWAYS AS \(json_extract\(payload, '[^']*'\)\) STORED", "", old))
        other = sqlite.connect(str(path), isolation_level=None)
        yield other
        other.close()
        redefine(path, table, old)
        connection.execute("BEGIN IMMEDIATE")


def hide_rows(path: Path, index: str, where: str) -> None:
    """Make an index anew that leaves rows out, and let its definition say that it holds them all."""
    connection = sqlite.connect(str(path), isolation_level=None)
    (old,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    connection.execute(f"DROP INDEX {index}")
    connection.execute(f"{old} WHERE {where}")
    connection.close()
    redefine(path, index, old)
