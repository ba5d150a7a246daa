"""How log lines look and where they go: one line per committed event, on standard error, never on standard output.

Owns the form of the lines. Refuses to know what is logged, and when (`proofgap_store.gate`, after the commit). A
stream that cannot be written raises ``OSError`` here; the ledger catches it and counts it: a log line is a copy of
the record, never the record.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from typing_extensions import override

from proofgap.audit import EventType
from proofgap.errors import BadInputError
from proofgap.records import instant
from proofgap.text import safe
from proofgap_app import tracing
from proofgap_app.settings import LOG_VARIABLE, LogStyle, in_colour, is_terminal
from proofgap_store.clock import now_us

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_INFO = 20  # the level of every line; lower ones cost nothing
_NOT_FOR_PEOPLE = frozenset({"event", "event_id", "leaf", "span_id"})
_LINES = msgspec.json.Encoder(enc_hook=str)


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


class _OfLibraries(logging.Handler):
    """Gives our form to what a library warns of and nobody else takes in: its own would break up lines of JSON."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        said = {"library": record.name, "error": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            said["failure"] = repr(record.exc_info[1])
        with suppress(OSError):
            structlog.get_logger("proofgap").log(record.levelno, "library.trouble", **said)


def configure(given: LogStyle | None = None) -> None:
    """Say how log lines look from now on.

    Raises:
        BadInputError: the environment variable names no style.

    """
    style = style_of(given)
    if style is LogStyle.AUTO:
        style = LogStyle.TEXT if is_terminal(sys.stderr) else LogStyle.JSON
    structlog.configure(
        processors=[_traced, _FORMS[style]],
        logger_factory=lambda *_: StandardError(),
        wrapper_class=structlog.make_filtering_bound_logger(_INFO),
        cache_logger_on_first_use=False,
    )
    logging.lastResort = _OfLibraries(logging.WARNING)


def style_of(given: LogStyle | None) -> LogStyle:
    """Give the style that is asked for: on the command line, else by the environment variable, else ``auto``.

    Raises:
        BadInputError: the environment variable names no style.

    """
    if given is not None:
        return given
    named = os.environ.get(LOG_VARIABLE) or LogStyle.AUTO
    try:
        return LogStyle(named)
    except ValueError:
        raise BadInputError(LOG_VARIABLE, f"'{safe(named)}' is no style", f"Use {', '.join(LogStyle)}.") from None


def _text(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    """Write a line for people: when, what happened in a few words, and the number of the event that has the rest."""
    dim, bold, plain = (_DIM, _BOLD, _PLAIN) if in_colour(sys.stderr) else ("", "", "")
    clock = f"{instant(now_us()):%H:%M:%S}"
    number = f" {dim}event {event['event_id']}{plain}" if "event_id" in event else ""  # not every line copies an event
    return f"{dim}{clock}{plain} {bold}{safe(_words(event))}{plain}{number}"


def _words(event: Mapping[str, Any]) -> str:
    match event:
        case {"state": state, "viewer": viewer}:
            return f"◆ {state}, for {viewer}"
        case {"guard": guard, "fired": fired}:
            return f"✕ {fired} refused: {str(guard).replace('_', ' ')}"
        case {"fired": fired, "event": EventType.RUN_TRANSITION_REFUSED}:
            return f"✕ {fired} refused: not allowed while {event['source']}"
        case {"source": source, "target": target, "fired": fired}:
            return f"○ {_kind(event)}{source} → {target} ({fired})"
        case {"target": target, "event_id": _}:
            return f"○ {_kind(event)}{target}"
        case _:
            known = (
                f"{name}={value}" for name, value in event.items() if name not in _NOT_FOR_PEOPLE and value is not None
            )
            return f"· {event['event']} {' '.join(known)}"


def _kind(event: Mapping[str, Any]) -> str:
    """Name what moved, unless it is the run itself."""
    kind = str(event["event"]).split(".")[1]
    return "" if kind == "run" else f"{kind} "


def _traced(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Name the span that a line belongs to, where anything is traced."""
    return {**tracing.ids(), **event} if tracing.is_on() else event


def _nothing(_logger: object, _method: str, _event: Mapping[str, Any]) -> str:
    raise structlog.DropEvent


def _json(_logger: object, level: str, event: Mapping[str, Any]) -> str:
    """Write a line for machines: one JSON object in ASCII, when and what first."""
    leading = {"timestamp": instant(now_us()), "event": event["event"], "level": level}
    line = _LINES.encode(leading | dict(event))  # every event waits for its line: msgspec takes a fifth of the time
    return line.decode() if line.isascii() else json.dumps(json.loads(line), separators=(",", ":"))


_FORMS = {LogStyle.JSON: _json, LogStyle.TEXT: _text, LogStyle.OFF: _nothing}
