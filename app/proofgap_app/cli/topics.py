"""``proofgap help``: what does not fit the help of one command."""

from __future__ import annotations

from cyclopts import App

from proofgap_app.cli import output

app = App(
    name="help",
    help="Explain a topic, such as exit-codes.",
    help_prologue="""Examples:
  proofgap help exit-codes
  proofgap run --help
""",
)
_EXIT_CODES = """Exit codes. Any other code that is not 0 means failure.

  0    ok
  1    error, or a difference found by a check
  2    the command line or the input is not acceptable; nothing was stored
  3    cannot be verified
  4    not signed in, or forbidden
  5    the transition was refused; the attempt is recorded
  6    version conflict: somebody else was faster
  7    not found, or not visible to you
  8    still in progress
  9    sound, with warnings
  130  interrupted

With --exit-status, restore, show and run wait exit with the decision; without it, restore exits
with 1 where it failed or was blocked:

  0    completed_with_evidence: evidence exists. It does not say what the evidence shows.
  8    in_progress
  10   not_executed
  12   completed_proof_incomplete
  13   needs_review
  14   failed
  15   blocked_or_cancelled"""


@app.command(
    name="exit-codes",
    help_prologue="""Examples:
  proofgap help exit-codes
  proofgap show rr_01KB2M95QF7T3ZC8H --exit-status; echo $?
""",
)
def exit_codes() -> int:
    """List the exit codes and what they mean."""
    for line in _EXIT_CODES.splitlines():
        output.data(line)
    return 0
