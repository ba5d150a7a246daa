"""How long records stay in each status: the part of ``proofgap machine table`` that reads a ledger.

Owns its options and how lengths of time are written. Refuses to know how they are measured.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from proofgap.errors import BadInputError
from proofgap.records import Machine
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.options import Access
from proofgap_app.settings import is_terminal

if TYPE_CHECKING:
    from proofgap_store import Stays

_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"))


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Whose times to count.

    Attributes:
        workspace: with --durations, only those of this workspace.
        environment: with --durations, only those of this managed environment.
        from_: with --durations, only stays that ended at this time or later (RFC 3339).
        to: with --durations, only stays that ended before this time (RFC 3339).

    """

    workspace: str | None = None
    environment: str | None = None
    from_: Annotated[str | None, Parameter(name="--from")] = None
    to: str | None = None

    def refuse_without(self, needed: str) -> None:
        """Refuse these options where they would change nothing.

        Raises:
            BadInputError: names the first of them.

        """
        for name in ("workspace", "environment", "from_", "to"):
            if getattr(self, name) is not None:
                raise BadInputError(f"--{name.rstrip('_')}", f"says something with {needed} only", f"Add {needed}.")


EVERYWHERE = Where()


def print_durations(machine: Machine, where: Where, access: Access) -> int:
    """Print the time in each status of a machine."""
    from proofgap_app.cli.asking import time_us  # noqa: PLC0415 - the table of moves needs no ledger, and loads none
    from proofgap_app.cli.ledgers import me, opened  # noqa: PLC0415 - as above
    from proofgap_store import StayQuery  # noqa: PLC0415 - as above

    query = StayQuery(
        machine=machine,
        workspace=where.workspace and check_id("--workspace", where.workspace),
        environment=where.environment and check_id("--environment", where.environment),
        since_us=time_us("--from", where.from_),
        until_us=time_us("--to", where.to),
    )
    with opened(access) as ledger:
        found = ledger.audit.durations(query, me())
    if access.json:
        output.json_line({"machine": machine, "durations": found})
    else:
        _tell(found)
    return 0


def _tell(found: tuple[Stays, ...]) -> None:
    head = ("Status", "Ended", "Median", "90 %", "99 %", "Longest")
    if not is_terminal(sys.stdout):
        output.columns(head)  # without its head, this table says nothing
    rows = [(row.status, row.count, *map(length, (row.p50_us, row.p90_us, row.p99_us, row.max_us))) for row in found]
    output.table(head, rows)


def length(microseconds: int | None) -> str | None:
    """Write a length of time in the largest unit of which it has one."""
    if microseconds is None:
        return None
    size, unit = next(((size, unit) for size, unit in _UNITS if microseconds >= size), (1, "us"))
    return f"{microseconds / size:.3g} {unit}" if microseconds < 1000 * size else f"{microseconds // size} {unit}"
