"""Exit codes and the one line that goes with each: what scripts rely on."""

from __future__ import annotations

import json
import re

import pytest

from proofgap_app.cli import following, problems
from proofgap_app.cli import show as show_module

STATES = {
    "completed_with_evidence": 0,
    "in_progress": 8,
    "not_executed": 10,
    "completed_proof_incomplete": 12,
    "needs_review": 13,
    "failed": 14,
    "blocked_or_cancelled": 15,
}


@pytest.mark.parametrize(("state", "code"), STATES.items())
def test_with_exit_status_a_run_exits_with_its_decision(cli, state, code):
    run_id = cli.in_state(state)
    assert cli("show", run_id, "--exit-status").code == code
    assert cli("show", run_id).code == 0, "without it, showing is what succeeded"


@pytest.mark.parametrize(("state", "code"), STATES.items())
def test_waiting_exits_with_the_decision_too_once_the_run_has_ended(cli, state, code):
    run_id = cli.in_state(state)
    waits = state in {"in_progress", "not_executed"}
    result = cli("run", "wait", run_id, "--exit-status", "--timeout", "20ms", "--interval", "10ms")
    assert result.code == (8 if waits else code)
    assert result.out.split("\t")[:2] == [run_id, state]


def test_waiting_without_exit_status_says_only_whether_the_run_has_ended(cli):
    assert cli("run", "wait", cli.in_state("failed")).code == 0
    assert cli("run", "wait", cli.in_state("in_progress"), "--timeout", "10ms").code == 8


def test_a_missing_ledger_is_an_error_and_looking_leaves_no_file_behind(cli):
    for command in (["list"], ["show", "r1"], ["doctor"], ["items", "list", "r1"]):
        result = cli(*command)
        assert (result.code, result.out) == (1, "")
        assert "Make one with: proofgap init." in result.err
    assert list(cli.folder.iterdir()) == []


def test_a_file_that_is_no_ledger_is_an_error(cli):
    cli.folder.joinpath("proofgap.db").write_text("this is no database, whatever its name says" * 100)
    result = cli("list")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1


def test_a_url_that_is_none_is_refused(cli):
    for url in ("nonsense", "mysql://host/db", "sqlite:///a\x1b.db"):
        result = cli("list", "--ledger", url)
        assert (result.code, result.out) == (2, "")
        assert result.err.strip().isprintable()


USAGE = {
    "an unknown command": (["restor"], "Unknown command 'restor'. Did you mean 'restore'?"),
    "a command that looks like nothing known": (["\x1b[2J"], "Unknown command '\\x1b[2J'."),
    "an option before the command": (
        ["--ledger", "x", "list"],
        "'--ledger' stands before the command; options come after it",
    ),
    "an unknown subcommand": (["run", "fier"], "Did you mean 'fire'?"),
    "an unknown option": (["list", "--colour"], "--colour"),
    "an unknown event": (["run", "fire", "r1", "explode"], "explode"),
    "a missing argument": (["show"], "RUN"),
    "one argument too many": (["show", "r1", "r2"], "r2"),
    "a number that is none": (["list", "--limit", "many"], "many"),
    "a role that is none": (["grant", "d.weber", "king"], "king"),
    "a log style that is none": (["list", "--log", "loud"], "loud"),
}


@pytest.mark.parametrize(("arguments", "told"), USAGE.values(), ids=USAGE)
def test_a_command_line_that_is_not_understood_ends_in_one_line(cli, arguments, told):
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("proofgap: ")
    assert told in line
    assert "--help" in line
    assert line.isprintable()


def test_a_usage_error_is_a_problem_object_under_json(cli):
    problem = cli("show", "--json").problem
    assert (problem["code"], problem["exit_code"], problem["status"]) == ("usage", 2, 400)


BAD_TEXT = ["a\x00b", "a\x1b[31mb", "a\u202eb", "\udcff", "a\nb", "\ufdd0"]


