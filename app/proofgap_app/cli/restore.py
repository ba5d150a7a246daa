"""``proofgap restore``: the main job. A real restore, tracked from draft to an honest outcome.

Owns the conversation: what is shown before anything is written, the question, the progress, the decision at the end.
Refuses to know the steps themselves (`proofgap_app.worker.restore`).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, Token

from proofgap import text
from proofgap.access import Action
from proofgap.errors import BadInputError, ForbiddenError, ProofgapError, RefusedError
from proofgap.facts import EndReason
from proofgap.records import PreviewFacts, RunDetails
from proofgap.text import check_id, check_text
from proofgap.wording import DecisionState
from proofgap_app import tracing
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened, sign_off
from proofgap_app.cli.options import (
    ACCESS,
    OBJECTIVES,
    SCOPE,
    Access,
    Objectives,
    Scope,
    key_and_value,
    naming,
    option,
)
from proofgap_app.cli.problems import EXIT_OF_STATE, Exit, exit_of, report
from proofgap_app.cli.progress import ProgressBars
from proofgap_app.cli.restore_options import CONDUCT, SELECTION, Conduct, Selection
from proofgap_app.cli.show import present
from proofgap_app.drivers import chosen, driver_for
from proofgap_app.drivers.base import Driver, Plan, Preview, Progress, Request
from proofgap_app.drivers.places import whole
from proofgap_app.settings import is_terminal
from proofgap_app.worker.record import requested
from proofgap_app.worker.restore import Restore
from proofgap_app.worker.stop import Stop
from proofgap_store import Ledger, NewRun, Receipt, Shown
from proofgap_store.clock import now_us

app = App(
    name="restore",
    help="Restore a backup, track it from draft to outcome, look at the target, and show the decision.",
    usage="Usage: proofgap restore [OPTIONS] BACKUP --into TARGET\n       proofgap restore [OPTIONS] --resume RUN\n",
    help_prologue="""Examples:
  proofgap restore backup.tar.gz --into /srv/restored
  proofgap restore backup.tar.gz --into /srv/restored --dry-run
  proofgap restore restic:/srv/repo#latest --into /srv/restored --password-file /etc/restic.pw
  proofgap restore backup.tar.gz --into /srv/restored --queue --priority 10 --deadline 4h
  proofgap restore --resume rr_01KB2M95QF7T3ZC8H
""",
)


_NAMES = {
    "backup": "BACKUP",
    "target": "--into",
    **{name: f"--{name}" for name in ("driver", "manifest", "option", "password-file", "select")},
}
"""What the driver's words for parts of a request are called here."""


def _place(_type: object, tokens: Sequence[Token]) -> str:
    """Read a place; an empty one, as a variable gives that was never set, is not the current directory."""
    if not tokens[0].value:
        raise BadInputError(tokens[0].keyword or "BACKUP", "is empty", "Name a file or a directory.")
    return tokens[0].value


