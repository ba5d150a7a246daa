"""Keeping and erasing on the command line: notes, names, redaction, holds, pruning, and what is declared."""

from __future__ import annotations

import json
import pwd
import shutil

import pytest

from proofgap_app.cli import ledgers
from proofgap_store import Ledger
from proofgap_store.sqlite_library import sqlite

WHY = "the database team asked for another night"


@pytest.fixture
def named(monkeypatch):
    """Let the operating system know how its user is called."""
    monkeypatch.setattr(ledgers, "display_name", lambda: "Ola Nordmann")


def checkpoint(cli):
    """Sign what is there, as the sequencer does."""
    with Ledger.open(cli.url, create=False) as ledger:
        ledger.audit.checkpoint()


def cancelled(cli):
    """Cancel a run and say why; give the run and the event."""
    run = cli.created()
    return run, cli.ok("run", "cancel", run, "--note", WHY, "--json").json["event_id"]


def sql(cli, *statements):
    """Run statements on the file of the ledger."""
    connection = sqlite.connect(cli.url.removeprefix("sqlite:///"), isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("words", [("cancel",), ("fire", "block", "--facts", '{"end_reason": "target_busy"}')])
def test_a_note_comes_with_the_event_and_is_read_from_the_log(cli, named, words):
    verb, *rest = words
    run = cli.created()
    for before in ("scope", "check", "preview", "queue"):
        cli.ok("run", before, run)
    event = cli.ok("run", verb, run, *rest, "--note", WHY, "--json")
    shown = cli.ok("audit", "show", str(event.json["event_id"]))
    assert f"data.note  {WHY}\n" in shown.out
    assert "actor.name  Ola Nordmann\n" in shown.out
    found = cli.ok("audit", "show", str(event.json["event_id"]), "--json").json
    assert found["openings"]["data.note"]["value"] == WHY
    assert "Nordmann" not in found["payload"]
    assert WHY not in found["payload"]


def test_whoever_watches_a_run_reads_the_note(cli):
    run, _ = cancelled(cli)
    assert cli.ok("run", "watch", run).out.splitlines()[-1].split("\t")[-1] == WHY
    lines = [json.loads(line) for line in cli.ok("run", "watch", run, "--json").out.splitlines()]
    assert [line["note"] for line in lines] == [None, WHY]


@pytest.mark.parametrize("note", ["", " ", "a\x1b[2J"])
def test_a_note_that_is_none_is_refused(cli, note):
    run = cli.created()
    refused = cli("run", "cancel", run, "--note", note)
    assert refused.code == 2
    assert "--note: " in refused.err
    assert cli.ok("audit", "list", "--type", "restore.run.transitioned").out == ""


@pytest.mark.parametrize(
    ("gecos", "name"),
    [("Ola Nordmann,,,", "Ola Nordmann"), ("", None), ("me", None), (",,", None), ("Ola\x1b", None), ("x" * 201, None)],
)
def test_the_name_of_a_person_comes_from_the_user_database_where_it_is_a_fit_one(monkeypatch, gecos, name):
    entry = pwd.struct_passwd(("me", "x", 1, 1, gecos, "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    assert (ledgers.me().id, ledgers.me().name) == ("me", name)


def test_a_user_that_the_system_does_not_know_has_no_name(monkeypatch):
    def unknown(_uid):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert ledgers.me().name is None


def test_a_redaction_erases_and_is_recorded(cli, named):
    _, event = cancelled(cli)
    done = cli.ok("audit", "redact", str(event), "--path", "data.note", "--reason", "gdpr-17")
    assert done.out.startswith(f"Erased: data.note of event {event}   event ")
    assert WHY not in cli.ok("audit", "show", str(event)).out
    assert "Ola Nordmann" in cli.ok("audit", "show", str(event)).out
    listed = cli.ok("audit", "list", "--type", "audit.redacted").out
    assert f"data.note of event {event}: gdpr-17" in listed
    again = cli("audit", "redact", str(event), "--path", "data.note", "--reason", "gdpr-17", "--json")
    assert (again.code, again.problem["code"]) == (7, "not_found")
    assert again.problem["detail"].endswith("it was erased already.")


def test_holds_are_put_listed_and_released(cli):
    run = cli.created()
    held = cli.ok("audit", "hold", "--run", run, "--reason", "case-4711", "--json").json
    cli.ok("audit", "hold", "--environment", "local", "--reason", "audit-2026")
    rows = [line.split("\t") for line in cli.ok("audit", "holds").out.splitlines()]
    assert [row[1:4] for row in rows] == [
        [run, "in force", "case-4711"],
        ["default/local", "in force", "audit-2026"],
    ]
    assert cli.ok("audit", "release", held["id"], "--json").json["active"] is False
    again = cli("audit", "release", held["id"])
    assert again.code == 7
    assert again.err.endswith("it was released already.\n")
    assert cli("audit", "hold", "--reason", "x").code == 2
    assert cli("audit", "hold", "--run", run, "--reason", "two words").code == 2


def test_without_holds_nothing_is_listed(cli):
    cli.created()
    assert cli.ok("audit", "holds") == (0, "", "No holds.\n")


def test_a_pruning_names_its_file_and_a_hold_that_stopped_it(cli):
    cli.ended("complete")
    held = cli.created()
    cli.ok("audit", "hold", "--run", held, "--reason", "case-4711")
    checkpoint(cli)
    file = cli.folder / "oldest.jsonl"
    done = cli("audit", "prune", "--before", "2100-01-01T00:00:00Z", "--export", str(file))
    assert done.code == 9
    assert "Stopped before event" in done.err
    assert f"kept as\t{file}\n" in done.out
    listed = cli.ok("audit", "list", "--type", "audit.pruned").out
    assert "kept as oldest.jsonl" in listed
    nothing = cli("audit", "prune", "--before", "2100-01-01T00:00:00Z", "--export", str(cli.folder / "b"), "--json")
    assert (nothing.code, nothing.problem["code"]) == (1, "held")


def test_a_run_that_was_pruned_is_shown_watched_listed_and_drawn(cli):
    run = cli.ended("complete")
    checkpoint(cli)
    done = cli.ok("audit", "prune", "--events", "15", "--export", str(cli.folder / "e"), "--json").json
    assert done["last"] == 14
    checkpoint(cli)
    cli.ok("audit", "prune", "--before", "2100-01-01T00:00:00Z", "--export", str(cli.folder / "f"))
    (moved,) = cli.ok("run", "watch", run, "--timeout", "5s").out.splitlines()
    assert moved.split("\t")[1:4] == ["complete", "running", "completed"]  # the last move stays
    assert cli.ok("show", run).code == 0
    assert "pruned" in cli.ok("audit", "list", "--run", run, "--type", "restore.run.transitioned").out
    event = json.loads(cli.ok("audit", "tail", "--lines", "200", "--json").out.splitlines()[15])["event_id"]
    assert cli.ok("audit", "show", str(event)).code == 0
    assert cli.ok("diagram", "--run", run, "--format", "mermaid").out
    why = cli("decision", "why", run, "--json")
    assert (why.code, why.problem["code"]) == (1, "pruned")


@pytest.mark.parametrize(
    "options", [[], ["--events", "1", "--before", "2100-01-01T00:00:00Z"], ["--events", "0"], ["--before", "soon"]]
)
def test_an_order_to_prune_that_says_nothing_or_too_much_is_refused(cli, options):
    cli.created()
    checkpoint(cli)
    assert cli("audit", "prune", *options, "--export", str(cli.folder / "e")).code == 2
    assert not (cli.folder / "e").exists()


def test_a_changed_export_is_refused_in_one_line(cli):
    cli.ended("complete")
    checkpoint(cli)
    file = cli.folder / "e"
    file.write_text("something else\n")
    refused = cli("audit", "prune", "--events", "5", "--export", str(file))
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert "Nothing was pruned" in refused.err


def test_a_gap_is_found_by_doctor_declared_and_gone(cli):
    cli.created()
    sql(cli, "DROP TRIGGER receipt_is_never_deleted", "CREATE TRIGGER zz AFTER INSERT ON receipt BEGIN SELECT 1; END")
    assert cli("doctor").code == 1
    assert cli("run", "create", "b", "--into", "t").code == 1
    done = cli.ok("audit", "declare-gap", "--reason", "cause unknown")
    assert "put back\treceipt_is_never_deleted\n" in done.out
    assert "taken away\tzz\n" in done.out
    assert "missing guards\tnone" in cli("doctor").out
    assert "cause unknown" in cli.ok("audit", "list", "--type", "audit.gap_declared").out
    again = cli("audit", "declare-gap", "--reason", "once more", "--json")
    assert (again.code, again.problem["code"]) == (2, "bad_input")


def test_a_ledger_put_back_from_a_copy_is_declared(cli):
    cli.created()
    checkpoint(cli)
    file = cli.folder / "proofgap.db"
    copy = cli.folder / "copy.db"
    shutil.copy(file, copy)
    cli.created()
    checkpoint(cli)
    shutil.copy(copy, file)
    done = cli.ok("audit", "declare-restore", "--reason", "disk failure", "--json").json
    assert done["size"] < done["head_size"]
    checkpoint(cli)
    assert "disk failure" in cli.ok("audit", "list", "--type", "audit.restore_declared").out
    again = cli("audit", "declare-restore", "--reason", "again")
    assert (again.code, again.out) == (2, "")
    assert "the head file and the ledger agree" in again.err


@pytest.mark.parametrize("command", [["declare-gap"], ["declare-restore"]])
def test_a_declaration_without_words_is_refused(cli, command):
    cli.created()
    refused = cli("audit", *command, "--reason", " ")
    assert refused.code == 2
    assert "--reason: " in refused.err


def test_a_pruned_event_is_said_to_be_pruned_and_has_no_invented_actor(cli):
    run = cli.created()
    cli.ok("run", "scope", run)  # what a record stands on is never pruned
    number = cli.ok("audit", "list", "--run", run, "--limit", "1", "--oldest-first").out.split("\t")[0]
    checkpoint(cli)
    cli.ok("audit", "prune", "--before", "2100-01-01T00:00:00Z", "--export", str(cli.folder / "kept"))
    shown = cli.ok("audit", "show", number).out
    assert "payload\tpruned: it is in the export that was kept" in shown
    assert "actor\t-\n" in shown
    assert "data" not in shown
    (row,) = [line.split("\t") for line in cli.ok("audit", "list").out.splitlines() if line.split("\t")[0] == number]
    assert (row[2], row[5]) == ("-", "payload pruned")


OPTIONS = {
    "--limit of events": (["audit", "list", "--limit", "0"], "--limit"),
    "--after of events": (["audit", "list", "--after", "x"], "--after"),
    "--limit of runs": (["list", "--limit", "0"], "--limit"),
    "--lost": (["audit", "key", "rotate", "--lost"], "--lost"),
    "--out of a policy": (["audit", "policy", "--out", "TAKEN"], "--out"),
    "--out of a bundle": (["audit", "bundle", "RUN", "--out", "TAKEN"], "--out"),
    "--events": (["audit", "prune", "--events", "999", "--export", "NEW"], "--events"),
    "--before": (["audit", "prune", "--before", "2000-01-01T00:00:00Z", "--export", "NEW"], "--before"),
    "--export": (["audit", "prune", "--events", "1", "--export", "TAKEN"], "--export"),
    "--workspace": (["audit", "hold", "--reason", "case-4711"], "--workspace"),
}


@pytest.mark.parametrize(("command", "option"), OPTIONS.values(), ids=OPTIONS)
def test_an_error_names_the_option_that_it_is_about(cli, command, option):
    taken = cli.folder / "taken"
    taken.write_text("mine")
    places = {"TAKEN": str(taken), "NEW": str(cli.folder / "new"), "RUN": cli.ended("complete")}
    cli.ok("audit", "checkpoint")
    refused = cli(*(places.get(word, word) for word in command))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"proofgap: {option}"), refused.err
    assert taken.read_text() == "mine"
