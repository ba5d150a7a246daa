"""A ledger with a run in every decision state, made by the ledger's own verbs, and everybody in their role."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proofgap.audit import Actor
from proofgap.facts import Counts, EndReason, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Check, CheckResult, Item, Level, PreviewFacts, RunDetails
from proofgap_store import Ledger, NewRun
from tests.conformance.lives import ADA, HOME, UDO, facts, lines, operation, settle

WANTED = RunDetails(backup="/srv/backups/nightly-2026-11-21.tar.gz", target="/srv/shop", driver="files")
_NUMBERS = count()
_PLAN = RunDetails(plan_digest="sha256:1f0c", selected=48, target_fingerprint="f1")
_PREVIEW = RunDetails(preview=PreviewFacts(created=44, overwritten=4, depth="data"))


def open_world(folder: Path) -> Ledger:
    """Open a new ledger in a folder, with everybody in their role."""
    return settle(Ledger.open(f"sqlite:///{folder / 'l.db'}", owner=ADA.id, synchronous="NORMAL"))


def items(failed: int = 3, skipped: int = 5, applied: int = 40) -> list[Item]:
    """Give item outcomes, as a worker reports them."""
    made = [
        *(("failed", n) for n in range(failed)), *(("skipped", n) for n in range(skipped)),
        *(("succeeded", n) for n in range(applied)),
    ]  # fmt: skip
    return [
        Item(key=f"deep/{result}-{n:03}.txt", result=ItemResult(result), action="created" if result == "succeeded" else None,
             reason_code=None if result == "succeeded" else "write_error", bytes=1024 * n)
        for result, n in made
    ]  # fmt: skip


class Maker:
    """Makes runs in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Work on a ledger."""
        self.ledger = ledger

    def new(
        self, *, dry: bool = False, wanted: RunDetails = WANTED, environment: str = HOME[1], actor: Actor = ADA
    ) -> str:
        """Create a draft."""
        return self.ledger.create(NewRun(environment=environment, is_dry_run=dry, details=wanted), actor).run_id

    def elsewhere(self) -> str:
        """Declare an environment in which nothing runs yet; give its name."""
        name = f"free-{next(_NUMBERS)}"
        self.ledger.access.declare_environment((HOME[0], name), ADA)
        return name

    def fire(self, run_id: str, event: str, actor: Actor = ADA, **given: Any) -> None:
        """Fire an event with facts."""
        note = given.pop("note", None)
        self.ledger.fire(run_id, RunEvent(event), actor, given=RunDetails(**given), note=note)

    def previewed(self, expires_at_us: int | None = None, **new: Any) -> str:
        """Lead a run to its preview, which may be acted on for as long as is said."""
        run_id = self.new(**new)
        self.fire(run_id, "scope", selected=48)
        self.ledger.fire(run_id, RunEvent.CHECK, ADA, given=_PLAN)
        shown = replace(_PREVIEW, preview=replace(_PREVIEW.preview, expires_at_us=expires_at_us))
        self.ledger.fire(run_id, RunEvent.PREVIEW, ADA, given=shown)
        return run_id

    def running(self, **new: Any) -> str:
        """Lead a run to where it is executed."""
        run_id = self.previewed(**new)
        self.fire(run_id, "queue")
        self.fire(run_id, "start")
        return run_id

    def lost(self, note: str | None = None) -> str:
        """Leave a run behind whose worker was lost: its environment is still held."""
        run_id = self.running(environment=self.elsewhere())
        self.fire(run_id, "fail", end_reason=EndReason.WORKER_LOST, outcome_rule=1, holds_environment=True, note=note)
        return run_id

    def reported(self, reported: list[Item], **new: Any) -> str:
        """Lead a run to where it has reported items."""
        run_id = self.running(**new)
        self.ledger.fire(run_id, RunEvent.REPORT, ADA, items=reported)
        return run_id

    def prove(self, run_id: str, result: str = "passed", *, digest: str = "sha256:aa11") -> str:
        """Look at the target afterwards; give the snapshot's id."""
        snapshot = self.ledger.begin_evidence(run_id, ADA).subject
        self.ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
        checks = [
            Check(subject=f"deep/file-{n}.txt", method="sha256", level=Level.L5, result=CheckResult(result if n == 0 else "passed"),
                  expected=digest, observed=digest if result == "passed" or n else "sha256:bb22")
            for n in range(6)
        ]  # fmt: skip
        self.ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, ADA, checks=checks)
        return snapshot


def make_states(ledger: Ledger) -> dict[str, str]:
    """Make a run in every decision state and variant; give their ids by name."""
    make = Maker(ledger)
    runs = {"draft": make.new(), "not_executed": make.previewed(), "dry_run": make.previewed(dry=True)}
    runs["queued"] = make.previewed()
    make.fire(runs["queued"], "queue")
    runs["completed_proof_incomplete"] = make.reported(items(0, 0, 48))
    make.fire(runs["completed_proof_incomplete"], "complete", exit_code=0)
    runs["completed_with_evidence"] = make.reported(items(0, 0, 48))
    make.fire(runs["completed_with_evidence"], "complete", exit_code=0)
    make.prove(runs["completed_with_evidence"])
    runs["needs_review"] = make.reported(items())
    make.fire(runs["needs_review"], "complete_partially", exit_code=3)
    make.prove(runs["needs_review"], "failed")
    runs["failed"] = make.running()
    make.fire(
        runs["failed"],
        "fail",
        end_reason=EndReason.TOOL_ABORTED,
        exit_code=3,
        note="the repository is locked by another client",
    )
    runs["blocked_or_cancelled"] = make.previewed()
    make.fire(runs["blocked_or_cancelled"], "block", end_reason=EndReason.TARGET_BUSY)
    runs["cancelled"] = make.previewed()
    make.fire(runs["cancelled"], "cancel", note="the database team asked for another night")
    runs["metadata_only"] = make.running()
    make.fire(runs["metadata_only"], "complete", exit_code=0, counts=Counts(total=48, succeeded=44))
    runs["in_progress"] = make.reported(items(0, 1, 17))  # the last one: it holds its environment
    imported = lines(facts("legacy/1?a=b&c", "completed"), facts("old-2", "completed", operation("o-old")))
    ledger.import_facts(imported, ADA)
    return runs | {"legacy": "legacy/1?a=b&c", "imported": "old-2"}


STATES = (
    *("not_executed", "in_progress", "completed_proof_incomplete", "completed_with_evidence"),
    *("needs_review", "failed", "blocked_or_cancelled"),
)
AUDITOR = UDO.id
