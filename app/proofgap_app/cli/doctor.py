"""``proofgap doctor``: whether the ledger and its database are sound, and its log can be signed. Changes nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from cyclopts import App
from msgspec.structs import asdict

from proofgap_app import settings
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.problems import Exit
from proofgap_app.cli.stays import length
from proofgap_app.cli.telling import moment, pairs
from proofgap_store import Diagnosis, Signing, shown_address
from proofgap_store.clock import now_us

app = App(
    name="doctor",
    help="Look whether the ledger and its database are sound.",
    help_prologue="""Examples:
  proofgap doctor
  proofgap doctor --json | jq .missing_guards
  proofgap doctor --json | jq .signing.unsequenced
""",
)


@app.default
def doctor(*, access: Access = ACCESS) -> int:
    """Look whether the ledger and its database are sound.

    Exits with 0 when they are, with 9 when there are warnings, with 1 when guards are missing or foreign, or when the
    head file saw another log than this one.

    """
    with opened(access) as ledger:
        found = ledger.diagnose()
    url = shown_address(settings.ledger_url(access.ledger))
    if access.json:
        output.json_line({"ledger": url, "python": platform.python_version(), **asdict(found)})
    else:
        pairs(_rows(url, found))
        for warning in found.warnings:
            output.note(f"Warning: {warning}")
        if found.signing.head_conflict:
            output.note(f"Conflict: {found.signing.head_conflict}")
    if found.missing_guards or found.foreign_guards or found.signing.head_conflict:
        return Exit.ERROR
    return Exit.WARNINGS if found.warnings else Exit.OK


def _rows(url: str, found: Diagnosis) -> Iterator[tuple[str, object]]:
    yield "ledger", url
    yield "schema", found.revision
    yield "python", platform.python_version()
    yield "database", found.database
    yield "runs", found.runs
    yield "audit events", found.events
    yield "missing guards", ", ".join(found.missing_guards) or "none"
    yield "foreign guards", ", ".join(found.foreign_guards) or "none"
    yield "log lines lost", found.log_failures
    yield from _signing_rows(found.signing)


def _signing_rows(found: Signing) -> Iterator[tuple[str, object]]:
    yield "signing key", found.key
    yield "key file", f"{found.key_file} ({_key_state(found)})"
    yield "head file", f"{found.head_file} ({_head_state(found)})"
    yield "events without a checkpoint", found.unsequenced
    yield "oldest of them", _when(found.unsequenced_since_us)
    yield "last checkpoint", _when(found.checkpoint_at_us)
    yield "events it covers", found.checkpoint_size


def _key_state(found: Signing) -> str:
    mode = "" if found.key_mode is None else f"mode {found.key_mode}, "
    return mode + ("signs for this log" if found.key_problem is None else "cannot sign for this log")


def _head_state(found: Signing) -> str:
    if found.head_conflict is not None:
        return "saw another log"
    if found.head_size is None:
        return "nothing in it yet" if found.head_problem is None else "not there to be used"
    if found.head_size < (found.checkpoint_size or 0):
        return f"behind: saw {output.amount(found.head_size, 'event')}"
    return f"saw {output.amount(found.head_size, 'event')}, as the last checkpoint"


def _when(at_us: int | None) -> str | None:
    return None if at_us is None else f"{moment(at_us)}, {length(max(now_us() - at_us, 0))} ago"
