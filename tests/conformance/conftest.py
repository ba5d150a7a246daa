"""One suite for every database that a ledger can live in: a new one is one more line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proofgap_store import Ledger
from tests import postgresql
from tests.conformance.lives import ADA, open_memory, settle


@contextmanager
def open_postgresql(folder, *groups: str) -> Iterator[Ledger]:
    """Open a ledger in a database of its own: as a superuser, or as a member of some roles who owns nothing there."""
    files = {"key": folder / "key", "head": folder / "head"}
    with postgresql.database() as url:
        login = postgresql.as_member(url, *groups) if groups else url
        with Ledger.open(login, owner=ADA.id, synchronous="NORMAL", **files) as opened:
            yield opened


BACKENDS = {
    "sqlite": lambda _folder, *_groups: open_memory(),
    "postgresql": open_postgresql,
}
MEMBERS = ("app", "sequencer", "privacy")
"""Roles that together can do all but prune: with them every test runs behind the second wall, unless it works on tables."""


@pytest.fixture(params=[*BACKENDS])
def ledger(request, tmp_path_factory):
    """A new ledger on each database, with everybody in their role."""
    groups = () if request.node.get_closest_marker("owner") else MEMBERS
    with BACKENDS[request.param](tmp_path_factory.mktemp("custody"), *groups) as opened:
        yield settle(opened)
