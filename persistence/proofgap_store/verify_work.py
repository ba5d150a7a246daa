"""Reading every payload: in the order of the tree, and in the order of the streams; by one process, or shared out.

Owns how the work is cut. Every part is whole in itself (leaves by number, streams by name), so parts that are read in
other processes, each on a snapshot of its own, need nothing of each other, and writers at work give no false alarm.
Refuses to know what is checked.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import URL

from proofgap.errors import BadInputError
from proofgap.findings import Code, Finding
from proofgap.replay import Report
from proofgap_store.dialect import SQLITE, Connection
from proofgap_store.engine import UnavailableError, address, connected, make_engine, rows, transaction, unavailable
from proofgap_store.schema import REVISION, revision
from proofgap_store.sqlite_library import sqlite
from proofgap_store.verification import Findings
from proofgap_store.verify_streams import Streams
from proofgap_store.verify_tree import check_payloads

Progress = Callable[[int, int], None]
"""Told how many events were read, and of how many."""

_TOLD_EVERY = 500
_PIECES_PER_JOB = 4
_COUNT = "SELECT count(*) AS n FROM audit_event"
_BOUNDARY = "SELECT event_id FROM audit_leaf WHERE idx = :idx"
_CUTS = "SELECT stream FROM audit_stream ORDER BY stream LIMIT 1 OFFSET :place"
_STREAMS = "SELECT count(*) AS n FROM audit_stream"


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """Open a ledger for reading only, in one snapshot.

    Raises:
        BadInputError, UnavailableError: as for `verify_file`.

    """
    parsed = address(url)
    way = _file(parsed) if parsed.drivername == SQLITE.name else _server(url)
    with way as connection, transaction(connection, writes=False):
        if revision(connection) != REVISION:
            raise UnavailableError(f"its schema is {revision(connection)}", "Bring it up with: proofgap db upgrade.")
        yield connection


@contextmanager
def _file(parsed: URL) -> Iterator[Connection]:
    if not parsed.database or parsed.database == ":memory:":
        raise BadInputError("ledger", f"{str(parsed)!r} is no file of a ledger", "Use sqlite:///FILE.")
    try:
        connection = sqlite.connect(f"file:{quote(parsed.database)}?mode=ro", uri=True, isolation_level=None)
    except sqlite.Error as error:
        raise unavailable(error) from error
    connection.text_factory = _text
    with closing(connection):
        connection.execute("PRAGMA query_only = ON")
        yield connection


@contextmanager
def _server(url: str) -> Iterator[Connection]:
    engine = make_engine(url)
    try:
        with connected(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def _text(stored: bytes) -> str:
    """Read stored text, whatever became of its bytes: what is no UTF-8 is kept apart, and found where it matters."""
    return stored.decode("utf-8", "surrogateescape")


class Work(NamedTuple):
    """What a deep look has to go through, and by how many."""

    connection: Connection
    since: int
    size: int
    jobs: int
    url: str | None

    def boundary(self) -> int | None:
        """Give the number of the last event that was verified before."""
        if self.since == 0:
            return None
        number: int = rows(self.connection, _BOUNDARY, idx=self.since - 1)[0]["event_id"]
        return number

    def pieces(self, jobs: int) -> list[_Piece]:
        """Share the work out: leaves by number, streams by name."""
        count, boundary = rows(self.connection, _STREAMS)[0]["n"], self.boundary()
        names = [rows(self.connection, _CUTS, place=count * n // jobs)[0]["stream"] for n in range(1, jobs) if count]
        cuts = ["", *sorted(set(names)), None]
        steps = [self.since + (self.size - self.since) * n // jobs for n in range(jobs + 1)]
        leaves = [_Piece(range(*pair), None, None, None) for pair in pairwise(steps)]
        streams = [_Piece(None, after, upto, boundary) for after, upto in pairwise(cuts)]
        return leaves + streams

    def read_all(self, report: Findings, progress: Progress) -> None:
        """Read every payload twice, in the order of the tree and in the order of the streams."""
        total = self.size - self.since + rows(self.connection, _COUNT)[0]["n"]
        if self.jobs > 1 and self.url is not None:
            _shared_out(self, report, progress, total)
        else:
            for done, _ in enumerate((n for piece in self.pieces(1) for n in piece.run(self.connection, report)), 1):
                if done % _TOLD_EVERY == 0:
                    progress(done, total)
        progress(total, total)


class _Piece(NamedTuple):
    """A part of the work: leaves, or streams after one name and up to another."""

    leaves: range | None
    after: str | None
    upto: str | None
    since: int | None

    def run(self, connection: Connection, report: Report) -> Iterator[int]:
        """Do it; yields after each event."""
        if self.leaves is not None:
            return check_payloads(connection, self.leaves, report)
        return Streams(connection, report).walk(self.after or "", self.upto, self.since)


def _shared_out(work: Work, report: Findings, progress: Progress, total: int) -> None:
    pieces, done = work.pieces(work.jobs * _PIECES_PER_JOB), 0
    with ProcessPoolExecutor(work.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for counts, kept, events in pool.map(_in_process, [str(work.url)] * len(pieces), pieces):
            report.merge(counts, kept)
            done += events
            progress(min(done, total), total)


def _in_process(url: str, piece: _Piece) -> tuple[Counter[Code], list[Finding], int]:
    """Do a part of the work in a process of its own, on a snapshot of its own: no part looks beyond itself."""
    with reading(url) as connection:
        report = Findings(connection)
        events = sum(1 for _ in piece.run(connection, report))
    return report.counts, report.kept, events
