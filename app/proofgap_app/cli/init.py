"""``proofgap init``: make a ledger, and say what an environment asks of its restores."""

from __future__ import annotations

from collections.abc import Iterator

from cyclopts import App

from proofgap.errors import BadInputError
from proofgap_app import settings
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, SCOPE, Access, Scope, Whole, seconds
from proofgap_store import shown_address

_APPROVALS_MAX = 20

app = App(
    name="init",
    help="Make a ledger, or declare what an environment asks of its restores.",
    help_prologue="""Examples:
  proofgap init
  proofgap init --ledger sqlite:////srv/proofgap/proofgap.db
  proofgap init --ledger postgresql://proofgap@db.example.org/proofgap
  proofgap init --environment production --approvals-required 1 --evidence-valid 90d
""",
)


@app.default
def init(
    *,
    approvals_required: Whole | None = None,
    evidence_valid: str | None = None,
    scope: Scope = SCOPE,
    access: Access = ACCESS,
) -> int:
    """Make a ledger where there is none yet, and the environment that is named; what is there stays as it is.

    Args:
        approvals_required: how many other people must approve a restore into this environment before it is queued.
        evidence_valid: how long evidence about restores into it counts after its capture, such as 90d; for ever, unless given.

    """
    if approvals_required is not None and not 0 <= approvals_required <= _APPROVALS_MAX:
        raise BadInputError(
            "--approvals-required", f"{approvals_required} is out of range", f"Use 0 to {_APPROVALS_MAX}."
        )
    valid_us = None if evidence_valid is None else round(seconds("--evidence-valid", evidence_valid) * 1_000_000)
    chosen, actor = scope.chosen(), me()
    with opened(access, create=True) as ledger:
        if (scope.environment, approvals_required, valid_us) != (None, None, None):
            ledger.access.declare_environment(
                chosen, actor, approvals_required=approvals_required, evidence_valid_us=valid_us
            )
        found = ledger.diagnose()
    url, signing = shown_address(settings.ledger_url(access.ledger)), found.signing
    if access.json:
        counts = {"revision": found.revision, "runs": found.runs, "events": found.events}
        output.json_line({"ledger": url, **counts, "key_file": signing.key_file, "head_file": signing.head_file})
    else:
        output.data(f"Ledger ready: {url} ({found.runs} runs, {found.events} audit events)")
        if scope.environment is not None:
            output.data(f"Environment ready: {'/'.join(chosen)}")
        for line in _declared("/".join(chosen), approvals_required, evidence_valid):
            output.data(line)
        output.note(f"Key that signs its checkpoints: {signing.key_file} - back it up, and let nobody else read it.")
        output.note(f"Last checkpoint, as a witness: {signing.head_file} - better on another disk: set PROOFGAP_HEAD.")
        output.note("Next: proofgap restore BACKUP --into TARGET")
    return 0


def _declared(place: str, approvals: int | None, valid: str | None) -> Iterator[str]:
    """Say what holds in the environment from now on."""
    if approvals is not None:
        yield f"{place}: {output.amount(approvals, 'approval')} by other people needed before a restore is queued"
    if valid is not None:
        yield f"{place}: evidence counts for {valid} after its capture"
