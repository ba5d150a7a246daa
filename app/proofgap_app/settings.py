"""Where a command finds its ledger, its workspace and the person who runs it.

Owns the order: what is given on the command line, else the environment variable, else the default. Refuses to open
anything.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import IO

from proofgap.errors import BadInputError
from proofgap.text import check_text

LEDGER_VARIABLE = "PROOFGAP_LEDGER"
WORKSPACE_VARIABLE = "PROOFGAP_WORKSPACE"
ENVIRONMENT_VARIABLE = "PROOFGAP_ENVIRONMENT"
KEY_VARIABLE = "PROOFGAP_KEY"
HEAD_VARIABLE = "PROOFGAP_HEAD"
LOG_VARIABLE = "PROOFGAP_LOG"
COMMANDS_VARIABLE = "PROOFGAP_COMMANDS"
DEBUG_VARIABLE = "PROOFGAP_DEBUG"
ENGINE_VARIABLE = "PROOFGAP_ENGINE"
_FILE_URL = "sqlite:///"
_ENGINES = ("procrastinate", "inline")  # on PostgreSQL; the first one, unless said otherwise
DEFAULT_WORKSPACE = "default"
DEFAULT_ENVIRONMENT = "local"


class LogStyle(StrEnum):
    """How log lines look."""

    AUTO = "auto"  # text on a terminal, JSON lines otherwise
    JSON = "json"
    TEXT = "text"
    OFF = "off"


def ledger_url(given: str | None) -> str:
    """Give the URL of the ledger; the default is a file in the user's data folder."""
    chosen = given or os.environ.get(LEDGER_VARIABLE)
    return chosen or f"sqlite:///{default_ledger_file()}"


def ledger_file(url: str) -> Path | None:
    """Give the file of a ledger; ``None`` for one that lives in memory or on a server."""
    name = url.removeprefix(_FILE_URL).partition("?")[0]
    return None if not url.startswith(_FILE_URL) or name in {"", ":memory:"} else Path(name)


def default_ledger_file() -> Path:
    """Give the file of the default ledger."""
    from platformdirs import user_data_path  # noqa: PLC0415 - not needed where a ledger is named

    return user_data_path("proofgap", appauthor=False) / "proofgap.db"


def commands_folder() -> Path:
    """Give the folder of the programs that the driver `command` may run; the default is in the user's data folder."""
    return _file(COMMANDS_VARIABLE) or default_ledger_file().with_name("commands")


def key_file() -> Path | None:
    """Give the file of the key that signs checkpoints; ``None``: beside the ledger, or in the data folder."""
    return _file(KEY_VARIABLE)


def head_file() -> Path | None:
    """Give the file that keeps the last checkpoint; ``None``: beside the ledger."""
    return _file(HEAD_VARIABLE)


def _file(variable: str) -> Path | None:
    chosen = os.environ.get(variable)
    return Path(check_text(variable, chosen)) if chosen else None


def workspace(given: str | None) -> str:
    """Give the workspace to work in."""
    return given or os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE


def environment(given: str | None) -> str:
    """Give the managed environment to work in."""
    return given or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT


def is_terminal(stream: IO[str] | None) -> bool:
    """Tell whether a person looks at this stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def in_colour(stream: IO[str] | None) -> bool:
    """Tell whether a stream may be written in colour: https://no-color.org, and terminals that cannot."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_debugging() -> bool:
    """Tell whether full tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def claims_in_place() -> bool:
    """Tell whether workers ask the table of runs itself, also where an engine could bring runs to them.

    Raises:
        BadInputError: the variable names no engine.

    """
    chosen = os.environ.get(ENGINE_VARIABLE) or _ENGINES[0]
    if chosen not in _ENGINES:
        raise BadInputError(ENGINE_VARIABLE, f"{chosen!r} is no engine", f"Use {' or '.join(_ENGINES)}.")
    return chosen == "inline"
