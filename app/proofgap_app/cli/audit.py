"""The tree of ``proofgap audit``: what auditors do with the log. Each command is imported when it is used.

Owns names and summaries. Refuses to know what the commands do.
"""

from __future__ import annotations

from cyclopts import App

app = App(
    name="audit",
    help="Read the log, sign it, verify it, ask what somebody had been shown; keep, erase and prune.",
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
    "redact": ("audit_redact:app", "Erase a name or a note that an event committed to. It is recorded."),
    "hold": ("audit_hold:hold_app", "Keep events from being pruned. It is recorded."),
    "release": ("audit_hold:release_app", "Release a hold. It is recorded."),
    "holds": ("audit_hold:holds_app", "List holds, oldest first."),
    "prune": (
        "audit_prune:app",
        "Take the payloads of the oldest events out of the ledger, into an export. It is recorded.",
    ),
    "declare-gap": ("audit_declare:gap_app", "Put missing guards back, and record that they were missing."),
    "declare-restore": ("audit_declare:restore_app", "Record that this ledger was itself restored from a copy."),
}
"""Name: where its app is, and what it is for. A command is added by a line here."""

for _name, (_place, _summary) in _COMMANDS.items():
    app.command(f"proofgap_app.cli.{_place}", name=_name, help=_summary)
