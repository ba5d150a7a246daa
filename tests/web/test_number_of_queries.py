"""How much is there changes nothing in how often the ledger is asked for a page."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item
from proofgap_store import Ledger
from tests.conformance.lives import ADA, HOME, live, prove
from tests.web.serving import served
from tests.web.world import led, named

OF_RUN = ("", *(f"/{page}" for page in (
    *("events", "items", "evidence", "operation", "failure", "blocker", "proof-gap", "preview", "preparation"),
    *("cancel", "retry"),
)))  # fmt: skip
ANYWHERE = (
    "/runs",
    "/audit",
    "/new",
    "/metrics",
    "/v1/workspaces/default/restore-runs",
    "/v1/workspaces/default/queue",
)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", owner=ADA.id, synchronous="NORMAL") as ledger:
        yield ledger


def ended(ledger, environment, items):
    """Lead a run with so many items to its end, and collect evidence about it as often."""
    ledger.access.declare_environment((HOME[0], environment), ADA)
    run = live(ledger, "running", environment=environment)
    ledger.fire(run, RunEvent.REPORT, ADA, items=[Item(key=f"k{n}", result=ItemResult.SUCCEEDED) for n in range(items)])
    ledger.fire(run, RunEvent.COMPLETE, ADA)
    for number in range(items):
        prove(ledger, run, captured_at_us=1_000 + number)
    return run


def test_a_page_asks_the_ledger_as_often_of_many_runs_items_and_events_as_of_few(ledger):
    said = []

    def told(connection, *_):
        connection.set_trace_callback(lambda statement: statement.startswith("--") or said.append(statement))

    event.listen(ledger._gate.engine, "checkout", told)
    few = ended(ledger, "few", 1)
    with served(ledger, named) as client:

        def asked(run):
            """Count statements for each page, once somebody has looked at it before."""
            counts = {}
            for path in (*(f"/runs/{run}{page}" for page in OF_RUN), *ANYWHERE, "/nothing"):
                for _ in range(2):
                    said.clear()
                    found = client.get(path, Accept="text/html", Authorization="Bearer ada")
                    assert found.status in {200, 404}
                counts[path.replace(run, "run")] = len(said)
            return counts

        before = asked(few)
        many = ended(ledger, "many", 12)
        for status in ("draft", "previewed", "queued", "running", "failed", "cancelled") * 3:
            led(ledger, status)
        assert before == asked(many) == asked(few)
        assert min(before.values()) > 0
