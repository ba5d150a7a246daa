"""What each command answers, to people and to programs."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.facts import RunStatus
from proofgap.wording import WORDING, DecisionState
from proofgap_store import health
from proofgap_store.sqlite_library import sqlite

IMPORTED = {
    "run": {
        "id": "legacy-7",
        "workspace": "default",
        "environment": "local",
        "status": "completed",
        "is_dry_run": False,
        "operation_run_id": "op-7",
        "counts": {"total": 48, "failed": 0},
    },
    "operation": {
        "id": "op-7",
        "workspace": "default",
        "environment": "local",
        "status": "completed",
        "outcome": "succeeded",
    },
    "evidence": [],
}


def import_line(**run: object) -> bytes:
    return json.dumps({**IMPORTED, "run": {**IMPORTED["run"], **run}}).encode() + b"\n"


def test_what_an_imported_snapshot_does_not_tell_is_left_out(cli):
    place = {"workspace": "default", "environment": "local"}
    snapshot = {"id": "ev-7", "operation_run_id": "op-7", "status": "active", **place}
    line = json.dumps({**IMPORTED, "evidence": [snapshot]}).encode() + b"\n"
    cli.ok("import", "-", stdin=line)
    sheet = cli.ok("show", "legacy-7").out
    assert "  Post-run evidence  Available: ev-7\n  Result summary" in sheet


@pytest.mark.parametrize("state", list(DecisionState))
def test_the_sheet_says_everything_in_the_contracts_words(cli, state):
    run_id = cli.in_state(state)
    sheet = cli.ok("show", run_id).out
    words = WORDING[state]
    assert sheet.splitlines()[0] == words.status
    for said in (words.reason, words.impact):
        assert said in sheet
    assert words.next_action in sheet or words.next_action_otherwise in sheet
    assert f"for owner, audit event {cli.ok('show', run_id, '--json').json['event_id'] - 1}" in sheet
    assert run_id in sheet
    for label in ("Operation proof", "Post-run evidence", "Result summary", "You can say"):
        assert label in sheet
    (forbidden,) = [line for line in sheet.splitlines() if "You cannot say" in line]
    assert all(f'"{claim}"' in forbidden for claim in FORBIDDEN_CLAIMS)


@pytest.mark.parametrize("state", list(DecisionState))
def test_no_command_says_what_may_not_be_said(cli, state):
    run_id = cli.in_state(state)
    said = []
    for arguments in (
        ["show", run_id],
        ["list"],
        ["run", "wait", run_id, "--timeout", "1ms"],
        ["evidence", "list", run_id],
    ):
        for form in ([], ["--json"]):
            result = cli(*arguments, *form)
            said += [line for line in (result.out + result.err).splitlines() if "You cannot say" not in line]
    text = "\n".join(said).replace(json.dumps({"forbidden": FORBIDDEN_CLAIMS}, separators=(",", ":"))[1:-1], "").lower()
    assert text.count("forbidden") == 0, "what was left out were the lists of forbidden claims"
    assert not [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in text]
    assert not set("✓✔☑✅🟢") & set(text)


def test_a_number_that_nobody_recorded_is_not_reported_and_a_stored_zero_is_shown(cli):
    cli.ok("import", "-", stdin=import_line())
    (line,) = [line for line in cli.ok("show", "legacy-7").out.splitlines() if "Result summary" in line]
    assert line.split("Result summary")[1].strip() == (
        "48 items: succeeded not reported, 0 failed, skipped not reported, partly applied not reported, "
        "not applied not reported (metadata-only: totals, no item rows)"
    )


def test_while_a_run_executes_its_counts_are_so_far(cli):
    run_id = cli.running()
    cli.ok("items", "report", run_id, stdin=b'{"key": "a", "result": "succeeded"}\n')
    assert "so far: 1 item: 1 succeeded" in cli.ok("show", run_id).out


def test_counts_of_a_lost_worker_are_lower_bounds(cli):
    counts = {"counts": {"total": 4, "succeeded": 2}, "counts_are_lower_bounds": True, "end_reason": "worker_lost"}
    run_id = cli.ended("fail", counts)
    sheet = cli.ok("show", run_id).out
    assert "at least: 4 items: 2 succeeded" in sheet
    assert "worker lost" in sheet


def test_a_disagreement_of_counts_and_item_rows_is_flagged(cli):
    run_id = cli.running()
    cli.ok("items", "report", run_id, stdin=b'{"key": "a", "result": "succeeded"}\n')
    cli.ok("run", "fire", run_id, "complete", "--facts", '{"counts": {"total": 9}}')
    assert "disagree" in cli.ok("show", run_id).out
    assert cli.ok("show", run_id, "--json").json["run"]["counts_conflict"] is True


def test_attention_stays_visible_beside_the_decision(cli):
    cli.ok("import", "-", stdin=import_line(attention="completed_with_follow_up"))
    sheet = cli.ok("show", "legacy-7").out
    assert sheet.startswith("Completed, recovery proof incomplete")
    assert "completed with follow up" in sheet


def test_show_as_json_holds_the_decision_and_who_saw_it_when(cli):
    run_id = cli.in_state("completed_with_evidence")
    shown = cli.ok("show", run_id, "--json").json
    assert set(shown) == {"run", "evidence", "viewer", "as_of", "event_id", "decision"}
    assert shown["evidence"]["subjects_checked"] > 0
    assert shown["viewer"] == "owner"
    assert shown["decision"]["state"] == "completed_with_evidence"
    assert shown["decision"]["evidence"]["snapshot_id"].startswith("ev_")
    assert shown["run"]["id"] == run_id
    assert cli.ok("show", run_id, "--json").json["event_id"] == shown["event_id"] + 1, "every showing is an event"


def test_a_viewer_learns_neither_that_proof_and_evidence_exist_nor_their_ids(cli):
    run_id = cli.in_state("completed_with_evidence")
    cli.ok("grant", "d.weber", "viewer")
    theirs = cli.ok("show", run_id, "--as", "d.weber", "--json")
    assert theirs.json["decision"]["state"] == "completed_proof_incomplete"
    cli.as_user("d.weber")
    for output in (theirs.out, cli.ok("show", run_id, "--json").out, cli.ok("list", "--json").out):
        assert "op_" not in output
        assert "ev_" not in output
    assert cli.ok("evidence", "list", run_id).out == ""
    assert cli("show", run_id, "--as", "owner").code == 4, "only auditors and admins see what others are shown"


def test_list_filters_pages_and_names_its_event(cli):
    runs = [cli.created() for _ in range(3)]
    page = cli.ok("list", "--limit", "2", "--json").json
    assert [item["run"]["id"] for item in page["items"]] == runs[:0:-1]
    rest = cli.ok("list", "--limit", "2", "--after", page["next"], "--json").json
    assert [item["run"]["id"] for item in rest["items"]] == runs[:1]
    assert rest["next"] is None
    assert cli.ok("list", "--state", "failed", "--json").json["items"] == []
    assert cli.ok("list", "--state", "not_executed").out.count("\n") == 3
    assert isinstance(page["event_id"], int)


def test_a_list_without_rows_says_how_to_get_one(cli):
    cli.ok("init")
    result = cli.ok("list")
    assert result.out == ""
    assert "proofgap restore" in result.err
    assert "No runs match." in cli.ok("list", "--environment", "nowhere").err


def test_in_a_pipe_a_list_is_separated_by_tabs_and_absent_values_are_dashes(cli):
    cli.ok("run", "create")
    (row,) = cli.ok("list").out.splitlines()
    assert row.split("\t")[1:] == [
        *("not_executed", "Result summary unavailable", "Unavailable", "Unavailable", "default/local", "-", "-")
    ]


def test_a_receipt_says_what_moved_and_what_comes_next(cli):
    run_id = cli.created()
    result = cli.ok("run", "scope", run_id, "--selected", "48")
    assert result.out.startswith(f"{run_id}  draft → scoped   version 2   event ")
    assert result.err == f"Next: proofgap run check {run_id}\n"
    again = cli.ok("run", "scope", run_id, "--json").json
    assert (again["event"], again["source"], again["status"], again["version"]) == ("scope", "scoped", "scoped", 3)
    assert again["decision"]["state"] == "not_executed"
    assert again["replayed"] is False


def test_a_repeated_request_is_answered_as_such(cli):
    run_id = cli.created()
    cli.ok("run", "scope", run_id, "--key", "s1")
    assert "nothing was changed" in cli.ok("run", "scope", run_id, "--key", "s1").out


def test_a_run_is_prepared_with_facts_and_refuses_a_plan_that_was_not_previewed(cli):
    run_id = cli.created()
    cli.ok("run", "scope", run_id, "--backup", "weekly", "--driver", "files", "--purpose", "test", "--selected", "2")
    cli.ok("run", "check", run_id, "--plan-digest", "d1", "--target-fingerprint", "f1", "--source", "complete")
    cli.ok("run", "preview", run_id, "--created", "1", "--overwritten", "1", "--skipped", "0", "--expires-in", "30m")
    assert cli("run", "queue", run_id, "--plan-digest", "d2").code == 5
    assert cli("run", "queue", run_id, "--target-fingerprint", "f2").code == 5
    assert cli("run", "approve", run_id).code == 5, "nobody approves their own request"
    cli.ok("run", "queue", run_id, "--plan-digest", "d1", "--target-fingerprint", "f1")


def test_an_expired_preview_cannot_be_queued(cli):
    run_id = cli.created()
    for event in ("scope", "check"):
        cli.ok("run", event, run_id)
    cli.ok("run", "preview", run_id, "--expires-at", "2020-01-01T00:00:00Z")
    assert "expired" in cli("run", "queue", run_id).err


def test_an_approval_by_somebody_else_is_needed_where_that_is_declared(cli):
    cli.ok("init", "--approvals-required", "1")
    run_id = cli.created()
    cli.ok("run", "scope", run_id)
    cli.ok("run", "check", run_id, "--plan-digest", "d1")
    cli.ok("run", "preview", run_id)
    assert cli("run", "queue", run_id).code == 5
    cli.ok("grant", "second", "operator")
    cli.as_user("second")
    assert f"a worker or an admin goes on: proofgap restore --resume {run_id}" in cli.ok("run", "approve", run_id).err
    cli.as_user("owner")
    cli.ok("run", "queue", run_id)


@pytest.mark.parametrize("reason", ["approval_rejected", "approval-rejected", "target_busy", "source_incomplete"])
def test_whoever_does_not_approve_a_run_ends_it_and_says_why(cli, reason):
    cli.ok("init", "--approvals-required", "1")
    run_id = cli.created()
    cli.ok("grant", "second", "operator")
    cli.ok("run", "scope", run_id)
    assert cli("run", "block", run_id, "--reason", reason).code == 5, "nothing was looked at that could be rejected"
    cli.ok("run", "check", run_id, "--plan-digest", "d1")
    cli.ok("run", "preview", run_id)
    cli.as_user("second")
    assert cli.ok("run", "block", run_id, "--reason", reason, "--json").json["status"] == RunStatus.CANCELLED
    shown = cli.ok("show", run_id, "--json").json
    assert (shown["decision"]["state"], shown["run"]["end_reason"]) == (
        "blocked_or_cancelled",
        reason.replace("-", "_"),
    )
    assert "End reason" in cli.ok("show", run_id).out


def test_a_block_takes_only_reasons_that_a_block_can_have(cli):
    assert cli("run", "block", cli.created(), "--reason", "worker_lost").code == 2


def test_cancelling_a_run_that_executes_only_asks_its_worker(cli):
    run_id = cli.running()
    assert cli.ok("run", "cancel", run_id, "--json").json["event"] == "request_cancel"
    assert cli.ok("show", run_id, "--json").json["run"]["status"] == RunStatus.RUNNING
    waiting = cli.created()
    assert cli.ok("run", "cancel", waiting, "--json").json["status"] == RunStatus.CANCELLED


def test_a_retry_is_a_new_run_and_only_of_one_that_has_ended(cli):
    old = cli.in_state("failed")
    assert cli("run", "retry", cli.running()).code == 5
    new = cli.ok("run", "retry", old, "--json").json
    assert new["run_id"] != old
    assert cli.ok("show", old, "--json").json["run"]["status"] == "failed"
    assert cli.ok("show", new["run_id"], "--json").json["run"]["backup"] == "nightly"


def test_watching_prints_each_change_until_the_end(cli):
    run_id = cli.in_state("failed")
    rows = [row.split("\t") for row in cli.ok("run", "watch", run_id).out.splitlines()]
    assert [row[1] for row in rows] == ["-", "scope", "check", "preview", "queue", "start", "fail"]
    lines = cli.ok("run", "watch", run_id, "--json").out.splitlines()
    assert json.loads(lines[-1]) == {
        "run": run_id,
        "event": "fail",
        "source": "running",
        "target": "failed",
        "version": 7,
        "event_id": int(rows[-1][-2]),
        "note": None,
    }


def test_watching_a_run_that_does_not_end_stops_at_its_timeout(cli):
    result = cli("run", "watch", cli.created(), "--timeout", "30ms", "--interval", "10ms")
    assert result.code == 8
    assert len(result.out.splitlines()) == 1, "a change is told once"


def test_items_are_reported_all_or_none_and_read_back(cli):
    run_id = cli.running()
    bad = b'{"key": "a", "result": "succeeded"}\n{"key": "b", "result": "lost"}\n'
    refused = cli("items", "report", run_id, stdin=bad)
    assert refused.code == 2
    assert "line 2: result: 'lost' is not known" in refused.err
    assert cli.ok("items", "list", run_id).out == ""
    good = (
        b'{"key": "b", "result": "failed", "reason_code": "denied"}\n{"key": "a", "result": "succeeded", "bytes": 0}\n'
    )
    cli.ok("items", "report", run_id, "-", "--key", "batch-1", stdin=good)
    assert "nothing was changed" in cli.ok("items", "report", run_id, "-", "--key", "batch-1", stdin=good).out
    assert cli.ok("items", "list", run_id).out.splitlines() == [
        "a\tsucceeded\t-\t-\t-\t0\t-\t-",
        "b\tfailed\t-\tdenied\t-\t-\t-\t-",
    ]
    assert cli.ok("items", "list", run_id, "--result", "failed", "--json").json == {
        "key": "b",
        "result": "failed",
        "reason_code": "denied",
    }
    assert "More: proofgap items list" in cli.ok("items", "list", run_id, "--limit", "1").err
    assert cli.ok("items", "list", run_id, "--after", "a").out.startswith("b\t")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"", "holds no items"),
        (b'{"key": "a", "result": "succeeded"}\n' * 2, "'a' occurs 2 times"),
        (b'{"key": "", "result": "succeeded"}', "line 1: key: is empty"),
        (b'{"key": "a", "result": "succeeded", "bytes": -1}', "-1 is below 0"),
        (b'{"key": "a\\u0000", "result": "succeeded"}', "a control character"),
    ],
)
def test_bad_items_are_refused_and_nothing_is_stored(cli, lines, reason):
    run_id = cli.running()
    result = cli("items", "report", run_id, stdin=lines)
    assert result.code == 2
    assert reason in result.err
    assert cli.ok("items", "list", run_id).out == ""


def test_evidence_is_added_from_checks_and_listed_with_its_verdict(cli, tmp_path):
    run_id = cli.in_state("completed_proof_incomplete")
    checks = tmp_path / "checks.ndjson"
    results = ["passed", "failed", "skipped"]
    checks.write_text(
        "\n".join(json.dumps({"subject": r, "method": "sha256", "level": "L2", "result": r}) for r in results)
    )
    added = cli.ok(
        *("evidence", "add", run_id, "--checks", str(checks), "--verdict", "mismatch", "--level", "L2"),
        "--json",
    ).json
    assert added["status"] == "active"
    early = cli("evidence", "add", run_id, "--checks", str(checks), "--captured-at", "2019-11-21T02:24:05Z")
    assert (early.code, "older than the run's end" in early.err) == (5, True)
    (row,) = cli.ok("evidence", "list", run_id).out.splitlines()
    assert [row.split("\t")[1], *row.split("\t")[3:]] == ["active", "mismatch", "L2", "2", "1", "1"]
    listed = cli.ok("evidence", "list", run_id, "--json").json
    assert (listed["id"], listed["details"]["checks_total"]) == (added["subject"], 3)
    assert len(cli.ok("evidence", "show", added["subject"]).out.splitlines()) == 3
    first = cli.ok("evidence", "show", added["subject"], "--json").out.splitlines()[0]
    assert json.loads(first) == {"subject": "passed", "method": "sha256", "level": "L2", "result": "passed"}


def test_checks_that_hold_nothing_are_refused_before_a_snapshot_is_begun(cli):
    run_id = cli.in_state("completed_proof_incomplete")
    refused = cli("evidence", "add", run_id, "--checks", "-")
    assert (refused.code, refused.err) == (
        2,
        "proofgap: --checks: holds no comparison. Hand in at least one line.\n",
    )
    assert cli.ok("evidence", "list", run_id).out == ""


def test_evidence_that_its_checks_contradict_is_refused_before_a_snapshot_is_begun(cli):
    run_id = cli.in_state("completed_proof_incomplete")
    check = b'{"subject": "a", "method": "sha256", "level": "L2", "result": "failed"}'
    refused = cli("evidence", "add", run_id, "--checks", "-", "--verdict", "match", stdin=check)
    assert (refused.code, "verdict: is match, but checks failed" in refused.err) == (2, True)
    assert cli.ok("evidence", "list", run_id).out == ""


def test_evidence_that_checked_nothing_is_refused_and_closed_as_failed(cli):
    run_id = cli.in_state("completed_proof_incomplete")
    refused = cli("evidence", "add", run_id)
    assert refused.code == 5
    assert "at least one checked subject" in refused.err
    assert cli.ok("evidence", "list", run_id, "--json").json["status"] == "failed"
    assert cli.ok("show", run_id, "--json").json["decision"]["evidence"]["state"] == "unavailable"


def test_an_import_is_all_or_nothing_and_a_second_time_changes_nothing(cli, tmp_path):
    cli.ok("init")
    file = tmp_path / "runs.ndjson"
    file.write_bytes(import_line() + import_line(id="legacy-8", status="done"))
    refused = cli("import", str(file))
    assert refused.code == 2
    assert "line 2: run.status: 'done' is not known" in refused.err
    assert cli.ok("list").out == ""
    file.write_bytes(import_line() + import_line(id="legacy-8", operation_run_id="nowhere"))
    assert cli.ok("import", str(file), "--json").json == {"imported": 2, "unchanged": 0, "conflicts": 1}
    assert cli.ok("import", str(file)).out == "0 imported, 2 unchanged, 0 links in conflict\n"
    assert cli("import", "-", stdin=import_line(status="failed")).code == 2


def test_a_grant_takes_effect_and_can_be_revoked(cli):
    run_id = cli.created()
    cli.ok("grant", "d.weber", "auditor", "--json")
    cli.as_user("d.weber")
    cli.ok("show", run_id)
    cli.as_user("owner")
    assert "no longer auditor" in cli.ok("grant", "d.weber", "auditor", "--revoke").out
    cli.as_user("d.weber")
    assert cli("show", run_id).code == 7


def test_init_makes_a_ledger_once_and_its_folder_with_it(cli):
    url = f"sqlite:///{cli.folder}/deep/down/ledger.db"
    first = cli.ok("init", "--ledger", url, "--json").json
    assert (first["ledger"], first["runs"]) == (url, 0)
    assert cli.ok("init", "--ledger", url, "--json").json == first
    again = cli.ok("init", "--ledger", url)
    assert "Ledger ready" in again.out
    assert again.err.splitlines()[-1] == "Next: proofgap restore BACKUP --into TARGET"


def test_init_says_what_it_declared_of_an_environment(cli):
    said = cli.ok("init", "--environment", "live", "--approvals-required", "1", "--evidence-valid", "90d").out
    assert "default/live: 1 approval by other people needed before a restore is queued" in said
    assert "default/live: evidence counts for 90d after its capture" in said
    assert "default/live" not in cli.ok("init").out


def test_init_with_the_name_of_an_environment_makes_it(cli):
    cli.ok("init")
    refused = cli("run", "create", "b", "--environment", "staging")
    assert refused.code == 7
    assert "An admin declares one: proofgap init --environment NAME." in refused.err
    assert "Environment ready: default/staging" in cli.ok("init", "--environment", "staging").out
    cli.ok("run", "create", "b", "--environment", "staging")


def test_the_doctor_finds_a_sound_ledger_sound(cli):
    cli.ok("init")
    result = cli("doctor")
    assert result.code in {0, 9}, "9 where this machine's SQLite has a known bug"
    found = dict(line.split("\t") for line in result.out.splitlines())
    assert found["missing guards"] == found["foreign guards"] == "none"
    assert cli("doctor", "--json").json["revision"] == found["schema"]


def test_the_doctor_exits_with_1_when_somebody_took_a_guard_away(cli):
    cli.ok("init")
    connection = sqlite.connect(cli.folder / "proofgap.db", isolation_level=None)
    (trigger,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' LIMIT 1").fetchone()
    connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("CREATE TRIGGER foreign_one AFTER INSERT ON result_item BEGIN SELECT 1; END")
    connection.close()
    result = cli("doctor", "--json")
    assert result.code == 1
    assert trigger in result.json["missing_guards"]
    assert "foreign_one" in result.json["foreign_guards"]


@pytest.mark.parametrize("machine", ["run", "operation", "evidence"])
def test_the_machines_explain_themselves(cli, machine):
    states = cli.ok("machine", "states", "--machine", machine, "--json").json["states"]
    edges = cli.ok("machine", "events", "--machine", machine, "--json").json["edges"]
    table = cli.ok("machine", "table", "--machine", machine, "--json").json["table"]
    assert list(table) == [state["status"] for state in states]
    for state in states:
        explained = cli.ok("machine", "explain", state["status"], "--machine", machine, "--json").json
        assert explained["events"] == state["events"]
        assert explained["left_by"] == [edge for edge in edges if edge["source"] == state["status"]]
        assert state["final"] == (not state["events"])
        assert cli.ok("machine", "explain", state["status"], "--machine", machine).out.startswith(state["status"])
    assert len(cli.ok("machine", "states", "--machine", machine).out.splitlines()) == len(states)
    assert len(cli.ok("machine", "events", "--machine", machine).out.splitlines()) == len(edges)
    head, *body = cli.ok("machine", "table", "--machine", machine).out.splitlines()
    assert head.startswith("status\t")
    assert len(body) == len(states)


def test_an_unknown_status_is_refused_with_the_known_ones(cli):
    assert "Hand in one of: queued, generating, active" in cli("machine", "explain", "x", "--machine", "evidence").err


def test_a_ledger_whose_folder_cannot_be_made_is_an_error(cli):
    cli.folder.joinpath("file").write_text("no folder")
    result = cli("init", "--ledger", f"sqlite:///{cli.folder}/file/ledger.db")
    assert (result.code, result.out) == (1, "")
    assert "Name a folder that you may write to." in result.err


def test_without_a_ledger_url_the_ledger_is_in_the_users_data_folder(cli, monkeypatch):
    monkeypatch.delenv("PROOFGAP_LEDGER")
    monkeypatch.setenv("XDG_DATA_HOME", str(cli.folder))
    assert cli.ok("init", "--json").json["ledger"] == f"sqlite:///{cli.folder}/proofgap/proofgap.db"
    assert cli.folder.joinpath("proofgap", "proofgap.db").exists()


def test_workspace_and_environment_come_from_the_command_line_then_the_environment(cli, monkeypatch):
    monkeypatch.setenv("PROOFGAP_ENVIRONMENT", "elsewhere")
    assert cli("run", "create").code == 7, "nobody holds a role there"
    cli.ok("run", "create", "--environment", "local")


def test_a_doctor_with_a_warning_says_it_and_exits_with_9(cli, monkeypatch):
    cli.ok("init")
    monkeypatch.setattr(health, "library_warning", lambda: "this SQLite is old")
    result = cli("doctor")
    assert result.code == 9
    assert result.err == "Warning: this SQLite is old\n"


def test_a_long_list_says_how_to_go_on(cli):
    for _ in range(2):
        cli.created()
    assert re.fullmatch(r"More: proofgap list --after \d+:rr_\w+\n", cli.ok("list", "--limit", "1").err)


def test_without_a_standard_input_a_file_has_to_be_named(cli, monkeypatch):
    original = cli.__class__.__call__
    monkeypatch.setattr(io, "TextIOWrapper", lambda _stream: None)
    result = original(cli, "decide")
    assert (result.code, result.err) == (2, "proofgap: FILE: standard input is closed. Name a file.\n")


def test_a_ledger_in_a_file_is_made_and_read_where_no_extra_is_installed(cli):
    extras = (
        "psycopg",
        "procrastinate",
        "pyarrow",
        "starlette",
        "uvicorn",
        "jinja2",
        "authlib",
        "joserfc",
        "anyio",
        "pydot",
    )
    script = (
        f"import sys; sys.modules |= dict.fromkeys({extras}); from proofgap_app.cli import run; "
        "sys.exit(run(['init']) or run(['list']))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "Ledger ready" in done.stdout) == (0, True), done.stderr
