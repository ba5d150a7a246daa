"""The conversation before anything is written: the question, approvals, and text that must not steer anything."""

from __future__ import annotations

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.errors import GuardRefusedError
from proofgap.facts import RunEvent
from proofgap_app.cli.ledgers import me
from tests.app.restoring import (
    FILES,
    Shell,
    Terminal,
    Witness,
    backup_of,
    carried_out,
    opened,
    somebody_else,
    tree,
)

ODD_NAMES = (
    "two words.txt",
    "quote'and\"quote.txt",
    "line\nbreak.txt",
    "\x1b[31mred\x1b[0m.txt",
    "\x1b]0;title\x07.txt",
    "\u202egnp.exe",
    "zero\u200bwidth.txt",
    "$(reboot).txt",
    "--help",
    "grüße-文件-🙂.txt",
)
CONTROL_NAMES = ("line\nbreak", "\x1b[31mred", "bell\x07", "\u202eback", "zero\u200bwidth")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def at_the_question(shell: Shell, tmp_path: Path, keys: bytes) -> tuple[int, bytes]:
    """Restore at a terminal, and press keys when the question is there; give the exit code and what was shown."""
    backup = backup_of("tar.gz", tmp_path)
    terminal = Terminal(shell, "restore", backup.path, "--into", shell.target, "--exit-status")
    terminal.press(keys, after="Type yes to go on:")
    return terminal.end(), terminal.shown


@pytest.mark.parametrize("answer", [b"\xff yesterday\n", b"\x04"])
def test_any_answer_but_yes_cancels(shell: Shell, tmp_path: Path, answer: bytes) -> None:
    """Nothing is written, and the run says that it was cancelled; no answer at all is no, too."""
    code, shown = at_the_question(shell, tmp_path, answer)
    told = shell.last()
    assert (code, told.ended) == (15, ("blocked_or_cancelled", "cancelled", "cancel_requested"))
    assert (told.details.nothing_written, told.events[-1]) == (True, "cancel")
    assert list(shell.target.parent.iterdir()) == []
    assert b"4 would be created" in shown


def test_yes_goes_on_and_the_terminal_shows_the_decision(shell: Shell, tmp_path: Path) -> None:
    """With bars, colours and all; no green, and no check mark."""
    code, shown = at_the_question(shell, tmp_path, b"Yes\n")
    assert (code, shell.last().ended[0]) == (0, "completed_with_evidence")
    assert tree(shell.target) == FILES
    assert b"Completed with evidence available" in shown
    assert b"Reading the target" in shown
    assert not any(mark in shown.decode() for mark in ("\u2713", "\u2714", "\u2705", "\x1b[32m"))


def test_control_c_at_the_question_cancels(shell: Shell, tmp_path: Path) -> None:
    """The key itself, through the terminal: exit 130, the run is cancelled, nothing is written."""
    code, shown = at_the_question(shell, tmp_path, b"\x03")
    told = shell.last()
    assert (code, told.ended) == (130, ("blocked_or_cancelled", "cancelled", "cancel_requested"))
    assert told.details.nothing_written
    assert list(shell.target.parent.iterdir()) == []
    assert b"stopped on request" in shown


def test_where_nobody_can_be_asked_nothing_is_begun(shell: Shell, tmp_path: Path) -> None:
    """Exit 2, the remedy is named, and there is neither a run nor a ledger file."""
    ran = shell("restore", backup_of("zip", tmp_path).path, "--into", shell.target)
    assert (ran.code, ran.out) == (2, "")
    assert "Add --yes, or --dry-run to only look." in ran.err
    assert (shell.ledger_file.parent.exists(), shell.target.exists()) == (False, False)


