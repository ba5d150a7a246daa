"""Real repositories of real tools, what they should hold, and ways to damage them and to stop the tools half-way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.restoring import Backup, Shell, Told
from tests.app.tools.weak_key import weaken

PASSWORD = "canary-5ecret-pw"  # noqa: S105 - of repositories that live as long as the test
REMEDY = "run as root: apt-get install --no-install-recommends restic borgbackup (make test does it where it may)"
NAMES = ("n0.bin", "n1.bin", "deep/n2.bin", "deep/er/n3.bin")


def noise(size: int, seed: int) -> bytes:
    """Give bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - no secret


SMALL = {name: noise(300_000, seed) for seed, name in enumerate(NAMES)} | {
    "a.txt": b"alpha\n",
    "deep/d.txt": b"delta\n",
    "sp ace/ü.txt": b"umlaut\n",
    "new\nline: x": b"odd\n",
}
LARGE = {f"l{number:02}.bin": noise(1_500_000, 100 + number) for number in range(16)}


@dataclass(frozen=True)
class Kit:
    """A tool, and a repository of it that was made once."""

    name: str
    made: Path

    def copy(self, folder: Path, contents: Mapping[str, bytes] = SMALL) -> Backup:
        """Give a repository of one's own."""
        place = folder / "repository"
        shutil.copytree(self.made, place)
        return Backup(Path(f"{self.name}:{place}"), contents)


def call(*arguments: object, folder: Path | None = None, expect: int | None = 0) -> str:
    """Run a tool as its user would; ``None``: whatever it exits with."""
    done = subprocess.run([*map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert expect in {None, done.returncode}, done.stdout + done.stderr
    return done.stdout + done.stderr


def demand(program: str) -> None:
    """Fail with the remedy where a tool is missing: nothing is left out silently."""
    if shutil.which(program) is None:
        pytest.fail(f"the program {program} is not on this machine; {REMEDY}", pytrace=False)


def written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write contents below a folder."""
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def restic_repository(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Make a repository whose newest snapshot has its content in two packs: half of it was backed up before."""
    demand("restic")
    place, source = folder / "restic", folder / "source"
    call("restic", "init", "--repo", place)
    weaken(place, PASSWORD)
    for number in range(2):
        written(source, dict(list(contents.items())[number::2]))
        call("restic", "--repo", place, "backup", ".", folder=source)
    for path in place.rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)
    return place


def borg_repository(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Make a repository with one archive of half of the contents, and one of all."""
    demand("borg")
    place, source = folder / "borg", folder / "source"
    folder.mkdir()
    call("borg", "init", "--encryption", "repokey-blake2", place)
    for number in range(2):
        written(source, dict(list(contents.items())[number::2]))
        call("borg", "create", f"{place}::a{number}", ".", folder=source)
    return place


def largest(folder: Path, number: int = 0) -> Path:
    """Give the largest file below a folder, or the next ones."""
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)[number]


def place_of(backup: Backup) -> Path:
    """Give the folder of a repository."""
    return Path(str(backup.path).partition(":")[2])


def flip(path: Path, at: int) -> None:
    """Change one byte, and not the size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def verified(shell: Shell, backup: Backup, *, exact: bool = True) -> Told:
    """Tell what is on record, after holding the counts against the target, and the log against itself."""
    told = shell.last()
    assert shell.inside("audit", "verify").code == 0
    tool = str(backup.path).partition(":")[0]
    assert (told.details.unit, str(told.details.tool).split()[0]) == ("file", tool), (told.run, told.decision)
    if told.items:
        assert str(told.details.counts_source) == "metadata"
        succeeded = {item.key for item in told.items if item.result == "succeeded"}
        held = {key_of(name) for name in backup.held(shell.target)}
        assert succeeded - held == set()
        assert not exact or held - succeeded == set()
        assert told.counts["total"] == len(told.items) == sum(n for name, n in told.counts.items() if name != "total")
    return told


def key_of(name: str) -> str:
    """Give the key of a file's name."""
    return name.replace("\n", "\\n")


def is_nowhere(secret: str, folder: Path, *texts: str) -> bool:
    """Tell whether a secret is in none of these texts, and in no file of the ledger."""
    files = [path.read_bytes() for path in (folder / "ledger").iterdir() if path.is_file()]
    return not any(secret in text for text in texts) and not any(secret.encode() in data for data in files)


def tool_at_work(target: Path) -> int | None:
    """Give the process id of the tool that restores into a target."""
    for entry in Path("/proc").iterdir():
        try:
            command, folder = (entry / "cmdline").read_bytes(), (entry / "cwd").readlink()
        except OSError:
            continue
        is_restic = (
            b"\0restore\0" in command and os.fsencode(target) in command and b"restic" in command.split(b"\0")[0]
        )
        if is_restic or (folder == target and b"extract" in command):
            return int(entry.name)
    return None


def when(condition: Callable[[], bool], action: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something is so."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(0.002)
        action()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def sends(target: Path, number: signal.Signals) -> Callable[[], None]:
    """Give what sends a signal to the tool, as somebody who has nothing to do with the restore."""

    def send() -> None:
        process = tool_at_work(target)
        if process is not None:
            os.kill(process, number)

    return send


def slow_restic(folder: Path, kilobytes_per_second: int) -> Path:
    """Give restic itself, told to read slowly, so that it can be stopped half-way."""
    script = folder / "slow-restic"
    script.write_text(f'#!/bin/sh\nexec "{shutil.which("restic")}" --limit-download {kilobytes_per_second} "$@"\n')
    script.chmod(0o755)
    return script
