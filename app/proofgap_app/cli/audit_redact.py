"""``proofgap audit redact``: erasing personal data that an event committed to."""

from __future__ import annotations

from cyclopts import App

from proofgap.text import check_code, check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_store import Erasure

app = App(
    name="redact",
    help="Erase a name or a note that an event committed to. It is recorded.",
    help_prologue="""Examples:
  proofgap audit redact 1234 --path data.note --reason gdpr-17
  proofgap audit redact 1234 --path actor.name --reason left-the-company --json
""",
)


@app.default
def redact(event: str, /, *, path: str, reason: str, access: Access = ACCESS) -> int:
    """Erase a name or a note that an event committed to; for admins. The event and its commitment stay as they are.

    Args:
        event: the event's number, or its id.
        path: actor.name or data.note; proofgap audit show names what is there.
        reason: a code such as gdpr-17. It stays in the log: no personal data.

    """
    check_id("EVENT", event)
    wanted = Erasure(event=event, path=check_id("--path", path), reason=check_code("--reason", reason))
    with opened(access) as ledger:
        done = ledger.audit.redact(wanted, me())
    if access.json:
        output.json_line(done)
    else:
        output.data(f"Erased: {done.path} of event {done.redacted}   event {done.event_id}")
        output.note("Copies of the ledger made before still hold it.")
    return 0
