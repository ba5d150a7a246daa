"""No log line, export, bundle or command says one of the forbidden claims of a run in any state, but where it forbids them."""

from __future__ import annotations

import json
import re
import zipfile
from itertools import product

import pyarrow.parquet
import pytest

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap_app import logs
from proofgap_app.cli.problems import Exit
from proofgap_app.settings import LogStyle
from proofgap_store import Ledger
from proofgap_store.formats import ExportFormat
from tests.browser.reading import text_of
from tests.browser.world import STATES, make_states
from tests.conformance.lives import ADA, settle

LISTED = re.compile(
    r"(?i)(?:forbidden|you cannot say|must not be claimed)\W{1,20}" + r"\W{1,12}".join(FORBIDDEN_CLAIMS)
)
"""The list of what is forbidden, in whatever quotes."""

OF_A_RUN = (
    "decision why {}", "decision why {} --json", "decision history {}", "audit list --run {}", "audit list --run {} --json",
    "audit as-seen --actor ada --run {}", "diagram --run {}", "run queue {} --if-version 999", "run queue {} --if-version 999 --json",
)  # fmt: skip
"""Beside what `test_commands` asks in every state."""

OF_ALL = (
    "audit tail", "audit verify", "audit verify --json", "decision replay", "doctor", "machine states", "machine events",
    "machine table", "machine explain completed", "diagram --format markdown", "help exit-codes", "--help", "show --help",
    "restore --help",
)  # fmt: skip


def claims(text: str) -> list[str]:
    """Give the claims that a text makes outside its lists of what is forbidden."""
    said = LISTED.sub("", text)
    return [claim for claim in FORBIDDEN_CLAIMS if re.search(rf"(?i)\b{re.escape(claim)}\b", said)]


@pytest.fixture
def world(cli, capsys, monkeypatch):
    """A ledger with a run in every state: their ids, and every log line that was written while they were made."""
    cli.as_user(ADA.id)
    capsys.readouterr()
    logs.configure(LogStyle.JSON)
    with settle(Ledger.open(cli.url, owner=ADA.id, synchronous="OFF")) as ledger:
        runs = make_states(ledger)
        logs.configure(LogStyle.TEXT)
        for run_id in runs.values():
            ledger.show(run_id, ADA.id, ADA)
    return runs, capsys.readouterr().err


def test_the_scan_finds_a_claim_and_lets_a_list_of_them_be():
    assert claims(f"Status: {FORBIDDEN_CLAIMS[1]}") == [FORBIDDEN_CLAIMS[1]]
    assert claims(json.dumps({"forbidden": FORBIDDEN_CLAIMS})) == []
    assert claims(json.dumps({"forbidden": FORBIDDEN_CLAIMS, "allowed": [FORBIDDEN_CLAIMS[0]]})) == [
        FORBIDDEN_CLAIMS[0]
    ]
    assert claims("unhealthy") == []


def test_no_log_line_of_any_state_makes_a_claim(world):
    runs, lines = world
    assert all(run_id in lines for run_id in runs.values())
    assert {state for state in STATES if state in lines} == set(STATES)
    assert claims(lines) == []


@pytest.mark.parametrize("form", ExportFormat)
def test_no_export_of_every_state_makes_a_claim(world, cli, form):
    cli.ok("audit", "export", str(cli.folder / "out"), "--format", form)
    taken = cli.folder / "out"
    rows = pyarrow.parquet.read_table(taken).to_pylist() if form is ExportFormat.PARQUET else taken.read_text("utf-8")
    assert set(STATES) <= set(re.findall(r"\w+", str(rows)))
    assert claims(str(rows)) == []
    assert claims((cli.folder / "out.manifest.json").read_text("utf-8")) == []


def test_no_bundle_of_any_state_makes_a_claim(world, cli):
    runs, _ = world
    for name in (*STATES, "draft", "dry_run", "queued", "cancelled", "metadata_only", "imported"):
        cli.ok("audit", "bundle", runs[name], "--out", str(cli.folder / f"{name}.zip"))
        with zipfile.ZipFile(cli.folder / f"{name}.zip") as bundle:
            for file in bundle.namelist():
                text = bundle.read(file).decode()
                assert claims(text_of(text) if file.endswith(".html") else text) == [], (name, file)


def test_no_command_makes_a_claim_about_a_run_in_any_state(world, cli):
    runs, _ = world
    for command in (*OF_ALL, *(one.format(run_id) for one, run_id in product(OF_A_RUN, runs.values()))):
        answer = cli(*command.split(" "))
        assert answer.code != Exit.USAGE, answer
        assert claims(answer.out + answer.err) == [], command
