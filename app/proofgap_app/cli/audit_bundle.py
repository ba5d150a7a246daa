"""``proofgap audit bundle``: everything about one run in one file that needs no ledger. That it was made is an event."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from proofgap.text import check_id, check_text
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, naming
from proofgap_app.cli.telling import pairs
from proofgap_store.bundling import Bundled

app = App(
    name="bundle",
    help="Take everything about a run out into one file that can be verified without the ledger. It is recorded.",
    help_prologue="""Examples:
  proofgap audit bundle rr_01KB2M95QF7T3ZC8H
  proofgap audit bundle rr_01KB2M95QF7T3ZC8H --out q4.zip --previous q3.zip
  proofgap audit verify q4.zip --policy policy.txt
""",
)


@app.default
def bundle(run: str, /, *, out: Path | None = None, previous: Path | None = None, access: Access = ACCESS) -> int:
    """Take everything about a run out into one new zip file: events, proofs, items, checks, and a page to read.

    A checkpoint is signed first, so that all of it is covered. The bundle is recorded before the file gets its name:
    where that cannot be done, there is no file. Verify it anywhere with: proofgap audit verify BUNDLE --policy FILE.

    Args:
        run: the run's id.
        out: a new file; RUN.zip in the current directory, unless given. Nothing is overwritten.
        previous: an earlier bundle of this ledger: the new one proves that the log only grew since.

    """
    check_id("RUN", run)
    file = Path(f"{run.replace('/', '_')}.zip") if out is None else out
    check_text("--out", str(file))
    with opened(access) as ledger, naming(FILE="--out"):
        made = ledger.audit.bundle(run, me(), file, previous=previous)
    if access.json:
        output.json_line(made)
    else:
        _tell(made)
    return 0


def _tell(made: Bundled) -> None:
    pairs([
        ("file", made.file),
        ("events", made.events),
        ("checkpoint covers", made.size),
        ("sha256", made.sha256),
        ("signed by", made.key),
        ("recorded as event", made.event_id),
    ])  # fmt: skip
    output.note("Hand the key over by another way than the bundle: whoever verifies it puts it into a policy.")
