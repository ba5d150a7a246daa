"""``proofgap audit prune``: the payloads of the oldest events leave the ledger, for a file that keeps them."""

from __future__ import annotations

from cyclopts import App

from proofgap.errors import BadInputError
from proofgap.text import check_text
from proofgap_app.cli import output
from proofgap_app.cli.asking import time_us
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, Whole, naming
from proofgap_app.cli.problems import Exit
from proofgap_app.cli.telling import pairs
from proofgap_store import Pruned, PruneOrder

app = App(
    name="prune",
    help="Take the payloads of the oldest events out of the ledger, into an export. It is recorded.",
    help_prologue="""Examples:
  proofgap audit prune --before 2025-01-01T00:00:00Z --export log-until-2024.jsonl
  proofgap audit prune --events 100000 --export oldest.jsonl --json
""",
)


@app.default
def prune(*, before: str | None = None, events: Whole | None = None, export: str, access: Access = ACCESS) -> int:
    """Take the payloads of the oldest events out of the ledger; for admins of everything that they speak of.

    Only what a checkpoint covers, and only up to the first event under a hold. First the export is written and read
    back against the signed tree; an export of the same name that is there already must be that of these events. Hashes
    stay, so proofs made before still hold. Names and notes of these events are erased, and are not in the export.

    Exits with 9 when a hold kept some of what was asked for.

    Args:
        before: everything recorded before this time (RFC 3339).
        events: so many events, after those that were pruned before.
        export: the file that keeps them; FILE.manifest.json is written beside it.

    """
    if (before is None) == (events is None):
        raise BadInputError("--before", "or --events says how much to prune", "Give one of them.")
    if events is not None and events < 1:
        raise BadInputError("--events", f"{events} is out of range", "Hand in 1 or more.")
    order = PruneOrder(file=check_text("--export", export), events=events, before_us=time_us("--before", before))
    with opened(access) as ledger, naming(FILE="--export", before="--before", events="--events"):
        done = ledger.audit.prune(order, me())
    if access.json:
        output.json_line(done)
    else:
        _tell(export, done)
    return Exit.OK if done.stopped is None else Exit.WARNINGS


def _tell(file: str, done: Pruned) -> None:
    pairs([
        ("first leaf", done.first),
        ("last leaf", done.last),
        ("payloads pruned", done.tombstones),
        ("kept as", file),
        ("sha256", done.export_sha256),
        ("tree", f"{done.size} {'leaf' if done.size == 1 else 'leaves'}, root {done.root}"),
        ("recorded as event", done.event_id),
    ])  # fmt: skip
    if done.stopped is not None:
        output.note(f"Stopped before event {done.stopped.event_id}: the hold {done.stopped.hold} covers it.")
    output.note("The file of the ledger gets smaller with VACUUM only: see docs/operations.md.")
