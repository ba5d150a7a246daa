"""The options of ``proofgap restore``: what of the backup, and how to go about it.

Owns their names, their help, and which of them go together. Refuses to act on them (`restore`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from proofgap.errors import BadInputError
from proofgap.records import RunDetails
from proofgap_app.cli.options import Whole
from proofgap_app.cli.run_facts import Line


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to restore of the backup.

    Attributes:
        manifest: file of SHA-256 sums of the content, as sha256sum writes them.
        select: glob pattern of items to restore; may be given several times. Everything, unless given.
        overwrite: replace what exists and differs; otherwise it is skipped, and counted as skipped.
        expects_nothing: an empty selection is right; otherwise it blocks the run.
        driver: how to restore; as the name before the colon says or the backup's content, unless given.
        option: KEY=VALUE for the driver, never a secret; may be given several times.
        password_file: the file whose first line is the backup's password, on the machine that executes.

    """

    manifest: Path | None = None
    select: tuple[str, ...] = ()
    overwrite: bool = False
    expects_nothing: bool = False
    driver: str | None = None
    option: tuple[str, ...] = ()
    password_file: Path | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How to go about it.

    Attributes:
        yes: do not ask before the restore begins.
        dry_run: stop after the preview; nothing is written to the target.
        queue: check and preview here, then leave the restore to a worker (proofgap worker, or serve).
        priority: with --queue: from 0 to 1000; the higher one is executed first, and 0 is what runs have otherwise.
        deadline: with --queue: by when it must have ended, in RFC 3339, or from now, such as 4h.
        purpose: why: test, incident, migration.
        exit_status: exit with the decision: see proofgap help exit-codes.

    """

    yes: bool = False
    dry_run: bool = False
    queue: bool = False
    priority: Whole | None = None
    deadline: str | None = None
    purpose: str | None = None
    exit_status: bool = False

    def place(self) -> RunDetails | None:
        """Give the place in line of a run that is left to a worker; ``None``: it is executed here.

        Raises:
            BadInputError: names the option that does not go with the others.

        """
        if not self.queue:
            for name, value in (("--priority", self.priority), ("--deadline", self.deadline)):
                if value is not None:
                    raise BadInputError(name, "is for a run that waits for a worker", "Add --queue, or leave it out.")
            return None
        if self.dry_run:
            raise BadInputError("--queue", "does not go with --dry-run, which is never executed", "Leave one out.")
        return Line(priority=self.priority, deadline=self.deadline).on(RunDetails())


SELECTION, CONDUCT = Selection(), Conduct()
