"""``proofgap evidence``: what was found when the restored target was read.

Owns how a worker hands in a finished comparison. A comparison that checked nothing is refused by the ledger; the
snapshot is closed as failed then, so that nothing looks as if it were still being produced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cyclopts import App, Parameter
from msgspec.structs import astuple

from proofgap.audit import Actor
from proofgap.errors import BadInputError, RefusedError
from proofgap.facts import SnapshotEvent, utc_text
from proofgap.records import Check, RunRecord, SnapshotDetails, SnapshotRecord, instant, microseconds
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, AnyFile, Whole, checked, moment, naming, records_of
from proofgap_app.cli.progress import ProgressBars
from proofgap_app.cli.receipts import answer
from proofgap_app.worker.gathering import Sample, collect
from proofgap_store import Ledger, Receipt
from proofgap_store.evidencing import sound

app = App(
    name="evidence",
    help="Add evidence about the restored target, and read it.",
    help_prologue="""Examples:
  proofgap evidence collect rr_01KB2M95QF7T3ZC8H
  proofgap evidence add rr_01KB2M95QF7T3ZC8H --checks checks.ndjson --verdict match
  proofgap evidence list rr_01KB2M95QF7T3ZC8H
  proofgap evidence expire
""",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the comparison found.

    Attributes:
        verdict: match, mismatch or inconclusive. Never a claim.
        level: how deep it looked, L0 (exit status) to L6 (application query or human sign-off).
        method: how it compared, such as sha256.
        producer: the program or person that compared.
        subjects_checked: how many things were compared; counted from --checks where that is given.
        expected_empty: the plan expected that there is nothing to compare.
        content_sha256: digest of the full report, kept elsewhere.

    """

    verdict: Literal["match", "mismatch", "inconclusive"] | None = None
    level: Literal["L0", "L1", "L2", "L3", "L4", "L5", "L6"] | None = None
    method: str | None = None
    producer: str | None = None
    subjects_checked: Whole | None = None
    expected_empty: bool = False
    content_sha256: str | None = None


@app.command(
    name="add",
    help_prologue="""Examples:
  proofgap evidence add rr_01KB2M95QF7T3ZC8H --checks checks.ndjson --verdict match --level L2 --method sha256
  proofgap evidence add rr_01KB2M95QF7T3ZC8H --subjects-checked 48 --verdict mismatch
""",
)
def add(
    run: str,
    /,
    *,
    finding: Finding = Finding(),
    checks: AnyFile | None = None,
    captured_at: str | None = None,
    access: Access = ACCESS,
) -> int:
    """Add a finished comparison of the restored target with the backup, after the run has ended.

    Args:
        run: the run's id.
        checks: JSON lines, one comparison each: subject, method, level, result; or - for standard input.
        captured_at: when the target was read, in RFC 3339; now, unless given.

    """
    check_id("RUN", run)
    found = [] if checks is None else records_of(checks, Check)
    if checks is not None and not found:
        raise BadInputError("--checks", "holds no comparison", "Hand in at least one line.")
    given = checked(SnapshotDetails(**{name: getattr(finding, name) for name in Finding.__slots__}))
    captured_at_us = None if captured_at is None else microseconds(moment("--captured-at", captured_at))
    sound(given, found)  # before anything is begun: what is refused changes nothing
    with opened(access) as ledger:
        actor = me()
        begun = ledger.begin_evidence(run, actor, captured_at_us=captured_at_us)
        receipt = _activate(ledger, begun.subject, actor, (given, found))
    return answer(receipt, as_json=access.json)


def _activate(ledger: Ledger, snapshot: str, actor: Actor, found: tuple[SnapshotDetails, list[Check]]) -> Receipt:
    given, checks = found
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, actor)
    try:
        return ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, actor, given=given, checks=checks)
    except (RefusedError, BadInputError):
        ledger.fire_evidence(snapshot, SnapshotEvent.FAIL, actor)
        raise


@app.command(
    name="expire",
    help_prologue="""Examples:
  proofgap evidence expire
  proofgap evidence expire --json
""",
)
def expire(*, access: Access = ACCESS) -> int:
    """Let all evidence expire whose time is over, so that the log says so; whoever is shown a decision need not wait for it."""
    with opened(access) as ledger:
        count = ledger.expire_evidence()
    if access.json:
        output.json_line({"runs": count})
    else:
        output.data(f"Evidence of {count} runs expired.")
    return 0


