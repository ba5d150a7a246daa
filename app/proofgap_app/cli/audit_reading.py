"""``proofgap audit list``, ``show`` and ``tail``: reading the log. Reading records nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator

from cyclopts import App

from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.text import check_id, check_text
from proofgap_app.cli import output
from proofgap_app.cli.asking import ALL, Filters
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, Whole, naming, seconds
from proofgap_app.cli.problems import Exit
from proofgap_app.cli.telling import actor_of, document, exact_moment, moment, pairs, words
from proofgap_app.settings import is_terminal
from proofgap_store import Audit, LoggedEvent, LogPage, LogQuery

_PAGE_MAX = 500
_SHORTEST_INTERVAL = 0.01

list_app = App(
    name="list",
    help="List events, newest first.",
    help_prologue="""Examples:
  proofgap audit list --run rr_01KB2M95QF7T3ZC8H
  proofgap audit list --refused --actor d.weber --from 2026-11-01T00:00:00Z
  proofgap audit list --type access.granted --json | jq -r '.items[].entry.data.principal'
""",
)
show_app = App(
    name="show",
    help="Show one event, with everything that it says.",
    help_prologue="""Examples:
  proofgap audit show 1234
  proofgap audit show 019ac0de-7b1c-7000-8000-000000000000 --json
  proofgap audit show 1234 --json | jq -j .payload | sha256sum
""",
)
tail_app = App(
    name="tail",
    help="Print the last events, and with --follow those that come.",
    help_prologue="""Examples:
  proofgap audit tail --lines 20
  proofgap audit tail --follow --refused --json
""",
)


@list_app.default
def list_events(
    *,
    filters: Filters = ALL,
    limit: Whole = 50,
    after: str | None = None,
    oldest_first: bool = False,
    access: Access = ACCESS,
) -> int:
    """List events, newest first: those of the workspaces and environments that you audit.

    Args:
        limit: how many at most, 1 to 500; 50 unless given.
        after: continue after a page: the value that it named as next.
        oldest_first: begin with the oldest.

    """
    page = LogPage(
        limit=limit, after=None if after is None else check_text("--after", after), oldest_first=oldest_first
    )
    query = filters.question()
    with opened(access) as ledger, naming(limit="--limit", after="--after"):
        found = ledger.audit.list(query, me(), page)
    if access.json:
        output.json_line({"items": [document(event) for event in found.events], "next": found.next})
        return 0
    _tell(found.events)
    if found.next is not None:
        output.note(f"More: the same again with --after {found.next}")
    if not found.events:
        output.note("No events match.")
    return 0


@show_app.default
def show(event: str, /, *, access: Access = ACCESS) -> int:
    """Show one event, with everything that it says. With --json, payload holds its exact bytes as text.

    Args:
        event: the event's number, or its id.

    """
    check_id("EVENT", event)
    with opened(access) as ledger:
        found = ledger.audit.get(event, me())
    if access.json:
        output.json_line(document(found) | {"payload": found.payload.decode()})
        return 0
    pairs(_fields(found))
    for line in () if found.is_pruned else _lines("data", found.entry.get("data"), ""):
        output.data(line)
    for path, opening in found.openings.items():
        output.data(f"{path}  {opening.value}")
    return 0


def _fields(event: LoggedEvent) -> Iterator[tuple[str, object]]:
    entry = event.entry
    yield "event", event.event_id
    if event.is_pruned:
        yield "payload", "pruned: it is in the export that was kept (proofgap audit list --type audit.pruned)"
    yield "type", entry.get("type")
    yield "id", entry.get("id")
    yield "recorded", exact_moment(entry.get("rec_us"))
    yield "happened", exact_moment(entry.get("at_us"))
    yield "actor", actor_of(event)
    yield "run", entry.get("run")
    yield "operation", entry.get("op")
    yield "scope", "/".join(str(entry.get(name) or "*") for name in ("ws", "env")) if entry.get("ws") else None
    yield "stream", f"{entry.get('stream')}, number {entry.get('seq')}"
    yield "follows", entry.get("prev")
    yield "leaf", event.leaf


def _lines(name: str, value: object, indent: str) -> Iterator[str]:
    """Write a value under its name: what has parts below it, one line each; a row of a list is not taken apart."""
    if isinstance(value, dict) and value:
        yield f"{indent}{name}"
        for part, inner in value.items():
            yield from _lines(part, inner, f"{indent}  ")
    elif isinstance(value, list) and any(isinstance(row, list | dict) for row in value):
        yield f"{indent}{name}"
        yield from (f"{indent}  {_json(row)}" for row in value)
    else:
        yield f"{indent}{name}  {value if isinstance(value, str) else _json(value)}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@tail_app.default
def tail(
    *,
    filters: Filters = ALL,
    lines: Whole = 10,
    follow: bool = False,
    interval: str = "1s",
    access: Access = ACCESS,
) -> int:
    """Print the last events, oldest first; with --json one object per line.

    Args:
        lines: how many of the last events to begin with, 0 to 500; 10 unless given.
        follow: go on with events as they come, until interrupted.
        interval: how often to look, such as 500ms; 1s unless given.

    """
    if not 0 <= lines <= _PAGE_MAX:
        raise BadInputError("--lines", f"{lines} is out of range", f"Use 0 to {_PAGE_MAX}.")
    pause, query, actor = max(seconds("--interval", interval), _SHORTEST_INTERVAL), filters.question(), me()
    with opened(access) as ledger:
        newest = ledger.audit.list(query, actor, LogPage(limit=max(lines, 1))).events
        _print(reversed(newest[:lines]), as_json=access.json)
        last = newest[0].event_id if newest else 0
        try:
            while follow:
                last = _go_on(ledger.audit, (last, query, actor), as_json=access.json)
                time.sleep(pause)
        except KeyboardInterrupt:  # how following ends; nothing was written that could be in doubt
            return Exit.INTERRUPTED
    return 0


def _go_on(audit: Audit, asked: tuple[int, LogQuery, Actor], *, as_json: bool) -> int:
    """Print what has come since an event, and give the number of the last one printed."""
    last, query, actor = asked
    while found := audit.tail(last, actor, query):
        _print(found, as_json=as_json)
        last = found[-1].event_id
    return last


def _print(events: Iterable[LoggedEvent], *, as_json: bool) -> None:
    if as_json:
        for event in events:
            output.json_line(document(event))
    else:
        _tell(events)
    output.flush()


def _tell(events: Iterable[LoggedEvent]) -> None:
    """Write events: a block each on a terminal, one line separated by tabs otherwise."""
    if not is_terminal(sys.stdout):
        for event in events:
            entry = event.entry
            row = (event.event_id, exact_moment(entry.get("rec_us")), actor_of(event), entry.get("type"))
            output.columns([*row, entry.get("run"), words(event)])
        return
    output.blocks(map(_block, events))


def _block(event: LoggedEvent) -> tuple[str, str]:
    entry = event.entry
    named = (str(event.event_id), moment(entry.get("rec_us")), entry.get("run"), actor_of(event))
    kind = str(entry.get("type")).removeprefix("restore.")
    return "  ".join(str(part) for part in named if part), f"{kind}  {words(event)}".rstrip()