@app.default
def restore(  # noqa: PLR0913 - groups of options, and the two ways to say what to restore
    backup: Annotated[str | None, Parameter(converter=_place)] = None,
    /,
    *,
    into: Annotated[str | None, Parameter(name="--into", converter=_place)] = None,
    resume: str | None = None,
    selection: Selection = SELECTION,
    conduct: Conduct = CONDUCT,
    objectives: Objectives = OBJECTIVES,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Restore a backup, track it from draft to outcome, look at the target, and show the decision.

    Args:
        backup: a tar or zip archive, a directory, a SQLite database or a SQL dump; or DRIVER:WHERE, such as restic:/srv/repo#latest.
        into: the directory to restore into; for a database, the path of the database file, or a directory that is there, in which
            it keeps its name.
        resume: go on with a run that was previewed, such as one that was approved; needs no BACKUP and no --into.

    """
    if resume is not None:
        _refuse_besides_resume(backup, into, selection, conduct, scope, objectives)
        _check(conduct)
        return _resumed(check_id("--resume", resume), conduct, access)
    if backup is None:
        raise BadInputError("BACKUP", "is missing", "Name what to restore, or the run to go on with: --resume RUN.")
    if into is None:
        raise BadInputError("--into", "is missing", "Name where to restore it.")
    _check(conduct)
    with naming(**_NAMES):
        driver, request = chosen(selection.driver, _request(backup, into, selection))
    new = _new_run(objectives.on(_details(driver, request, conduct)), conduct, scope)
    with opened(access, create=True) as ledger:
        return _conducted(ledger, (driver, request), new, conduct, access)


def _resumed(run: str, conduct: Conduct, access: Access) -> int:
    """Go on with a run as its record says what was wanted."""
    with opened(access) as ledger:
        with naming(run="--resume"):
            name, request = requested(ledger.peek(run, me()).details)
        driver = driver_for(name, request.backup_path)
        return _conducted(ledger, (driver, request), run, conduct, access)


def _conducted(
    ledger: Ledger, what: tuple[Driver, Request], wanted: NewRun | str, conduct: Conduct, access: Access
) -> int:
    """Restore with somebody watching, a new run or one that waits, then show what came of it."""
    with _stoppable() as stop, ProgressBars() as bars:
        work = Restore(
            ledger=ledger,
            driver=what[0],
            request=what[1],
            actor=me(),
            watcher=Console(bars, ask=not (conduct.yes or conduct.dry_run)),
            stop=stop,
            clock=now_us,
        )
        try:
            with tracing.span("restore", {}) as span:
                failed = _carry_out(work, wanted, conduct.place())
                span.tell({"proofgap.run.id": work.run_id})
        except ForbiddenError as error:  # nothing was begun
            return _turned_away(error, wanted, access)
        bars.close()
        shown_run = ledger.show(work.run_id, me().id, me())
        sign_off(ledger)
    present(shown_run, as_json=access.json)
    if conduct.queue and shown_run.decision.state is DecisionState.IN_PROGRESS and not access.json:
        output.note(f"Left to a worker. Next: proofgap run watch {work.run_id}")
    if stop.asked:
        return Exit.INTERRUPTED
    ended = _plain_exit(shown_run)
    if failed is Exit.USAGE and ended:  # a backup that blocked its run is a result, and on record
        failed = ended
    return EXIT_OF_STATE[shown_run.decision.state] if conduct.exit_status else failed or ended


def _refuse_besides_resume(
    backup: str | None,
    into: str | None,
    selection: Selection,
    conduct: Conduct,
    scope: Scope,
    objectives: Objectives,
) -> None:
    """Refuse what only a new run can be told: the one that is resumed was previewed with what it was told."""
    given = {
        "BACKUP": backup is not None,
        "--into": into is not None,
        "--dry-run": conduct.dry_run,
        "--queue": conduct.queue,
        "--purpose": conduct.purpose is not None,
        **{option(name): value != getattr(SELECTION, name) for name, value in asdict(selection).items()},
        **{option(name): value is not None for name, value in (asdict(scope) | asdict(objectives)).items()},
    }
    for name, is_given in given.items():
        if is_given:
            raise BadInputError(
                name,
                "does not go with --resume",
                "Leave it out; the run has it on record."
                if name != "--queue"
                else "A worker takes it after: proofgap run queue RUN.",
            )


def _plain_exit(shown_run: Shown) -> Exit:
    """Tell scripts that go on after a restore whether there was one; ``--exit-status`` tells the rest."""
    stopped = {DecisionState.FAILED, DecisionState.BLOCKED_OR_CANCELLED}
    return Exit.ERROR if shown_run.decision.state in stopped else Exit.OK


def _turned_away(error: ForbiddenError, wanted: NewRun | str, access: Access) -> Exit:
    """Say who can do what this actor may not; whoever is turned away here has changed nothing."""
    code = report(error, ("--json",) if access.json else ())
    if error.action == Action.EXECUTE and not access.json:
        if isinstance(wanted, str):
            output.note(f"Next: a worker or an admin goes on with it: proofgap restore --resume {wanted}")
        else:
            output.note(
                "Next: a worker or an admin restores it; an operator can look first, with --dry-run, or leave it to a worker, with --queue."
            )
    return code


def _carry_out(work: Restore, wanted: NewRun | str, place: RunDetails | None) -> Exit:
    """Do the work; what keeps it from being done is said, and the run shows the rest."""
    try:
        if isinstance(wanted, str):
            work.resume(wanted)
        elif place is not None:
            work.leave(wanted, place)
        else:
            work.run(wanted)
    except KeyboardInterrupt:
        output.note("proofgap: stopped on request.")
        return Exit.INTERRUPTED
    except (ProofgapError, OSError) as error:
        if not work.run_id:
            raise
        output.note(f"proofgap: {_said(error)}")
        if isinstance(error, RefusedError) and error.guard == "is_approved":
            goes_on = "restore --resume" if place is None else "run queue"
            output.note(f"Once it is approved: proofgap {goes_on} {work.run_id}")
        return exit_of(error) if isinstance(error, ProofgapError) else Exit.ERROR
    return Exit.OK


def _said(error: ProofgapError | OSError) -> str:
    if isinstance(error, ProofgapError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"cannot read or write: {where}{error.strerror or error}."


def _check(conduct: Conduct) -> None:
    """Refuse to begin with options that contradict each other, or what would need an answer where nobody can be asked."""
    conduct.place()
    if not (conduct.yes or conduct.dry_run or is_terminal(sys.stdin)):
        raise BadInputError("--yes", "is missing, and nobody can be asked", "Add --yes, or --dry-run to only look.")


def _details(driver: Driver, request: Request, conduct: Conduct) -> RunDetails:
    """Say what is wanted, as the driver says it: a resumed run must find the same plan."""
    purpose = None if conduct.purpose is None else check_text("--purpose", conduct.purpose)
    return RunDetails(backup=request.backup, target=request.target, driver=driver.name, purpose=purpose)


def _request(backup: str, into: str, selection: Selection) -> Request:
    """Give what is asked of the driver."""
    manifest, password_file = selection.manifest, selection.password_file
    return Request(
        backup=backup,
        target=into,
        manifest=None if manifest is None else Path(whole("manifest", str(manifest))),
        overwrite=selection.overwrite,
        select=selection.select,
        expects_nothing=selection.expects_nothing,
        options=dict(map(key_and_value, selection.option)),
        password_file=None if password_file is None else Path(whole("password-file", str(password_file))),
    )


def _new_run(details: RunDetails, conduct: Conduct, scope: Scope) -> NewRun:
    workspace, environment = scope.chosen()
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

    def resumed(self, plan: Plan, shown: PreviewFacts) -> None:
        """Show what was previewed, and that it is the same still."""
        self._bars.close()
        output.note(
            f"Previewed before, and unchanged: {output.amount(plan.selected, 'item')}; {_known(shown.created)} would be created, "
            f"{_known(shown.overwritten)} overwritten, {_known(shown.skipped)} not restored."
        )

    def blocked(self, reason: EndReason, because: str) -> None:
        """Say why nothing was done."""
        self._bars.close()
        output.note(f"proofgap: blocked ({reason.replace('_', ' ')}): {because}.")

    def agrees(self, plan: Plan, shown: PreviewFacts) -> bool:
        """Ask, unless nobody is to be asked."""
        if not self._ask:
            return True
        what = f"{output.amount(plan.selected, 'item')}, {_known(shown.overwritten)} over existing ones,"
        output.note(f"Restore {what} into {text.shown(plan.request.target)}? Type yes to go on:")
        try:
            answer = sys.stdin.buffer.readline()
        except OSError:  # the terminal is gone: nobody agrees
            return False
        return answer.strip().lower() in {b"y", b"yes"}

    def working(self, step: str, total_bytes: int | None) -> Progress:
        """Draw the progress of a step."""
        return self._bars.step(step, total_bytes)


def _known(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)


def preview_lines(plan: Plan, preview: Preview) -> Iterator[str]:
    """Say what the plan would do, how deep the preview looked, and what it found wrong."""
    yield (
        f"Preview ({preview.depth}): {output.amount(plan.selected, 'item')}; {preview.created} would be created, "
        f"{preview.overwritten} overwritten, {preview.unchanged} unchanged, {preview.skipped} skipped, "
        f"{preview.unavailable} cannot be restored."
    )
    yield from (f"  ! {problem}" for problem in preview.problems)


@contextmanager
def _stoppable() -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM, and a terminal that goes away (except under nohup) into a wish to stop."""
    stop = Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop.ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
