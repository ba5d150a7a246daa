"""``proofgap decision``: why a run is decided as it is, how that came about, and whether the rules still agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from cyclopts import App

from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.problems import Exit
from proofgap_app.cli.progress import counting
from proofgap_app.cli.telling import exact_moment
from proofgap_store import Cause, Change, Replay, Why

app = App(
    name="decision",
    help="Explain why a run is decided as it is, how that came about, and decide it anew.",
    help_prologue="""Examples:
  proofgap decision why rr_01KB2M95QF7T3ZC8H
  proofgap decision history rr_01KB2M95QF7T3ZC8H
  proofgap decision replay
""",
)
_VERDICTS = {True: "decides", False: "no", None: "not asked"}


@app.command(
    name="why",
    help_prologue="""Examples:
  proofgap decision why rr_01KB2M95QF7T3ZC8H
  proofgap decision why rr_01KB2M95QF7T3ZC8H --json | jq .facts
""",
)
def why(run: str, /, *, access: Access = ACCESS) -> int:
    """Explain the last decision of a run for the record: the facts, the rules in their order, and what came out.

    Args:
        run: the run's id.

    """
    check_id("RUN", run)
    with opened(access) as ledger:
        found = ledger.audit.why(run, me())
    if access.json:
        output.json_line(found)
    else:
        _tell(found)
    return 0


def _tell(found: Why) -> None:
    decision = found.decision
    output.data(f"{decision['state']}: {decision['status']}")
    output.data(f"{decision['reason']} {decision['impact']}")
    output.data("")
    output.data("Facts")
    for name, value in _facts(found.facts):
        output.data(f"  {name:<24}{output.cell(value)}")
    output.data("")
    output.data("Rules, the first that holds decides")
    for answer in found.rules:
        output.data(f"  {answer.rule}  {_VERDICTS[answer.state]:<11}{answer.condition}")
    output.data("")
    output.data(f"Recorded {exact_moment(found.recorded_us)} as event {found.event_id}")


def _facts(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    run, operation = facts["run"], facts["operation"]
    yield "run", f"{run['status']}, dry run" if run["is_dry_run"] else run["status"]
    yield "operation run", operation and f"{operation['id']}: {operation['outcome'] or operation['status']}"
    for snapshot in facts["evidence"]:
        yield "evidence", f"{snapshot['id']}: {snapshot['status']}, captured {output.cell(snapshot['captured_at'])}"
    if not facts["evidence"]:
        yield "evidence", None
    yield "counts", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in (run["counts"] or {}).items())
    yield "item rows", run["items"]
    yield "attention", run["attention"]


@app.command(
    name="history",
    help_prologue="""Examples:
  proofgap decision history rr_01KB2M95QF7T3ZC8H
  proofgap decision history rr_01KB2M95QF7T3ZC8H --json | jq -r '.changes[].state'
""",
)
def history(run: str, /, *, access: Access = ACCESS) -> int:
    """List each projection that changed a run's decision, oldest first, with what caused it.

    Args:
        run: the run's id.

    """
    check_id("RUN", run)
    with opened(access) as ledger:
        found = ledger.audit.history(run, me())
    if access.json:
        output.json_line({"run": run, "changes": found.changes, "pruned": found.pruned})
    else:
        output.table(("Event", "Decision", "Rule", "Because of", "By", "Recorded"), map(_cells, found.changes))
        if found.pruned:
            told = output.amount(found.pruned, "projection")
            output.note(f"{told} before that cannot be told: pruned, and in the export that was kept")
    return 0


def _cells(change: Change) -> tuple[object, ...]:
    because = ", ".join(dict.fromkeys(map(_because, change.causes)))
    actors = ", ".join(dict.fromkeys(cause.actor for cause in change.causes))
    return change.event_id, change.state, change.rule, because, actors, exact_moment(change.recorded_us)


def _because(cause: Cause) -> str:
    """Name what was fired, and on what; the run itself is not named."""
    _, kind, happened = cause.type.rsplit(".", 2)
    return f"{'' if kind == 'run' else f'{kind} '}{cause.event or happened}"


@app.command(
    name="replay",
    help_prologue="""Examples:
  proofgap decision replay
  proofgap decision replay rr_01KB2M95QF7T3ZC8H --json | jq '.differences[]'
""",
)
def replay(run: str | None = None, /, *, access: Access = ACCESS) -> int:
    """Decide every logged projection anew from its own facts, and compare every field. Exits with 1 where one differs.

    Args:
        run: the run's id; all that you audit, unless given.

    """
    if run is not None:
        check_id("RUN", run)
    with opened(access) as ledger, counting("Deciding anew", "projections") as progress:
        found = ledger.audit.replay(run, me(), progress)
    if access.json:
        output.json_line(found)
    else:
        _tell_replay(found)
    return Exit.ERROR if found.differing else Exit.OK


def _tell_replay(found: Replay) -> None:
    differ = f"{found.differing} {'differs' if found.differing == 1 else 'differ'}"
    output.data(f"{output.amount(found.projections, 'projection')} decided anew, {differ}")
    if found.pruned:
        told = output.amount(found.pruned, "projection")
        output.data(f"{told} not decided anew: pruned, and in the export that was kept")
    for one in found.differences:
        values = (msgspec.json.encode(value).decode() for value in (one.logged, one.replayed))
        logged, replayed = values
        output.data(f"event {one.event_id}, run {one.run}, {one.field}: logged {logged}, decided anew {replayed}")
