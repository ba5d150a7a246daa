"""``proofgap run prepare``: a run that is on record already is checked and previewed here, such as a retry.

Owns what is said of it. Refuses to know the steps (`proofgap_app.worker.preparing`) and to execute anything.
"""

from __future__ import annotations

from proofgap.access import Action
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.receipts import answer
from proofgap_store.clock import now_us


def prepare(run: str, /, *, access: Access = ACCESS) -> int:
    """Check and preview a run here, as its record says what is wanted. Nothing is written to the target.

    Args:
        run: the run's id.

    """
    from proofgap_app.cli.restore import preview_lines  # noqa: PLC0415 - the other commands of a run load no driver
    from proofgap_app.worker import preparing  # noqa: PLC0415 - as above

    check_id("RUN", run)
    with opened(access) as ledger:
        actor = me()
        waiting = ledger.peek(run, actor)
        ledger.access.demand(Action.PREPARE, (waiting.workspace, waiting.environment), actor)
        prepared = preparing.prepare(ledger, run, actor, now_us)
    if not access.json:
        for line in preview_lines(prepared.plan, prepared.preview):
            output.note(line)
    return answer(prepared.receipt, as_json=access.json)
