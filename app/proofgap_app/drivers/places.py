"""Paths in a request: made whole, so that they mean the same to everybody who reads them on record.

Owns that. Refuses to know what is at a path.
"""

from __future__ import annotations

from pathlib import Path

from proofgap.errors import BadInputError
from proofgap.text import check_text, shown


def whole(field: str, text: str) -> str:
    """Give where a path leads. That it does not exist or is not ours is for the run to find; that it can never be is not.

    Raises:
        BadInputError: no path can be that.

    """
    path = Path(check_text(field, text))
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except OSError as error:
        problem = f"{shown(text)} leads nowhere ({error.strerror})"
        raise BadInputError(field, problem, "Name a path that can exist.") from error
    return check_text(field, str(path.resolve()))


def existing(field: str, text: str) -> str:
    """Give where a path leads, at which there must be something. Raises `BadInputError`."""
    found = whole(field, text)
    if not Path(text).exists():
        raise BadInputError(field, f"{shown(text)} does not exist", "Name an archive, directory or database.")
    return found
