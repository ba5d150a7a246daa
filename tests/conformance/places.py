"""Where a ledger can be that other processes open, too: in a file, or on a server. A new database is one more class here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import make_url

from proofgap_store import InlineDispatcher, Ledger, ProcrastinateDispatcher, RunDispatcher
from tests import postgresql
from tests.conformance.lives import ADA

MEMBERS = ("app", "sequencer", "privacy")
"""Roles that together can do all but prune: with them every test runs behind the second wall, unless it works on tables."""
OWNERS = ("owner", *MEMBERS)


class Place(NamedTuple):
    """The address of a ledger, and its key file and head file, which lie in one folder."""

    url: str
    key: Path
    head: Path

    @property
    def is_on_server(self) -> bool:
        """Whether it is on a server, and not in a file."""
        return not self.url.startswith("sqlite")

    def open(self, synchronous: str = "NORMAL") -> Ledger:
        """Open the ledger, and create it where there is none; what is queued goes the way that is usual there."""
        ledger = Ledger.open(self.url, owner=ADA.id, synchronous=synchronous, key=self.key, head=self.head)
        ledger.fleet.deliver_by(self._dispatcher())
        return ledger

    def _dispatcher(self) -> RunDispatcher:
        return ProcrastinateDispatcher(self.url) if self.is_on_server else InlineDispatcher()

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Place]:
        """Copy a ledger that nobody has open, with the files beside it."""
        shutil.copytree(self.key.parent, folder, ignore=lambda _folder, names: [n for n in names if "ledger" not in n])
        if not self.is_on_server:
            yield in_file(folder / "ledger.db")
            return
        url = make_url(self.url)
        with postgresql.database(like=url.database) as made:
            copy = url.set(database=make_url(made).database).render_as_string(hide_password=False)
            yield Place(copy, *_beside(folder / "ledger"))


def in_file(path: Path) -> Place:
    """Name a ledger in a file."""
    return Place(f"sqlite:///{path}", *_beside(path))


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.key"), path.with_name(f"{path.name}.head")


@contextmanager
def _file(folder: Path, *_groups: str, empty: bool = False) -> Iterator[Place]:
    yield in_file(folder / "ledger.db")


@contextmanager
def _server(folder: Path, *groups: str, empty: bool = False) -> Iterator[Place]:
    """Give a database of its own: for a superuser, or for a member of some roles."""
    with postgresql.database(empty=empty) as url:
        yield Place(postgresql.as_member(url, *groups) if groups else url, *_beside(folder / "ledger"))


PLACES = {"sqlite": _file, "postgresql": _server}
