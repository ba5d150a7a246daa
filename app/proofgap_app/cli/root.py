"""The tree of commands. Each is imported when it is used, so that no command pays for another.

Owns names and summaries. Refuses to know what the commands do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cyclopts import App, Parameter

from proofgap_app.settings import is_terminal

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 160
_GROUPS = frozenset(
    {
        "audit",
        "db",
        "decision",
        "diagram",
        "drill",
        "evidence",
        "help",
        "items",
        "machine",
        "run",
        "session",
        "source",
        "token",
    }
)  # named alone, they print their page
_COMMANDS = {
    "restore": (
        "restore:app",
        "Restore a backup, track it from draft to outcome, look at the target, and show the decision.",
    ),
    "show": ("show:app", "Show what one run means: decision, reason, impact, next action, proof and evidence."),
    "list": ("listing:app", "List runs, newest first, each with its decision."),
    "run": ("runs:app", "Prepare, queue, execute, follow and cancel runs."),
    "queue": ("queue:app", "Show what waits, what runs where, and which environments are held; release one."),
    "worker": ("worker:app", "Execute what is queued, until told to end: one on each machine."),
    "drill": ("drill:app", "Declare restores that are due by the calendar, as tests."),
    "source": ("sources:app", "Register backups under names, list them, and retire them."),
    "items": ("items:app", "Report what became of each item, and read it."),
    "evidence": ("evidence:app", "Add evidence about the restored target, and read it."),
    "import": ("importing:app", "Take in records of other systems."),
    "decide": ("decide:app", "Turn facts into decisions, line by line, without a ledger."),
    "audit": ("audit:app", "Read the log, take parts of it out, and ask what somebody had been shown."),
    "decision": ("decision:app", "Explain why a run is decided as it is, how that came about, and decide it anew."),
    "machine": ("machine:app", "Explain which moves are legal."),
    "diagram": ("diagram:app", "Draw the machines and the decision rules."),
    "init": ("init:app", "Make a ledger, or declare how many approvals an environment needs."),
    "grant": ("grant:app", "Grant a role to somebody, or revoke it."),
    "serve": ("serve:app", "Serve the console and the HTTP API."),
    "token": ("tokens:app", "Make, list and revoke API tokens."),
    "session": ("sessions:app", "List who is signed in at the console, and sign somebody out."),
    "doctor": ("doctor:app", "Look whether the ledger and its database are sound."),
    "config": ("config:app", "Show the settings in force, and where each comes from."),
    "db": ("db:app", "Bring the ledger's database up, look for damage, copy it, give roles their rights."),
    "completion": ("completion:app", "Print a completion script for a shell."),
    "help": ("topics:app", "Explain a topic, such as exit-codes."),
}
"""Name: where its app is, and what it is for. A command is added by a line here."""

_EXAMPLES = """Examples:
  proofgap restore backup.tar.gz --into /srv/restored
  proofgap show rr_01KB2M95QF7T3ZC8H --json
  proofgap help exit-codes
"""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - needed for --version only

    try:
        return f"proofgap {version('proofgap')}"
    except PackageNotFoundError:
        return "proofgap (not installed: running from its source)"


def help_console(arguments: Sequence[str]) -> Console | None:
    """Give the console for a help page, where there may be one; rich would paint quoted words green."""
    bare = not arguments or (len(arguments) == 1 and arguments[0] in _GROUPS)
    if not bare and not {"--help", "-h"} & set(arguments):
        return None
    from rich.console import Console  # noqa: PLC0415 - only people get pages

    return Console(highlight=False, markup=False, emoji=False, width=None if is_terminal(sys.stdout) else _PIPED_WIDTH)


app = App(
    name="proofgap",
    help="Track every restore run from draft to outcome; never claim more recovery than the evidence proves.",
    help_prologue=_EXAMPLES,
    help_format="plaintext",
    help_formatter="plain",
    version=_version,
    default_parameter=Parameter(negative=(), show_default=False),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
for _name, (_place, _summary) in _COMMANDS.items():
    app.command(f"proofgap_app.cli.{_place}", name=_name, help=_summary)
app["--help"].group = app["--version"].group = "Other"
