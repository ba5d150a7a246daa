"""``proofgap machine``: which moves are legal, read off the machines themselves. No ledger is needed, except for times.

Refuses to keep a table by hand.
"""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App

from proofgap.errors import BadInputError
from proofgap.lifecycle import MACHINES, allowed_events
from proofgap.records import Machine
from proofgap.tables import Edge, final_statuses, machine_edges, statuses
from proofgap.text import shown
from proofgap_app.cli import output
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.stays import EVERYWHERE, Where, print_durations
from proofgap_app.settings import is_terminal

_GAP = 2  # between two columns
app = App(
    name="machine",
    help="Explain which moves are legal.",
    help_prologue="""Examples:
  proofgap machine explain running
  proofgap machine events --machine evidence
  proofgap machine table --json
""",
)


@app.command(
    name="states",
    help_prologue="""Examples:
  proofgap machine states
  proofgap machine states --machine operation --json
""",
)
def states(*, machine: Machine = Machine.RUN, json: bool = False) -> int:
    """List the statuses of a machine, whether they are final, and the events that each takes.

    Args:
        machine: run, operation or evidence; run unless given.
        json: write JSON.

    """
    found = [_state(machine, status) for status in statuses(machine)]
    if json:
        output.json_line({"machine": machine, "states": found})
    else:
        rows = [(row["status"], "final" if row["final"] else None, ", ".join(row["events"])) for row in found]
        output.table(("Status", "Final", "Events"), rows)
    return 0


@app.command(
    name="events",
    help_prologue="""Examples:
  proofgap machine events
  proofgap machine events --machine evidence --json
""",
)
def events(*, machine: Machine = Machine.RUN, json: bool = False) -> int:
    """List every edge of a machine: event, status before, status after, and what must hold.

    Args:
        machine: run, operation or evidence; run unless given.
        json: write JSON.

    """
    found = machine_edges(machine)
    if json:
        output.json_line({"machine": machine, "edges": [edge._asdict() for edge in found]})
    else:
        rows = [(edge.event, edge.source, edge.target, ", ".join(edge.conditions)) for edge in found]
        output.table(("Event", "From", "To", "Only if"), rows)
    return 0


@app.command(
    name="explain",
    help_prologue="""Examples:
  proofgap machine explain running
  proofgap machine explain active --machine evidence
""",
)
def explain(status: str, /, *, machine: Machine = Machine.RUN, json: bool = False) -> int:
    """Explain one status: how it is reached, what leaves it, and which guards may refuse.

    Args:
        status: the status.
        machine: run, operation or evidence; run unless given.
        json: write JSON.

    """
    known = statuses(machine)
    if status not in known:
        problem = f"'{shown(status)}' is no status of the {machine} machine"
        raise BadInputError("STATUS", problem, f"Hand in one of: {', '.join(known)}.")
    edges = machine_edges(machine)
    reached = [edge for edge in edges if edge.target == status]
    left = [edge for edge in edges if edge.source == status]
    guards = {
        name: MACHINES[machine].guard_reasons[name]
        for edge in left
        for name in edge.conditions
        if _is_guard(machine, name)
    }
    if json:
        ways = {"reached_by": [edge._asdict() for edge in reached], "left_by": [edge._asdict() for edge in left]}
        output.json_line({"machine": machine, **_state(machine, status), **ways, "guards": guards})
        return 0
    output.data(f"{status}  ({'final' if not left else 'not final'})")
    output.data(f"  from: {', '.join(f'{edge.source} via {edge.event}' for edge in reached) or 'the beginning'}")
    output.data(f"  to: {', '.join(map(_way_out, left)) or 'nothing'}")
    for name, reason in guards.items():
        output.data(f"  {name} refuses when: {reason}")
    return 0


@app.command(
    name="table",
    help_prologue="""Examples:
  proofgap machine table
  proofgap machine table --machine operation --json
  proofgap machine table --durations --from 2026-11-01T00:00:00Z
""",
)
def table(
    *, machine: Machine = Machine.RUN, durations: bool = False, stays: Where = EVERYWHERE, access: Access = ACCESS
) -> int:
    """Print the whole table: every status, every event, and where the one takes the other; - means never.

    With --durations: how long records stayed in each status, from the log of what you audit. What has not ended yet
    is not counted.

    Args:
        machine: run, operation or evidence; run unless given.
        durations: print how many stays in each status ended, and how long they took: median, 90th and 99th percentile,
            and the longest.

    """
    if durations:
        return print_durations(machine, stays, access)
    stays.refuse_without("--durations")
    return _print_table(machine, as_json=access.json)


def _print_table(machine: Machine, *, as_json: bool) -> int:
    edges = machine_edges(machine)
    names = list(dict.fromkeys(edge.event for edge in edges))
    cells = {
        status: {name: [edge.target for edge in edges if (edge.source, edge.event) == (status, name)] for name in names}
        for status in statuses(machine)
    }
    if as_json:
        output.json_line({"machine": machine, "events": names, "table": cells})
        return 0
    head = ("status", *names)
    rows = [(status, *(" or ".join(dict.fromkeys(row[name])) for name in names)) for status, row in cells.items()]
    if not is_terminal(sys.stdout):
        output.columns(head)  # without its head, this table says nothing
    widths = (max(map(len, column)) + _GAP for column in zip(head, *rows, strict=True))
    if output.is_wide(sum(widths)):
        output.table(head, rows)
    else:
        output.blocks(_block(head, row) for row in rows)
    return 0


def _block(head: tuple[str, ...], row: tuple[str, ...]) -> tuple[str, ...]:
    """Give a row of the table as lines for a narrow terminal: the events that the status takes, and no other."""
    status, *targets = row
    moves = [f"{name} → {target}" for name, target in zip(head[1:], targets, strict=True) if target]
    return status, *(moves or ("final",))


def _state(machine: Machine, status: str) -> dict[str, Any]:
    final = status in final_statuses(machine)
    return {"status": status, "final": final, "events": allowed_events(machine, status)}


def _is_guard(machine: Machine, name: str) -> bool:
    return name in MACHINES[machine].guard_reasons


def _way_out(edge: Edge) -> str:
    condition = f" ({', '.join(edge.conditions)})" if edge.conditions else ""
    return f"{edge.target} via {edge.event}{condition}"
