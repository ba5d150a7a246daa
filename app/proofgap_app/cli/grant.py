"""``proofgap grant``: who may do and see what, where. Every grant is an audit event."""

from __future__ import annotations

from cyclopts import App

from proofgap.access import Role
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, SCOPE, Access, Scope

app = App(
    name="grant",
    help="Grant a role to somebody, or revoke it.",
    help_prologue="""Examples:
  proofgap grant d.weber auditor
  proofgap grant restore-worker worker --environment production
  proofgap grant d.weber auditor --revoke
""",
)


@app.default
def grant(user: str, role: Role, /, *, revoke: bool = False, scope: Scope = SCOPE, access: Access = ACCESS) -> int:
    """Grant a role in a workspace and environment; use the environment * for all of them.

    Args:
        user: the operating-system user, or another stable id of a person or program.
        role: viewer, operator, worker, auditor or admin.
        revoke: take the role away instead.

    """
    check_id("USER", user)
    workspace, environment = chosen = scope.chosen()
    with opened(access) as ledger:
        event_id = ledger.access.grant(user, role, chosen, me(), revoke=revoke)
    if access.json:
        answer = {"user": user, "role": role, "workspace": workspace, "environment": environment, "revoked": revoke}
        output.json_line({**answer, "event_id": event_id})
    else:
        verb = "no longer" if revoke else "now"
        output.data(f"{user} is {verb} {role} of {workspace}/{environment}   event {event_id}")
    return 0
