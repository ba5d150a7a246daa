"""Anything that can be done to a ledger, in any order, against a small model of it and a replay of its log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from proofgap.access import Action
from proofgap.audit import digest
from proofgap.decision import decide, everyone
from proofgap.errors import GuardRefusedError, KeyReusedError, NotAllowedError, StaleError
from proofgap.facts import Counts, EndReason, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item, PreviewFacts, RunDetails
from proofgap_store import NewRun
from proofgap_store.views import visible
from tests.conformance.conftest import BACKENDS
from tests.conformance.lives import ADA, OLGA, PASSED, VERA, after_the_end, chain_faults, log, settle, tables
from tests.conformance.places import MEMBERS

EVERYWHERE = {"draft", "scoped", "checked", "previewed", "queued"}
MOVES = {
    "scope": dict.fromkeys(("draft", "scoped", "checked", "previewed"), "scoped"),
    "check": dict.fromkeys(("scoped", "checked", "previewed"), "checked"),
    "preview": dict.fromkeys(("checked", "previewed"), "previewed"),
    "approve": {"previewed": "previewed"},
    "queue": {"previewed": "queued"},
    "start": {"queued": "running"},
    "report": {"running": "running"},
    "request_cancel": {"running": "running"},
    "complete": {"running": "completed"},
    "complete_with_errors": {"running": "completed_with_errors"},
    "complete_partially": {"running": "partial"},
    "fail": {"running": "failed"},
    "cancel": dict.fromkeys(EVERYWHERE, "cancelled") | {"running": "partial"},
    "block": dict.fromkeys(("checked", "previewed", "queued"), "cancelled"),
}
EVIDENCE_MOVES = {
    "generate": {"queued": "generating"},
    "activate": {"generating": "active"},
    "supersede": {"active": "superseded"},
    "expire": {"active": "expired"},
    "fail": {"queued": "failed", "generating": "failed"},
}
ENDED = {"completed", "partial", "completed_with_errors", "failed", "cancelled"}
ONWARDS = {
    "draft": "scope",
    "scoped": "check",
    "checked": "preview",
    "previewed": "queue",
    "queued": "start",
    "running": "complete",
}
ENDINGS = {
    "completed": "complete",
    "partial": "complete_partially",
    "completed_with_errors": "complete_with_errors",
    "failed": "fail",
    "cancelled": "cancel",
}
EVIDENCE_LIVES = [("generate",), ("generate", "activate"), ("generate", "activate", "expire"), ("fail",)]
GUARDED = {"approve", "queue", "start", "complete", "complete_with_errors", "block"}
REFUSED = (NotAllowedError, GuardRefusedError)

COUNTS = st.builds(Counts, total=st.none() | st.integers(0, 9), failed=st.none() | st.integers(0, 1))
FACTS: dict[str, st.SearchStrategy[RunDetails]] = {
    "scope": st.builds(RunDetails, backup=st.sampled_from(["b1", "b2"])),
    "check": st.builds(RunDetails, plan_digest=st.sampled_from("pq"), selected=st.none() | st.integers(0, 2)),
    "preview": st.builds(RunDetails, preview=st.none() | st.builds(PreviewFacts, expires_at_us=st.sampled_from([None, 5]))),
    "queue": st.builds(RunDetails, plan_digest=st.sampled_from([None, "p", "q"])),
    "complete": st.builds(RunDetails, counts=st.none() | COUNTS),
    "complete_with_errors": st.builds(RunDetails, counts=st.none() | COUNTS),
    "complete_partially": st.builds(RunDetails, counts=st.none() | COUNTS, exit_code=st.integers(0, 255)),
    "cancel": st.builds(RunDetails, nothing_written=st.sampled_from([None, True, False])),
    "block": st.builds(RunDetails, end_reason=st.none() | st.sampled_from(EndReason)),
}  # fmt: skip
EVENTS = st.sampled_from(sorted(MOVES)).flatmap(
    lambda event: st.tuples(st.just(event), FACTS.get(event, st.just(RunDetails())))
)


def fold(events: list[Any]) -> dict[str, dict[str, Any]]:
    """Replay a log: what the tables must say, from the events alone; knows nothing of the ledger's code."""
    kinds = {"run": "restore_run", "operation": "operation_run", "evidence": "evidence_snapshot"}
    found: dict[str, dict[str, Any]] = {table: {} for table in kinds.values()}
    for event in events:
        _, kind, verb = ("", *event.type.split(".", 2)[-2:])
        if kind not in kinds or verb not in {"created", "transitioned"}:
            continue
        data, rows = event.data, found[kinds[kind]]
        before = rows.get(data["subject"])
        assert (before is None) is (verb == "created")
        assert data["source"] == (before and before["status"])
        assert data["version"] == (before["version"] if before else 0) + 1
        rows[data["subject"]] = {"status": data["target"], "version": data["version"], "event": event.event_id} | (
            {"outcome": data["outcome"]} if kind == "operation" else {"details": data["details"]}
        )
    return found


