"""Streams, logs and looks: a broken stream changes no result, and colours claim nothing."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proofgap.audit import Actor
from proofgap_app import logs
from proofgap_app.cli import machine, output
from proofgap_app.cli.root import app
from proofgap_app.settings import LogStyle, is_terminal
from proofgap_store import Ledger, NewRun
from proofgap_store.clock import operating_system_user
from tests.app.cli.test_decide import DECISION, LINE

FULL = "/dev/full"
_SGR = re.compile(r"\x1b\[([\d;]*)m")


def test_a_standard_output_that_is_full_is_one_line_and_exit_code_1(cli):
    with Path(FULL).open("wb") as full:
        done = cli.program("decide", "-", input=LINE, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"proofgap: cannot read or write: No space left on device.\n"


def test_a_standard_output_that_is_closed_is_one_line_and_exit_code_1():
    command = f"exec {sys.executable} -m proofgap_app decide >&-"
    done = subprocess.run(["sh", "-c", command], input=LINE, stderr=subprocess.PIPE, env=_env(), check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_goes_away_is_no_news():
    command = f"yes '{LINE.decode()}' | {sys.executable} -m proofgap_app decide | head -n 1; wait"
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=_env(), check=False, timeout=30)
    assert json.loads(done.stdout) == DECISION
    assert done.stderr == b""


@pytest.mark.parametrize("redirection", [f"2>{FULL}", "2>&-"])
def test_a_standard_error_that_cannot_be_written_changes_no_exit_code(redirection):
    command = f"exec {sys.executable} -m proofgap_app decide {redirection}"
    for line, code in ((LINE, 0), (b"{", 2)):
        done = subprocess.run(["sh", "-c", command], input=line, stdout=subprocess.PIPE, env=_env(), check=False)
        assert done.returncode == code


@pytest.mark.parametrize("redirection", [f"2>{FULL}", "2>&-"])
def test_a_log_stream_that_cannot_be_written_changes_no_result(cli, redirection):
    cli.as_user(operating_system_user())
    cli.ok("init")
    command = f"exec {sys.executable} -m proofgap_app run create nightly --log json {redirection}"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, env=_env(), check=False)
    assert done.returncode == 0
    assert b"draft   version 1" in done.stdout
    assert len(cli.ok("list", "--json").json["items"]) == 1


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_where_nobody_looks_there_is_one_json_line_per_committed_event(cli):
    run_id = cli.created()
    result = cli("run", "scope", run_id, "--log", "auto")
    transition, projection, note = result.err.splitlines()
    first = json.loads(transition)
    assert list(first)[:3] == ["timestamp", "event", "level"]
    assert first["event"] == "restore.run.transitioned"
    assert (first["run"], first["source"], first["target"]) == (run_id, "draft", "scoped")
    assert json.loads(projection)["event"] == "restore.decision.projected"
    assert json.loads(projection)["event_id"] == first["event_id"] + 1
    assert note.startswith("Next: ")
    assert f"event {first['event_id']}" in result.out


def test_a_line_for_machines_is_ascii_whoever_it_speaks_of(cli):
    cli.ok("init")
    line = cli.ok("grant", "j\u00fcrgen \U0001f980", "viewer", "--log", "json").err.splitlines()[0]
    assert line.isascii()
    assert json.loads(line)["principal"] == "j\u00fcrgen \U0001f980"
    assert list(json.loads(line))[:3] == ["timestamp", "event", "level"]


def test_a_refused_attempt_is_logged_because_it_is_recorded(cli):
    run_id = cli.created()
    first, problem = cli("run", "queue", run_id, "--log", "json").err.splitlines()
    assert json.loads(first)["event"] == "restore.run.transition_refused"
    assert problem.startswith("proofgap: refused: ")


def test_a_log_for_people_is_readable_and_off_is_off(cli, monkeypatch):
    run_id = cli.created()
    text = cli("run", "scope", run_id, "--log", "text").err.splitlines()[0]
    assert re.fullmatch(r"\d\d:\d\d:\d\d ○ draft → scoped \(scope\) event \d+", text)
    monkeypatch.setenv("PROOFGAP_LOG", "text")
    assert "◆ not_executed, for record" in cli("run", "scope", run_id).err
    refused = cli("run", "fire", run_id, "start").err
    assert "✕ start refused: not allowed while scoped" in refused
    assert "◆" not in cli("run", "scope", run_id, "--log", "off").err


def test_a_log_style_from_the_environment_that_is_none_is_refused_before_anything_is_done(cli, monkeypatch):
    monkeypatch.setenv("PROOFGAP_LOG", "lo\x1bud")
    result = cli("init")
    assert (result.code, result.err) == (
        2,
        "proofgap: PROOFGAP_LOG: 'lo\\x1bud' is no style. Use auto, json, text, off.\n",
    )
    assert not cli.folder.joinpath("proofgap.db").exists()


def test_data_goes_to_standard_output_and_the_rest_to_standard_error(cli):
    result = cli.ok("run", "create", "nightly", "--json", "--log", "json")
    assert result.json["status"] == "draft"
    assert all(json.loads(line) for line in result.err.splitlines())


def in_a_terminal(cli, *arguments: str, **env: str) -> str:
    """Run a command with a terminal for its output, and give what the terminal got."""
    master, slave = pty.openpty()
    try:
        done = cli.program(
            *arguments, stdout=slave, stderr=slave, env={"TERM": "xterm-256color", "COLUMNS": "120"} | env
        )
        os.close(slave)
        got = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                break
            if not chunk:
                break
            got += chunk
    finally:
        os.close(master)
    assert done.returncode == 0, got
    return got.decode()


def is_green(code: str) -> bool:
    """Tell whether a colour is green: by its name in the palette, or because green outweighs red and blue."""
    parts = [int(part) for part in code.split(";") if part]
    true_colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", code)
    if any(int(green) > int(red) and int(green) > int(blue) for red, green, blue in true_colours):
        return True
    palette = re.findall(r"[34]8;5;(\d+)", code)
    if palette:
        return any(int(number) in {2, 10, 22, 28, 34, 40, 46, 64, 70, 76, 82} for number in palette)
    return not true_colours and bool({32, 42, 92, 102} & set(parts))


@pytest.mark.parametrize("state", ["completed_with_evidence", "failed"])
def test_on_a_terminal_the_sheet_is_in_colour_and_no_colour_is_green(cli, state):
    cli.as_user(operating_system_user())
    run_id = cli.in_state(state)
    page = in_a_terminal(cli, "show", run_id, COLORTERM="truecolor")
    codes = _SGR.findall(page)
    assert codes
    assert not [code for code in codes if is_green(code)]
    assert not set("✓✔☑✅") & set(page)
    assert "audit event" in page


def test_on_a_terminal_lists_helps_and_logs_are_not_green_either(cli):
    cli.as_user(operating_system_user())
    cli.created()
    for arguments in (["list", "--log", "text"], ["run", "--help"], ["restore", "--help"], ["machine", "states"]):
        page = in_a_terminal(cli, *arguments)
        assert not [code for code in _SGR.findall(page) if is_green(code)]


def test_a_list_on_a_terminal_has_a_head_and_nobody_waits_for_an_animation(cli):
    cli.as_user(operating_system_user())
    cli.created()
    page = in_a_terminal(cli, "list", COLUMNS="160")
    assert "Decision" in page
    assert "\r\x1b" not in page


def test_on_a_narrow_terminal_every_run_is_a_block_of_lines_that_fit(cli):
    cli.as_user(operating_system_user())
    found = [cli.in_state(state) for state in ("needs_review", "not_executed", "completed_with_evidence")]
    long = "/srv/" + "very/long/way/" * 9 + "backup.tar.gz"
    found.append(cli.ok("run", "create", long, "--into", "staging", "--json").json["run_id"])
    page = _SGR.sub("", in_a_terminal(cli, "list", COLUMNS="80")).replace("\r", "")
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines if not line.startswith("  ")]
    assert [run_id for run_id, _ in heads] == found[::-1]
    assert [state for _, state in heads] == [
        "not_executed", "completed_with_evidence", "not_executed", "needs_review",
    ]  # fmt: skip
    assert "  48 items, 44 succeeded, 4 skipped; proof Available; evidence Available: match" in " ".join(lines)
    assert "  default/local: nightly into staging" in lines
    assert long in page.replace("\n  ", "").replace("\n", "")


def test_a_table_in_which_words_would_break_is_a_block_for_each_row_and_nothing_is_cut(cli):
    """The key that an auditor pins is longer than a line: it is whole, and so are the times and places of a token."""
    cli.as_user(operating_system_user())
    cli.ok("init")
    cli.ok("token", "create", "restore-worker", "--role", "worker", "--token-file", str(cli.folder / "secret"))
    for command in (("audit", "key", "show"), ("token", "list"), ("config",)):
        page = _SGR.sub("", in_a_terminal(cli, *command, COLUMNS="80")).replace("\r\n  ", "")
        for value in cli.ok(*command).out.replace("\n", "\t").split("\t"):
            assert value.strip("-") in page, (command, value)


def test_a_table_whose_words_fit_is_aligned_under_a_head(cli):
    cli.as_user(operating_system_user())
    page = _SGR.sub("", in_a_terminal(cli, "machine", "states", COLUMNS="80")).replace("\r", "").splitlines()
    assert page[0].split() == ["Status", "Final", "Events"]
    assert page[1].index("scope, cancel") == page[0].index("Events")
    assert max(map(len, page)) <= 80


def test_holds_drills_and_what_waits_have_a_head_on_a_terminal_only(cli):
    cli.as_user(operating_system_user())
    cli.ok("init")
    backup = cli.folder / "backup.sql"
    backup.write_text("CREATE TABLE t (a);")
    cli.ok("drill", "declare", "0 4 1 * *", str(backup), "--into", "t.db")
    cli.ok("audit", "hold", "--workspace", "default", "--reason", "case-1")
    cli.in_state("in_progress")
    for command, head in ((("drill", "list"), "Drill"), (("audit", "holds"), "Hold"), (("queue",), "What")):
        assert _SGR.sub("", in_a_terminal(cli, *command, COLUMNS="200")).startswith(head)
        assert not cli.ok(*command).out.startswith(head)


def test_no_color_means_no_colour(cli):
    cli.as_user(operating_system_user())
    run_id = cli.created()
    page = in_a_terminal(cli, "show", run_id, "--log", "text", NO_COLOR="1")
    assert not [code for code in _SGR.findall(page) if re.search(r"[34]8;|\b[349]\d\b", code)]
    assert "\x1b[2m" not in page.splitlines()[0], "log lines are plain altogether"


def test_a_dumb_terminal_gets_plain_text(cli):
    cli.as_user(operating_system_user())
    assert "\x1b" not in in_a_terminal(cli, "show", cli.created(), "--log", "text", TERM="dumb")


def commands(at=app, path=()) -> list[tuple[str, ...]]:
    """List every command of the tree."""
    found = [path] if path else []
    for name, inner in at.resolved_commands().items():
        if not name.startswith("-"):
            found += commands(inner, (*path, name))
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_help_of_every_command_begins_with_examples_of_it(cli, command):
    page = cli.ok(*command, "--help").out.splitlines()
    assert page[0] == "Examples:"
    examples = page[1 : page.index("")]
    assert 2 <= len(examples) <= 5
    assert any(" ".join(("proofgap", *command)) in example for example in examples)
    assert all(line.isprintable() for line in page)
    for line in page:
        option = re.match(r"  (--[\w-]+)(.*)", line)
        assert option is None or ":" in option[2], "it says what each option is for"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_knows_the_commands(cli, shell):
    script = cli.ok("completion", shell).out
    assert all(name in script for name in ("restore", "decide", "exit-codes", "exit-status"))


def test_a_bash_completion_script_is_one_that_bash_can_read(cli):
    script = cli.ok("completion", "bash").out.encode()
    assert subprocess.run(["bash", "-n"], input=script, check=False).returncode == 0


def test_the_version_is_one_line(cli):
    assert cli.ok("--version").out.startswith("proofgap ")


def test_a_group_named_alone_and_no_command_at_all_print_their_page(cli):
    assert "Usage: proofgap COMMAND" in cli.ok().out
    assert "fire: Fire any event" in cli.ok("run").out


def test_the_program_runs_as_a_module(cli):
    done = cli.program("decide", input=LINE)
    assert (done.returncode, json.loads(done.stdout)) == (0, DECISION)


class Full(io.StringIO):
    """A stream that cannot be written."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_log_lines_that_were_lost_are_counted(cli, monkeypatch):
    logs.configure(LogStyle.JSON)
    with Ledger.open(cli.url, owner="owner") as ledger:
        monkeypatch.setattr(sys, "stderr", Full())
        before = ledger.diagnose().log_failures
        receipt = ledger.create(NewRun(), Actor(id="owner"))
        assert ledger.diagnose().log_failures == before + 2, "the creation and its decision"
    assert receipt.status == "draft"
    monkeypatch.undo()


