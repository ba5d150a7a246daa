"""``proofgap audit hold``, ``release`` and ``holds``: what may not be pruned."""

from __future__ import annotations

from collections.abc import Iterable

from cyclopts import App

from proofgap.text import check_code, check_id
from proofgap_app import settings
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, naming
from proofgap_app.cli.telling import moment
from proofgap_store import Hold, HoldOn

hold_app = App(
    name="hold",
    help="Keep events from being pruned. It is recorded.",
    help_prologue="""Examples:
  proofgap audit hold --run rr_01KB2M95QF7T3ZC8H --reason case-4711
  proofgap audit hold --environment production --reason audit-2026
  proofgap audit hold --workspace default --reason case-4711 --json
""",
)
release_app = App(
    name="release",
    help="Release a hold. It is recorded.",
    help_prologue="""Examples:
  proofgap audit release hold_01KB2M95QF7T3ZC8H
  proofgap audit release hold_01KB2M95QF7T3ZC8H --json
""",
)
holds_app = App(
    name="holds",
    help="List holds, oldest first.",
    help_prologue="""Examples:
  proofgap audit holds
  proofgap audit holds --json | jq 'select(.active)'
""",
)


@hold_app.default
def hold(
    *,
    run: str | None = None,
    environment: str | None = None,
    workspace: str | None = None,
    reason: str,
    access: Access = ACCESS,
) -> int:
    """Keep the events of a run, an environment or a workspace from being pruned; for its admins.

    Args:
        run: hold this run.
        environment: hold this managed environment, of --workspace, else of PROOFGAP_WORKSPACE, else of default.
        workspace: alone: hold the whole workspace.
        reason: a code such as case-4711. It stays in the log: no personal data.

    """
    check_code("--reason", reason)
    if environment is not None:
        workspace = settings.workspace(workspace)
    wanted = HoldOn(
        run=_id("--run", run), workspace=_id("--workspace", workspace), environment=_id("--environment", environment)
    )
    with opened(access) as ledger, naming(run="--run", workspace="--workspace", environment="--environment"):
        done = ledger.audit.hold(wanted, reason, me())
    _tell([done], as_json=access.json)
    return 0


@release_app.default
def release(hold: str, /, *, access: Access = ACCESS) -> int:
    """Release a hold; for admins of what it holds.

    Args:
        hold: the hold's id.

    """
    check_id("HOLD", hold)
    with opened(access) as ledger:
        done = ledger.audit.release(hold, me())
    _tell([done], as_json=access.json)
    return 0


@holds_app.default
def holds(*, access: Access = ACCESS) -> int:
    """List the holds over what you audit, oldest first, those that were released as well."""
    with opened(access) as ledger:
        found = ledger.audit.holds(me())
    _tell(found, as_json=access.json)
    if not found:
        output.note("No holds.")
    return 0


def _tell(holds: Iterable[Hold], *, as_json: bool) -> None:
    if as_json:
        for held in holds:
            output.json_line(held)
    else:
        output.table(("Hold", "Of", "State", "Reason", "Since"), map(_cells, holds))


def _cells(held: Hold) -> tuple[object, ...]:
    what = held.run or "/".join(filter(None, (held.workspace, held.environment)))
    return held.id, what, "in force" if held.active else "released", held.reason, moment(held.held_us)


def _id(option: str, text: str | None) -> str | None:
    return None if text is None else check_id(option, text)
