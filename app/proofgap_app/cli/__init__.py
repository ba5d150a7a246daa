"""The command line: ``proofgap``.

Owns the way a process begins and ends. What cannot be understood, is refused or fails ends in one line on standard
error and an exit code; the table is `proofgap_app.cli.problems`. Refuses to know what a command does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main", "run"]


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code. Nothing but an exit code ever comes out."""
    from proofgap_app.cli import output, problems  # noqa: PLC0415 - an interrupt while importing is one line, too

    try:
        code = _execute(arguments)
        output.flush()
    except KeyboardInterrupt:
        code = problems.interrupted()
    except BrokenPipeError:
        code = problems.nobody_reads()
    except Exception as error:  # noqa: BLE001 - the outermost place: whatever it is, it ends in one line
        code = problems.report(error, arguments)
    output.settle()
    return code


def _execute(arguments: Sequence[str]) -> int:
    from proofgap_app.cli import root  # noqa: PLC0415 - as above

    code: int | None = root.app(list(arguments), console=root.help_console(arguments))
    return code or 0
