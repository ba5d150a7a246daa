"""``proofgap restore``: the main job. A real restore, tracked from draft to an honest outcome.

Owns the conversation: what is shown before anything is written, the question, the progress, the decision at the end.
Refuses to know the steps themselves (`proofgap_app.worker.restore`).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from proofgap.errors import BadInputError, ProofgapError
from proofgap.records import RunDetails
from proofgap.text import check_text, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, SCOPE, Access, Scope
from proofgap_app.cli.problems import EXIT_OF_STATE, Exit
from proofgap_app.cli.progress import ProgressBars
from proofgap_app.cli.show import present
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Plan, Preview, Progress, Request
from proofgap_app.settings import is_terminal
from proofgap_app.worker.restore import Restore, Stop
from proofgap_store import NewRun, Receipt
from proofgap_store.clock import now_us

app = App(
    name="restore",
    help="Restore a backup, track it from draft to outcome, look at the target, and show the decision.",
    help_prologue="""Examples:
  proofgap restore backup.tar.gz --into /srv/restored
  proofgap restore backup.tar.gz --into /srv/restored --dry-run
  proofgap restore app.db --into /srv/app.db --yes --exit-status
  proofgap restore backup.zip --into /srv/restored --manifest SHA256SUMS --select 'etc/*' --yes
""",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to restore of the backup.

    Attributes:
        manifest: file of SHA-256 sums of the content, as sha256sum writes them.
        select: glob pattern of items to restore; may be given several times. Everything, unless given.
        overwrite: replace what exists and differs; otherwise it is skipped, and counted as skipped.
        expects_nothing: an empty selection is right; otherwise it blocks the run.
        driver: files or sqlite; recognised by the backup's content, unless given.

    """

    manifest: Path | None = None
    select: tuple[str, ...] = ()
    overwrite: bool = False
    expects_nothing: bool = False
    driver: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How to go about it.

    Attributes:
        yes: do not ask before the restore begins.
        dry_run: stop after the preview; nothing is written to the target.
        purpose: why: test, incident, migration.
        exit_status: exit with the decision: see proofgap help exit-codes.

    """

    yes: bool = False
    dry_run: bool = False
    purpose: str | None = None
    exit_status: bool = False


_SELECTION, _CONDUCT = Selection(), Conduct()


@app.default
def restore(
    backup: Path,
    /,
    *,
    into: Annotated[Path, Parameter(name="--into")],
    selection: Selection = _SELECTION,
    conduct: Conduct = _CONDUCT,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Restore a backup, track it from draft to outcome, look at the target, and show the decision.

    Args:
        backup: a tar or zip archive, a directory, a SQLite database or a SQL dump.
        into: the directory to restore into; for a database, the path of the database file.

    """
    _check(backup, into, conduct)
    driver = driver_for(selection.driver, backup)
    request = Request(
        backup=backup,
        target=into,
        manifest=selection.manifest,
        overwrite=selection.overwrite,
        select=selection.select,
        expects_nothing=selection.expects_nothing,
    )
    with opened(access, create=True) as ledger, _stoppable() as stop, ProgressBars() as bars:
        work = Restore(
            ledger=ledger,
            driver=driver,
            request=request,
            actor=me(),
            watcher=Console(bars, ask=not (conduct.yes or conduct.dry_run)),
            stop=stop,
            clock=now_us,
        )
        failed = _carry_out(work, _new_run(backup, into, driver.name, conduct, scope))
        bars.close()
        shown_run = ledger.show(work.run_id, me().id, me())
    present(shown_run, as_json=access.json)
    if stop.asked:
        return Exit.INTERRUPTED
    return EXIT_OF_STATE[shown_run.decision.state] if conduct.exit_status else failed


def _carry_out(work: Restore, new: NewRun) -> Exit:
    """Do the work; what keeps it from being done is said, and the run shows the rest."""
    try:
        work.run(new)
    except KeyboardInterrupt:
        output.note("proofgap: stopped on request.")
        return Exit.INTERRUPTED
    except ProofgapError as error:
        if not work.run_id:
            raise
        output.note(f"proofgap: {error}")
        return Exit.ERROR
    return Exit.OK


def _check(backup: Path, into: Path, conduct: Conduct) -> None:
    """Refuse what cannot be meant, before anything is stored."""
    check_text("BACKUP", str(backup))
    check_text("--into", str(into))
    if not backup.exists():
        raise BadInputError("BACKUP", f"{shown(str(backup))} does not exist", "Name an archive, directory or database.")
    if not (conduct.yes or conduct.dry_run or is_terminal(sys.stdin)):
        raise BadInputError("--yes", "is missing, and nobody can be asked", "Add --yes, or --dry-run to only look.")


def _new_run(backup: Path, into: Path, driver: str, conduct: Conduct, scope: Scope) -> NewRun:
    workspace, environment = scope.chosen()
    details = RunDetails(
        backup=str(backup.resolve()), target=str(into.resolve()), driver=driver, purpose=conduct.purpose
    )
    return NewRun(workspace=workspace, environment=environment, is_dry_run=conduct.dry_run, details=details)


class Console:
    """Watches a restore for the person at the keyboard."""

    def __init__(self, bars: ProgressBars, *, ask: bool) -> None:
        """Say where progress is drawn, and whether to ask before anything is written."""
        self._bars, self._ask = bars, ask

    def moved(self, receipt: Receipt) -> None:
        """Hear of an event; its log line says it already."""

    def previewed(self, plan: Plan, preview: Preview) -> None:
        """Show what would happen."""
        self._bars.close()
        for line in preview_lines(plan, preview):
            output.note(line)

    def agrees(self, plan: Plan, _preview: Preview) -> bool:
        """Ask, unless nobody is to be asked."""
        if not self._ask:
            return True
        output.note(f"Restore {plan.selected} items into {shown(str(plan.request.target))}? Type yes to go on:")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def working(self, step: str, total_bytes: int | None) -> Progress:
        """Draw the progress of a step."""
        return self._bars.step(step, total_bytes)


def preview_lines(plan: Plan, preview: Preview) -> Iterator[str]:
    """Say what the plan would do, how deep the preview looked, and what it found wrong."""
    yield (
        f"Preview ({preview.depth}): {plan.selected} items; {preview.created} would be created, "
        f"{preview.overwritten} overwritten, {preview.unchanged} unchanged, {preview.skipped} skipped, "
        f"{preview.unavailable} cannot be restored."
    )
    yield from (f"  ! {shown(problem)}" for problem in preview.problems)


@contextmanager
def _stoppable() -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into a wish to stop."""
    stop = Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
