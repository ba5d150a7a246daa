"""Runs, people and a reader of the log, for every test that opens a ledger, whichever database is behind it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from proofgap.access import Role
from proofgap.audit import GENESIS, Actor, Entry, canonical, leaf_hash
from proofgap.facts import (
    EndReason,
    Facts,
    OperationFacts,
    OperationOutcome,
    OperationStatus,
    RunEvent,
    RunFacts,
    RunStatus,
    SnapshotEvent,
    SnapshotFacts,
    SnapshotStatus,
)
from proofgap.records import Check, CheckResult, RunDetails
from proofgap_store import Ledger, NewRun, Receipt
from proofgap_store.engine import connected, rows, transaction

HOME = ("default", "local")
ADA = Actor(id="ada", via="cli")  # owner and admin
OLGA, OTTO = Actor(id="olga", via="api"), Actor(id="otto", via="api")  # operators
WIM = Actor(id="wim", kind="worker", via="worker")
VERA, UDO = Actor(id="vera"), Actor(id="udo")  # viewer, auditor
SAM = Actor(id="sam")  # holds no role anywhere
ROLES = {OLGA: Role.OPERATOR, OTTO: Role.OPERATOR, WIM: Role.WORKER, VERA: Role.VIEWER, UDO: Role.AUDITOR}

_RELEASED = ("scope", "check", "preview", "queue")
PATHS = {
    "draft": (),
    "scoped": _RELEASED[:1],
    "checked": _RELEASED[:2],
    "previewed": _RELEASED[:3],
    "queued": _RELEASED,
    "completed": (*_RELEASED, "start", "complete"),
    "partial": (*_RELEASED, "start", "complete_partially"),
    "completed_with_errors": (*_RELEASED, "start", "complete_with_errors"),
    "failed": (*_RELEASED, "start", "fail"),
    "cancelled": (*_RELEASED, "cancel"),
    "running": (*_RELEASED, "start"),  # the last one: while it is live, no other run starts in its environment
}
TWICE = (*(status for status in PATHS if status != "running"), *PATHS)  # two runs of each, as far as they may be live
TERMINAL = ("completed", "partial", "completed_with_errors", "failed", "cancelled")
BLOCK = RunDetails(end_reason=EndReason.TARGET_BUSY)
PASSED = (Check(subject="a.txt", method="sha256", level="L4", result=CheckResult.PASSED),)


class Logged(NamedTuple):
    """One row of the log, and its payload as JSON."""

    event_id: int
    payload: str
    leaf: str
    entry: dict[str, Any]

    @property
    def type(self) -> str:
        """What kind of event it is."""
        return str(self.entry["type"])

    @property
    def data(self) -> dict[str, Any]:
        """What the event says."""
        return dict(self.entry["data"])


def open_memory() -> Ledger:
    """Open a ledger that lives in memory, owned by ada."""
    return Ledger.open("sqlite://", owner=ADA.id)


def settle(ledger: Ledger) -> Ledger:
    """Give everybody their role at home."""
    for actor, role in ROLES.items():
        ledger.access.grant(actor.id, role, HOME, ADA)
    return ledger


def fire(ledger: Ledger, run_id: str, *events: str, actor: Actor = ADA) -> Receipt | None:
    """Fire events one after the other; give the last receipt."""
    receipt = None
    for event in events:
        receipt = ledger.fire(run_id, RunEvent(event), actor, given=BLOCK if event == "block" else RunDetails())
    return receipt


def live(ledger: Ledger, status: str = "completed", actor: Actor = ADA, **new: Any) -> str:
    """Create a run and lead it to a status; give its id. What is live in its environment is ended before it starts."""
    if "start" in PATHS[status]:
        make_room(ledger, **new)
    run_id = ledger.create(NewRun(**new), actor).run_id
    fire(ledger, run_id, *PATHS[status], actor=actor)
    return run_id


def make_room(ledger: Ledger, workspace: str = HOME[0], environment: str = HOME[1], **_new: Any) -> None:
    """End the run that is live in an environment, so that another one can start there."""
    holder = ledger.fleet.holder((workspace, environment), ADA)
    if holder is not None:
        fire(ledger, holder.run, "fail")


def after_the_end(ledger: Ledger, run_id: str, offset_us: int) -> int:
    """Give a time so many microseconds after a run came to its status."""
    return ledger.peek(run_id, ADA).moved_at_us + offset_us


def later(ledger: Ledger, microseconds: int) -> None:
    """Let the ledger's clock stand at so long after now."""
    moment = ledger._clock() + microseconds
    ledger._clock = lambda: moment


