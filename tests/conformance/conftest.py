"""One suite for every database that a ledger can live in: a new one is one more line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proofgap_store import Ledger
from tests import postgresql
from tests.conformance.lives import ADA, open_memory, settle


@contextmanager
def open_postgresql(folder) -> Iterator[Ledger]:
    """Open a ledger in a database of its own, owned by ada."""
    with (
        postgresql.database() as url,
        Ledger.open(url, owner=ADA.id, synchronous="NORMAL", key=folder / "key", head=folder / "head") as opened,
    ):
        yield opened


BACKENDS = {"sqlite": lambda _folder: open_memory(), "postgresql": open_postgresql}


@pytest.fixture(params=[*BACKENDS])
def ledger(request, tmp_path_factory):
    """A new ledger on each database, with everybody in their role."""
    with BACKENDS[request.param](tmp_path_factory.mktemp("custody")) as opened:
        yield settle(opened)
