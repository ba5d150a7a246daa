"""Files that belong to a ledger and lie outside its database: how they are read, locked and written.

Owns that such a file is there wholly or not at all, after a power cut as well, and that two processes do not write it
at once. Refuses to know what is in them (`keys`, `head_file`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proofgap_store.engine import UnavailableError


class CustodyError(UnavailableError):
    """The key file or the head file cannot be used, so nothing can be signed; all else of the ledger goes on."""

    def __init__(self, problem: str, remedy: str) -> None:
        """Say what is wrong with the file, and what to do."""
        super().__init__(problem, remedy)
        self.args = (f"no checkpoint can be signed: {problem}. {remedy}",)


def read(path: Path, what: str) -> tuple[str, int] | None:
    """Give the text of a file and its mode, both of the same file; ``None`` where there is none.

    Raises:
        CustodyError: it cannot be read.

    """
    try:
        with path.open("rb") as stream:
            return stream.read().decode("utf-8"), os.fstat(stream.fileno()).st_mode
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise CustodyError(f"its {what} {path} holds no text", "Look at the file.") from None
    except OSError as error:
        raise CustodyError(f"its {what} {path} cannot be read: {error.strerror}", "Look at the file.") from error


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Hold the lock that whoever writes a file takes; it is a file beside it.

    Raises:
        CustodyError: the system said no, to the lock or to what was done under it.

    """
    try:
        with path.with_name(f"{path.name}.lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        problem = f"its {what} {path} cannot be written: {error.strerror}"
        raise CustodyError(problem, "Check the folder, the disk and who may write there.") from error


def replace(path: Path, text: str, mode: int) -> None:
    """Write a file under the lock; a crash at any step leaves the old one or the new one.

    Raises:
        OSError: the system said no.

    """
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)  # what a crash left; under the lock it is nobody's
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    move(part, path)


def move(source: Path, target: Path) -> None:
    """Give a file its place, and bring that to the disk: else a power cut could take the name back.

    Raises:
        OSError: the system said no.

    """
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
