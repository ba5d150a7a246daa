"""``proofgap run``: the moves of one run, one command each; and `fire` for all of them.

Owns the commands. Refuses to judge what they are given: the ledger does. How facts are named is in `run_facts`.
"""

from __future__ import annotations

from cyclopts import App

from proofgap.errors import BadInputError
from proofgap.facts import EndReason, RunEvent, RunStatus
from proofgap.records import Completeness, PreviewFacts, RunDetails
from proofgap.text import check_id, check_text
from proofgap_app.cli import following, run_prepare
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import (
    ACCESS,
    FIRING,
    OBJECTIVES,
    SCOPE,
    Access,
    Firing,
    Objectives,
    Scope,
    Whole,
    checked,
    facts_from,
    key_of,
    note_of,
)
from proofgap_app.cli.receipts import answer, fired
from proofgap_app.cli.run_facts import LINE, PLAN, SHOWN, WANTED, BlockReason, Line, Plan, Shown, Wanted, expiry
from proofgap_store import NewRun

app = App(
    name="run",
    help="Prepare, queue, execute, follow and cancel runs.",
    help_prologue="""Examples:
  proofgap run create nightly-2026-11-21 --into staging
  proofgap run fire rr_01KB2M95QF7T3ZC8H start --if-version 6
  proofgap run wait rr_01KB2M95QF7T3ZC8H --timeout 10m --exit-status
""",
)
app.command(
    run_prepare.prepare,
    name="prepare",
    help_prologue="""Examples:
  proofgap run prepare rr_01KB2M95QF7T3ZC8H
  proofgap run prepare rr_01KB2M95QF7T3ZC8H --json
""",
)
app.command(
    following.watch,
    name="watch",
    help_prologue="""Examples:
  proofgap run watch rr_01KB2M95QF7T3ZC8H
  proofgap run watch rr_01KB2M95QF7T3ZC8H --timeout 10m --json
""",
)
app.command(
    following.wait,
    name="wait",
    help_prologue="""Examples:
  proofgap run wait rr_01KB2M95QF7T3ZC8H
  proofgap run wait rr_01KB2M95QF7T3ZC8H --timeout 10m --exit-status
""",
)


