"""``proofgap audit export``: events into a file, with a manifest beside it. That it was done is itself an event."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from proofgap.text import check_text
from proofgap_app.cli import output
from proofgap_app.cli.asking import ALL, Filters
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.progress import counting
from proofgap_app.cli.telling import pairs
from proofgap_store import Export, ExportFormat, Manifest

app = App(
    name="export",
    help="Take events out into a file, with a manifest. It is recorded.",
    help_prologue="""Examples:
  proofgap audit export november.jsonl --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
  proofgap audit export refused.csv --format csv --refused
  proofgap audit export all.jsonl --json | jq -r .sha256
""",
)


@app.default
def export(
    file: str,
    /,
    *,
    form: Annotated[ExportFormat, Parameter(name="--format")] = ExportFormat.JSONL,
    filters: Filters = ALL,
    access: Access = ACCESS,
) -> int:
    """Take events out into a new file, oldest first, and write FILE.manifest.json beside it.

    The export is recorded before the file gets its name: where that cannot be done, there is no file. jsonl holds the
    exact bytes of each event, csv is for people, cloudevents and parquet (needs the extra parquet) are for programs.

    Args:
        file: a new file; nothing is overwritten.
        form: jsonl, csv, cloudevents or parquet; jsonl unless given.

    """
    check_text("FILE", file)
    wanted = Export(file=file, format=form, query=filters.question())
    with opened(access) as ledger, counting("Writing the export", "events") as progress:
        manifest = ledger.audit.export(wanted, me(), progress)
    if access.json:
        output.json_line(manifest)
    else:
        _tell(file, manifest)
    return 0


def _tell(file: str, manifest: Manifest) -> None:
    pairs([
        ("file", file),
        ("events", manifest.count),
        ("first event", manifest.first and manifest.first.event_id),
        ("last event", manifest.last and manifest.last.event_id),
        ("sha256", manifest.sha256),
        ("recorded as event", manifest.event.event_id),
    ])  # fmt: skip
    output.note(f"Manifest: {file}.manifest.json")
