"""``proofgap audit verify`` as auditors and their scripts meet it: what it says, and what it exits with."""

from __future__ import annotations

import json
import shutil

import pytest

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap_store import Ledger
from proofgap_store.sqlite_library import sqlite
from tests.app.cli.test_streams import in_a_terminal
from tests.store.tampering import unguarded


@pytest.fixture
def file(cli):
    """The file of a ledger in which something happened, with a checkpoint."""
    cli.in_state("completed_with_evidence")
    with Ledger.open(cli.url, owner="owner") as ledger:
        ledger.audit.checkpoint()
    return cli.folder / "proofgap.db"


def edit(file):
    """Edit one event behind every guard."""
    with unguarded(file) as connection:
        connection.execute("UPDATE audit_event SET payload = replace(payload, 'nightly', 'nightlx') WHERE event_id = 7")


def test_an_honest_log_is_ok_and_the_last_line_names_anchor_and_blind_spot(cli, file):
    result = cli.ok("audit", "verify")
    *_, covered, last = result.out.splitlines()
    assert "events under a root" in covered
    assert last.startswith("OK. Held against: head file of ")
    assert "Not seen by that: " in last
    assert not any(claim in result.out + result.err for claim in FORBIDDEN_CLAIMS)


def test_an_edited_log_exits_with_1_and_names_code_leaf_event_stream_and_hint(cli, file):
    edit(file)
    result = cli("audit", "verify")
    assert result.code == 1
    lines = result.out.splitlines()
    assert any(line.startswith("LEAF_MISMATCH leaf 6, event 7, stream run/") or "LEAF_MISMATCH leaf 6, event 7" in line
               for line in lines)  # fmt: skip
    assert any(line.startswith("EVENT_EDITED leaf 6, event 7, stream run/") for line in lines)
    assert "    Compare with an earlier copy" in result.out
    assert lines[-1].startswith("TAMPERED. ")
    found = cli("audit", "verify", "--json")
    assert found.code == 1
    assert {row["code"] for row in found.json["findings"]} == set(found.json["counts"])
    assert (found.json["verdict"], found.err) == ("TAMPERED", "")


def test_a_quick_look_never_says_ok_and_never_exits_with_0(cli, file):
    result = cli("audit", "verify", "--quick")
    assert (result.code, result.out.splitlines()[-1].startswith("QUICK: payloads not read.")) == (9, True)
    edit(file)
    assert cli("audit", "verify", "--quick").code == 9, "an edited payload is what a quick look does not see"


def test_a_pin_is_written_once_all_is_well_compared_with_and_moved_on(cli, file):
    pin = cli.folder / "seen.note"
    cli.ok("audit", "verify", "--pin", str(pin))
    first = pin.read_text("utf-8")
    assert cli.ok("audit", "verify", "--pin", str(pin)).out.splitlines()[-1].startswith("OK. Held against: pin of ")
    cli.created()
    with Ledger.open(cli.url, owner="owner") as ledger:
        ledger.audit.checkpoint()
    cli.ok("audit", "verify", "--pin", str(pin))
    assert int(pin.read_text("utf-8").splitlines()[1]) > int(first.splitlines()[1])
    edit(file)
    before = pin.read_bytes()
    assert cli("audit", "verify", "--pin", str(pin)).code == 1
    assert pin.read_bytes() == before, "what is not to be trusted is never pinned"


def test_a_rolled_back_copy_is_found_by_the_pin_and_by_the_head_file(cli, file):
    copy = cli.folder / "copy.db"
    shutil.copy(file, copy)
    pin = cli.folder / "seen.note"
    cli.created()
    with Ledger.open(cli.url, owner="owner") as ledger:
        ledger.audit.checkpoint()
    cli.ok("audit", "verify", "--pin", str(pin))
    old = ("--ledger", f"sqlite:///{copy}")
    assert cli.ok("audit", "verify", *old).out.splitlines()[-1].startswith("OK. Held against: none.")
    for anchor in (("--pin", str(pin)), ("--head", f"{file}.head")):
        result = cli("audit", "verify", *old, *anchor)
        assert (result.code, "ROLLBACK" in result.out, "declare-restore" in result.out) == (1, True, True)


def test_a_policy_that_is_none_is_refused_with_the_line_and_one_remedy(cli, file):
    policy = cli.folder / "policy"
    policy.write_text("$ proofgap audit policy\nquorum none\n", "utf-8")
    refused = cli("audit", "verify", "--policy", str(policy))
    problem = "'$ proofgap audit policy' is no line of it, or a second quorum. Get it again: proofgap audit policy."
    assert (refused.code, refused.err.startswith("proofgap: --policy: '/")) == (2, True)
    assert refused.err.endswith(f"' is none: {problem}\n")


