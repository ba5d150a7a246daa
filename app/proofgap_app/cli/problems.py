"""How a command ends that did not end well: one line on standard error, and an exit code that stays what it is.

Owns the exit codes, and the form of errors: a line for people, under ``--json`` one problem object (RFC 9457).
Refuses to know why something failed.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from enum import IntEnum
from re import sub
from typing import Any

import msgspec

from proofgap.errors import (
    BadInputError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    ProofgapError,
    RefusedError,
    StaleError,
)
from proofgap.text import shown
from proofgap.wording import DecisionState
from proofgap_app.cli import output
from proofgap_app.settings import is_debugging


class Exit(IntEnum):
    """Exit codes; any that is not 0 and not known means failure."""

    OK = 0
    ERROR = 1  # an error, or a difference found by a check
    USAGE = 2  # the command line or the input is not acceptable
    UNVERIFIABLE = 3  # it could not be told, for want of a key
    FORBIDDEN = 4
    REFUSED = 5
    CONFLICT = 6
    NOT_FOUND = 7
    IN_PROGRESS = 8
    WARNINGS = 9  # sound, with warnings
    INTERRUPTED = 130


EXIT_OF_STATE = {
    DecisionState.COMPLETED_WITH_EVIDENCE: 0,
    DecisionState.IN_PROGRESS: Exit.IN_PROGRESS,
    DecisionState.NOT_EXECUTED: 10,
    DecisionState.COMPLETED_PROOF_INCOMPLETE: 12,
    DecisionState.NEEDS_REVIEW: 13,
    DecisionState.FAILED: 14,
    DecisionState.BLOCKED_OR_CANCELLED: 15,
}
"""Exit codes of ``--exit-status``. 0 says that evidence exists; it never says more than that."""

_DETAIL_LENGTH_MAX = 300
_KINDS: tuple[tuple[type[ProofgapError], Exit, int, str], ...] = (
    (BadInputError, Exit.USAGE, 422, "The input is not acceptable"),
    (KeyReusedError, Exit.USAGE, 422, "The idempotency key was used for another request"),
    (ForbiddenError, Exit.FORBIDDEN, 403, "Not allowed"),
    (RefusedError, Exit.REFUSED, 409, "The transition was refused"),
    (StaleError, Exit.CONFLICT, 412, "The record was changed by somebody else"),
    (NotFoundError, Exit.NOT_FOUND, 404, "Nothing to show"),
    (ProofgapError, Exit.ERROR, 500, "The command failed"),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as a program reads it: the members of RFC 9457, the class of the error, and the exit code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    exit_code: int
    fields: dict[str, Any] = {}


def report(error: Exception, arguments: Sequence[str]) -> Exit:
    """Say what went wrong, and give the exit code."""
    problem = _problem(error)
    as_json = "--json" in arguments
    output.note(output.as_json(problem).decode() if as_json else f"proofgap: {problem.detail}")
    if problem.code == "unexpected" and is_debugging():
        for line in traceback.format_exception(error):
            output.note(line.rstrip("\n"))
    return Exit(problem.exit_code)


def exit_of(error: ProofgapError) -> Exit:
    """Give the exit code of an error."""
    return next(code for kind, code, *_ in _KINDS if isinstance(error, kind))


def interrupted() -> Exit:
    """Say that the command was interrupted; what was committed stays."""
    output.note("proofgap: interrupted. What was committed stays. See: proofgap list")
    return Exit.INTERRUPTED


def nobody_reads() -> Exit:
    """End quietly when the reader of standard output is gone; what was meant for it is dropped."""
    return Exit.ERROR


def _problem(error: Exception) -> Problem:
    from cyclopts import CycloptsError  # noqa: PLC0415 - loaded by now, unless that is what failed

    if isinstance(error, CycloptsError):
        return _made("usage", Exit.USAGE, 400, "The command line is not understood", _usage(error))
    if isinstance(error, ProofgapError):
        _, code, status, title = next(kind for kind in _KINDS if isinstance(error, kind[0]))
        return _made(_name(error), code, status, title, _sentence(error), _fields(error))
    if isinstance(error, OSError):
        return _made("input_output", Exit.ERROR, 500, "The system said no", f"cannot read or write: {_told(error)}.")
    error_id = secrets.token_hex(4)
    detail = f"unexpected {type(error).__name__} (error id {error_id}). Set PROOFGAP_DEBUG=1 for details."
    return _made("unexpected", Exit.ERROR, 500, "Unexpected error", detail, {"error_id": error_id})


def _made(
    code: str, exit_code: Exit, status: int, title: str, detail: str, fields: dict[str, Any] | None = None
) -> Problem:
    kind = f"urn:proofgap:problem:{code.replace('_', '-')}"
    return Problem(
        type=kind, title=title, status=status, detail=detail, code=code, exit_code=exit_code, fields=fields or {}
    )


def _sentence(error: ProofgapError) -> str:
    text = " ".join(str(error).split())
    return f"refused: {text} Nothing was changed; the attempt is recorded." if isinstance(error, RefusedError) else text


def _usage(error: Any) -> str:  # noqa: ANN401 - any error of the command line library
    """Say in one line what is wrong with a command line, and where to look."""
    from cyclopts import UnknownCommandError  # noqa: PLC0415 - as above

    chain = " ".join(["proofgap", *(error.command_chain or ())])
    if isinstance(error, UnknownCommandError) and error.unused_tokens and error.app is not None:
        detail = _unknown_command(error.unused_tokens[0], [name for name in error.app if not name.startswith("-")])
    else:
        detail = " ".join(str(error).split())
    return f"{shown(detail, length_max=_DETAIL_LENGTH_MAX)} Try: {chain} --help"


def _unknown_command(given: str, known: Sequence[str]) -> str:
    """Name the nearest command; done here because the library would import every command to say so."""
    if given.startswith("-"):
        return f"'{shown(given)}' stands before the command; options come after it, as in: proofgap list --ledger URL."
    close = get_close_matches(given, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"Unknown command '{shown(given)}'.{hint} Commands: {', '.join(known)}."


def _name(error: ProofgapError) -> str:
    """Give the class of an error as a word: ``GuardRefusedError`` is ``guard_refused``."""
    return sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def _fields(error: ProofgapError) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if isinstance(value, str | int | tuple) and value != ""}


def _told(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