def prove(ledger: Ledger, run_id: str, *, captured_at_us: int = 1_000, actor: Actor = ADA) -> str:
    """Add active evidence to a run that has ended, captured so long after its end; give the snapshot's id."""
    when = after_the_end(ledger, run_id, captured_at_us)
    snapshot = ledger.begin_evidence(run_id, actor, captured_at_us=when).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, actor)
    ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, actor, checks=PASSED)
    return snapshot


def log(ledger: Ledger) -> list[Logged]:
    """Read the whole log, oldest first, past every verb of the ledger."""
    select = "SELECT event_id, payload, leaf FROM audit_event ORDER BY event_id"
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        found = rows(connection, select)
    return [Logged(**row, entry=msgspec.json.decode(row["payload"])) for row in found]


def log_since(ledger: Ledger, event_id: int) -> list[Logged]:
    """Read what was logged after one event."""
    return [event for event in log(ledger) if event.event_id > event_id]


def last(ledger: Ledger) -> int:
    """Give the number of the last event."""
    return log(ledger)[-1].event_id


def tables(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Read every row of every table of the ledger: what must be the same before and after a refused attempt."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        names = ("audit_event", "audit_stream", *MIRRORS)
        return {name: rows(connection, f"SELECT * FROM {name}") for name in names}  # noqa: S608 - names only


def denials_beside(ledger: Ledger, before: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    """Give who was denied what since the tables were read (kind and id), once nothing else has changed since."""
    after = tables(ledger)
    assert {name: after[name] for name in MIRRORS} == {name: before[name] for name in MIRRORS}
    events = log(ledger)[len(before["audit_event"]) :]
    assert {event.type for event in events} <= {"access.denied"}
    return [(event.entry["actor"]["id"], event.data["kind"], event.data["subject"]) for event in events]


MIRRORS = (
    *("restore_run", "operation_run", "evidence_snapshot", "result_item", "evidence_check", "receipt"),
    *("environment", "access_grant", "machine_definition", "machine_edge"),
)


def chain_faults(events: list[Logged]) -> list[str]:
    """Find everything that is wrong with the links of a log: numbers, predecessors, leaves, form."""
    faults, heads = [], defaultdict(lambda: (0, GENESIS))
    for event in events:
        entry, payload = event.entry, event.payload.encode()
        seq, prev = heads[entry["stream"]]
        if (entry["seq"], entry["prev"]) != (seq, prev):
            faults.append(f"{event.event_id} does not follow {seq} of {entry['stream']}")
        if event.leaf != leaf_hash(payload):
            faults.append(f"{event.event_id} has another leaf than its bytes")
        if canonical(msgspec.json.decode(payload, type=Entry)) != payload:
            faults.append(f"{event.event_id} is not canonical")
        heads[entry["stream"]] = (seq + 1, event.leaf)
    return faults


def facts(
    run_id: str = "x1", status: str = "completed", *links: Any, scope: tuple[str, str] = HOME, **run: Any
) -> Facts:
    """Give the facts of a run of another system, with its operation run and evidence, if any."""
    operation, evidence = (links[0], links[1:]) if links else (None, ())
    return Facts(
        run=RunFacts(
            id=run_id, workspace=scope[0], environment=scope[1], status=RunStatus(status),
            **({"is_dry_run": False, "operation_run_id": operation.id if operation else None} | run),
        ),
        operation=operation,
        evidence=tuple(evidence),
    )  # fmt: skip


def operation(id_: str = "o1", status: str = "completed", outcome: str | None = "succeeded", scope: Any = HOME) -> Any:
    """Give an operation run of another system."""
    known = None if outcome is None else OperationOutcome(outcome)
    return OperationFacts(
        id=id_, workspace=scope[0], environment=scope[1], status=OperationStatus(status), outcome=known
    )


def snapshot(id_: str = "s1", operation_id: str = "o1", status: str = "active", scope: Any = HOME) -> SnapshotFacts:
    """Give an evidence snapshot of another system."""
    return SnapshotFacts(
        id=id_, operation_run_id=operation_id, workspace=scope[0], environment=scope[1],
        status=SnapshotStatus(status), captured_at="2026-11-21T02:24:05.000000Z",
    )  # fmt: skip


def lines(*records: Facts) -> list[tuple[Facts, bytes]]:
    """Give the lines of an import, as they come out of the intake."""
    return [(record, msgspec.json.encode(record)) for record in records]


def open_scope(ledger: Ledger, scope: tuple[str, str], admin: Actor, run_id: str = "first") -> None:
    """Let a workspace come into being with one run in it, and hand it over to an admin of its own."""
    ledger.import_facts(lines(facts(run_id, "draft", scope=scope)), ADA)
    ledger.access.grant(admin.id, Role.ADMIN, scope, ADA)
    ledger.access.grant(ADA.id, Role.ADMIN, scope, ADA, revoke=True)
