"""The head file: the last checkpoint of a ledger, kept outside its database, so that a rolled-back database shows.

Owns the file. It only ever moves on to a larger tree, except when a restored copy is declared. Whoever holds database
and head file together can roll both back: keep it where the owner of the database cannot write, and it is worth more.
Refuses to know what a checkpoint says, except its size.
"""

from __future__ import annotations

from pathlib import Path

from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import MalformedError
from proofgap.notes import parse_note
from proofgap_store import outside
from proofgap_store.outside import CustodyError

_WHAT = "head file"
_FOR_ALL_TO_READ = 0o644


class HeadFile:
    """The last checkpoint outside the database; a ledger in memory has none."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; it need not be there."""
        self.path = path

    @property
    def place(self) -> str:
        """Where the file is, for people."""
        return "none" if self.path is None else str(self.path)

    def read(self) -> str | None:
        """Give the signed note that was kept last, or ``None``.

        Raises:
            CustodyError: the file cannot be read.

        """
        found = None if self.path is None else outside.read(self.path, _WHAT)
        return None if found is None else found[0]

    def advance(self, note: str) -> None:
        """Keep a checkpoint, unless one of a larger tree is kept already.

        Raises:
            CustodyError: the file cannot be written, or what is in it is no checkpoint.

        """
        self._write(note, only_forward=True)

    def reset(self, note: str) -> None:
        """Keep a checkpoint of a smaller tree: only when a restored copy is declared. Errors: those of `advance`."""
        self._write(note, only_forward=False)

    def _write(self, note: str, *, only_forward: bool) -> None:
        if self.path is None:
            return
        with outside.writing(self.path, _WHAT):
            kept = self.read() if only_forward else None
            if kept is None or self._size(kept) < self._size(note):
                outside.replace(self.path, note, _FOR_ALL_TO_READ)

    def _size(self, note: str) -> int:
        try:
            return parse_checkpoint(parse_note(note).text).size
        except MalformedError as error:
            raise CustodyError(f"its head file {self.place} holds no checkpoint", "Look at the file.") from error
