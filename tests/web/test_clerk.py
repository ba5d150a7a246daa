"""What a server does beside its answers."""

from __future__ import annotations

from proofgap.facts import EndReason, RunStatus
from proofgap_app.web import clerk
from proofgap_store import Ledger, NewWorker
from tests.app.restoring import wait_for
from tests.conformance.lives import ADA, settle
from tests.web.world import led


def test_where_nobody_works_but_over_http_the_server_looks_for_lost_workers(tmp_path):
    """Else the run of one that died is in progress for ever, and nobody can release its environment."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", owner=ADA.id) as ledger:
        settle(ledger)
        run = led(ledger, "queued")
        worker = ledger.fleet.register(NewWorker(name="over-http", lease_us=1_000_000), ADA).id
        claim = ledger.fleet.claim(worker, ADA, run=run)
        assert claim is not None
        said: list[str] = []
        with clerk.looking_for_lost(ledger, ADA, 0.1, said.append):
            wait_for(lambda: ledger.feed.look(run, ADA).record.status is RunStatus.FAILED)
        found = ledger.feed.look(run, ADA).record
        assert (EndReason.WORKER_LOST, []) == (found.details.end_reason, said)
        assert [True] == [held.needs_release for held in ledger.fleet.queue(ADA).held]
