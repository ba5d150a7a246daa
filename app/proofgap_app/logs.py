"""How log lines look and where they go: one line per committed event, on standard error, never on standard output.

Owns the form of the lines. Refuses to know what is logged, and when (`proofgap_store.gate`, after the commit). A
stream that cannot be written raises ``OSError`` here; the ledger catches it and counts it: a log line is a copy of
the record, never the record.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from proofgap.errors import BadInputError
from proofgap.text import safe
from proofgap_app.settings import LOG_VARIABLE, LogStyle, in_colour, is_terminal

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_LEADING = ("timestamp", "event", "level")


class StandardError:
    """The stream of log lines: whatever standard error is at the moment of writing."""

    def msg(self, line: str) -> None:
        """Write one line.

        Raises:
            OSError: it cannot be written.

        """
        stream = sys.stderr
        if stream is None:
            raise OSError("standard error is closed")
        stream.write(line + "\n")
        stream.flush()

    debug = info = warning = error = critical = exception = msg


def configure(given: LogStyle | None = None) -> None:
    """Say how log lines look from now on.

    Raises:
        BadInputError: the environment variable names no style.

    """
    style = given or _from_environment()
    if style is LogStyle.AUTO:
        style = LogStyle.TEXT if is_terminal(sys.stderr) else LogStyle.JSON
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _FORMS[style],
        ],
        logger_factory=lambda *_: StandardError(),
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _from_environment() -> LogStyle:
    given = os.environ.get(LOG_VARIABLE) or LogStyle.AUTO
    try:
        return LogStyle(given)
    except ValueError:
        raise BadInputError(LOG_VARIABLE, f"'{safe(given)}' is no style", f"Use {', '.join(LogStyle)}.") from None


def _text(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    """Write a line for people: when, what, and the rest as ``key=value``."""
    dim, bold, plain = (_DIM, _BOLD, _PLAIN) if in_colour(sys.stderr) else ("", "", "")
    rest = " ".join(
        f"{dim}{key}={plain}{safe(str(value))}"
        for key, value in event.items()
        if key not in _LEADING and value is not None
    )
    return f"{dim}{event['timestamp']}{plain} {bold}{safe(str(event['event']))}{plain} {rest}"


def _nothing(_logger: object, _method: str, _event: MutableMapping[str, Any]) -> str:
    raise structlog.DropEvent


def _json(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    """Write a line for machines: one JSON object in ASCII, when and what first."""
    ordered = {name: event[name] for name in _LEADING} | dict(event)
    return json.dumps(ordered, default=str, separators=(",", ":"))


_FORMS = {LogStyle.JSON: _json, LogStyle.TEXT: _text, LogStyle.OFF: _nothing}
