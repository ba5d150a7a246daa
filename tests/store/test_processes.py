"""Many processes on one file, each with a run of its own: all of them come to their end, and the chain is whole."""

from __future__ import annotations

from tests.conformance.lives import ADA, chain_faults, log
from tests.store.children import live_alone, together


def test_eight_processes_with_runs_of_their_own_all_come_to_their_end(path, ledger):
    assert together(live_alone, path) == ["completed"] * 8
    assert chain_faults(log(ledger)) == []
    assert len(ledger.list_runs(ADA.id, ADA).rows) == 8
