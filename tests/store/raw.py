"""Past the ledger: connections of anybody's making to its file, and events forged on them."""

from __future__ import annotations

from typing import Any

import msgspec

from proofgap.audit import canonical, leaf_hash
from proofgap_store.clock import new_event_id
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import MIRRORS

TREE = ("audit_unsequenced", "audit_leaf", "audit_node", "audit_checkpoint")
TOKENS = ("access_token", "access_token_use", "access_session", "access_link")
TABLES = ("audit_event", "audit_stream", *TREE, *MIRRORS, *TOKENS)
SETTINGS = {
    "as the ledger sets it up": ("recursive_triggers=ON", "foreign_keys=ON", "trusted_schema=OFF"),
    "as SQLite comes": (),
    "with every pragma against us": ("recursive_triggers=OFF", "foreign_keys=OFF", "defer_foreign_keys=ON"),
}


def connect(path: Any, settings: str = "as the ledger sets it up") -> Any:
    """Open the file of a ledger with the bare driver."""
    connection = sqlite.connect(str(path), isolation_level=None)
    for pragma in SETTINGS[settings]:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def behind_the_guards(path: Any, *statements: str) -> None:
    """Take every guard away, run statements, and put the guards back word for word, as a careful forger does."""
    connection = connect(path, "as SQLite comes")
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in guards:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def contents(connection: Any) -> dict[str, list[Any]]:
    """Read every row of every table, and every trigger, table and index."""
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}  # noqa: S608 - names only
    found["schema"] = connection.execute("SELECT * FROM sqlite_master ORDER BY name").fetchall()
    return found


def refused(connection: Any, statement: str, *parameters: Any) -> str | None:
    """Try a statement, and take it back; give what the database answered, or None if it let it pass.

    A refusal that changed something all the same is no refusal.
    """
    before = contents(connection)
    connection.execute("BEGIN")
    answer = None
    try:
        connection.execute(statement, parameters)
    except sqlite.Error as error:
        answer = str(error)
    if answer is not None:
        assert contents(connection) == before
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    return answer


def head(connection: Any, stream: str) -> tuple[int, str]:
    """Read the number and the leaf of the last event of a stream."""
    found: tuple[int, str] = connection.execute(
        "SELECT seq, head FROM audit_stream WHERE stream = ?", (stream,)
    ).fetchone()
    return found


def moved(connection: Any, subject: str) -> dict[str, Any]:
    """Read the last event that created or moved a record."""
    select = """
    SELECT payload FROM audit_event WHERE json_extract(payload, '$.data.subject') = ?
    AND (type LIKE '%.transitioned' OR type LIKE '%.created' OR type LIKE '%.imported') ORDER BY event_id DESC LIMIT 1
    """
    found: dict[str, Any] = msgspec.json.decode(connection.execute(select, (subject,)).fetchone()[0])
    return found


def forged(connection: Any, subject: str, event: str, target: Any, **changes: Any) -> dict[str, Any]:
    """Give an event that moves a record from where it stands, with the right place in its stream; then change it."""
    entry = moved(connection, subject)
    seq, prev = head(connection, entry["stream"])
    data = entry["data"] | {
        "event": event, "source": entry["data"]["target"], "target": target,
        "version": entry["data"].get("version", 1) + 1, "definition": in_force(connection, entry["type"].split(".")[1]),
    }  # fmt: skip
    kind = entry["type"].rsplit(".", 1)[0] + ".transitioned"
    data |= changes.pop("data", {})
    return entry | {"id": new_event_id(), "type": kind, "seq": seq + 1, "prev": prev, "data": data} | changes


def in_force(connection: Any, machine: str) -> str:
    """Read the definition of a machine that is in force."""
    select = "SELECT definition FROM machine_definition WHERE machine = ? ORDER BY last_event_id DESC LIMIT 1"
    return str(connection.execute(select, (machine,)).fetchone()[0])


def row_of(entry: dict[str, Any]) -> tuple[str, str]:
    """Give payload and leaf of a forged event."""
    payload = canonical(entry)
    return payload.decode(), leaf_hash(payload)


APPEND = "INSERT INTO audit_event (payload, leaf) VALUES (?, ?)"
