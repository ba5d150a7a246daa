"""docs/http-api.md: its tables are those of the code, and its scripts work as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proofgap.access import MAY, Role
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_app.web import site
from proofgap_app.web.people import identify
from proofgap_app.web.problems import MEANINGS
from proofgap_app.web.site_settings import Limits, SiteSettings
from proofgap_store import Ledger, NewRun, NewToken
from tests.conformance.lives import ADA, HOME
from tests.web.serving import served

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
ROUTES = [route for route in site.routes_of(SiteSettings(origin="http://127.0.0.1:1")) if not route.is_page]


def block(language, number=-1):
    """Give a block of the page that is written in a language; the last one, unless it is asked for another."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[number]


def roles(route):
    """Say which roles may."""
    may = frozenset().union(*(MAY[action] for action in route.asks))
    if not may:
        return str(route.scope)
    return "every role" if may == {*Role} else ", ".join(sorted(may))


def route_rows():
    """Give the rows of the table of routes."""
    return [f"| `{route.method} {route.path}` | {route.summary} | {roles(route)} |" for route in ROUTES]


def problem_rows():
    """Give the rows of the table of problems."""
    return [
        f"| `{code}` | {meaning.status} | {meaning.title}. {meaning.remedy} |" for code, meaning in MEANINGS.items()
    ]


@pytest.mark.parametrize("rows", [route_rows, problem_rows])
def test_a_table_of_the_page_is_the_one_of_the_code(rows):
    lines = PAGE.read_text("utf-8").splitlines()
    begins = lines.index(rows()[0])
    assert rows() == lines[begins : begins + len(rows())]
    assert not lines[begins + len(rows())].startswith("|")


@pytest.fixture
def waiting(tmp_path):
    """A served ledger in which a run waits that copies a folder, and what a worker needs to know."""
    source = tmp_path / "backup"
    (source / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (source / name).write_text(name)
    details = RunDetails(backup=str(source), target=str(tmp_path / "target"))
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", owner=ADA.id, synchronous="NORMAL") as ledger:
        run = ledger.create(NewRun(details=details), ADA).run_id
        for event in ("scope", "check", "preview", "queue"):
            ledger.fire(run, RunEvent(event), ADA)
        new = NewToken(
            name="w",
            workspace=HOME[0],
            environment=HOME[1],
            roles=(Role.WORKER,),
            expires_at_us=ledger._clock() + 10**9,
        )
        secret = ledger.sessions.create_token(new, ADA).secret
        limits = Limits(wait_seconds_max=0.05)
        with served(ledger, lambda settings: identify(ledger, settings), limits=limits, poll_seconds=0.05) as client:
            api = f"http://127.0.0.1:{client.port}/v1/workspaces/default"
            yield ledger, run, {**os.environ, "PROOFGAP_API": api, "PROOFGAP_TOKEN": secret}


def test_the_worker_in_python_is_short_and_restores_what_is_queued(waiting, tmp_path):
    ledger, run, environment = waiting
    worker = block("py")
    assert 40 >= len(worker.splitlines())
    done = subprocess.run(
        [sys.executable, "-I", "-c", worker], env=environment, capture_output=True, check=False, text=True
    )
    assert 0 == done.returncode, done.stderr
    shown = ledger.show(run, ADA.id, ADA)
    assert ("completed_with_evidence", 2) == (shown.decision.state, shown.decision.result_summary.counts.total)
    assert "deep/b.txt" == (tmp_path / "target" / "deep" / "b.txt").read_text()
    assert () == ledger.fleet.queue(ADA).workers


def test_the_worker_in_shell_does_so_too(waiting, tmp_path):
    ledger, run, environment = waiting
    done = subprocess.run(
        ["sh", "-eu", "-c", block("sh")], env=environment, capture_output=True, check=False, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    shown = ledger.show(run, ADA.id, ADA)
    assert (
        "completed_proof_incomplete" == shown.decision.state
    )  # it reports no items and adds no evidence, and nobody says more
    assert "a.txt" == (tmp_path / "target" / "a.txt").read_text()


def test_a_run_is_created_and_queued_in_shell_and_twice_is_once(waiting):
    ledger, _, environment = waiting
    for _again in range(2):
        done = subprocess.run(
            ["sh", "-eu", "-c", block("sh", 0)], env=environment, capture_output=True, check=False, text=True
        )
        assert 0 == done.returncode, done.stdout + done.stderr
    rows = [row.record for row in ledger.list_runs(ADA.id, ADA).rows if row.record.details.target == "/srv/restored"]
    assert [("queued", "/srv/backup")] == [(row.status, row.details.backup) for row in rows]
