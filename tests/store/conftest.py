"""Ledgers in files, for what only SQLite does."""

from __future__ import annotations

import pytest

from proofgap_store import Ledger
from tests.conformance.lives import ADA, settle


@pytest.fixture
def path(tmp_path):
    """A place for a ledger."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    """A new ledger in a file, with everybody in their role."""
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id, synchronous="NORMAL") as opened:
        yield settle(opened)
