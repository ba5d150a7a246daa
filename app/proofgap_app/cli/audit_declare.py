"""``proofgap audit declare-gap`` and ``declare-restore``: what auditors must be told of the ledger itself."""

from __future__ import annotations

from cyclopts import App

from proofgap.text import check_words
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.telling import pairs

gap_app = App(
    name="declare-gap",
    help="Put missing guards back, and record that they were missing.",
    help_prologue="""Examples:
  proofgap audit declare-gap --reason "a trigger was dropped during the repair of 21 November"
  proofgap audit declare-gap --reason "found by doctor, cause unknown" --json
""",
)
restore_app = App(
    name="declare-restore",
    help="Record that this ledger was itself restored from a copy.",
    help_prologue="""Examples:
  proofgap audit declare-restore --reason "disk failure of 21 November, copy of 20 November"
  proofgap audit declare-restore --reason "moved to a new host" --json
""",
)


@gap_app.default
def declare_gap(*, reason: str, access: Access = ACCESS) -> int:
    """Put missing guards back, take foreign ones away, and record both; for admins. Verification shows it for ever.

    It does not make well what happened meanwhile: verify the log afterwards.

    Args:
        reason: what happened, for auditors. It stays in the log: no personal data.

    """
    check_words("--reason", reason)
    with opened(access) as ledger:
        done = ledger.audit.declare_gap(reason, me())
    if access.json:
        output.json_line(done)
        return 0
    pairs([
        ("put back", ", ".join(done.missing) or "none"),
        ("taken away", ", ".join(done.foreign) or "none"),
        ("recorded as event", done.event_id),
    ])  # fmt: skip
    return 0


@restore_app.default
def declare_restore(*, reason: str, access: Access = ACCESS) -> int:
    """Record that this ledger was itself restored from a copy; for admins. Verification shows it for ever.

    The head file begins anew from this ledger. Auditors who pinned a later checkpoint must agree to pin anew.

    Args:
        reason: what happened, for auditors. It stays in the log: no personal data.

    """
    check_words("--reason", reason)
    with opened(access) as ledger:
        done = ledger.audit.declare_restore(reason, me())
    if access.json:
        output.json_line(done)
        return 0
    seen = "none" if done.head_size is None else f"{output.amount(done.head_size, 'event')}, root {done.head_root}"
    pairs([
        ("head file saw", seen),
        ("this ledger has", f"{output.amount(done.size, 'event')}, root {done.root}"),
        ("recorded as event", done.event_id),
    ])  # fmt: skip
    return 0