def test_a_policy_with_another_key_makes_it_unverifiable_with_exit_3(cli, file):
    policy = cli.folder / "policy"
    key = "proofgap.example/log+9c1a9f8d+AWzs"
    policy.write_text(f"log {key}\nquorum none\n", "utf-8")
    assert cli("audit", "verify", "--policy", str(policy)).code == 2
    policy.write_text(
        "log sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8\nquorum none\n", "utf-8"
    )
    result = cli("audit", "verify", "--policy", str(policy))
    assert result.code == 3
    assert result.out.splitlines()[-1].startswith("UNVERIFIABLE. ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jobs", "0"), "--jobs: 0 is out of range"),
        (("--jobs", "65"), "--jobs: 65 is out of range"),
        (("--max-age", "soon"), "--max-age: 'soon' is no duration"),
        (("--since", "/nowhere"), "--since: '/nowhere' cannot be read"),
        (("--head", "/nowhere"), "--head: '/nowhere' cannot be read"),
        (("--ledger", "sqlite://"), "ledger: 'sqlite://' is no file of a ledger"),
        (("--ledger", "nonsense"), "is no database URL"),
    ],
)
def test_bad_input_exits_with_2_in_one_line(cli, file, arguments, words):
    result = cli("audit", "verify", *arguments)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert words in result.err


@pytest.mark.parametrize("content", [b"", b"no note", b"\xff\xfe", b"log\n5\n\n\xe2\x80\x94 x y\n"])
def test_a_file_that_is_no_checkpoint_is_bad_input(cli, file, content):
    pin = cli.folder / "seen.note"
    pin.write_bytes(content)
    result = cli("audit", "verify", "--pin", str(pin))
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert pin.read_bytes() == content


def test_a_ledger_that_is_not_there_is_one_line_and_no_new_file(cli):
    result = cli("audit", "verify", "--ledger", f"sqlite:///{cli.folder}/none.db")
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert not (cli.folder / "none.db").exists()


def test_on_a_terminal_there_is_a_bar_and_in_a_pipe_there_is_none(cli, file):
    assert cli("audit", "verify").err == ""
    shown = in_a_terminal(cli, "audit", "verify")
    assert "Verifying" in shown
    assert "OK. Held against" in shown


def test_what_a_forger_wrote_cannot_steer_the_terminal(cli, file):
    with unguarded(file) as connection:
        connection.execute("INSERT INTO audit_stream VALUES (char(27) || '[31mrun/x', 0, printf('%064d', 0), 1)")
    result = cli("audit", "verify")
    assert (result.code, "\x1b" in result.out, "\\x1b[31mrun/x" in result.out) == (1, False, True)
    assert "\x1b" not in json.dumps(cli("audit", "verify", "--json").out, ensure_ascii=False)


def test_the_first_pin_says_that_there_was_nothing_to_compare_with_and_a_bad_place_costs_no_verdict(cli, file):
    pin = cli.folder / "seen.note"
    assert "There was no pin to compare with" in cli.ok("audit", "verify", "--pin", str(pin)).err
    assert cli.ok("audit", "verify", "--pin", str(pin)).err == ""
    result = cli("audit", "verify", "--pin", str(cli.folder / "none" / "seen.note"))
    assert (result.code, result.out.splitlines()[-1][:3], result.err.count("\n")) == (2, "OK.", 1)


def test_the_head_file_is_where_the_variable_says(cli, tmp_path, monkeypatch):
    head = tmp_path / "elsewhere.head"
    monkeypatch.setenv("PROOFGAP_HEAD", str(head))
    cli.created()
    cli.ok("audit", "checkpoint")
    old = cli.folder / "old.db"
    cli.ok("db", "backup", str(old))
    cli.created()
    cli.ok("audit", "checkpoint")
    assert cli.ok("audit", "verify").out.splitlines()[-1].startswith("OK. Held against: head file of ")
    shutil.copy(old, cli.folder / "proofgap.db")
    for ending in ("-wal", "-shm"):
        (cli.folder / f"proofgap.db{ending}").unlink(missing_ok=True)
    result = cli("audit", "verify")
    assert (result.code, "ROLLBACK" in result.out) == (1, True)


def test_every_command_says_at_its_start_that_guards_are_missing_and_reading_goes_on(cli, file):
    connection = sqlite.connect(str(file), isolation_level=None)
    connection.execute("DROP TRIGGER receipt_is_never_deleted")
    connection.close()
    result = cli("audit", "list", "--limit", "1")
    assert (result.code, result.err.startswith("Warning: nothing is written while the guards")) == (0, True)
    assert "receipt_is_never_deleted" in result.err
    refused = cli("run", "create", "nightly", "--into", "staging")
    assert (refused.code, len(refused.err.splitlines())) == (1, 2)