@app.command(
    name="collect",
    help_prologue="""Examples:
  proofgap evidence collect rr_01KB2M95QF7T3ZC8H
  proofgap evidence collect rr_01KB2M95QF7T3ZC8H --sample 500 --seed 20261126
""",
)
def collect_evidence(
    run: str, /, *, sample: Whole | None = None, seed: Whole | None = None, access: Access = ACCESS
) -> int:
    """Read the target of a run that has ended, and compare it with the backup, apart from the worker that restored it.

    Backup and target must be within reach of this machine. The new snapshot takes the place of the one before.

    Args:
        run: the run's id.
        sample: look at so many items only; which ones follows from the seed. All, unless given.
        seed: any whole number; 0, unless given. It is on record, so anybody can draw the same sample again.

    """
    check_id("RUN", run)
    wanted = _sample(sample, seed)
    with opened(access) as ledger, ProgressBars() as bars, naming(run="RUN", sample="--sample"):
        receipt = collect(ledger, run, me(), sample=wanted, progress=bars.step("collect", None))
    return answer(receipt, as_json=access.json)


def _sample(size: int | None, seed: int | None) -> Sample | None:
    if size is None and seed is not None:
        raise BadInputError("--seed", "does not go without --sample", "Say how many items to look at, or leave it out.")
    if size is not None and size < 1:
        raise BadInputError("--sample", f"{size} items are none", "Hand in a number from 1 on.")
    return None if size is None else Sample(size, seed or 0)


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap evidence list rr_01KB2M95QF7T3ZC8H
  proofgap evidence list rr_01KB2M95QF7T3ZC8H --json | jq -r .id
""",
)
def list_evidence(run: str, /, *, access: Access = ACCESS) -> int:
    """List the evidence snapshots of a run that you may view; with --json one object per line.

    Args:
        run: the run's id.

    """
    check_id("RUN", run)
    with opened(access) as ledger:
        actor = me()
        shown = ledger.show(run, actor.id, actor)
    visible = _visible(shown.record, shown.viewer.may_view)
    if access.json:
        for snapshot in visible:
            output.json_line({**_document(snapshot), "details": snapshot.details})
        return 0
    columns = ("Snapshot", "Status", "Captured at", "Verdict", "Level", "Subjects checked", "Failed", "Skipped")
    output.table(columns, map(_cells, visible))
    if not visible:
        output.note("No evidence snapshot that you may view.")
    return 0


@app.command(
    name="show",
    help_prologue="""Examples:
  proofgap evidence show ev_01KB2M95QF7T3ZC8H
  proofgap evidence show ev_01KB2M95QF7T3ZC8H --json | jq -r 'select(.result == "failed").subject'
""",
)
def show(snapshot: str, /, *, access: Access = ACCESS) -> int:
    """Show every comparison of an evidence snapshot; with --json one object per line.

    Args:
        snapshot: the snapshot's id.

    """
    check_id("SNAPSHOT", snapshot)
    with opened(access) as ledger:
        found = ledger.checks(snapshot, me().id)
    if access.json:
        for check in found:
            output.json_line(check)
    else:
        output.table([name.capitalize() for name in Check.__struct_fields__], map(astuple, found))
    return 0


def _visible(record: RunRecord, may_view: frozenset[str]) -> list[SnapshotRecord]:
    """Give the snapshots that the viewer is authorised for, and only where they are for the operation run as well."""
    if record.operation_run_id not in may_view:
        return []
    return [snapshot for snapshot in record.evidence if snapshot.id in may_view]


def _document(snapshot: SnapshotRecord) -> dict[str, object]:
    captured = snapshot.captured_at_us
    return {
        "id": snapshot.id,
        "operation_run_id": snapshot.operation_run_id,
        "status": snapshot.status,
        "captured_at": None if captured is None else utc_text(instant(captured)),
    }


def _cells(snapshot: SnapshotRecord) -> tuple[object, ...]:
    details = snapshot.details
    found = (details.verdict, details.level, details.subjects_checked, details.checks_failed, details.checks_skipped)
    document = _document(snapshot)
    return (document["id"], document["status"], document["captured_at"], *found)
