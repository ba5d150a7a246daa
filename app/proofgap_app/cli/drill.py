"""``proofgap drill``: restores that are due by the calendar, with purpose test; every missed tick is on record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App, Parameter
from msgspec.structs import replace

from proofgap.records import RunDetails
from proofgap.text import check_id, check_text
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import (
    ACCESS,
    OBJECTIVES,
    SCOPE,
    Access,
    Objectives,
    Scope,
    key_and_value,
    naming,
    seconds,
)
from proofgap_app.cli.telling import moment
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Driver, Request
from proofgap_app.worker.record import scoped
from proofgap_store import Drill, NewDrill

app = App(
    name="drill",
    help="Declare restores that are due by the calendar, as tests.",
    help_prologue="""Examples:
  proofgap drill declare '30 2 * * sun' backup.tar.gz --into '/srv/drill/{tick}' --environment drills
  proofgap drill list
""",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """What is restored, and how.

    Attributes:
        manifest: file of SHA-256 sums of the content, as sha256sum writes them.
        select: glob pattern of items to restore; may be given several times. Everything, unless given.
        keep: leave what is there and differs; it counts as skipped then.
        driver: how to restore; as the name before the colon says or the backup's content, unless given.
        option: KEY=VALUE for the driver, never a secret; may be given several times.
        password_file: the file whose first line is the backup's password, on the machine that executes.

    """

    manifest: Path | None = None
    select: tuple[str, ...] = ()
    keep: bool = False
    driver: str | None = None
    option: tuple[str, ...] = ()
    password_file: Path | None = None

    def request(self, backup: str, into: str) -> Request:
        """Give what is asked of the driver."""
        return Request(
            backup=backup,
            target=into,
            manifest=self.manifest,
            overwrite=not self.keep,
            select=self.select,
            options=dict(map(key_and_value, self.option)),
            password_file=self.password_file,
        )


_WHAT = What()


@app.command(
    name="declare",
    help_prologue="""Examples:
  proofgap drill declare '30 2 * * sun' backup.tar.gz --into '/srv/drill/{tick}' --environment drills
  proofgap drill declare '0 4 1 * *' app.db --into '/srv/drill/{tick}.db' --rto 4h --grace 2h
""",
)
def declare(  # noqa: PLR0913 - one argument per group of options
    cron: str,
    backup: str,
    /,
    *,
    into: str,
    what: What = _WHAT,
    grace: str = "15m",
    objectives: Objectives = OBJECTIVES,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Declare a drill: at each tick one run is created, prepared and queued, if a worker serves the environment then.

    Args:
        cron: minute, hour, day of month, month and day of week, as in crontab, in UTC; a sixth field in front: seconds.
        backup: what is restored at every tick: a path, or DRIVER:WHERE, such as restic:/srv/repo#latest.
        into: where to; {tick} in it becomes the time of the tick, so that each restores into a place of its own. What is there and differs is replaced, unless --keep.
        grace: how late a tick may still fire, such as 2h; what is later was missed, and that is recorded.

    """
    with naming(backup="BACKUP", target="--into", driver="--driver", option="--option"):
        settled = chosen(what.driver, what.request(backup, into))
    workspace, environment = scope.chosen()
    new = replace(
        _drill(*settled, objectives),
        cron=check_text("CRON", cron),
        workspace=workspace,
        environment=environment,
        grace_us=round(seconds("--grace", grace) * 1_000_000),
    )
    with opened(access, create=True) as ledger, naming(cron="CRON", backup="BACKUP", target="--into"):
        found = ledger.fleet.declare_drill(new, me())
    _tell([found], as_json=access.json)
    return 0


def _drill(found: Driver, wanted: Request, objectives: Objectives) -> NewDrill:
    """Say what is restored at every tick, as a run has it on record."""
    said = scoped(RunDetails(backup=wanted.backup, target=wanted.target, driver=found.name), wanted)
    details = RunDetails(backup=said.backup, target=said.target, driver=said.driver)
    return NewDrill(
        cron="",
        details=objectives.on(details),
        manifest=said.manifest,
        select=said.select,
        overwrite=said.overwrite,
        options=said.options,
        password_file=said.password_file,
    )


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap drill list
  proofgap drill list --json | jq 'select(.is_active)'
""",
)
def list_drills(*, access: Access = ACCESS) -> int:
    """List drills, those that were retired as well."""
    with opened(access) as ledger:
        found = ledger.fleet.drills(me())
    _tell(found, as_json=access.json)
    if not found:
        output.note("No drills.")
    return 0


@app.command(
    name="retire",
    help_prologue="""Examples:
  proofgap drill retire dr_01KB2M95QF7T3ZC8H
  proofgap drill retire dr_01KB2M95QF7T3ZC8H --json
""",
)
def retire(drill: str, /, *, access: Access = ACCESS) -> int:
    """Let a drill fire no more; its runs and their evidence stay.

    Args:
        drill: the drill's id.

    """
    check_id("DRILL", drill)
    with opened(access) as ledger:
        ledger.fleet.retire_drill(drill, me())
    if access.json:
        output.json_line({"drill": drill, "is_active": False})
    else:
        output.data(f"{drill} fires no more")
    return 0


def _tell(drills: Iterable[Drill], *, as_json: bool) -> None:
    if as_json:
        for drill in drills:
            output.json_line(drill)
    else:
        output.table(("Drill", "Due", "Where", "Backup", "Into", "Next"), map(_cells, drills))


def _cells(drill: Drill) -> tuple[object, ...]:
    new = drill.wanted
    upcoming = "retired" if drill.next_us is None else f"next {moment(drill.next_us)}"
    return drill.id, new.cron, f"{new.workspace}/{new.environment}", new.details.backup, new.details.target, upcoming
