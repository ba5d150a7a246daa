"""``audit checkpoint``, ``key`` and ``policy``, and what the other commands say of key and head."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from proofgap.checkpoints import open_checkpoint
from proofgap.merkle import HASH_LENGTH
from proofgap.notes import VerifierKey
from proofgap.proofs import accept, parse_policy
from proofgap_app.cli import audit_signing
from proofgap_store import Ledger, UnavailableError


@pytest.fixture
def ready(cli):
    """A command line with a ledger, an auditor and a viewer."""
    cli.ok("init")
    cli.ok("grant", "udo", "auditor")
    cli.ok("grant", "vera", "viewer")
    return cli


def files(cli):
    """Read every file in the folder of the ledger, but the database."""
    return {file.name: file.read_bytes() for file in cli.folder.iterdir() if not file.name.startswith("proofgap.db-")}


def test_a_checkpoint_is_told_with_its_size_its_root_and_its_time(ready):
    size, root, signed = ready.ok("audit", "checkpoint").out.split("\t")
    assert (int(size), len(bytes.fromhex(root))) == (8, HASH_LENGTH)
    found = ready.ok("audit", "checkpoint", "--json").json
    assert (found["size"], found["root"], found["signed_at"]) == (8, root, signed.strip())
    key = VerifierKey.parse(ready.ok("audit", "key", "show").out.split("\t")[0])
    opened = open_checkpoint(found["note"], [key])
    assert (opened.checkpoint.size, opened.checkpoint.root.hex()) == (8, root)


def test_the_signed_checkpoint_is_written_for_auditors_and_an_older_one_is_replaced(ready):
    file = ready.folder / "checkpoint.txt"
    ready.ok("audit", "checkpoint", "--out", str(file))
    first = file.read_text("utf-8")
    assert first == ready.ok("audit", "checkpoint", "--json").json["note"]
    assert file.stat().st_mode & 0o777 == 0o644
    ready.created()
    ready.ok("audit", "checkpoint", "--out", str(file))
    assert file.read_text("utf-8") != first


@pytest.mark.parametrize("content", [b"dear diary\n", b"", b"\xff\xfe"])
def test_nothing_but_a_checkpoint_is_replaced_by_one(ready, content):
    file = ready.folder / "diary.txt"
    file.write_bytes(content)
    before = files(ready)
    result = ready("audit", "checkpoint", "--out", str(file))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("proofgap: --out: '/")
    assert result.err.endswith("' is there and holds no checkpoint. Name a new file.\n")
    assert files(ready) == before


def test_the_ledger_and_its_key_are_not_replaced_by_a_checkpoint(ready):
    before = files(ready)
    for name in ("proofgap.db", "proofgap.db.key"):
        assert ready("audit", "checkpoint", "--out", str(ready.folder / name)).code == 2
    assert files(ready) == before


def test_following_signs_what_comes_until_it_is_stopped(ready):
    command = [sys.executable, "-m", "proofgap_app", "audit", "checkpoint", "--follow", "--interval", "50ms", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = json.loads(child.stdout.readline())
    ready.created()
    second = json.loads(child.stdout.readline())
    child.send_signal(signal.SIGINT)
    rest, said = child.communicate(timeout=30)
    assert (first["size"], rest, child.returncode) == (8, b"", 130)
    assert second["size"] in {9, 10}
    assert b"interrupted" in said


class EnoughError(Exception):
    """The test has seen what it wanted."""


class Signer:
    """Signs as it is told to: with trouble, or without."""

    def __init__(self, *answers):
        self.answers, self.rests = iter(answers), 0

    def sign(self):
        answer = next(self.answers)
        if answer is not None:
            raise answer

    def rest(self, _pause):
        self.rests += 1


def test_trouble_that_passes_is_said_once_and_waited_for_and_a_refusal_is_not(monkeypatch, capsys):
    locked = UnavailableError("database is locked", "Check the file.")
    signer = Signer(locked, locked, None, locked, EnoughError())
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(EnoughError):
        audit_signing._follow(signer, 1.5)
    assert capsys.readouterr().err.count("database is locked") == 2
    assert (waits, signer.rests) == ([1.5] * 3, 1)


def test_many_waiting_events_are_not_left_waiting_for_the_whole_interval(ready, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with Ledger.open(ready.url, create=False) as ledger:
        audit_signing._Signing(ledger, None, as_json=False).rest(10.0)
        assert waits == [1.0] * 10
        monkeypatch.setattr(audit_signing, "_CROWD", ledger.audit.waiting())
        audit_signing._Signing(ledger, None, as_json=False).rest(10.0)
        assert waits == [1.0] * 11


def test_a_refusal_to_sign_ends_in_one_line_and_exit_code_1(ready):
    ready.ok("audit", "checkpoint")
    (ready.folder / "proofgap.db.head").write_text("dear diary\n")
    for options in ((), ("--follow",)):
        result = ready("audit", "checkpoint", *options)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("proofgap: no checkpoint was signed: what the head file holds is not as it was")
    problem = ready("audit", "checkpoint", "--json").problem
    assert (problem["code"], problem["exit_code"]) == ("unsigned", 1)


def test_without_the_key_nothing_is_signed_and_the_remedy_is_named(ready):
    (ready.folder / "proofgap.db.key").unlink()
    result = ready("audit", "checkpoint")
    assert result.code == 1
    assert result.err.startswith("proofgap: no checkpoint can be signed: the key proofgap/log_")
    assert "audit key rotate --lost" in result.err
    ready.created()


def test_keys_are_shown_to_auditors_as_they_pin_them(ready):
    ready.ok("audit", "checkpoint")
    ready.ok("audit", "key", "rotate")
    ready.as_user("udo")
    rows = [line.split("\t") for line in ready.ok("audit", "key", "show").out.splitlines()]
    assert [row[1:] for row in rows] == [["6", "5", "-"], ["9", "8", "yes"]]
    found = ready.ok("audit", "key", "show", "--json").json["items"]
    assert [item["key"] for item in found] == [row[0] for row in rows]
    assert [item["is_endorsed"] for item in found] == [None, True]
    assert all(VerifierKey.parse(item["key"]).can_verify for item in found)


@pytest.mark.parametrize("command", [("key", "show"), ("policy",)])
def test_who_audits_nothing_reads_neither_keys_nor_policy(ready, command):
    ready.as_user("vera")
    result = ready("audit", *command)
    assert (result.code, result.out) == (4, "")


@pytest.mark.parametrize(("user", "code"), [("vera", 4), ("udo", 4), ("sam", 7)])
def test_who_is_no_admin_rotates_no_key(ready, user, code):
    before = files(ready)["proofgap.db.key"]
    ready.as_user(user)
    assert ready("audit", "key", "rotate").code == code
    assert files(ready)["proofgap.db.key"] == before


def test_a_rotated_key_is_told_and_the_log_is_signed_with_it(ready):
    made = ready.ok("audit", "key", "rotate", "--json").json
    note = ready.ok("audit", "checkpoint", "--json").json["note"]
    assert open_checkpoint(note, [VerifierKey.parse(made["key"])]).checkpoint.size == made["event_id"]
    assert made["is_endorsed"] is True
    assert "hand the new key to your auditors" in ready.ok("audit", "key", "rotate").err


def test_a_key_that_is_there_is_not_lost(ready):
    before = files(ready)
    result = ready("audit", "key", "rotate", "--lost")
    assert result.code == 2
    assert result.err.endswith(". Leave it out.\n")
    assert files(ready) == before


def test_the_policy_takes_what_every_key_of_the_log_signed(ready):
    notes = [ready.ok("audit", "checkpoint", "--json").json["note"]]
    ready.ok("audit", "key", "rotate")
    notes.append(ready.ok("audit", "checkpoint", "--json").json["note"])
    ready.as_user("udo")
    text = ready.ok("audit", "policy").out
    policy = parse_policy(text)
    assert [accept(note, policy).checkpoint.size for note in notes] == [8, 9]
    file = ready.folder / "policy.txt"
    assert ready.ok("audit", "policy", "--out", str(file)).out == f"Policy written: {file}\n"
    assert file.read_text() == text
    assert ready.ok("audit", "policy", "--json").json == {"policy": text, "file": None}
    again = ready("audit", "policy", "--out", str(file))
    assert (again.code, file.read_text()) == (2, text)


def test_a_restore_ends_with_a_checkpoint_of_all_that_it_did(cli, tmp_path):
    backup = archive(tmp_path)
    cli.ok("restore", str(backup), "--into", str(tmp_path / "target"), "--yes")
    signing = cli.ok("doctor", "--json").json["signing"]
    assert signing["unsequenced"] == 0
    assert signing["head_size"] == signing["checkpoint_size"] > 8


def test_a_restore_whose_log_cannot_be_signed_is_still_a_restore(cli, tmp_path):
    backup = archive(tmp_path)
    cli.ok("init")
    (cli.folder / "proofgap.db.key").unlink()
    result = cli.ok("restore", str(backup), "--into", str(tmp_path / "target"), "--yes")
    assert (tmp_path / "target" / "a.txt").read_text() == "content"
    assert "no checkpoint can be signed" in result.err
    assert "completed" in result.out


def archive(folder):
    """Make a small backup."""
    file = folder / "backup.zip"
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("a.txt", "content")
    return file


def test_init_says_where_key_and_head_are_and_what_to_do_with_them(cli):
    result = cli.ok("init")
    assert f"{cli.folder}/proofgap.db.key - back it up" in result.err
    assert f"{cli.folder}/proofgap.db.head - better on another disk" in result.err
    found = cli.ok("init", "--json").json
    assert (found["key_file"], found["head_file"]) == tuple(
        f"{cli.folder}/proofgap.db{end}" for end in (".key", ".head")
    )


def test_key_and_head_lie_where_the_variables_say(cli, monkeypatch):
    places = {name: cli.folder / name for name in ("elsewhere.key", "elsewhere.head")}
    monkeypatch.setenv("PROOFGAP_KEY", str(places["elsewhere.key"]))
    monkeypatch.setenv("PROOFGAP_HEAD", str(places["elsewhere.head"]))
    cli.ok("init")
    note = cli.ok("audit", "checkpoint", "--json").json["note"]
    assert places["elsewhere.head"].read_text("utf-8") == note
    assert not [name for name in files(cli) if name.startswith("proofgap.db.")]
    signing = cli.ok("doctor", "--json").json["signing"]
    assert {signing["key_file"], signing["head_file"]} == {str(place) for place in places.values()}


@pytest.mark.parametrize("variable", ["PROOFGAP_KEY", "PROOFGAP_HEAD"])
def test_a_variable_that_names_no_file_is_named(cli, monkeypatch, variable):
    monkeypatch.setenv(variable, "a\nb")
    result = cli("init")
    assert result.code == 2
    assert result.err.startswith(f"proofgap: {variable}")
    monkeypatch.setenv(variable, str(cli.folder / "nowhere" / "file"))
    if variable == "PROOFGAP_HEAD":
        cli.ok("init")
        result = cli("audit", "checkpoint")
    else:
        result = cli("init")
    assert result.code == 1
    assert "cannot be written: No such file or directory" in result.err


def doctor(cli, code):
    """Ask the doctor, who must answer with this exit code; give what is said of key and head."""
    result = cli("doctor")
    assert result.code == code, result
    rows = dict(line.split("\t") for line in result.out.splitlines())
    return rows["key file"], rows["head file"], result.err


def test_the_doctor_says_how_key_head_and_queue_are(ready):
    key, head, said = doctor(ready, 0)
    assert key.endswith("proofgap.db.key (mode 0600, signs for this log)")
    assert (head.endswith("(nothing in it yet)"), said) == (True, "")
    ready.ok("audit", "checkpoint")
    assert doctor(ready, 0)[1].endswith("(saw 8 events, as the last checkpoint)")
    rows = dict(line.split("\t") for line in ready("doctor").out.splitlines())
    assert (rows["events without a checkpoint"], rows["oldest of them"], rows["events it covers"]) == ("0", "-", "8")
    assert rows["last checkpoint"].endswith(" ago")


def test_the_doctor_says_that_the_head_file_is_behind_gone_or_of_another_log(ready):
    head = ready.folder / "proofgap.db.head"
    ready.ok("audit", "checkpoint")
    behind = head.read_bytes()
    ready.created()
    ready.ok("audit", "checkpoint")
    head.write_bytes(behind)
    assert doctor(ready, 0)[1].endswith("(behind: saw 8 events)")
    head.unlink()
    _, state, said = doctor(ready, 9)
    assert (state.endswith("(not there to be used)"), "there is no head file" in said) == (True, True)
    head.write_text("dear diary\n")
    _, state, said = doctor(ready, 1)
    assert (state.endswith("(saw another log)"), said.startswith("Conflict: ")) == (True, True)


def test_the_doctor_says_that_the_database_is_behind_its_head_file(ready):
    copy = ready.folder / "copy.db"
    ready.ok("db", "backup", str(copy))
    ready.ok("audit", "checkpoint")
    database = ready.folder / "proofgap.db"
    for end in ("-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)
    database.write_bytes(copy.read_bytes())
    assert "the head file saw 8 events, and fewer have a checkpoint here" in doctor(ready, 1)[2]
    assert ready("audit", "checkpoint").code == 1


DAMAGE = {
    "gone": (lambda key: key.unlink(), "cannot sign for this log"),
    "open to others": (lambda key: key.chmod(0o640), "mode 0640, cannot sign for this log"),
    "no key": (lambda key: key.write_text("x"), "mode 0600, cannot sign for this log"),
}


@pytest.mark.parametrize(("damage", "state"), DAMAGE.values(), ids=DAMAGE)
def test_the_doctor_warns_of_a_key_that_cannot_sign(ready, damage, state):
    damage(ready.folder / "proofgap.db.key")
    key, _, said = doctor(ready, 9)
    assert key.endswith(f"({state})")
    assert said.startswith("Warning: ")


def test_looking_at_a_ledger_writes_no_file_beside_it(ready):
    before = files(ready)
    for command in (["list"], ["doctor"], ["db", "check"], ["audit", "key", "show"], ["audit", "policy"]):
        ready(*command)
    with Ledger.open(ready.url, create=False):
        assert set(files(ready)) == set(before)
