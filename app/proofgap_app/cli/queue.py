"""``proofgap queue``: what waits, what runs where, which environments are held and why; and how to release one."""

from __future__ import annotations

from collections.abc import Iterator

from cyclopts import App

from proofgap.errors import BadInputError
from proofgap.text import check_id, check_words
from proofgap_app import settings
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.telling import moment
from proofgap_app.held import how_to_release
from proofgap_store import Held, Queue, Waiting, WorkerInfo

app = App(
    name="queue",
    help="Show what waits, what runs where, and which environments are held; release one.",
    help_prologue="""Examples:
  proofgap queue
  proofgap queue --json | jq '.held[] | select(.needs_release)'
  proofgap queue release production --note 'pg01 was rebooted; nothing runs there'
""",
)


@app.default
def queue(*, access: Access = ACCESS) -> int:
    """Show what waits, in the order in which it will be taken; what is held, and by which run; who works."""
    with opened(access) as ledger:
        found = ledger.fleet.queue(me())
    if access.json:
        output.json_line(_document(found))
        return 0
    if found.waiting or found.held or found.workers:
        output.table(("What", "Which", "Where", "By", "How", "Since"), _rows(found))
    for held in found.held:
        if held.needs_release:
            place = f"{held.workspace}/{held.environment}"
            output.note(f"{place} is held: the worker of {held.run} was lost. See that no tool is at work there; then:")
            output.note(f"  {how_to_release(place)}")
    if not (found.waiting or found.held):
        output.note("Nothing waits, and no environment is held.")
    if found.waiting and not found.workers:
        output.note("No worker is active. Start one with: proofgap worker")
    return 0


@app.command(
    name="release",
    help_prologue="""Examples:
  proofgap queue release production
  proofgap queue release default/production --note 'the machine was switched off'
""",
)
def release(environment: str, /, *, note: str | None = None, access: Access = ACCESS) -> int:
    """Release an environment that the run of a lost worker holds, once you have seen that no tool is at work there.

    Args:
        environment: ENVIRONMENT of --workspace, else of PROOFGAP_WORKSPACE, else of default; or WORKSPACE/ENVIRONMENT.
        note: why, in your words. The log holds a commitment to it only, and it can be erased.

    """
    scope = _scope(environment)
    said = None if note is None else check_words("--note", note)
    with opened(access) as ledger:
        ledger.fleet.reap_in_a_file(me())  # a worker that was killed is lost only once somebody has looked
        event_id = ledger.fleet.release_environment(scope, me(), note=said)
    if access.json:
        output.json_line({"workspace": scope[0], "environment": scope[1], "event_id": event_id})
    else:
        output.data(f"{'/'.join(scope)} is released   event {event_id}")
    return 0


def _scope(text: str) -> tuple[str, str]:
    check_id("ENVIRONMENT", text)
    workspace, slash, environment = text.partition("/")
    if not slash:
        return settings.workspace(None), text
    if not workspace or not environment:
        raise BadInputError("ENVIRONMENT", f"{text!r} is none", "Write ENVIRONMENT, or WORKSPACE/ENVIRONMENT.")
    return workspace, environment


def _document(found: Queue) -> dict[str, object]:
    held = [{**_fields(row), "needs_release": row.needs_release} for row in found.held]
    return {"waiting": found.waiting, "held": held, "workers": found.workers}


def _fields(row: Held) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _rows(found: Queue) -> Iterator[tuple[object, ...]]:
    """Give one row for each: what it is, which, where, and what there is to know."""
    for held in found.held:
        yield _held(held)
    for waiting in found.waiting:
        yield _waiting(waiting)
    for worker in found.workers:
        yield _worker(worker)


def _held(row: Held) -> tuple[object, ...]:
    what = "held" if row.needs_release else "running"
    return what, row.run, f"{row.workspace}/{row.environment}", row.worker, row.end_reason, moment(row.since_us)


def _waiting(row: Waiting) -> tuple[object, ...]:
    behind = None if row.held_by is None else f"behind {row.held_by}"
    place = f"{row.workspace}/{row.environment}"
    return "waiting", row.run, place, row.driver, behind or f"priority {row.priority}", moment(row.queued_at_us)


def _worker(row: WorkerInfo) -> tuple[object, ...]:
    serves = ", ".join(row.wanted.environments) or "all its environments"
    beat = None if row.beat_at_us is None else moment(row.beat_at_us)
    busy = None if row.running is None else f"{len(row.running)} of {row.wanted.concurrency}"
    return "worker", row.id, serves, row.wanted.name, busy, beat
