"""``proofgap doctor``: whether the ledger and its database are sound. Changes nothing."""

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
from proofgap_store import Diagnosis

app = App(
    name="doctor",
    help="Look whether the ledger and its database are sound.",
    help_prologue="""Examples:
  proofgap doctor
  proofgap doctor --json | jq .missing_guards
""",
)


@app.default
def doctor(*, access: Access = ACCESS) -> int:
    """Look whether the ledger and its database are sound.

    Exits with 0 when they are, with 9 when there are warnings, with 1 when guards are missing or foreign.

    """
    with opened(access) as ledger:
        found = ledger.diagnose()
    url = settings.ledger_url(access.ledger)
    if access.json:
        output.json_line({"ledger": url, "python": platform.python_version(), **asdict(found)})
    else:
        output.table(("What", "Found"), _rows(url, found))
        for warning in found.warnings:
            output.note(f"Warning: {warning}")
    if found.missing_guards or found.foreign_guards:
        return Exit.ERROR
    return Exit.WARNINGS if found.warnings else Exit.OK


def _rows(url: str, found: Diagnosis) -> Iterator[tuple[str, object]]:
    yield "ledger", url
    yield "schema", found.revision
    yield "python", platform.python_version()
    yield "sqlite", f"{found.sqlite_version} ({found.sqlite_library})"
    yield "runs", found.runs
    yield "audit events", found.events
    yield "missing guards", ", ".join(found.missing_guards) or "none"
    yield "foreign guards", ", ".join(found.foreign_guards) or "none"
    yield "log lines lost", found.log_failures
