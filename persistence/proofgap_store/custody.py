"""What belongs to a ledger and lies outside its database: the key that signs, and the head that was seen last.

Owns where the two are. Refuses to know what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self

from proofgap_store.head_file import HeadFile
from proofgap_store.keys import KeyFile


class Custody(NamedTuple):
    """The key file and the head file of one ledger."""

    key_file: KeyFile
    head: HeadFile

    @classmethod
    def beside(cls, ledger: Path | None, *, key: Path | None, head: Path | None) -> Self:
        """Give the files that were named, else those beside the ledger; a ledger in memory keeps them in memory."""
        return cls(KeyFile(key or _beside(ledger, ".key")), HeadFile(head or _beside(ledger, ".head")))


def _beside(ledger: Path | None, ending: str) -> Path | None:
    return None if ledger is None else ledger.with_name(ledger.name + ending)