@pytest.mark.parametrize("text", BAD_TEXT)
@pytest.mark.parametrize(
    "command",
    [
        ["show", "{}"],
        ["show", "r1", "--as", "{}"],
        ["list", "--workspace", "{}"],
        ["list", "--after", "{}"],
        ["run", "create", "{}"],
        ["run", "create", "b", "--into", "{}"],
        ["run", "create", "b", "--key", "{}"],
        ["run", "scope", "r1", "--backup", "{}"],
        ["run", "preview", "r1", "--plan-digest", "{}"],
        ["run", "fire", "{}", "start"],
        ["run", "fire", "r1", "start", "--facts", '{{"purpose": "{}"}}'],
        ["run", "watch", "{}"],
        ["run", "retry", "{}"],
        ["items", "list", "r1", "--after", "{}"],
        ["evidence", "show", "{}"],
        ["evidence", "add", "r1", "--producer", "{}"],
        ["grant", "{}", "viewer"],
        ["grant", "x", "viewer", "--environment", "{}"],
        ["init", "--workspace", "{}"],
        ["machine", "explain", "{}"],
    ],
    ids=" ".join,
)
def test_text_that_may_not_come_in_is_refused_before_anything_is_opened(cli, command, text):
    result = cli(*[part.format(text) for part in command])
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.strip().isprintable()
    assert list(cli.folder.iterdir()) == []


NUMBERS = {
    "a negative count": ["run", "scope", "r1", "--selected", "-1"],
    "a fraction": ["run", "scope", "r1", "--selected", "1.5"],
    "2^53": ["run", "scope", "r1", "--selected", str(2**53)],
    "five thousand digits": ["run", "scope", "r1", "--selected", "9" * 5000],
    "NaN": ["run", "preview", "r1", "--created", "NaN"],
    "NaN in facts": ["run", "fire", "r1", "complete", "--facts", '{"exit_code": NaN}'],
    "an unknown fact": ["run", "fire", "r1", "complete", "--facts", '{"recovered": true}'],
    "a fact given twice": ["run", "fire", "r1", "complete", "--facts", '{"exit_code": 0, "exit_code": 1}'],
    "facts nested deeply": ["run", "fire", "r1", "complete", "--facts", "[" * 100_000],
    "no duration": ["run", "wait", "r1", "--timeout", "soon"],
    "no expiry": ["run", "preview", "r1", "--expires-at", "tomorrow"],
    "two expiries": ["run", "preview", "r1", "--expires-at", "2026-11-21T02:24:05Z", "--expires-in", "5m"],
    "a limit below its range": ["items", "list", "r1", "--limit", "0"],
    "approvals out of range": ["init", "--approvals-required", "-1"],
    "a report without items": ["run", "fire", "r1", "report"],
    "a time of capture that is none": ["evidence", "add", "r1", "--captured-at", "0000-00-00"],
}


@pytest.mark.parametrize("arguments", NUMBERS.values(), ids=NUMBERS)
def test_a_value_that_cannot_be_meant_is_refused_in_one_line(cli, arguments):
    if "wait" in arguments:
        cli.ok("init")
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert len(result.err) < 500


def test_a_refused_transition_names_what_is_allowed_and_exits_with_5(cli):
    run_id = cli.created()
    result = cli("run", "fire", run_id, "start")
    assert (result.code, result.out) == (5, "")
    assert result.err == (
        'proofgap: refused: cannot "start" a draft run. Allowed now: scope, cancel. '
        "Nothing was changed; the attempt is recorded.\n"
    )


def test_a_refused_transition_is_a_problem_object_with_its_guard(cli):
    run_id = cli.running()
    cli.ok("items", "report", run_id, "-", stdin=b'{"key": "a", "result": "failed"}')
    problem = cli("run", "fire", run_id, "complete", "--json").problem
    assert (problem["code"], problem["status"], problem["exit_code"]) == ("guard_refused", 409, 5)
    assert problem["fields"]["guard"] == "nothing_is_known_to_be_unapplied"
    assert "complete_partially" in problem["fields"]["allowed"]


