"""Restores as their users start them, and a look at what they leave behind: ledger, log, target and terminal.

Whatever a restore ends in, `Shell.last` holds it against the log and `Told.counts_are_true` against the target.
"""

from __future__ import annotations

import io
import json
import os
import select
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proofgap.audit import Actor
from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.facts import TERMINAL_RUN_STATUSES, EndReason
from proofgap.records import Item, PreviewFacts, RunDetails, SnapshotDetails
from proofgap_app.cli import run
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Driver, Plan, Preview, Progress, Request, no_progress
from proofgap_app.worker.restore import Restore
from proofgap_app.worker.stop import Stop
from proofgap_store import HistoryEvent, Ledger, NewRun, Receipt
from proofgap_store.clock import now_us
from proofgap_store.views import Page

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("fsm", "persistence", "app")]
FILES = {
    "a.txt": b"alpha\n",
    "b.bin": bytes(range(256)) * 300,
    "deep/er/c.txt": b"gamma\n" * 100,
    "deep/d.txt": b"delta\n",
}
TABLES = ("customer", "purchase")
FILE_KINDS = ("tar.gz", "tar", "zip", "directory")
KINDS = (*FILE_KINDS, "db", "sql")


@dataclass(frozen=True)
class Backup:
    """A backup, and what a target must hold that it was restored into."""

    path: Path
    contents: Mapping[str, bytes]
    is_database: bool = False

    def held(self, target: Path) -> set[str]:
        """Give the keys of all items that the target holds now exactly as the backup's source did."""
        if self.is_database:
            return {table for table in TABLES if rows(target, table) == json.loads(self.contents[table])}
        return {name for name, data in tree(target).items() if self.contents.get(name) == data}


def tree(root: Path) -> dict[str, bytes]:
    """Give everything below that is no directory, by name; of what is no regular file, only that it is there."""
    found = {}
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            is_plain = path.is_file() and not path.is_symlink()
            found[str(path.relative_to(root))] = path.read_bytes() if is_plain else b"(no file)"
    return found


