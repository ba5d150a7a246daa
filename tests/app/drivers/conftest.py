"""Real backups, real targets, and one call that takes a backup through all four steps."""

from __future__ import annotations

import hashlib
import io
import os
import random
import sqlite3
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proofgap.effects import summary
from proofgap.outcome import Outcome, outcome_of
from proofgap.records import Check, Item, SnapshotDetails
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import Execution, Plan, Preview, Request

FILES = {
    "a.txt": b"alpha\n",
    "b.bin": bytes(range(256)) * 4096,
    "deep/er/c.txt": b"gamma\n",
    "deep/d.txt": b"",
    "e.txt": b"epsilon " * 5000,
}


@dataclass
class Ran:
    """What the four steps gave."""

    plan: Plan
    preview: Preview
    execution: Execution
    items: dict[str, Item]
    evidence: SnapshotDetails
    checks: tuple[Check, ...]
    can_activate: bool
    outcome: Outcome

    def ended(self, *keys: str) -> list[tuple[str, str | None]]:
        """Give result and reason of the items with these keys."""
        return [(str(self.items[key].result), self.items[key].reason_code) for key in keys]


@dataclass
class Stop:
    """A request to stop that comes after so many questions."""

    after: int
    asked: int = field(default=0)

    def __call__(self) -> bool:
        """Say whether to stop by now."""
        self.asked += 1
        return self.asked > self.after


def go(  # noqa: PLR0913 - a test names only what it is about
    backup: Path,
    target: Path,
    *,
    manifest: Path | None = None,
    overwrite: bool = False,
    select: tuple[str, ...] = (),
    expects_nothing: bool = False,
    stop: Callable[[], bool] = lambda: False,
    between: Callable[[], object] = lambda: None,
    afterwards: Callable[[], object] = lambda: None,
) -> Ran:
    """Plan, preview, execute and collect; check on the way what must hold for every run."""
    request = Request(
        backup=str(backup),
        target=str(target),
        manifest=manifest,
        overwrite=overwrite,
        select=select,
        expects_nothing=expects_nothing,
    )
    driver = driver_for(None, backup)
    plan = driver.plan(request)
    before = tree(target)
    preview = driver.preview(plan)
    assert before == tree(target), "a preview wrote to the target"
    shares = (preview.created, preview.overwritten, preview.unchanged, preview.skipped, preview.unavailable)
    assert plan.selected == sum(shares)
    between()
    reported: list[Item] = []
    ticks: list[tuple[int, int]] = []
    execution = driver.execute(
        plan,
        target_fingerprint=preview.target_fingerprint,
        report=reported.append,
        progress=lambda done, items: ticks.append((done, items)),
        should_stop=stop,
    )
    assert sorted(item.key for item in plan.items) == sorted(item.key for item in reported)
    assert ticks == sorted(ticks)
    assert not list(target.rglob("*.part")) if target.is_dir() else True
    afterwards()
    report = driver.collect(plan)
    evidence = summary(report.found, report.checks)
    outcome = outcome_of(execution.facts(cancel_requested=stop() if isinstance(stop, Stop) else False))
    return Ran(
        plan,
        preview,
        execution,
        {item.key: item for item in reported},
        evidence,
        report.checks,
        report.can_activate,
        outcome,
    )


def tree(root: Path) -> dict[str, tuple[str, bytes, int]]:
    """Give kind, content and permissions of everything below, by name."""
    found: dict[str, tuple[str, bytes, int]] = {}
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[str(path.relative_to(root))] = ("link", os.fsencode(path.readlink()), 0)
        elif stat.S_ISDIR(mode):
            found[str(path.relative_to(root))] = ("directory", b"", stat.S_IMODE(mode))
        elif stat.S_ISREG(mode):
            found[str(path.relative_to(root))] = ("file", path.read_bytes(), stat.S_IMODE(mode))
        else:
            found[str(path.relative_to(root))] = ("special", b"", 0)
    return found


def names_in(path: Path) -> list[str]:
    """Give the names in a directory."""
    return sorted(child.name for child in path.iterdir())


def sums(contents: dict[str, bytes], path: Path) -> Path:
    """Write a SHA-256 manifest."""
    path.write_text("".join(f"{hashlib.sha256(data).hexdigest()}  ./{name}\n" for name, data in contents.items()))
    return path


def tar_of(source: Path, path: Path, mode: str = "w") -> Path:
    """Pack a directory."""
    with tarfile.open(path, mode) as archive:
        archive.add(source, ".")
    return path


def zip_of(contents: dict[str, bytes], path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack contents."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a directory with files, an empty directory and a symbolic link."""
    root = tmp_path / "source"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "a.txt").chmod(0o640)
    (root / "hollow").mkdir(mode=0o750)
    (root / "deep").chmod(0o711)
    (root / "deep/link").symlink_to("../a.txt")
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give a path that does not exist yet."""
    return tmp_path / "target"


def _mount(place: Path, *options: str) -> None:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test needs the right to mount (run it as root, or with CAP_SYS_ADMIN): {done.stderr}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a disk of 512 KiB."""
    place = tmp_path / "small"
    _mount(place, "-t", "tmpfs", "-o", "size=512k", "tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory that nobody can write to, not even root."""
    place = tmp_path / "frozen"
    _mount(place, "-t", "tmpfs", "-o", "size=512k,ro", "tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


SCHEMA = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, photo BLOB, balance REAL);
CREATE TABLE "odd "" name" (a TEXT PRIMARY KEY, b) WITHOUT ROWID;
CREATE TABLE purchase (rowid TEXT, customer REFERENCES customer);
CREATE INDEX by_name ON customer (name);
CREATE TRIGGER noted AFTER DELETE ON customer BEGIN DELETE FROM purchase WHERE customer = old.id; SELECT 1; END;
"""
TABLES = ["customer", 'odd " name', "purchase"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a database with three tables, all storage classes, and 2,000 rows."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        rows = [(number, f"customer {number}; 'x'\n", bytes([number % 256]) * 40, number / 3) for number in range(2000)]
        connection.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO \"odd \"\" name\" VALUES ('k', NULL), ('l', 1), ('m', 1.0), ('n', '1')")
        connection.execute("INSERT INTO purchase VALUES ('r', 7)")
        connection.commit()
    return path


@pytest.fixture
def dump(database: Path, tmp_path: Path) -> Path:
    """Give the same database as SQL text."""
    path = tmp_path / "shop.sql"
    with closing(sqlite3.connect(database)) as connection:
        path.write_text("\n".join(connection.iterdump()) + "\n")
    return path


def rows(path: Path) -> list[tuple[object, ...]]:
    """Give the customers."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM customer ORDER BY id").fetchall()


def change(path: Path, statement: str) -> None:
    """Execute one statement in a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def noise(size: int, seed: int) -> bytes:
    """Give bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - no secret


CONTENTS = {f"f{number}": noise(20_000, number) for number in range(10)}


def tar_with(contents: dict[str, bytes], path: Path, mode: str = "w") -> Path:
    """Pack contents in order."""
    with tarfile.open(path, mode) as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def cut(path: Path, size: int) -> Path:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[:size])
    return path


def flip(path: Path, at: int) -> Path:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    return path
