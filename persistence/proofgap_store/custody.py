"""What belongs to a ledger and lies outside its database: the key that signs, and the head that was seen last.

Owns where the two are. Refuses to know what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self

from proofgap_store.gate import Gate
from proofgap_store.head_file import HeadFile
from proofgap_store.keys import KeyFile


class Custody(NamedTuple):
    """The key file and the head file of one ledger."""

    key_file: KeyFile
    head: HeadFile

    @classmethod
    def of(cls, gate: Gate, name: str, *, key: Path | None, head: Path | None) -> Self:
        """Give the files that were named, else those beside the ledger; a ledger in memory keeps them in memory.

        Beside a database on a server there is no place: its files are in the user's data folder, under the log's name.
        """
        ledger = _on_this_machine(name) if gate.is_on_server and not (key and head) else gate.file
        return cls(KeyFile(key or _beside(ledger, ".key")), HeadFile(head or _beside(ledger, ".head")))


def _on_this_machine(name: str) -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415 - needed for a ledger on a server only

    return user_data_path("proofgap", appauthor=False, ensure_exists=True) / name.rpartition("/")[2]


def _beside(ledger: Path | None, ending: str) -> Path | None:
    return None if ledger is None else ledger.with_name(ledger.name + ending)
