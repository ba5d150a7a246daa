"""What a restore leaves to read: why it was blocked, what was there already, and where it went."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.errors import ProofgapError
from proofgap.text import TEXT_LENGTH_MAX, check_words
from proofgap_app.cli.ledgers import me
from proofgap_app.worker.record import note_of
from proofgap_store import Ledger
from tests.app.restoring import FILES, Shell, backup_of, opened

HOME = ("default", "local")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def test_why_a_run_was_blocked_can_be_read_later(shell: Shell, tmp_path: Path) -> None:
    """The sentence that was on the terminal is the note of the event; viewers of no log are not shown it."""
    with opened(shell) as ledger:
        ledger.access.grant("m.guest", Role.VIEWER, HOME, me())
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and nothing else")
    ran = shell.inside("restore", broken, "--into", shell.target, "--yes")
    told = shell.last()
    assert told.ended[:2] == ("blocked_or_cancelled", "cancelled")
    said = ran.err.splitlines()[0].removeprefix("proofgap: ")
    assert str(broken) in said
    shown = shell.inside("show", told.run["id"])
    assert [line.split(maxsplit=1)[1] for line in shown.out.splitlines() if line.startswith("  Why ")] == [said]
    assert told.run["note"] == said
    guest = shell.inside("show", told.run["id"], "--as", "m.guest").out
    assert ("Why" in guest, "Review blocker" in guest) == (False, True)
    with Ledger.open(shell.url, create=False) as ledger:
        blocks = [row for row in ledger.history(told.run["id"], me().id) if row.entry["data"].get("event") == "block"]
    (event,) = (row for row in blocks if row.entry["type"] == "restore.run.transitioned")
    assert event.openings["data.note"].value == said
    assert said not in str(event.entry), "what names files is committed to, not said"


def test_what_a_guard_said_can_be_read_later(shell: Shell, tmp_path: Path) -> None:
    """Such as that nothing was selected."""
    backup = backup_of("zip", tmp_path)
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--yes", "--select", "nothing/*")
    told = shell.last()
    assert told.ended[2] == "empty_selection"
    assert told.run["note"]
    assert f"{told.run['note']}." in ran.err


@pytest.mark.parametrize(
    ("why", "note"),
    [
        (ProofgapError("two\nlines"), "two lines"),
        (ProofgapError("a \x1b[31m name"), "a \\x1b[31m name"),
        (ProofgapError("bad \udcff byte"), "bad \\udcff byte"),
        (OSError(13, "Permission denied", "/srv/a"), "/srv/a: Permission denied"),
        (ProofgapError(" "), "ProofgapError"),
        (ProofgapError("\x07" * TEXT_LENGTH_MAX), "\\x07" * (TEXT_LENGTH_MAX // 4)),
    ],
)
def test_every_sentence_becomes_a_note_that_the_ledger_takes(why: Exception, note: str) -> None:
    """Whatever it names: a block that is refused for its note would leave the run where it was."""
    assert check_words("note", note_of(why)) == note


def test_what_was_there_already_is_said(shell: Shell, tmp_path: Path) -> None:
    """It is as the backup wants it, so it succeeded; but nobody is let to believe that it was written."""
    backup = backup_of("tar", tmp_path)
    first = shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    assert "already as in the backup" not in first.out
    assert shell.last().run["unchanged"] == 0
    (shell.target / "a.txt").unlink()
    again = shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    told = shell.last()
    assert (again.code, told.counts) == (0, {"total": len(FILES), "succeeded": len(FILES)})
    assert f"  {len(FILES) - 1} already as in the backup\n" in again.out
    assert told.run["unchanged"] == len(FILES) - 1


@pytest.mark.parametrize("kind", ["db", "sql"])
def test_a_database_restored_into_a_directory_is_on_record_as_the_file(shell: Shell, tmp_path: Path, kind: str) -> None:
    """Run, page and log name what was written, not where it is."""
    backup = backup_of(kind, tmp_path)
    shell.target.mkdir()
    ran = shell.inside("restore", backup.path, "--into", shell.target, "--yes")
    file = shell.target / "shop.db"
    assert (ran.code, shell.last().run["target"], file.is_file()) == (0, str(file), True)
    assert f" into {file}\n" in ran.out
    shell.last().counts_are_true(backup, file)
