"""One suite for every database that a ledger can live in: a new one is one more line here."""

from __future__ import annotations

import pytest

from tests.conformance.lives import open_memory, settle

BACKENDS = {"sqlite": open_memory}


@pytest.fixture(params=[*BACKENDS])
def ledger(request):
    """A new ledger on each database, with everybody in their role."""
    with BACKENDS[request.param]() as opened:
        yield settle(opened)
