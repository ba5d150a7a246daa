"""One world for all tests of a module: they read it, and change only runs of their own."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from proofgap_app.web.bell import Bell
from proofgap_store import Ledger
from tests.conformance.lives import ADA
from tests.web.serving import served
from tests.web.world import World, named, populate


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A served ledger in a file, with two workspaces and a run in every state."""
    path = tmp_path_factory.mktemp("world") / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id, synchronous="NORMAL") as ledger:
        runs = populate(ledger)
        with served(ledger, named, poll_seconds=0.05) as client:
            yield World(ledger, client, runs)


class Waits(NamedTuple):
    """Who began to wait, and who waits no longer: each by the event after which they waited."""

    begun: list[int]
    over: list[int]


@pytest.fixture
def waits(monkeypatch):
    """Give what grows whenever somebody begins to wait, or ends."""
    waits, wait = Waits([], []), Bell.wait

    async def counted(self, after, seconds):
        waits.begun.append(after)
        try:
            await wait(self, after, seconds)
        finally:
            waits.over.append(after)

    monkeypatch.setattr(Bell, "wait", counted)
    return waits
