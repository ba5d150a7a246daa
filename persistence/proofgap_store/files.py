"""How a file comes to be: under a temporary name first, complete and synced, and under its own name last or never.

Owns temporary names, permissions and syncing. Refuses to know what is in a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from proofgap.errors import BadInputError
from proofgap.text import shown
from proofgap_store.clock import new_event_id


def refuse_taken(*files: Path) -> None:
    """Refuse names that are taken: nothing that was handed out is ever overwritten.

    Raises:
        BadInputError: one is there already, or is a name that no file can have.

    """
    for file in files:
        try:
            file.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unwritable(file, error) from None
        raise BadInputError("FILE", f"'{shown(str(file))}' is there already", "Name a new file.")


def _unwritable(file: Path, error: OSError) -> BadInputError:
    problem = f"'{shown(str(file))}' cannot be written: {error.strerror}"
    return BadInputError("FILE", problem, "Name a file in a folder that you may write to.")


@contextmanager
def temporary(file: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """Open a file of another name in the same folder, for the owner only; whatever happens, the name goes.

    Raises:
        BadInputError: nothing can be written there.

    """
    partial = file.with_name(f".{new_event_id()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream, partial
    finally:
        partial.unlink(missing_ok=True)


def sync(stream: IO[bytes]) -> None:
    """Bring what was written to the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
