"""The head file: the last checkpoint of a ledger, kept outside its database, so that a rolled-back database shows.

Owns the file. It only ever moves on to a larger tree, except when a restored copy is declared. Whoever holds database
and head file together can roll both back: keep it where the owner of the database cannot write, and it is worth more.
Refuses to know what a checkpoint says, except its size.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proofgap.checkpoints import Checkpoint, parse_checkpoint
from proofgap.notes import parse_note
from proofgap_store.engine import UnavailableError


class HeadFile:
    """The last checkpoint outside the database; a ledger in memory has none."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; it need not be there."""
        self.path = path

    def read(self) -> str | None:
        """Give the signed note that was kept last, or ``None``.

        Raises:
            UnavailableError: the file cannot be read.

        """
        try:
            return None if self.path is None else self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"its head file {self.path} cannot be read: {error}", "Check the file.") from error

    def advance(self, note: str) -> None:
        """Keep a checkpoint, unless one of a larger tree is kept already."""
        self._write(note, only_forward=True)

    def reset(self, note: str) -> None:
        """Keep a checkpoint of a smaller tree: only when a restored copy is declared."""
        self._write(note, only_forward=False)

    def _write(self, note: str, *, only_forward: bool) -> None:
        if self.path is None:
            return
        try:
            with _locked(self.path.with_name(f"{self.path.name}.lock")):
                kept = self.read()
                if only_forward and kept is not None and _opened(kept).size >= _opened(note).size:
                    return
                _replace(self.path, note)
        except OSError as error:
            problem = f"its head file {self.path} cannot be written: {error.strerror}"
            raise UnavailableError(problem, "Check the folder.") from error


def _opened(note: str) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    """Write a file wholly or not at all."""
    written = path.with_name(f"{path.name}.part")
    with written.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    written.replace(path)