def rows(database: Path, table: str) -> list[Any] | None:
    """Give the rows of a table, ``None`` where they cannot be read."""
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return [list(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]  # noqa: S608 - ours
    except sqlite3.DatabaseError:
        return None


def backup_of(kind: str, folder: Path, contents: Mapping[str, bytes] = FILES) -> Backup:
    """Make a backup of a kind."""
    if kind in {"db", "sql"}:
        return _database(kind, folder)
    source = folder / "source"
    for name, data in contents.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    if kind == "directory":
        return Backup(source, contents)
    path = folder / f"backup.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for name in contents:
                archive.add(source / name, name)
    return Backup(path, contents)


def _database(kind: str, folder: Path, customers: int = 2000) -> Backup:
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE purchase (id INTEGER PRIMARY KEY, what TEXT)")
        connection.executemany("INSERT INTO customer VALUES (?, ?)", [(n, f"customer {n}") for n in range(customers)])
        connection.executemany("INSERT INTO purchase VALUES (?, ?)", [(n, f"thing {n}" * 9) for n in range(500)])
        connection.commit()
        dump = "\n".join(connection.iterdump()) + "\n"
    contents = {table: json.dumps(rows(path, table)).encode() for table in TABLES}
    if kind == "sql":
        path = folder / "shop.sql"
        path.write_text(dump)
    return Backup(path, contents, is_database=True)


@dataclass(frozen=True)
class Ran:
    """What a command left behind in the terminal."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """See that nobody was told more than is known, or anything that steers a terminal."""
        said = "\n".join(line for line in self.out.splitlines() if "You cannot say" not in line) + self.err
        if self.out.startswith("{"):
            said = said.replace(json.dumps(FORBIDDEN_CLAIMS, separators=(",", ":")), "")
        assert not [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in said.lower()]
        assert "Traceback" not in said
        assert "error id" not in said
        assert (self.out + self.err).replace("\n", "").replace("\t", "").isprintable()


@dataclass(frozen=True)
class Told:
    """What the ledger says of a run."""

    run: dict[str, Any]
    decision: dict[str, Any]
    details: RunDetails
    items: list[Item]
    evidence: list[tuple[str, SnapshotDetails]]
    events: list[str]

    @property
    def ended(self) -> tuple[str, str, str | None]:
        """State, status and end reason."""
        return self.decision["state"], self.run["status"], self.run["end_reason"]

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the decision, without those that are zero."""
        counts = self.decision["result_summary"]["counts"] or {}
        return {name: count for name, count in counts.items() if count}

    @property
    def verdicts(self) -> list[tuple[str, str | None]]:
        """Status and verdict of each evidence snapshot."""
        return [(status, found.verdict) for status, found in self.evidence]

    def counts_are_true(self, backup: Backup, target: Path) -> None:
        """Hold the counts against the item rows, and the item rows against what is in the target now."""
        results = Counter(str(item.result) for item in self.items)
        assert {**results, "total": len(self.items)} == self.counts
        assert {item.key for item in self.items if item.result == "succeeded"} == backup.held(target)
        leftovers = list(target.parent.rglob(".proofgap-*"))
        assert leftovers == []


class Shell:
    """A ledger of its own, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger_file = folder / "ledger" / "l.db"
        self.url = f"sqlite:///{self.ledger_file}"
        self.target = folder / "target" / "place"
        self.target.parent.mkdir()

    def __call__(self, *arguments: object, **options: Any) -> Ran:
        """Run one command as a program."""
        process = self.start(*arguments, **options)
        return self.finish(process)

    def start(self, *arguments: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[bytes]:
        """Start one command as a program."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [*prefix, sys.executable, "-m", "proofgap_app", *map(str, arguments)]
        return subprocess.Popen(command, env=self.environment(), cwd=self.folder, **options)

    def environment(self) -> dict[str, str]:
        """Give the environment of a program."""
        ours = {"PROOFGAP_LEDGER": self.url, "PROOFGAP_LOG": "off", "PYTHONPATH": os.pathsep.join(ROOTS)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PROOFGAP_")}
        return kept | ours

    def finish(self, process: subprocess.Popen[bytes]) -> Ran:
        """Wait for the end of a program."""
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out.decode(), err.decode())

    def restore(self, backup: Backup | Path, *options: object, **more: Any) -> Ran:
        """Restore without a question, as a program whose exit code is the decision."""
        path = backup.path if isinstance(backup, Backup) else backup
        return self("restore", path, "--into", self.target, "--yes", "--exit-status", *options, **more)

    def restore_inside(self, backup: Backup | Path, *options: object) -> Ran:
        """Restore without a question, in this process."""
        path = backup.path if isinstance(backup, Backup) else backup
        return self.inside("restore", path, "--into", self.target, "--yes", "--exit-status", *options)

    def inside(self, *arguments: object) -> Ran:
        """Run one command in this process."""
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*map(str, arguments), "--ledger", self.url, "--log", "off"])
        out.seek(0)
        return Ran(int(code), out.read(), err.getvalue())

    def last(self) -> Told:
        """Tell what is recorded of the last run, after holding it against its log."""
        with Ledger.open(self.url, create=False) as ledger:
            record = ledger.list_runs(me().id, me()).rows[0].record
            history, items = ledger.history(record.id, me().id), list(_items(ledger, record.id))
        document = json.loads(self.inside("show", record.id, "--json").out)
        _agree(history, document)
        evidence = [(str(row.status), row.details) for row in record.evidence]
        events = [str(event.entry["data"].get("event")) for event in history if _moves_the_run(event)]
        return Told(document["run"], document["decision"], record.details, items, evidence, events)

    def runs(self) -> int:
        """Say how many runs the ledger holds; without a ledger, none."""
        if not self.ledger_file.exists():
            return 0
        with Ledger.open(self.url, create=False) as ledger:
            return len(ledger.list_runs(me().id, me()).rows)


AT_A_TERMINAL = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
"""Makes the handle that it is given the terminal of its process, and becomes another program there."""


