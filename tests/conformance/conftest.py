"""One suite for every database that a ledger can live in: a new one is one more line here, and one in `places`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proofgap_store import Ledger
from tests.conformance.faults import expose
from tests.conformance.lives import open_memory, settle
from tests.conformance.places import MEMBERS, OWNERS, PLACES


@contextmanager
def open_postgresql(folder, *groups: str) -> Iterator[Ledger]:
    """Open a ledger in a database of its own: as a superuser, or as a member of some roles who owns nothing there."""
    with PLACES["postgresql"](folder, *groups) as place, place.open() as opened:
        yield opened


BACKENDS = {
    "sqlite": lambda _folder, *_groups: open_memory(),
    "postgresql": open_postgresql,
}


@pytest.fixture(params=[*BACKENDS])
def ledger(request, tmp_path_factory):
    """A new ledger on each database, with everybody in their role."""
    groups = () if request.node.get_closest_marker("owner") else MEMBERS
    with BACKENDS[request.param](tmp_path_factory.mktemp("custody"), *groups) as opened:
        yield settle(opened)


@pytest.fixture(params=[*PLACES])
def place(request, tmp_path_factory):
    """A new ledger on each database that other processes can open too, with everybody in their role; nobody has it open."""
    groups = OWNERS if request.node.get_closest_marker("owner") else MEMBERS
    with PLACES[request.param](tmp_path_factory.mktemp("custody"), *groups) as made:
        with made.open() as opened:
            settle(opened)
        yield made


@pytest.fixture(params=[*PLACES])
def nowhere(request, tmp_path):
    """A place on each database where there is no ledger yet."""
    with PLACES[request.param](tmp_path, empty=True) as made:
        yield made


@pytest.fixture
def exposed(place):
    """The same, open, and its statements can be broken."""
    with place.open() as opened:
        yield expose(opened)
