"""``make demo``, run in an empty folder, and run there again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap_app.cli.ledgers import me
from proofgap_store import Ledger
from tests.app.restoring import ROOTS

STATES = ["completed_with_evidence", "not_executed", "needs_review", "completed_with_evidence"]
"""Of the four restores, newest first, as the person sees them who started them."""

SHEETS = [
    "Completed with evidence available",
    "Completed with items needing review",
    "Not executed",
    "Completed with evidence available",
    "Completed, recovery proof incomplete",  # the last one, as a guest is shown it
]
SMALLER = """
from proofgap_app import demo
everything = demo._standard_library
demo._standard_library = lambda: (row for row in everything() if row[0].startswith(("json/", "xml/")))
demo.main()
"""


def run_demo(folder: Path, *how: str) -> str:
    """Run the demo as a program, with the settings of somebody who uses proofgap already; give what it prints."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "PROOFGAP_WORKSPACE": "my-own"}
    done = subprocess.run(
        [sys.executable, *how], cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def says_what_it_did(shown: str) -> None:
    """See the five sheets in their order, the whole event log, and no claim that is forbidden."""
    lines = shown.splitlines()
    assert [line for line in lines if line in SHEETS] == SHEETS
    log = [line for line in lines if re.match(r" +\d+  20\d\d-[-\d]+T[:.\d]+Z  restore\.", line)]
    assert "restore.run.created" in log[0]
    assert "completed_proof_incomplete, rule 8, for m.guest (show)" in log[-1]
    moves = [line for line in log if "transitioned" in line]
    assert sum("restore.run." in line for line in moves) == 7
    assert any("generating -> active (activate)" in line for line in moves)
    said = [line for line in lines if "You cannot say" not in line]
    assert not [claim for claim in FORBIDDEN_CLAIMS if claim in "\n".join(said)]


def can_be_typed(folder: Path, shown: str) -> None:
    """Type what the demo says must come first, then a command that it shows, in a shell that knows of neither."""
    lines = shown.splitlines()
    ledger = next(line for line in lines if line.startswith("export PROOFGAP_LEDGER="))
    program = next(line for line in lines if line.startswith("alias proofgap="))
    command = next(line for line in lines if line.startswith("$ proofgap show ")).removeprefix("$ ")
    assert lines.index(program) < next(n for n, line in enumerate(lines) if line.startswith("$ proofgap"))
    typed = f"shopt -s expand_aliases\n{ledger}\n{program}\n{command}\nproofgap list\n"
    env = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(ROOTS), "PROOFGAP_LOG": "off"}
    done = subprocess.run(
        ["/bin/bash"], input=typed, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, SHEETS[-1] in done.stdout) == (0, True), done.stderr


@pytest.mark.timeout(600)
def test_the_demo_works_and_works_again_in_the_same_folder(tmp_path: Path) -> None:
    """The first pass is the real one; the second, into the same ledger, restores fewer files of the library, to be quick."""
    shown = run_demo(tmp_path, "-m", "proofgap_app.demo")
    says_what_it_did(shown)
    can_be_typed(tmp_path, shown)
    says_what_it_did(run_demo(tmp_path, "-c", SMALLER))
    with Ledger.open(f"sqlite:///{tmp_path}/.demo/ledger.db", create=False) as ledger:
        rows = ledger.list_runs(me().id, me()).rows
    assert [str(row.decision.state) for row in rows] == STATES * 2
    assert not list(tmp_path.rglob("nowhere"))
    assert [path.name for path in tmp_path.iterdir()] == [".demo"]
