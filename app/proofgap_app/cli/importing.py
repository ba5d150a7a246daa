"""``proofgap import``: records of other systems become stored runs; all of a file, or none of it."""

from __future__ import annotations

from cyclopts import App
from msgspec.structs import asdict

from proofgap.intake import read_facts_line
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, AnyFile, lines_of

app = App(
    name="import",
    help="Take in records of other systems.",
    help_prologue="""Examples:
  proofgap import runs.ndjson
  my-exporter | proofgap import - --json
""",
)


@app.default
def import_(file: AnyFile, /, *, access: Access = ACCESS) -> int:
    """Take in records of other systems: all of a file, or none of it. The same file again changes nothing.

    Args:
        file: JSON lines as for decide, without viewer; or - for standard input.

    """
    lines = [
        (read_facts_line(line, number, with_viewer=False)[0], line) for number, line in enumerate(lines_of(file), 1)
    ]
    with opened(access, create=True) as ledger:
        result = ledger.import_facts(lines, me())
    if access.json:
        output.json_line(asdict(result))
    else:
        output.data(f"{result.imported} imported, {result.unchanged} unchanged, {result.conflicts} links in conflict")
    return 0
