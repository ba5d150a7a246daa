"""How far a restore into PostgreSQL is, as the server says it while the tool is at work; and servers that do not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Request
from proofgap_app.drivers.postgresql_progress import Copies, CopyWatch
from tests import postgresql
from tests.app.restoring import wait_for
from tests.app.tools.databases import ORDERS, PROGRAMS, dump, execute, one, program, shop

WAITS = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END$$;
CREATE TRIGGER waiting BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.id = 2900) EXECUTE FUNCTION wait();
"""
PATIENCE_S = 40


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give dumps of the shop, by their form."""
    folder = tmp_path_factory.mktemp("dumps")
    with shop() as url:
        found = {kind: dump(url, folder / kind, kind) for kind in ("custom", "tar", "directory")}
        found["as it is"] = dump(url, folder / "as-it-is", "directory", "--compress=0")
        found["rows"] = dump(url, folder / "rows.sql", "plain", "--data-only")
        return found


@pytest.fixture
def database(dumps: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a database with the empty tables of the shop, where almost the last of the orders waits for a lock."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
    with postgresql.database(empty=True) as url:
        subprocess.run([program("pg_restore"), "--schema-only", "-d", url, dumps["custom"]], check=True)
        execute(url, WAITS)
        yield url


@pytest.mark.parametrize("form", ["custom", "tar", "rows"])
def test_the_rows_of_a_table_are_counted_while_they_go_in(database: str, dumps: dict[str, Path], form: str) -> None:
    """The tool is silent meanwhile, or says only what it began with; the server has taken 64 KiB or more of the rows."""
    options = {} if form == "rows" else {"data-only": "yes"}
    driver, request = chosen(None, Request(backup=f"postgresql:{dumps[form]}", target=database, options=options))
    plan = driver.plan(request)
    told: list[tuple[int, int]] = []
    given_up_s = time.monotonic() + PATIENCE_S
    with psycopg.connect(database, autocommit=True) as lock:
        lock.execute("SELECT pg_advisory_lock(42)")

        def hear(size: int, items: int) -> None:
            told.append((size, items))
            if size >= 1 << 16 or time.monotonic() > given_up_s:
                lock.execute("SELECT pg_advisory_unlock(42)")

        done = driver.execute(
            plan, target_fingerprint=None, report=lambda _: None, progress=hear, should_stop=lambda: False
        )
    assert (done.exit_code, one(database, "SELECT count(*) FROM orders")) == (0, ORDERS)
    seen = [size for size, _ in told]
    assert max(seen) >= 1 << 16
    assert seen == sorted(seen)  # progress never goes back
    assert max(seen) <= sum(file.stat().st_size for file in dumps["as it is"].iterdir())


def test_the_total_is_known_where_names_and_sizes_say_it(database: str, dumps: dict[str, Path]) -> None:
    """A compressed member says nothing of its rows, and a custom archive has no names; unknown is not a guess."""
    totals = {}
    for form in ("tar", "as it is", "directory", "custom"):
        driver, request = chosen(None, Request(backup=f"postgresql:{dumps[form]}", target=database))
        totals[form] = driver.plan(request).bytes_total
    assert totals["tar"] == totals["as it is"]
    assert (totals["directory"], totals["custom"]) == (None, None)
    assert 0 < (totals["tar"] or 0) < dumps["rows"].stat().st_size


def test_a_server_that_lets_nobody_in_beside_the_tool_is_asked_no_more(database: str) -> None:
    """The role may have one connection, and the tool has it: progress goes by entries, as without a server that tells."""
    role = f"alone_{os.getpid()}"
    execute(database, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    target = psycopg.conninfo.make_conninfo(database, user=role)
    try:
        with psycopg.connect(target, application_name="the tool"):
            watch = CopyWatch(Request(backup="none", target=target), "the tool")
            watch.start()
            wait_for(lambda: not watch.is_asking)
            watch.end()
        assert watch.bytes == 0
    finally:
        execute(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_role_that_may_not_ask_is_told_nothing_and_asks_no_more(database: str) -> None:
    """The view can be taken away from everybody; then there is no progress of rows, and no error."""
    role = f"blind_{os.getpid()}"
    execute(database, f"CREATE ROLE {role} LOGIN")
    execute(database, "REVOKE SELECT ON pg_catalog.pg_stat_progress_copy FROM PUBLIC")
    try:
        target = psycopg.conninfo.make_conninfo(database, user=role)
        watch = CopyWatch(Request(backup="none", target=target), "the tool")
        watch.start()
        wait_for(lambda: not watch.is_asking)
        assert watch.bytes == 0
    finally:
        execute(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_copies_that_ended_are_added_to_those_that_run_at_once():
    """Three jobs, of which one goes on to another table and one ends; what is seen of a copy only grows."""
    copies, sizes = Copies(), []
    for seen in (
        {1: (10, 100), 2: (11, 50)},
        {1: (10, 200), 2: (12, 5), 3: (13, 1)},
        {1: (10, 30), 3: (13, 2)},
        {},
    ):
        copies.take(seen)
        sizes.append(copies.bytes)
    assert sizes == [150, 256, 287, 287]
