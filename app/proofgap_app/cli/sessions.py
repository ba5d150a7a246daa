"""``proofgap session``: who is signed in at the console, and the end of that.

Refuses to know how people sign in (`serve`, `tokens`).
"""

from __future__ import annotations

from cyclopts import App

from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap.text import check_id, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_store import OpenSession

app = App(
    name="session",
    help="List who is signed in at the console, and sign somebody out.",
    help_prologue="""Examples:
  proofgap session list
  proofgap session end d.weber
""",
)


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap session list
  proofgap session list --json | jq -r .principal
""",
)
def list_sessions(*, access: Access = ACCESS) -> int:
    """List your sessions, and those of whom you administer; with --json one object per line."""
    with opened(access) as ledger:
        found = ledger.sessions.in_force(me())
    if access.json:
        for session in found:
            output.json_line(_document(session))
        return 0
    output.table(
        ("Who", "Signed in by", "Since", "Last used", "At most until"),
        (tuple(_document(row).values()) for row in found),
    )
    if not found:
        output.note("Nobody is signed in.")
    return 0


@app.command(
    name="end",
    help_prologue="""Examples:
  proofgap session end d.weber
  proofgap session end d.weber --json
""",
)
def end(user: str, /, *, access: Access = ACCESS) -> int:
    """Sign somebody out everywhere, at once: yourself, or somebody whom you administer.

    Args:
        user: who, as the list shows it.

    """
    check_id("USER", user)
    with opened(access) as ledger:
        number = ledger.sessions.end_all(user, me())
    if access.json:
        output.json_line({"principal": user, "ended": number})
    else:
        output.data(f"{shown(user)} is signed out: {output.amount(number, 'session')} ended")
    return 0


def _document(session: OpenSession) -> dict[str, object]:
    return {
        "principal": session.principal,
        "means": session.means,
        "began_at": utc_text(instant(session.began_at_us)),
        "seen_at": utc_text(instant(session.seen_at_us)),
        "expires_at": utc_text(instant(session.expires_at_us)),
    }