def stored(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Give what the tables say, in the same words."""
    return {
        table: {
            row["id"]: {"status": row["status"], "version": row["version"], "event": row["last_event_id"]}
            | ({"outcome": row["outcome"]} if "outcome" in row else {"details": msgspec.json.decode(row["details"])})
            for row in found[table]
        }
        for table in ("restore_run", "operation_run", "evidence_snapshot")
    }


class LedgerMachine(RuleBasedStateMachine):
    """A ledger, and beside it a dictionary of what ought to be in it."""

    backend: str
    runs = Bundle("runs")
    snapshots = Bundle("snapshots")

    @initialize()
    def begin(self) -> None:
        self.held = ExitStack()
        folder = Path(self.held.enter_context(TemporaryDirectory()))
        self.ledger = settle(self.held.enter_context(BACKENDS[self.backend](folder, *MEMBERS)))
        self.status: dict[str, tuple[str, int]] = {}
        self.evidence: dict[str, str] = {}
        self.owner: dict[str, str] = {}
        self.asked: dict[str, tuple[Any, Any]] = {}
        self.reported: set[str] = set()
        self.refused = 0
        self.items = 0

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.held.close()

    @rule(target=runs, dry=st.booleans(), actor=st.sampled_from([ADA, OLGA]))
    def create(self, dry: bool, actor: Any) -> str:
        receipt = self.ledger.create(NewRun(is_dry_run=dry), actor)
        self.status[receipt.run_id] = ("draft", 1)
        return receipt.run_id

    @rule(run=runs, fired=EVENTS, at=st.sampled_from([4, 5]), version=st.sampled_from([None, None, None, -1, 0]))
    def fire(self, run: str, fired: tuple[str, RunDetails], at: int, version: int | None) -> None:
        event, given = fired
        before, number = self.status[run]
        expected = None if version is None else number + version
        items = [Item(key=f"i{self.items}", result=ItemResult.SUCCEEDED)] if event == "report" else []
        self.items += 1
        try:
            receipt = self.ledger.fire(
                run, RunEvent(event), ADA, given=given, items=items, at_us=at, expected_version=expected
            )
        except StaleError:
            assert expected not in {None, number}
            self.refused += 1
        except REFUSED as error:
            assert before not in MOVES[event] or event in GUARDED
            assert (event, before) != ("start", "queued") or self.is_live(), "one run is live in an environment"
            self.guarded(error, before in MOVES[event])
        else:
            target = MOVES[event][before]
            assert event != "start" or not self.is_live()
            is_untouched = given.nothing_written and run not in self.reported
            target = "cancelled" if event == "cancel" and before == "running" and is_untouched else target
            self.reported |= {run} if event == "report" else set()
            assert (receipt.source, receipt.status, receipt.version) == (before, target, number + 1)
            self.status[run] = (target, number + 1)

    def is_live(self) -> bool:
        return any(status == "running" for status, _ in self.status.values())

    def guarded(self, error: Any, has_move: bool) -> None:
        assert isinstance(error, GuardRefusedError) is has_move
        self.refused += 1

    @rule(run=runs, steps=st.integers(1, 6))
    def advance(self, run: str, steps: int) -> None:
        for _ in range(steps):
            event = ONWARDS.get(self.status[run][0])
            if event is not None:
                self.fire(run, (event, RunDetails()), 4, None)

    @rule(target=runs, last=st.sampled_from(sorted(ENDED)))
    def create_and_end(self, last: str) -> str:
        run = self.create(dry=False, actor=ADA)
        self.advance(run, 5)
        self.fire(run, (ENDINGS[last], RunDetails(nothing_written=True if last == "cancelled" else None)), 4, None)
        return run

    @rule(target=snapshots, run=runs, at=st.integers(1, 3), events=st.sampled_from(EVIDENCE_LIVES))
    def begin_and_move_evidence(self, run: str, at: int, events: tuple[str, ...]) -> Any:
        snapshot = self.begin_evidence(run, at)
        for event in events if isinstance(snapshot, str) else ():
            self.fire_evidence(snapshot, event, checked=True)
        return snapshot

    @rule(run=runs, key=st.sampled_from(["k1", "k2", "k3"]), event=st.sampled_from(["scope", "check", "cancel"]))
    def fire_keyed(self, run: str, key: str, event: str) -> None:
        known = self.asked.get(key)
        before, number = self.status[run]
        try:
            receipt = self.ledger.fire(run, RunEvent(event), ADA, key=key)
        except KeyReusedError:
            assert known is not None
            assert known[0] != (run, event)
        except REFUSED:
            assert known is None
            assert before not in MOVES[event]
            self.refused += 1
        else:
            assert receipt.replayed is (known is not None)
            if known is not None:
                assert (known[0], known[1]) == ((run, event), receipt.event_id)
                return
            self.asked[key] = ((run, event), receipt.event_id)
            self.status[run] = (receipt.status, number + 1)
            assert receipt.status == MOVES[event].get(before) or (event, before) == ("cancel", "running")

    @rule(target=snapshots, run=runs, at=st.integers(1, 3))
    def begin_evidence(self, run: str, at: int) -> Any:
        try:
            receipt = self.ledger.begin_evidence(run, ADA, captured_at_us=after_the_end(self.ledger, run, at))
        except GuardRefusedError:
            self.refused += 1
            return multiple()
        assert self.status[run][0] in ENDED - {"cancelled"}
        self.evidence[receipt.subject] = "queued"
        self.owner[receipt.subject] = run
        return receipt.subject

    @rule(snapshot=snapshots, event=st.sampled_from(sorted(EVIDENCE_MOVES)), checked=st.booleans())
    def fire_evidence(self, snapshot: str, event: str, checked: bool) -> None:
        before, moves = self.evidence[snapshot], EVIDENCE_MOVES[event]
        checks = PASSED if event == "activate" and checked else ()
        try:
            self.ledger.fire_evidence(snapshot, SnapshotEvent(event), ADA, checks=checks)
        except REFUSED:
            assert before not in moves or event == "activate"
            self.refused += 1
            return
        if event == "activate":
            others = [row for row, owner in self.owner.items() if owner == self.owner[snapshot] and row != snapshot]
            self.evidence |= {row: "superseded" for row in others if self.evidence[row] == "active"}
        self.evidence[snapshot] = moves[before]

    @rule(run=runs, actor=st.sampled_from([ADA, OLGA, VERA]))
    def show(self, run: str, actor: Any) -> None:
        shown = self.ledger.show(run, actor.id, actor)
        assert shown.decision == decide(self.ledger.peek(run, ADA).facts(), shown.viewer)
        assert (shown.record.status, shown.record.version) == self.status[run]
        if actor is VERA:
            assert shown.decision.state != "completed_with_evidence"

    @precondition(lambda self: self.status)
    @rule()
    def list_runs(self) -> None:
        rows = self.ledger.list_runs(VERA.id, VERA).rows
        assert {row.record.id: (row.record.status.value, row.record.version) for row in rows} == self.status

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        events, found = log(self.ledger), tables(self.ledger)
        assert chain_faults(events) == []
        assert fold(events) == stored(found)
        assert {row["id"]: (row["status"], row["version"]) for row in found["restore_run"]} == self.status
        assert {row["id"]: row["status"] for row in found["evidence_snapshot"]} == self.evidence
        assert [event.type for event in events].count("restore.run.transition_refused") == self.refused
        self.latest_projections_follow_from_the_tables(events)

    def latest_projections_follow_from_the_tables(self, events: list[Any]) -> None:
        hooked = {event.entry["run"]: event.data for event in events if event.data.get("trigger") == "hook"}
        assert set(hooked) == set(self.status)
        for run, data in hooked.items():
            record = self.ledger._gate.read(lambda connection: visible(connection, run, ADA.id, Action.VIEW)).record  # noqa: B023 - called at once
            facts = record.facts()
            decision = msgspec.json.decode(msgspec.json.encode(decide(facts, everyone(facts))))
            assert (data["decision"], data["facts_digest"]) == (decision, digest(facts))


def held_to_the_model(backend: str, examples: int) -> Any:
    """Give the test case of one database."""
    machine = type(f"LedgerOn{backend}", (LedgerMachine,), {"backend": backend})
    machine.TestCase.settings = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True, database=None,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    machine.TestCase.__doc__ = "Whatever is done in whatever order, tables, log, chain, model and decisions agree."
    return machine.TestCase


EXAMPLES = {"sqlite": 40, "postgresql": 8}
"""How many lives of a ledger are tried; on a server each takes longer."""
assert EXAMPLES.keys() == BACKENDS.keys()
TestLedgerInMemory, TestLedgerOnServer = (held_to_the_model(*backend) for backend in EXAMPLES.items())