def test_a_stale_version_exits_with_6(cli):
    run_id = cli.created()
    assert cli("run", "scope", run_id, "--if-version", "7").code == 6
    assert cli("run", "scope", run_id, "--if-version", "1").code == 0


def test_an_unknown_and_an_invisible_run_exit_with_7_and_read_the_same(cli):
    run_id = cli.created()
    unknown = cli("show", run_id[:-1] + "_")
    cli.as_user("stranger")
    invisible = cli("show", run_id)
    assert (unknown.code, invisible.code) == (7, 7)
    assert unknown.err.replace(run_id[:-1] + "_", "ID") == invisible.err.replace(run_id, "ID")


def test_a_role_that_does_not_allow_it_exits_with_4(cli):
    run_id = cli.created()
    cli.ok("grant", "d.weber", "viewer")
    cli.as_user("d.weber")
    assert cli("run", "cancel", run_id).code == 4
    assert cli("grant", "d.weber", "admin").code == 4
    assert cli("show", run_id).code == 0


def test_a_key_that_was_used_for_another_request_exits_with_2(cli):
    first = cli.created("--key", "k1")
    assert cli.created("--key", "k1") == first, "the same request again gives the first answer again"
    assert cli("run", "create", "weekly", "--into", "staging", "--key", "k1").code == 2
    assert len(cli.ok("list", "--json").json["items"]) == 1


def test_an_interrupt_is_one_line_and_130(cli, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    run_id = cli.running()
    monkeypatch.setattr(following.time, "sleep", interrupt)
    result = cli("run", "watch", run_id)
    assert result.code == 130
    assert result.err.startswith("proofgap: interrupted.")
    assert len(result.err.splitlines()) == 1
    assert result.out.splitlines()[-1].split("\t")[1] == "start", "what was seen is written"


@pytest.fixture
def broken(monkeypatch):
    def boom(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(show_module, "present", boom)


@pytest.mark.usefixtures("broken")
def test_an_unexpected_error_is_one_line_with_an_id_and_no_traceback(cli):
    result = cli("show", cli.created())
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert "unexpected RuntimeError (error id " in line
    assert "secret detail" not in line


@pytest.mark.usefixtures("broken")
def test_an_unexpected_error_has_a_traceback_where_that_is_asked_for(cli, monkeypatch):
    run_id = cli.created()
    monkeypatch.setenv("PROOFGAP_DEBUG", "1")
    result = cli("show", run_id)
    assert result.code == 1
    assert "Traceback" in result.err
    assert "secret detail" in result.err


@pytest.mark.usefixtures("broken")
def test_an_unexpected_error_is_a_problem_object_under_json(cli):
    problem = cli("show", cli.created(), "--json").problem
    assert (problem["code"], problem["exit_code"]) == ("unexpected", 1)
    assert problem["fields"]["error_id"] in problem["detail"]


def test_the_documented_exit_codes_are_those_of_the_code(cli):
    page = cli.ok("help", "exit-codes").out
    codes = {int(code) for code in re.findall(r"^ +(\d+) ", page, re.MULTILINE)}
    assert {int(code) for code in problems.Exit} <= codes
    assert {int(code) for code in problems.EXIT_OF_STATE.values()} <= codes
    assert STATES == {state.value: int(code) for state, code in problems.EXIT_OF_STATE.items()}


def test_every_error_has_the_members_of_a_problem_object(cli):
    for arguments in (["show", "nope"], ["list", "--limit", "0"], ["run", "fire", "x", "y"], ["list", "--after", "x"]):
        cli.ok("init")
        problem = json.loads(cli(*arguments, "--json").err)
        assert {"type", "title", "status", "detail", "code", "exit_code"} <= set(problem)
