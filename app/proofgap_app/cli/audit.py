"""The tree of ``proofgap audit``: what auditors do with the log. Each command is imported when it is used.

Owns names and summaries. Refuses to know what the commands do.
"""

from __future__ import annotations

from cyclopts import App

app = App(
    name="audit",
    help="Read the log, take parts of it out, sign it, and ask what somebody had been shown.",
    help_prologue="""Examples:
  proofgap audit list --refused
  proofgap audit show 1234
  proofgap audit export events.jsonl --from 2026-11-01T00:00:00Z
  proofgap audit checkpoint
""",
)
_COMMANDS = {
    "list": ("audit_reading:list_app", "List events, newest first."),
    "show": ("audit_reading:show_app", "Show one event, with everything that it says."),
    "tail": ("audit_reading:tail_app", "Print the last events, and with --follow those that come."),
    "export": ("audit_export:app", "Take events out into a file, with a manifest. It is recorded."),
    "bundle": (
        "audit_bundle:app",
        "Take everything about a run out, to be verified without the ledger. It is recorded.",
    ),
    "verify": ("audit_verify:app", "Verify that the log is complete, unedited and not rolled back."),
    "as-seen": ("audit_seen:app", "Say what a person had been shown of a run, at a moment."),
    "checkpoint": ("audit_signing:checkpoint_app", "Sign the log as it is now."),
    "key": ("audit_signing:key_app", "Show and rotate the keys that sign the log."),
    "policy": ("audit_signing:policy_app", "Write the policy by which others verify this log."),
}
"""Name: where its app is, and what it is for. A command is added by a line here."""

for _name, (_place, _summary) in _COMMANDS.items():
    app.command(f"proofgap_app.cli.{_place}", name=_name, help=_summary)