class Terminal:
    """A restore at a terminal of its own, with somebody at the keyboard."""

    def __init__(self, shell: Shell, *arguments: object) -> None:
        self._screen, keyboard = os.openpty()
        self.shown = b""
        prefix = (sys.executable, "-S", "-c", AT_A_TERMINAL, str(keyboard))
        own = {"stdin": None, "stdout": None, "stderr": None, "pass_fds": (keyboard,)}
        self.process = shell.start(*arguments, prefix=prefix, **own)
        os.close(keyboard)

    def press(self, keys: bytes, after: str) -> None:
        """Wait until words are on the screen, then press keys."""
        while after.encode() not in self.shown:
            assert self._read(), self.shown
        os.write(self._screen, keys)

    def end(self) -> int:
        """Wait for the end; give the exit code."""
        while self._read():
            pass
        os.close(self._screen)
        return self.process.wait(timeout=30)

    def _read(self) -> bytes:
        if not select.select([self._screen], [], [], 30)[0]:
            pytest.fail(f"nothing happens: {self.shown!r}")
        try:
            read = os.read(self._screen, 4096)
        except OSError:  # the other side is closed
            return b""
        self.shown += read
        return read


def _items(ledger: Ledger, run_id: str) -> Iterator[Item]:
    page = Page()
    while items := ledger.items(run_id, me().id, page):
        yield from items
        page = Page(after=items[-1].key)


def _moves_the_run(event: HistoryEvent) -> bool:
    return event.entry["type"] in {"restore.run.created", "restore.run.transitioned"}


def _agree(history: list[HistoryEvent], document: dict[str, Any]) -> None:
    """See that the log is one unbroken chain, that every move has its projection, and that ``show`` says the same."""
    status, unprojected = None, False
    for event in history:
        entry, data = event.entry, event.entry["data"]
        if _moves_the_run(event):
            assert (data["source"], unprojected) == (status, False)
            assert status not in TERMINAL_RUN_STATUSES
            status, unprojected = data["target"], True
        if "decision" in data:
            unprojected = False
            last = data["decision"]
        assert [claim for claim in FORBIDDEN_CLAIMS if claim in json.dumps(entry)] in ([], [*FORBIDDEN_CLAIMS])
    assert not unprojected
    assert (status, last) == (document["run"]["status"], document["decision"])


@dataclass
class Witness:
    """Watches a restore in this process, and does something to it at one moment or other."""

    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    at_progress: dict[str, Callable[[], object]] = field(default_factory=dict)
    agreeing: Callable[[], bool] = lambda: True
    previewed_plans: list[Plan] = field(default_factory=list)
    blocks: list[tuple[EndReason, str]] = field(default_factory=list)

    def moved(self, receipt: Receipt) -> None:
        """Hear of an event."""

    def previewed(self, plan: Plan, preview: Preview) -> None:
        """Hear of the preview."""
        assert plan.selected >= preview.created
        self.previewed_plans.append(plan)

    def resumed(self, plan: Plan, shown: PreviewFacts) -> None:
        """Hear of what was previewed before."""
        assert plan.digest == shown.plan_digest
        self.previewed_plans.append(plan)

    def blocked(self, reason: EndReason, because: str) -> None:
        """Hear why the run ended before anything was written."""
        self.blocks.append((reason, because))

    def agrees(self, _plan: Plan, _shown: PreviewFacts) -> bool:
        """Say whether to go on."""
        return self.agreeing()

    def working(self, step: str, _total_bytes: int | None) -> Progress:
        """Do what was to be done before this step, and during it."""
        self.before.get(step, lambda: None)()
        action = self.at_progress.get(step)
        return no_progress if action is None else lambda _bytes, _items: action() and None


def carried_out(
    shell: Shell, backup: Backup, witness: Witness, *, stop: Stop | None = None, driver: Driver | None = None
) -> Told:
    """Restore in this process; what the restore raises is raised here, too."""
    with opened(shell) as ledger:
        restore = Restore(
            ledger=ledger,
            driver=driver or driver_for(None, backup.path),
            request=Request(backup=str(backup.path), target=str(shell.target)),
            actor=me(),
            watcher=witness,
            stop=stop or Stop(),
            clock=now_us,
        )
        restore.run(NewRun(details=RunDetails(backup=str(backup.path), target=str(shell.target))))
    return shell.last()


def opened(shell: Shell) -> Ledger:
    """Open the ledger of a shell, and make it where there is none."""
    shell.ledger_file.parent.mkdir(exist_ok=True)
    return Ledger.open(shell.url, owner=me().id)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("what was waited for did not happen in time")
        time.sleep(0.003)


def somebody_else() -> Actor:
    """Give another person."""
    return Actor(id="d.weber", via="cli")
