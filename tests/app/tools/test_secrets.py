"""Secrets: refused where they would go on record, and taken out of every text that a tool printed."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from proofgap.errors import BadInputError
from proofgap.secret import is_secret_name
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Request, SourceError
from proofgap_app.drivers.secrets import Redactor, read_password, secrets_in
from proofgap_app.drivers.tool import Kind, tool_for
from tests.app.restoring import Shell, backup_of

CANARY = 'canary/p"w 5@x'


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f"Fatal: cannot open sftp://me:{quote(CANARY, safe='')}@host/repo",
        json.dumps({"error": CANARY}),
        repr(CANARY),
        f"RESTIC_PASSWORD={CANARY} restic",
    ],
)
def test_a_known_secret_is_hidden_in_every_spelling(text):
    said = Redactor([CANARY])(text)
    assert "canary" not in said
    assert "***" in said


@pytest.mark.parametrize(
    "text",
    [
        "rest:https://me:s3same-open@host:8000/repo",
        "postgresql://me:s3same-open@host/db refused",
        "password=s3same-open",
        "PGPASSWORD: 's3same-open'",
        '{"secret_key": "s3same-open"}',
        "aws_secret_access_key=s3same-open&region=x",
        "Authorization: Bearer s3same-open",
        "host=db user=me password=s3same-open dbname=x",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ns3same-open\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_a_secret_that_nobody_named_is_known_by_its_shape(text):
    said = Redactor()(text)
    assert "s3same-open" not in said
    assert Redactor()(said) == said


def test_what_is_no_secret_stays_as_it_is():
    for text in ("/srv/repo: 3 files, 9 bytes", "sftp:me@host:/srv/repo", "no key found", "etc/passwd", "12:30:01"):
        assert Redactor(["abc"])(text) == text


def test_names_of_variables_say_which_are_secrets():
    secret = ("PGPASSWORD", "BORG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "B2_ACCOUNT_KEY", "OS_AUTH_TOKEN", "password")
    plain = ("RESTIC_PASSWORD_FILE", "BORG_PASSCOMMAND", "AWS_ACCESS_KEY_ID", "PGPASSFILE", "HOME", "RESTIC_CACHE_DIR")
    assert [name for name in secret if not is_secret_name(name)] == []
    assert [name for name in plain if is_secret_name(name)] == []
    assert secrets_in({"A_TOKEN": "t1", "REPO": "rest:https://u:p1@h/", "HOME": "/"}) == ["t1", "p1"]


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("backup", Request(backup="rest:https://me:canary77@host/", target="t")),
        ("target", Request(backup="b", target="postgresql://me:canary77@host/db")),
        ("option", Request(backup="b", target="t", options={"password": "canary77"})),
        ("option", Request(backup="b", target="t", options={"url": "https://me:canary77@host"})),
    ],
)
def test_a_request_with_a_secret_is_refused_without_repeating_it(field, request_):
    with pytest.raises(BadInputError) as caught:
        chosen("files", request_)
    assert caught.value.field == field
    assert "canary" not in str(caught.value)


def test_a_place_that_is_only_called_like_a_secret_is_none(tmp_path: Path):
    for backup in ("ssh://token-server:22/./r::a", "secret-host:repo::a", "/srv/passwords/repo::a"):
        assert chosen("borg", Request(backup=backup, target=str(tmp_path)))[1].backup == backup


def test_a_request_with_a_secret_leaves_nothing_on_record(tmp_path: Path):
    shell = Shell(tmp_path)
    ran = shell.inside("restore", "rest:https://me:canary77@host/", "--driver", "files", "--into", "x", "--yes")
    assert (ran.code, shell.runs(), "canary77" in ran.err) == (2, 0, False)
    assert ran.err.startswith("proofgap: BACKUP: holds a password or another secret.")


def test_a_password_file_gives_its_first_line_and_no_more(tmp_path: Path):
    file = tmp_path / "pw"
    file.write_text(f"{CANARY}\r\nnotes\n")
    file.chmod(0o600)
    assert read_password(file) == CANARY


@pytest.mark.parametrize(("mode", "text"), [(0o644, "secret\n"), (0o602, "secret\n"), (0o600, ""), (0o600, "\nx\n")])
def test_a_password_file_that_is_open_to_all_or_empty_is_refused(tmp_path: Path, mode: int, text: str):
    file = tmp_path / "pw"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(SourceError, match="password-file"):
        read_password(file)
    with pytest.raises(SourceError, match="cannot be read"):
        read_password(tmp_path / "none")


def test_a_tool_sees_what_it_declares_and_its_texts_lose_every_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "pw"
    file.write_text("from-the-file\n")
    file.chmod(0o600)
    monkeypatch.setenv("FAKE_TOKEN", "from-the-environment")
    monkeypatch.setenv("OTHER_TOKEN", "not-for-it")
    kind = Kind(name="env", install="Install it.", environment=("FAKE_*",))
    tool = tool_for(kind, Request(backup="b", target="t", password_file=file), {"FAKE_FILE": str(file)})
    assert (tool.environment["FAKE_TOKEN"], "OTHER_TOKEN" in tool.environment) == ("from-the-environment", False)
    said = tool.message("bad\x1b[0m  from-the-file\nand from-the-environment " + "x" * 900)
    assert said.startswith("bad\\x1b[0m *** and *** ")
    assert len(said) == 500


def test_a_tool_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    tool = tool_for(Kind(name="no-such-tool", install="Run: apt install it"), Request(backup="b", target="t"))
    with pytest.raises(SourceError, match=r"no-such-tool is not on this machine\. Run: apt install it"):
        tool.said  # noqa: B018 - it is looked for when it is first asked for
    monkeypatch.setenv("PROOFGAP_TOOL_NO_SUCH_TOOL", "test")
    silent = tool_for(Kind(name="no-such-tool", install="Install it"), Request(backup="b", target="t"))
    with pytest.raises(SourceError, match="does not say which version"):
        silent.said  # noqa: B018 - as above


def test_options_and_the_password_file_go_on_record_and_the_password_does_not(tmp_path: Path):
    """Whoever goes on with the run, on this machine or another one, needs nothing that is not on record."""
    shell, file = Shell(tmp_path), tmp_path / "pw"
    file.write_text("canary77\n")
    file.chmod(0o600)
    ran = shell.restore_inside(backup_of("zip", tmp_path), "--password-file", file)
    assert ran.code == 0
    assert shell.last().details.password_file == str(file)
    assert "canary77" not in shell.inside("audit", "export", tmp_path / "log.ndjson").out
    assert "canary77" not in (tmp_path / "log.ndjson").read_text()


def test_an_option_that_no_driver_has_is_refused_by_name(tmp_path: Path):
    shell = Shell(tmp_path)
    ran = shell.restore_inside(backup_of("zip", tmp_path), "--option", "deep=1")
    assert (ran.code, ran.err, shell.runs()) == (
        2,
        "proofgap: --option: deep is none of this driver. Leave it out; this driver has none.\n",
        0,
    )
    ran = shell.restore_inside(backup_of("tar", tmp_path), "--option", "deep")
    assert (ran.code, "is no KEY=VALUE" in ran.err) == (2, True)
