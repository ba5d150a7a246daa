"""Tools with an environment of their own, repositories that are made once, and disks that are small or frozen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.restoring import Shell
from tests.app.tools.repositories import LARGE, PASSWORD, SMALL, Kit, borg_repository, restic_repository


@pytest.fixture(scope="session")
def tool_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the caches and keys of the tools."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="session")
def environment(tool_home: Path) -> Iterator[Path]:
    """Let the tools keep what they keep in a folder of this session, and know the password."""
    file = tool_home / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESTIC_CACHE_DIR", str(tool_home / "cache"))
        patch.setenv("RESTIC_PASSWORD_FILE", str(file))
        patch.setenv("BORG_BASE_DIR", str(tool_home / "borg-base"))
        patch.setenv("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")
        patch.setenv("BORG_PASSPHRASE", PASSWORD)
        patch.setenv("BORG_SELFTEST", "disabled")  # a fifth of each call
        yield file


@pytest.fixture(scope="session")
def restic(environment: Path, tool_home: Path) -> Kit:
    """Give a repository of restic."""
    return Kit("restic", restic_repository(tool_home / "one", SMALL))


@pytest.fixture(scope="session")
def borg(environment: Path, tool_home: Path) -> Kit:
    """Give a repository of borg."""
    return Kit("borg", borg_repository(tool_home / "two", SMALL))


@pytest.fixture(scope="session")
def large_restic(environment: Path, tool_home: Path) -> Kit:
    """Give a repository of restic that takes a while."""
    return Kit("restic", restic_repository(tool_home / "three", LARGE))


@pytest.fixture(scope="session")
def large_borg(environment: Path, tool_home: Path) -> Kit:
    """Give a repository of borg that takes a while."""
    return Kit("borg", borg_repository(tool_home / "four", LARGE))


@pytest.fixture(params=["restic", "borg"])
def kit(request: pytest.FixtureRequest) -> Kit:
    """Give a repository of either tool."""
    made: Kit = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def own_memory(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let borg remember for this test alone what it writes: to it all copies are one repository, and older ones a fraud."""
    for variable in ("BORG_CACHE_DIR", "BORG_SECURITY_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "seen" / variable))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def _mounted(shell: Shell, *options: str) -> Iterator[Shell]:
    shell.target.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", shell.target],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"this test needs the right to mount (run it as root, or with CAP_SYS_ADMIN): {done.stderr}")
    yield shell
    subprocess.run(["umount", shell.target], check=True)


@pytest.fixture
def full_disk(shell: Shell) -> Iterator[Shell]:
    """Give a command line whose target is on a disk of 700 KiB."""
    yield from _mounted(shell, "size=700k")


@pytest.fixture
def frozen_disk(shell: Shell) -> Iterator[Shell]:
    """Give a command line whose target nobody can write to, not even root."""
    yield from _mounted(shell, "size=700k", "ro")
