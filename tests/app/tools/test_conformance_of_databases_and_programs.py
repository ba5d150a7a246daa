"""The drivers for PostgreSQL and for programs of the user's are held to what is asked of everybody's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from proofgap_app.drivers.base import Request
from proofgap_app.drivers.command import CommandDriver
from proofgap_app.drivers.conformance import DriverConformance, Scene
from proofgap_app.drivers.postgresql import PostgresqlDriver
from tests import postgresql
from tests.app.restoring import tree
from tests.app.tools.databases import PROGRAMS, dump, execute, one, program, shop
from tests.app.tools.test_command import example

CANARY = "canary-Kp42-secret"
TABLES = {
    name: f"CREATE TABLE {name} (n integer PRIMARY KEY, t text); INSERT INTO {name} SELECT n, '{name} ' || n FROM generate_series(1, 40) n"  # noqa: S608 - ours
    for name in ("part", "whole")
}
FILES = {"a.txt": b"alpha\n", "deep/b.txt": b"beta\n" * 50}


def secret_file(folder: Path) -> Path:
    """Write the secret where the driver is told to look for it."""
    file = folder / "secret"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o600)
    return file


class OfPostgresql(Scene):
    """A dump of two tables, and an empty database."""

    driver = PostgresqlDriver
    secret = CANARY

    def __init__(self, folder: Path, url: str) -> None:
        self.url, self.path = url, folder / "shop.dump"
        with shop("; ".join(TABLES.values())) as source:
            dump(source, self.path, "custom")
            self.digests = {name: self._digest(source, name) for name in TABLES}
        self.request = Request(backup=str(self.path), target=url, password_file=secret_file(folder))
        listed = subprocess.run([program("pg_restore"), "-l", self.path], check=True, capture_output=True, text=True)
        lines = [line.split(" ", 3) for line in listed.stdout.splitlines() if not line.startswith(";")]
        self.entries = {f"{number.rstrip(';')} {text}": text for number, _, _, text in lines}

    @staticmethod
    def _digest(url: str, table: str) -> str | None:
        with psycopg.connect(url, autocommit=True) as connection:
            try:
                row = connection.execute(f"SELECT md5(string_agg(t::text, ',' ORDER BY n)) FROM {table} t").fetchone()  # type: ignore[call-overload]  # noqa: S608 - ours
            except psycopg.errors.UndefinedTable:
                return None
        return row and row[0]

    def _holds(self, text: str) -> bool:
        name = next(name for name in TABLES if name in text.split())
        if text.startswith("TABLE DATA"):
            return self._digest(self.url, name) == self.digests[name]
        there = f"{name}_pkey" if text.startswith("CONSTRAINT") else name
        return one(self.url, f"SELECT to_regclass('{there}')") is not None

    def held(self) -> set[str]:
        """Give the entries whose table, rows or key are there."""
        return {key for key, text in self.entries.items() if self._holds(text)}

    def seen(self) -> object:
        """Give all names and rows."""
        names = one(
            self.url,
            "SELECT array_agg(relname::text ORDER BY 1) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        )
        return names, [self._digest(self.url, name) for name in TABLES]

    def spoil(self) -> None:
        """Change one row."""
        execute(self.url, "UPDATE part SET t = 'part X' WHERE n = 7")

    def lose(self) -> None:
        """Take the dump away."""
        self.path.unlink()


class TestPostgresql(DriverConformance):
    """Our driver for PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _database(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
        with postgresql.database(empty=True) as url:
            self.url = url
            yield

    def scene(self, folder: Path) -> Scene:
        """Give a dump and a database."""
        return OfPostgresql(folder, self.url)


class OfProgram(Scene):
    """A directory of files, restored by the script of the documentation."""

    driver = CommandDriver
    secret = CANARY

    def __init__(self, folder: Path) -> None:
        self.backup, self.target = folder / "backup", folder / "target"
        for name, data in FILES.items():
            (self.backup / name).parent.mkdir(parents=True, exist_ok=True)
            (self.backup / name).write_bytes(data)
        wanted = Request(
            backup=str(self.backup),
            target=str(self.target),
            options={"program": "copy-files"},
            password_file=secret_file(folder),
        )
        self.request = self.driver().settled(wanted)

    def held(self) -> set[str]:
        """Give the files that are there as they were."""
        return {name for name, data in tree(self.target).items() if FILES.get(name) == data}

    def seen(self) -> object:
        """Give all files."""
        return tree(self.target)

    def spoil(self) -> None:
        """Change one file."""
        (self.target / "a.txt").write_bytes(b"aXpha\n")

    def lose(self) -> None:
        """Take the directory away."""
        shutil.rmtree(self.backup)


class TestCommand(DriverConformance):
    """Our driver for programs of the user's."""

    @pytest.fixture(autouse=True)
    def _programs(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        programs = tmp_path_factory.mktemp("programs")
        (programs / "copy-files").write_text(example())
        (programs / "copy-files").chmod(0o755)
        monkeypatch.setenv("PROOFGAP_COMMANDS", str(programs))

    def scene(self, folder: Path) -> Scene:
        """Give files and a script."""
        return OfProgram(folder)
