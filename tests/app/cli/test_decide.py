"""``proofgap decide``: the documented lines in and out, and every kind of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

EXAMPLE = {
    "run": {
        "id": "r1",
        "workspace": "w1",
        "environment": "e1",
        "status": "completed",
        "is_dry_run": False,
        "operation_run_id": "o1",
        "counts": {"total": 48, "succeeded": 44, "skipped": 4},
        "items": None,
        "attention": None,
    },
    "operation": {"id": "o1", "workspace": "w1", "environment": "e1", "status": "completed", "outcome": "succeeded"},
    "evidence": [
        {
            "id": "s1",
            "operation_run_id": "o1",
            "workspace": "w1",
            "environment": "e1",
            "status": "active",
            "captured_at": "2026-11-21T02:24:05.000000Z",
        }
    ],
    "viewer": {"id": "d.weber", "may_view": ["o1", "s1"]},
}
DECISION = {
    "state": "completed_with_evidence",
    "rule": 7,
    "rules_version": "1",
    "status": "Completed with evidence available",
    "reason": "Execution proof and post-run evidence are available.",
    "impact": "Review evidence before treating the restore as recovery proof.",
    "primary_next_action": "Open evidence",
    "operation_proof": {"state": "available", "label": "Available", "operation_run_id": "o1"},
    "evidence": {"state": "available", "label": "Available", "snapshot_id": "s1"},
    "result_summary": {
        "text": None,
        "counts": {"total": 48, "succeeded": 44, "skipped": 4},
        "items": None,
        "metadata_only": True,
        "qualifier": None,
    },
    "attention": None,
    "claims": {
        "allowed": ["Evidence snapshot available"],
        "forbidden": ["Recovery verified", "Healthy", "Compliant", "Customer-safe"],
    },
    "diagnostics_default": "collapsed",
}
LINE = json.dumps(EXAMPLE).encode()


def with_skipped(value: bytes) -> bytes:
    return LINE.replace(b'"skipped": 4', b'"skipped": ' + value)


def with_id(value: bytes) -> bytes:
    return LINE.replace(b'"id": "r1"', b'"id": "' + value + b'"')


BAD = {
    "NUL, escaped": with_id(rb"r\u0000"),
    "NUL, raw": with_id(b"r\x00"),
    "a lone surrogate": with_id(rb"r\ud800"),
    "a bidirectional control": with_id("r\u202e".encode()),
    "a terminal escape": with_id(rb"\u001b]0;owned\u0007"),
    "ten megabytes": with_id(b"x" * 10_000_000),
    "ten megabytes without a line break": b"[" + b"1," * 5_000_000,
    "deep nesting": b"[" * 200_000,
    "deep nesting of objects": b'{"a":' * 200_000,
    "NaN": with_skipped(b"NaN"),
    "infinity": with_skipped(b"-Infinity"),
    "a negative count": with_skipped(b"-1"),
    "a fractional count": with_skipped(b"0.5"),
    "a count as a text": with_skipped(b'"4"'),
    "a boolean count": with_skipped(b"true"),
    "2^53": with_skipped(b"9007199254740992"),
    "five thousand digits": with_skipped(b"9" * 5000),
    "an unknown key": LINE.replace(b'"is_dry_run"', b'"dry"'),
    "a duplicate key": with_skipped(b'4, "skipped": 4'),
    "an unknown status": LINE.replace(b'"status": "completed", "is', b'"status": "done", "is'),
    "no viewer": LINE.replace(b'"viewer"', b'"Viewer"'),
    "no JSON": b"restore r1",
    "a blank line": b"",
    "bytes that are no UTF-8": with_id(b"\xff"),
    "a byte order mark": b"\xef\xbb\xbf" + LINE,
}


def test_the_documented_line_gives_the_documented_decision(cli):
    assert cli.ok("decide", "-", stdin=LINE).json == DECISION


def test_decisions_come_in_the_order_of_their_lines(cli, tmp_path):
    lines = [{**EXAMPLE, "run": {**EXAMPLE["run"], "status": status}} for status in ("failed", "draft", "completed")]
    file = tmp_path / "facts.ndjson"
    file.write_text("\r\n".join(map(json.dumps, lines)))
    out = cli.ok("decide", str(file)).out.splitlines()
    assert [json.loads(line)["state"] for line in out] == ["failed", "not_executed", "completed_with_evidence"]


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_stops_with_one_clear_line_after_the_earlier_results_were_written(cli, line):
    result = cli("decide", stdin=LINE + b"\n" + line + b"\n" + LINE + b"\n")
    assert result.code == 2
    assert result.json == DECISION
    (message,) = result.err.splitlines()
    assert message.startswith("proofgap: line 2")
    assert message.isprintable()
    assert len(message) < 400
    assert not cli.folder.joinpath("proofgap.db").exists(), "nothing was stored"


def test_under_json_a_bad_line_is_a_problem_object(cli):
    problem = cli("decide", "-", "--json", stdin=with_skipped(b"-1")).problem
    assert problem["type"] == "urn:proofgap:problem:bad-input"
    assert (problem["title"], problem["status"]) == ("The input is not acceptable", 422)
    assert (problem["code"], problem["exit_code"]) == ("bad_input", 2)
    assert problem["detail"] == "line 1: run.counts.skipped: -1 is below 0. Hand in a whole number from 0 on."
    assert problem["fields"]["field"] == "line 1: run.counts.skipped"


def test_nothing_in_is_nothing_out(cli):
    assert cli.ok("decide") == (0, "", "")


@pytest.mark.parametrize("file", ["missing.ndjson", "--unknown-option", ".", "\x1b[2J", "a\x00b", "\udcff"])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(cli, file):
    result = cli("decide", file)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("proofgap: FILE: ")
    assert len(result.err.splitlines()) == 1
    assert result.err.strip().isprintable()


def test_unfit_text_in_a_file_name_never_reaches_a_terminal(cli):
    assert "\x1b" not in cli("decide", "\x1b[31m").err


def test_decide_starts_without_what_it_does_not_need():
    script = (
        "import sys; from proofgap_app.cli import run; code = run(['decide']); "
        "heavy = {'sqlalchemy', 'alembic', 'rich', 'statemachine', 'structlog', 'platformdirs'} & set(sys.modules); "
        "sys.exit(code or ','.join(heavy) or None)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", script], input=LINE, capture_output=True, env=env, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout) == DECISION
