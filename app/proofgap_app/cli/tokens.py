"""``proofgap token``: API tokens for workers and programs, and a link to sign in with by a browser.

A token's secret is shown once, or written to a file that only its owner can read. Refuses to keep it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from proofgap.access import Role
from proofgap.errors import BadInputError
from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap.text import check_code, check_id, check_text, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, SCOPE, Access, Scope, Whole, naming
from proofgap_app.cli.serve import PORT, start_link
from proofgap_store import Issued, NewToken, Token
from proofgap_store.clock import now_us

_DAY_US = 86_400_000_000
_DAYS = 90
_DAYS_MAX = 366

app = App(
    name="token",
    help="Make, list and revoke API tokens.",
    help_prologue="""Examples:
  proofgap token create restore-worker --role worker --environment production --token-file worker.token
  proofgap token list
  proofgap token revoke tk_restore-worker_9f2c41aa07
""",
)


@app.command(
    name="create",
    help_prologue="""Examples:
  proofgap token create restore-worker --role worker --environment production --token-file worker.token
  proofgap token create ci --role operator --role viewer --days 7
""",
)
def create(
    name: str,
    /,
    *,
    role: Annotated[list[Role], Parameter(negative=())],
    days: Whole = _DAYS,
    token_file: str | None = None,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Make a token, and show its secret once; use the environment * for all of them.

    Args:
        name: what it is for; letters, digits and . _ - without spaces.
        role: viewer, operator, worker or auditor; as often as needed.
        days: how long it is good; 90 unless given, at most 366.
        token_file: write the secret to this new file, which only you can read, and do not show it.

    """
    check_code("NAME", name)
    if not 1 <= days <= _DAYS_MAX:
        raise BadInputError("--days", f"{days} is out of range", f"Use 1 to {_DAYS_MAX}.")
    workspace, environment = scope.chosen()
    file = None if token_file is None else _free(Path(check_text("--token-file", token_file)))
    new = NewToken(
        name=name,
        workspace=workspace,
        environment=environment,
        roles=tuple(role),
        expires_at_us=now_us() + days * _DAY_US,
    )
    with opened(access) as ledger, naming(roles="--role"):
        issued = ledger.sessions.create_token(new, me())
    _show(issued, file, as_json=access.json)
    return 0


def _show(issued: Issued, file: Path | None, *, as_json: bool) -> None:
    if file is not None:
        _keep(file, issued.secret)
    expires = utc_text(instant(issued.expires_at_us))
    secret = issued.secret if file is None else None
    if as_json:
        found = {"token": issued.token, "secret": secret, "expires_at": expires, "event_id": issued.event_id}
        output.json_line({**found, "file": None if file is None else str(file)})
        return
    output.data(f"{issued.token}  until {expires}   event {issued.event_id}")
    output.data(f"Secret, in {shown(str(file))}" if secret is None else f"Secret, shown only now:  {secret}")


def _free(file: Path) -> Path:
    """Let the name of a new file through, before anything is made that would be lost."""
    if file.exists() or not file.absolute().parent.is_dir():
        raise BadInputError(
            "--token-file", f"'{shown(str(file))}' cannot be made", "Name a new file in a folder that is there."
        )
    return file


def _keep(file: Path, secret: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(f"{secret}\n")


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap token list
  proofgap token list --json | jq -r 'select(.active).id'
""",
)
def list_tokens(*, access: Access = ACCESS) -> int:
    """List the tokens of what you administer, the newest first; with --json one object per line."""
    with opened(access) as ledger:
        found = ledger.sessions.tokens(me())
    if access.json:
        for token in found:
            output.json_line(_document(token))
        return 0
    output.table(("Token", "Roles", "Where", "Made by", "Expires", "Last used", "State"), map(_cells, found))
    if not found:
        output.note("No tokens to show. Make one with: proofgap token create NAME --role worker")
    return 0


@app.command(
    name="revoke",
    help_prologue="""Examples:
  proofgap token revoke tk_restore-worker_9f2c41aa07
  proofgap token revoke tk_restore-worker_9f2c41aa07 --json
""",
)
def revoke(token: str, /, *, access: Access = ACCESS) -> int:
    """End a token at once.

    Args:
        token: its id, as the list shows it.

    """
    check_id("TOKEN", token)
    with opened(access) as ledger:
        event_id = ledger.sessions.revoke_token(token, me())
    if access.json:
        output.json_line({"token": token, "event_id": event_id})
    else:
        output.data(f"{token} is revoked   event {event_id}")
    return 0


@app.command(
    name="link",
    help_prologue="""Examples:
  proofgap token link
  proofgap token link --origin http://127.0.0.1:9000
""",
)
def link(*, origin: str = f"http://127.0.0.1:{PORT}", access: Access = ACCESS) -> int:
    """Print a link by which you sign in once, within ten minutes, to a server that serves this ledger.

    Args:
        origin: what browsers call the server.

    """
    check_text("--origin", origin)
    with opened(access) as ledger:
        made = start_link(ledger, origin.rstrip("/"))
    if access.json:
        output.json_line({"link": made})
    else:
        output.data(made)
    return 0


def _document(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "workspace": token.workspace,
        "environment": token.environment,
        "roles": token.roles,
        "created_by": token.created_by,
        "created_at": utc_text(instant(token.created_at_us)),
        "expires_at": utc_text(instant(token.expires_at_us)),
        "used_at": None if token.used_at_us is None else utc_text(instant(token.used_at_us)),
        "active": token.active,
    }


def _cells(token: Token) -> tuple[object, ...]:
    found = _document(token)
    state = "expired" if token.active and token.expires_at_us <= now_us() else "in force" if token.active else "revoked"
    place = f"{token.workspace}/{token.environment}"
    return (token.id, ", ".join(token.roles), place, token.created_by, found["expires_at"], found["used_at"], state)
