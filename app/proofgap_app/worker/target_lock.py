"""One restore at a time into one target: whoever comes second is told so, and nothing of theirs is written.

Theory. A lock file stands for the target: in a folder of this user in the system's folder for temporary files, named by the
digest of the target's path. It is held with ``flock``, so it is free again as soon as its process is gone, however that ended. A
holder that lets go removes the file; whoever opened it just before finds another file, or none, under its name, and tries
again. It does not reach another user, another machine, or a target inside this one: against those, the fingerprint of the
target is compared once more before anything is written (`drivers.base`).

Owns the lock. Refuses to know what is restored.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proofgap.errors import ProofgapError
from proofgap.text import shown
from proofgap_app.held import how_to_release

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTE_BYTES_MAX = 300


class BusyError(ProofgapError):
    """Another restore is at work where this one wants to be. Nothing was written."""

    remedy = "Wait until it has ended."
    because = "another restore is at work there"


class EnvironmentHeldError(BusyError):
    """Another run holds the environment: it is live, or its worker was lost and nobody has released it yet."""

    def __init__(self, environment: str, run_id: str, *, needs_release: bool) -> None:
        """Name the environment, and the run that holds it."""
        self.environment, self.run_id, self.needs_release = environment, run_id, needs_release
        self.because = f"run {run_id} holds the environment"
        if needs_release:
            self.because += ", and its worker was lost"
            self.remedy = f"See that no tool is at work there; then: {how_to_release(environment)}."
        super().__init__(f"environment {environment}: {self.because}. {self.remedy}")


class TargetBusyError(BusyError):
    """Another restore is at work in the target. Nothing was written."""

    def __init__(self, target: Path, holder: str) -> None:
        """Name the target, and the run that holds it as far as it said so."""
        self.target, self.holder = str(target), holder
        self.because = f"another restore is at work there{f' ({holder})' if holder else ''}"
        super().__init__(f"target {shown(self.target)}: {self.because}. {self.remedy}")


@contextmanager
def hold(target: Path, run_id: str) -> Iterator[None]:
    """Hold a target for a run.

    Raises:
        TargetBusyError: another process holds it, or this one does.
        OSError: there can be no lock file.

    """
    path = _folder() / f"{hashlib.sha256(os.fsencode(target.resolve())).hexdigest()}.lock"
    descriptor = _locked(path, target)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{run_id}, process {os.getpid()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for its name gets a new file
        os.close(descriptor)


def _locked(path: Path, target: Path) -> int:
    while True:
        descriptor = os.open(path, _FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _NOTE_BYTES_MAX, 0).decode(errors="replace")
            os.close(descriptor)
            raise TargetBusyError(target, shown(holder)) from error
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _folder() -> Path:
    """Give the folder of this user's lock files; one that somebody else made in its place is not used."""
    folder = Path(tempfile.gettempdir()) / f"proofgap-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(1, "it belongs to somebody else", str(folder))
    return folder