def test_a_restore_that_needs_approval_waits(shell: Shell, tmp_path: Path) -> None:
    """Exit 5 or 10: it stays previewed with nothing written, nobody approves their own, and somebody else can, later."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(("default", "local"), me(), approvals_required=1)
        ledger.access.grant(somebody_else().id, Role.OPERATOR, ("default", "local"), me())
    backup = backup_of("zip", tmp_path)
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    told = shell.last()
    assert (ran.code, told.ended) == (5, ("not_executed", "previewed", None))
    assert "let them approve this plan" in ran.err
    assert not shell.target.exists()
    assert shell.restore_inside(backup).code == 10
    run_id = told.run["id"]
    assert shell.inside("run", "approve", run_id).code == 5
    with opened(shell) as ledger:
        ledger.fire(run_id, RunEvent.APPROVE, somebody_else())
        receipt = ledger.fire(run_id, RunEvent.QUEUE, me())
    assert (receipt.status, receipt.decision.state) == ("queued", "in_progress")


def test_the_approval_guard_is_raised_to_whoever_restores_in_python(shell: Shell, tmp_path: Path) -> None:
    """The error names the guard."""
    with opened(shell) as ledger:
        ledger.access.declare_environment(("default", "local"), me(), approvals_required=2)
    with pytest.raises(GuardRefusedError) as raised:
        carried_out(shell, backup_of("db", tmp_path), Witness())
    assert raised.value.guard == "is_approved"
    assert shell.last().ended == ("not_executed", "previewed", None)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_paths_that_steer_terminals_are_refused(shell: Shell, tmp_path: Path, name: str) -> None:
    """As BACKUP, as --into, behind a link, or as purpose: exit 2, and no run has them in its record."""
    backup = backup_of("zip", tmp_path).path
    odd = tmp_path / name
    odd.write_bytes(backup.read_bytes())
    (tmp_path / "link").symlink_to(odd)
    for words in (
        (odd, "--into", shell.target),
        (backup, "--into", odd),
        (tmp_path / "link", "--into", shell.target),
        (backup, "--into", shell.target, "--purpose", name),
    ):
        ran = shell.inside("restore", *words, "--yes")
        assert (ran.code, ran.out, shell.runs()) == (2, "", 0)
    assert not shell.target.exists()


def test_spaces_and_quotes_in_paths_are_text(shell: Shell, tmp_path: Path) -> None:
    """They are kept as they are, in the record as in the file system."""
    backup = backup_of("zip", tmp_path).path.rename(tmp_path / "my 'best' \"backup\" $(ls) grüße.zip")
    shell.target = shell.target.parent / "a 'new' \"place\" 文件"
    assert shell.restore(backup).code == 0
    told = shell.last()
    assert (told.run["backup"], told.run["target"]) == (str(backup), str(shell.target))
    assert tree(shell.target) == FILES


@pytest.mark.parametrize("kind", ["tar", "zip", "directory"])
def test_odd_names_in_a_backup_come_back_and_are_shown_escaped(shell: Shell, tmp_path: Path, kind: str) -> None:
    """They are names like any other in the target; on the terminal, in the log and in JSON nothing of them is raw."""
    backup = backup_of(kind, tmp_path, {name: name.encode() for name in ODD_NAMES})
    shell.target.mkdir()
    for name in ODD_NAMES:
        (shell.target / name).write_bytes(b"mine")
    ran = shell.restore_inside(backup)
    assert (ran.code, shell.last().counts) == (14, {"total": len(ODD_NAMES), "skipped": len(ODD_NAMES)})
    assert shell.restore_inside(backup, "--overwrite", "--json").code == 0
    told = shell.last()
    assert tree(shell.target) == backup.contents
    assert told.counts == {"total": len(ODD_NAMES), "succeeded": len(ODD_NAMES)}
    assert all(item.key.isprintable() for item in told.items)
    assert len({item.key for item in told.items}) == len(ODD_NAMES)
    run_id = told.run["id"]
    for words in (["items", "list", run_id], ["items", "list", run_id, "--json"], ["show", run_id], ["list"]):
        assert shell.inside(*words).code == 0


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_hostile_names_neither_escape_nor_steer(shell: Shell, tmp_path: Path, kind: str) -> None:
    """What would climb out is skipped with its reason; nothing is beside the target, and nothing raw on the terminal."""
    hostile = (
        "../climbed",
        f"{tmp_path}/absolute",
        "deep/../../climbed",
        "\x1b[2J/../../../climbed",
        "..\\..\\climbed",
    )
    backup = _hostile(kind, tmp_path, ("good.txt", *hostile))
    beside = sorted(path.name for path in tmp_path.iterdir())
    ran = shell.restore(backup) if kind == "tar" else shell.restore_inside(backup)
    told = shell.last()
    assert [path.name for path in shell.target.parent.iterdir()] == ["place"]
    assert sorted({*(path.name for path in tmp_path.iterdir())} - {"ledger"}) == beside
    assert (shell.target / "good.txt").read_bytes() == b"good.txt"
    assert {item.reason_code for item in told.items if item.result == "skipped"} == {"unsafe_path"}
    assert told.counts["skipped"] >= 4
    assert told.counts["succeeded"] == len(tree(shell.target))
    assert told.ended[1] in {"completed_with_errors", "partial"}
    assert (ran.code, told.ended[0]) == (13, "needs_review")
    assert "unsafe_path" in ran.err


def _hostile(kind: str, folder: Path, names: tuple[str, ...]) -> Path:
    path = folder / f"hostile.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), name)
        return path
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name.encode())
            archive.addfile(member, BytesIO(name.encode()))
    return path