def test_a_log_without_a_standard_error_is_lost_too_and_counted(cli, monkeypatch):
    logs.configure(LogStyle.TEXT)
    monkeypatch.setattr(sys, "stderr", None)
    with Ledger.open(cli.url, owner="owner") as ledger:
        assert ledger.diagnose().log_failures == ledger.diagnose().events


class Broken(io.StringIO):
    """A stream whose descriptor is gone."""

    def flush(self) -> None:
        raise ValueError("I/O operation on closed file")

    def isatty(self) -> bool:
        raise ValueError("I/O operation on closed file")


def test_a_stream_that_is_broken_at_the_end_is_exchanged_for_nothing(monkeypatch):
    exchanged = []
    monkeypatch.setattr(sys, "stderr", Broken())
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(os, "dup2", lambda _nowhere, descriptor: exchanged.append(descriptor))
    output.flush()
    output.settle()
    assert exchanged == [2]
    assert not is_terminal(sys.stderr)


def test_without_its_head_the_table_of_a_machine_would_say_nothing(cli, monkeypatch):
    monkeypatch.setattr(machine, "is_terminal", lambda _stream: True)
    assert not cli.ok("machine", "table").out.startswith("status\t"), "a terminal gets a head by itself"


def test_what_a_library_warns_of_is_a_line_of_ours_and_breaks_up_none():
    """A pool of connections says in lines of its own, several at once, that the server is gone."""
    told = "import logging; from proofgap_app import logs; from proofgap_app.settings import LogStyle; logs.configure(LogStyle.{})"
    warns = f"{told}; logging.getLogger('psycopg.pool').error('gone:\\n\\t%s', 'away', exc_info=OSError('no'))"
    lines = {
        style: subprocess.run(
            [sys.executable, "-c", warns.format(style)], capture_output=True, env=_env(), check=True
        ).stderr.splitlines()
        for style in ("JSON", "TEXT", "OFF")
    }
    (line,) = map(json.loads, lines["JSON"])
    said = ("library.trouble", "error", "psycopg.pool", "gone:\n\taway", "OSError('no')")
    assert said == tuple(line[name] for name in ("event", "level", "library", "error", "failure"))
    assert (1, 0) == (len(lines["TEXT"]), len(lines["OFF"]))
