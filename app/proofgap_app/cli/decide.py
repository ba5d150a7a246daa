"""``proofgap decide``: facts in, decisions out. No ledger, no clock, and nothing imported that it does not need."""

from __future__ import annotations

from cyclopts import App

from proofgap.decision import decide
from proofgap.facts import Viewer
from proofgap.intake import read_facts_line
from proofgap_app.cli import output
from proofgap_app.cli.options import STANDARD_INPUT, AnyFile, lines_of

app = App(
    name="decide",
    help="Turn facts into decisions, line by line, without a ledger.",
    help_prologue="""Examples:
  proofgap decide facts.ndjson
  my-exporter | proofgap decide - | jq -r .status
""",
)


@app.default
def decide_lines(file: AnyFile = STANDARD_INPUT, /, *, json: bool = True) -> int:
    """Turn facts into decisions: one JSON object per line in, one JSON object per line out, in order.

    A bad line stops with exit code 2 and is named; the decisions before it have been written by then.

    Args:
        file: the file, or - for standard input.
        json: accepted for symmetry; this command always writes JSON.

    """
    del json
    for number, line in enumerate(lines_of(file), 1):
        facts, viewer = read_facts_line(line, number, with_viewer=True)
        output.json_line(decide(facts, viewer or Viewer(id="", may_view=frozenset())))
        output.flush()
    return 0