@app.command(
    name="create",
    help_prologue="""Examples:
  proofgap run create nightly-2026-11-21 --into staging
  proofgap run create nightly-2026-11-21 --into staging --dry-run --json
  proofgap run create nightly-2026-11-21 --rto 4h --rpo 24h --recovery-point 2026-11-21T02:00:00Z
""",
)
def create(  # noqa: PLR0913 - one argument per group of options
    backup: str | None = None,
    /,
    *,
    dry_run: bool = False,
    wanted: Wanted = WANTED,
    objectives: Objectives = OBJECTIVES,
    key: str | None = None,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Create a run as a draft.

    Args:
        backup: the backup to restore.
        dry_run: the run only ever previews; fixed for its whole life.
        key: an idempotency key: the same key with the same request gives the first answer again.

    """
    workspace, environment = scope.chosen()
    check_text("BACKUP", backup or "")
    details = checked(RunDetails(backup=backup, target=wanted.into, driver=wanted.driver, purpose=wanted.purpose))
    new = NewRun(workspace=workspace, environment=environment, is_dry_run=dry_run, details=objectives.on(details))
    checked_key = key_of(Firing(key=key))
    with opened(access, create=True) as ledger:
        receipt = ledger.create(new, me(), key=checked_key)
    return answer(receipt, as_json=access.json)


@app.command(
    name="scope",
    help_prologue="""Examples:
  proofgap run scope rr_01KB2M95QF7T3ZC8H --backup nightly-2026-11-21 --into staging
  proofgap run scope rr_01KB2M95QF7T3ZC8H --selected 48
""",
)
def scope(  # noqa: PLR0913 - one argument per fact
    run: str,
    /,
    *,
    backup: str | None = None,
    wanted: Wanted = WANTED,
    objectives: Objectives = OBJECTIVES,
    selected: Whole | None = None,
    expects_nothing: bool = False,
    firing: Firing = FIRING,
    access: Access = ACCESS,
) -> int:
    """Choose, or change, what to restore. An earlier check, preview or approval no longer counts.

    Args:
        run: the run's id.
        backup: the backup to restore.
        selected: how many items are selected.
        expects_nothing: an empty selection is right.

    """
    details = RunDetails(
        backup=backup,
        target=wanted.into,
        driver=wanted.driver,
        purpose=wanted.purpose,
        selected=selected,
        expects_nothing=expects_nothing,
    )
    return fired(run, RunEvent.SCOPE, objectives.on(details), firing, access)


@app.command(
    name="check",
    help_prologue="""Examples:
  proofgap run check rr_01KB2M95QF7T3ZC8H --plan-digest sha256:1f0c --selected 48
  proofgap run check rr_01KB2M95QF7T3ZC8H --source incomplete
""",
)
def check(  # noqa: PLR0913 - one argument per fact
    run: str,
    /,
    *,
    plan: Plan = PLAN,
    selected: Whole | None = None,
    expects_nothing: bool = False,
    source: Completeness | None = None,
    firing: Firing = FIRING,
    access: Access = ACCESS,
) -> int:
    """Record that source and target were checked and that there is a plan.

    Args:
        run: the run's id.
        selected: how many items the plan selects.
        expects_nothing: an empty selection is right.
        source: complete, incomplete or unknown: whether the backup holds what it was meant to hold.

    """
    details = RunDetails(
        plan_digest=plan.plan_digest,
        target_fingerprint=plan.target_fingerprint,
        selected=selected,
        expects_nothing=expects_nothing,
        source_completeness=source,
    )
    return fired(run, RunEvent.CHECK, details, firing, access)


@app.command(
    name="preview",
    help_prologue="""Examples:
  proofgap run preview rr_01KB2M95QF7T3ZC8H --created 44 --overwritten 4 --expires-in 30m
  proofgap run preview rr_01KB2M95QF7T3ZC8H --depth data
""",
)
def preview(
    run: str,
    /,
    *,
    shown: Shown = SHOWN,
    plan: Plan = PLAN,
    firing: Firing = FIRING,
    access: Access = ACCESS,
) -> int:
    """Record what a preview showed; nothing was written.

    Args:
        run: the run's id.

    """
    facts = PreviewFacts(
        plan_digest=plan.plan_digest,
        target_fingerprint=plan.target_fingerprint,
        expires_at_us=expiry(shown),
        depth=shown.depth,
        created=shown.created,
        overwritten=shown.overwritten,
        skipped=shown.skipped,
    )
    return fired(run, RunEvent.PREVIEW, RunDetails(preview=checked(facts)), firing, access)


@app.command(
    name="approve",
    help_prologue="""Examples:
  proofgap run approve rr_01KB2M95QF7T3ZC8H
  proofgap run approve rr_01KB2M95QF7T3ZC8H --if-version 5
""",
)
def approve(run: str, /, *, firing: Firing = FIRING, access: Access = ACCESS) -> int:
    """Approve exactly the plan that was previewed. Whoever asked for the run cannot.

    Args:
        run: the run's id.

    """
    return fired(run, RunEvent.APPROVE, RunDetails(), firing, access)


@app.command(
    name="block",
    help_prologue="""Examples:
  proofgap run block rr_01KB2M95QF7T3ZC8H --reason approval_rejected
  proofgap run block rr_01KB2M95QF7T3ZC8H --reason target_busy --if-version 5
""",
)
def block(run: str, /, *, reason: BlockReason, firing: Firing = FIRING, access: Access = ACCESS) -> int:
    """End a run before it is executed, and say why. Whoever does not approve it says approval_rejected.

    Args:
        run: the run's id.
        reason: why it is not to be executed.

    """
    return fired(run, RunEvent.BLOCK, RunDetails(end_reason=EndReason(reason)), firing, access)


@app.command(
    name="queue",
    help_prologue="""Examples:
  proofgap run queue rr_01KB2M95QF7T3ZC8H
  proofgap run queue rr_01KB2M95QF7T3ZC8H --priority 10 --deadline 4h
  proofgap run queue rr_01KB2M95QF7T3ZC8H --plan-digest sha256:1f0c --if-version 5
""",
)
def queue(
    run: str, /, *, plan: Plan = PLAN, line: Line = LINE, firing: Firing = FIRING, access: Access = ACCESS
) -> int:
    """Release the previewed plan for execution by a worker.

    Args:
        run: the run's id.

    """
    details = RunDetails(plan_digest=plan.plan_digest, target_fingerprint=plan.target_fingerprint)
    return fired(run, RunEvent.QUEUE, line.on(details), firing, access)


@app.command(
    name="fire",
    help_prologue="""Examples:
  proofgap run fire rr_01KB2M95QF7T3ZC8H start --if-version 6
  proofgap run fire rr_01KB2M95QF7T3ZC8H complete --facts '{"exit_code": 0, "counts": {"total": 48, "succeeded": 48}}'
  proofgap run fire rr_01KB2M95QF7T3ZC8H fail --facts '{"end_reason": "tool_aborted"}' --key run-7-fail
""",
)
def fire(
    run: str, event: RunEvent, /, *, facts: str | None = None, firing: Firing = FIRING, access: Access = ACCESS
) -> int:
    """Fire any event on a run: all of it happens, or none of it.

    Args:
        run: the run's id.
        event: what happened; see proofgap machine events.
        facts: what is known with it, as a JSON object; what is not known is left out.

    """
    if event is RunEvent.REPORT:
        raise BadInputError("EVENT", "report comes with items", "Use: proofgap items report RUN FILE.")
    details = RunDetails() if facts is None else facts_from(facts, RunDetails, "--facts")
    return fired(run, event, details, firing, access)


@app.command(
    name="cancel",
    help_prologue="""Examples:
  proofgap run cancel rr_01KB2M95QF7T3ZC8H
  proofgap run cancel rr_01KB2M95QF7T3ZC8H --note "the database team asked for another night"
""",
)
def cancel(run: str, /, *, firing: Firing = FIRING, access: Access = ACCESS) -> int:
    """Cancel a run that does not execute yet; ask the worker to stop one that does.

    Args:
        run: the run's id.

    """
    check_id("RUN", run)
    checked_key, note = key_of(firing), note_of(firing)
    with opened(access) as ledger:
        actor = me()
        record = ledger.peek(run, actor)
        event = RunEvent.REQUEST_CANCEL if record.status is RunStatus.RUNNING else RunEvent.CANCEL
        version = record.version if firing.if_version is None else firing.if_version
        receipt = ledger.fire(run, event, actor, key=checked_key, expected_version=version, note=note)
    return answer(receipt, as_json=access.json)


@app.command(
    name="retry",
    help_prologue="""Examples:
  proofgap run retry rr_01KB2M95QF7T3ZC8H
  proofgap run retry rr_01KB2M95QF7T3ZC8H --json
""",
)
def retry(run: str, /, *, key: str | None = None, access: Access = ACCESS) -> int:
    """Create a new run that tries again what a run did that has ended; the old one stays as it is.

    Args:
        run: the id of the run that has ended.
        key: an idempotency key: the same key with the same request gives the first answer again.

    """
    check_id("RUN", run)
    checked_key = key_of(Firing(key=key))
    with opened(access) as ledger:
        receipt = ledger.retry(run, me(), key=checked_key)
    return answer(receipt, as_json=access.json)
