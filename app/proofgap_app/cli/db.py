"""``proofgap db``: what operators do with the database of a ledger. No other program is needed on the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from proofgap.errors import BadInputError
from proofgap.text import check_text
from proofgap_app import settings
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.problems import Exit
from proofgap_app.cli.progress import counting
from proofgap_store import DatabaseCheck, RoleCheck, upgrade

app = App(
    name="db",
    help="Bring the ledger's database up, look for damage, copy it, give roles their rights.",
    help_prologue="""Examples:
  proofgap db check
  proofgap db backup /backup/ledger-2026-11-21.db
  proofgap db upgrade
  proofgap db move postgresql://proofgap@db.example.org/proofgap
  proofgap db roles > roles.sql
""",
)


@app.command(
    name="check",
    help_prologue="""Examples:
  proofgap db check
  proofgap db check --json | jq .damage
""",
)
def check(*, access: Access = ACCESS) -> int:
    """Read every page of the database and compare its schema; exits with 1 if anything is wrong. Changes nothing.

    It does not read what the log says: see proofgap audit verify.

    """
    with opened(access) as ledger:
        found = ledger.database.check()
        powers = ledger.database.powers()
    if powers:
        output.note(f"Warning: {' and '.join(powers)}: see proofgap db roles.")
    if access.json:
        output.json_line(found)
    else:
        output.table(("What", "Found"), _rows(found))
    return Exit.ERROR if any((found.missing_guards, found.foreign_guards, found.damage, found.dangling)) else Exit.OK


def _rows(found: DatabaseCheck) -> list[tuple[str, str]]:
    return [
        ("missing guards", ", ".join(found.missing_guards) or "none"),
        ("foreign guards", ", ".join(found.foreign_guards) or "none"),
        ("damage", "; ".join(found.damage) or "none"),
        ("rows that point nowhere", "; ".join(found.dangling) or "none"),
    ]


@app.command(
    name="backup",
    help_prologue="""Examples:
  proofgap db backup /backup/ledger-2026-11-21.db
  proofgap db backup ledger-copy.db --json
""",
)
def backup(file: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, access: Access = ACCESS) -> int:
    """Copy the ledger into a new file, as it is at one moment, while it may be in use. Nothing is overwritten.

    The key file and the head file are not in the copy: back them up apart from it.

    Args:
        file: the new file; only you can read it.

    """
    target = Path(check_text("FILE", file))
    with opened(access) as ledger:
        size = ledger.database.backup(target)
        signing = ledger.diagnose().signing
    if access.json:
        output.json_line({"file": str(target), "bytes": size})
    else:
        output.data(f"Ledger copied: {target} ({size} bytes)")
        output.note(f"Not in it: the key {signing.key_file} and the head {signing.head_file}.")
    return Exit.OK


@app.command(
    name="upgrade",
    help_prologue="""Examples:
  proofgap db upgrade
  proofgap db upgrade --json
""",
)
def upgrade_schema(*, access: Access = ACCESS) -> int:
    """Bring the schema of the ledger to the one of this version: all of it, or nothing. Events stay as they are."""
    url = check_text("--ledger", settings.ledger_url(access.ledger))
    done = upgrade(url)
    with opened(access) as ledger:  # what a ledger of this schema begins with is there now, such as its first key
        is_short = ledger.database.is_on_server and bool(ledger.database.roles().missing)
    if access.json:
        output.json_line(done)
    elif done.before == done.after:
        output.data(f"Nothing to do: the schema is {done.after} already ({done.events} audit events)")
    else:
        output.data(f"Schema {done.before} -> {done.after}: {done.events} audit events, as they were")
        output.note(f"Next: proofgap {'db roles --apply' if is_short else 'audit checkpoint'}")
    return Exit.OK


@app.command(
    name="move",
    help_prologue="""Examples:
  proofgap db move postgresql://proofgap@db.example.org/proofgap
  proofgap db move postgresql:///proofgap --json
""",
)
def move(target: str, /, *, access: Access = ACCESS) -> int:
    """Move the ledger from its file to an empty database on PostgreSQL: every event, hash and checkpoint as it is.

    Key and head file go along. Nobody can write meanwhile; afterwards the file is closed. Whatever broke: run it again.

    Args:
        target: the database; its user must be able to make a schema there.

    """
    target = check_text("TARGET", target)
    with opened(access) as ledger, counting("Copying", "rows") as progress:
        moved = ledger.database.move(target, me(), progress)
    if access.json:
        output.json_line(moved)
    else:
        output.data(f"Ledger moved: {moved.target} ({output.amount(moved.events, 'audit event')})")
        output.note("Next: proofgap db roles --apply, with --ledger or PROOFGAP_LEDGER set to it.")
    return Exit.OK


@app.command(
    name="roles",
    help_prologue="""Examples:
  proofgap db roles > roles.sql
  proofgap db roles --check
  proofgap db roles --apply
""",
)
def roles(
    *,
    check: Annotated[bool, Parameter(name="--check")] = False,
    apply: Annotated[bool, Parameter(name="--apply")] = False,
    access: Access = ACCESS,
) -> int:
    """Print the SQL that gives the five roles of a ledger on PostgreSQL their rights; or compare, or run it.

    Run it once after proofgap init and after each proofgap db upgrade, as a superuser, or as the owner of the database
    who may make roles. Then make members of the roles: GRANT proofgap_app TO somebody.

    Args:
        check: compare the rights that are granted with those that ought to be; exits with 1 if they differ.
        apply: run the SQL: all of it, or nothing.

    """
    if check and apply:
        raise BadInputError("--check", "does not go with --apply", "Give one of them.")
    with opened(access) as ledger:
        if not check and not apply:
            output.data(ledger.database.roles_script().rstrip("\n"))
            return Exit.OK
        found = ledger.database.apply_roles() if apply else ledger.database.roles()
    if access.json:
        output.json_line(found)
    else:
        output.table(("What", "Found"), _rows_of_roles(found))
    return Exit.ERROR if found.missing or found.excess else Exit.OK


def _rows_of_roles(found: RoleCheck) -> list[tuple[str, str]]:
    return [
        ("user", found.user),
        ("what is too much for a worker", "; ".join(found.powers) or "nothing"),
        ("missing rights", "; ".join(found.missing) or "none"),
        ("rights beyond", "; ".join(found.excess) or "none"),
    ]
