"""Real backups, real targets, and one call that takes a backup through all four steps."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proofgap.outcome import Outcome, outcome_of
from proofgap_app.drivers import driver_for
from proofgap_app.drivers.base import EvidenceReport, Execution, ItemOutcome, Plan, Preview, Request

FILES = {
    "a.txt": b"alpha\n",
    "b.bin": bytes(range(256)) * 4096,
    "deep/er/c.txt": b"gamma\n",
    "deep/d.txt": b"",
    "e.txt": b"epsilon " * 5000,
}


@dataclass
class Ran:
    """What the four steps gave."""

    plan: Plan
    preview: Preview
    execution: Execution
    items: dict[str, ItemOutcome]
    evidence: EvidenceReport
    outcome: Outcome

    def ended(self, *keys: str) -> list[tuple[str, str | None]]:
        """Give result and reason of the items with these keys."""
        return [(str(self.items[key].result), self.items[key].reason_code) for key in keys]


@dataclass
class Stop:
    """A request to stop that comes after so many questions."""

    after: int
    asked: int = field(default=0)

    def __call__(self) -> bool:
        """Say whether to stop by now."""
        self.asked += 1
        return self.asked > self.after


def go(  # noqa: PLR0913 - a test names only what it is about
    backup: Path,
    target: Path,
    *,
    manifest: Path | None = None,
    overwrite: bool = False,
    select: tuple[str, ...] = (),
    expects_nothing: bool = False,
    stop: Callable[[], bool] = lambda: False,
    between: Callable[[], object] = lambda: None,
    afterwards: Callable[[], object] = lambda: None,
) -> Ran:
    """Plan, preview, execute and collect; check on the way what must hold for every run."""
    request = Request(
        backup=backup,
        target=target,
        manifest=manifest,
        overwrite=overwrite,
        select=select,
        expects_nothing=expects_nothing,
    )
    driver = driver_for(None, backup)
    plan = driver.plan(request)
    before = tree(target)
    preview = driver.preview(plan)
    assert before == tree(target), "a preview wrote to the target"
    shares = (preview.created, preview.overwritten, preview.unchanged, preview.skipped, preview.unavailable)
    assert plan.selected == sum(shares)
    between()
    reported: list[ItemOutcome] = []
    ticks: list[tuple[int, int]] = []
    execution = driver.execute(
        plan,
        target_fingerprint=preview.target_fingerprint,
        report=reported.append,
        progress=lambda done, items: ticks.append((done, items)),
        should_stop=stop,
    )
    assert sorted(item.key for item in plan.items) == sorted(item.key for item in reported)
    assert ticks == sorted(ticks)
    assert not list(target.rglob("*.part")) if target.is_dir() else True
    afterwards()
    evidence = driver.collect(plan)
    outcome = outcome_of(execution.facts(cancel_requested=stop() if isinstance(stop, Stop) else False))
    return Ran(plan, preview, execution, {item.key: item for item in reported}, evidence, outcome)


def tree(root: Path) -> dict[str, tuple[str, bytes, int]]:
    """Give kind, content and permissions of everything below, by name."""
    found: dict[str, tuple[str, bytes, int]] = {}
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[str(path.relative_to(root))] = ("link", os.fsencode(path.readlink()), 0)
        elif stat.S_ISDIR(mode):
            found[str(path.relative_to(root))] = ("directory", b"", stat.S_IMODE(mode))
        elif stat.S_ISREG(mode):
            found[str(path.relative_to(root))] = ("file", path.read_bytes(), stat.S_IMODE(mode))
        else:
            found[str(path.relative_to(root))] = ("special", b"", 0)
    return found


def names_in(path: Path) -> list[str]:
    """Give the names in a directory."""
    return sorted(child.name for child in path.iterdir())


def sums(contents: dict[str, bytes], path: Path) -> Path:
    """Write a SHA-256 manifest."""
    path.write_text("".join(f"{hashlib.sha256(data).hexdigest()}  ./{name}\n" for name, data in contents.items()))
    return path


def tar_of(source: Path, path: Path, mode: str = "w") -> Path:
    """Pack a directory."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(source, ".")
    return path


def zip_of(contents: dict[str, bytes], path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack contents."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a directory with files, an empty directory and a symbolic link."""
    root = tmp_path / "source"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "a.txt").chmod(0o640)
    (root / "hollow").mkdir(mode=0o750)
    (root / "deep").chmod(0o711)
    (root / "deep/link").symlink_to("../a.txt")
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give a path that does not exist yet."""
    return tmp_path / "target"


def _mount(place: Path, *options: str) -> None:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test needs the right to mount (run it as root, or with CAP_SYS_ADMIN): {done.stderr}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a disk of 512 KiB."""
    place = tmp_path / "small"
    _mount(place, "-t", "tmpfs", "-o", "size=512k", "tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory that nobody can write to, not even root."""
    place = tmp_path / "frozen"
    _mount(place, "-t", "tmpfs", "-o", "size=512k,ro", "tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)
