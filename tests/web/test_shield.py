"""What every answer bears, whichever it is, and which requests come in at all."""

from __future__ import annotations

import pytest

from proofgap_store import Ledger
from tests.web.serving import served


@pytest.fixture(scope="module")
def site():
    """A site over an empty ledger, on which nobody is signed in."""
    with (
        Ledger.open("sqlite://", owner="ada") as ledger,
        served(ledger, lambda _settings: lambda _request: None) as client,
    ):
        yield client


def test_a_site_says_that_it_runs_and_can_work(site):
    assert [200, 200] == [site.get(path).status for path in ("/healthz", "/readyz")]
