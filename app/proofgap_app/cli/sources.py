"""``proofgap source``: backups that are registered under a name, for whoever creates runs in an environment.

Refuses to look into a backup: it may be within reach of other machines only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cyclopts import App, Parameter

from proofgap.facts import utc_text
from proofgap.records import RunDetails, instant
from proofgap.secret import refuse_in_place
from proofgap.text import check_code, check_text, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, SCOPE, Access, Scope, key_and_value, naming
from proofgap_app.drivers import told_apart
from proofgap_store import Source

app = App(
    name="source",
    help="Register backups under names, list them, and retire them.",
    help_prologue="""Examples:
  proofgap source register nightly restic:/srv/backups#latest --password-file /etc/proofgap/restic --environment production
  proofgap source list --environment production
""",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a source is restored from.

    Attributes:
        driver: how to restore; as the name before the colon says or the backup's content, unless given.
        manifest: file of SHA-256 sums of the content, as sha256sum writes them.
        select: glob pattern of items to restore; may be given several times. Everything, unless given.
        option: KEY=VALUE for the driver, never a secret; may be given several times.
        password_file: the file whose first line is the backup's password, on the machine that executes.

    """

    driver: str | None = None
    manifest: Path | None = None
    select: tuple[str, ...] = ()
    option: tuple[str, ...] = ()
    password_file: Path | None = None

    def details(self, backup: str) -> RunDetails:
        """Give what the ledger is told of a source; a path is made a whole one, and not looked at."""
        refuse_in_place("backup", backup)  # a whole path would hide that there is one
        driver, where = told_apart(self.driver, check_text("BACKUP", backup))
        return RunDetails(
            backup=where if driver else str(Path(where).absolute()),
            driver=driver,
            manifest=None if self.manifest is None else str(self.manifest.absolute()),
            select=self.select,
            options=tuple(sorted("=".join(key_and_value(given)) for given in self.option)),
            password_file=None if self.password_file is None else str(self.password_file.absolute()),
        )


_HOW = How()


@app.command(
    name="register",
    help_prologue="""Examples:
  proofgap source register nightly restic:/srv/backups#latest --password-file /etc/proofgap/restic --environment production
  proofgap source register app /backup/app.tar.gz --manifest /backup/app.sha256
""",
)
def register(name: str, backup: str, /, *, how: How = _HOW, scope: Scope = SCOPE, access: Access = ACCESS) -> int:
    """Register a backup under a name, or replace what the name stands for: whoever creates runs there restores from it.

    Args:
        name: what it is called in that environment; letters, digits and . _ - without spaces.
        backup: a path, or DRIVER:WHERE, such as restic:/srv/repo#latest.

    """
    check_code("NAME", name)
    chosen = scope.chosen()
    with opened(access) as ledger, naming(backup="BACKUP", option="--option", options="--option"):
        event_id = ledger.desk.register_source(name, chosen, how.details(backup), me())
    _tell(name, chosen, "registered", event_id, as_json=access.json)
    return 0


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap source list --environment production
  proofgap source list --json | jq -r .name
""",
)
def list_sources(*, scope: Scope = SCOPE, access: Access = ACCESS) -> int:
    """List the registered backups of an environment, by name; with --json one object per line."""
    with opened(access) as ledger:
        found = ledger.desk.sources(scope.chosen(), me())
    if access.json:
        for source in found:
            output.json_line(_document(source))
        return 0
    output.table(("Source", "Backup", "Driver", "Registered by", "Since"), map(_cells, found))
    if not found:
        output.note("No sources to show. Register one with: proofgap source register NAME BACKUP")
    return 0


@app.command(
    name="retire",
    help_prologue="""Examples:
  proofgap source retire nightly --environment production
  proofgap source retire nightly --json
""",
)
def retire(name: str, /, *, scope: Scope = SCOPE, access: Access = ACCESS) -> int:
    """Take a backup off the list; no run changes.

    Args:
        name: as the list shows it.

    """
    check_code("NAME", name)
    chosen = scope.chosen()
    with opened(access) as ledger:
        event_id = ledger.desk.retire_source(name, chosen, me())
    _tell(name, chosen, "retired", event_id, as_json=access.json)
    return 0


def _tell(name: str, scope: tuple[str, str], what: str, event_id: int, *, as_json: bool) -> None:
    if as_json:
        output.json_line({"source": name, "workspace": scope[0], "environment": scope[1], "event_id": event_id})
    else:
        output.data(f"Source {shown(name)} of {'/'.join(scope)} is {what}   event {event_id}")


def _document(source: Source) -> dict[str, object]:
    said = source.details
    return {
        "name": source.name,
        "backup": said.backup,
        "driver": said.driver,
        "manifest": said.manifest,
        "select": said.select,
        "options": said.options,
        "password_file": said.password_file,
        "registered_by": source.by,
        "registered_at": utc_text(instant(source.at_us)),
    }


def _cells(source: Source) -> tuple[object, ...]:
    found = _document(source)
    return tuple(found[name] for name in ("name", "backup", "driver", "registered_by", "registered_at"))
