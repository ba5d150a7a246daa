"""``proofgap audit as-seen``: what a person had been shown of a run, at a moment, and the event that says so."""

from __future__ import annotations

from typing import Any

from cyclopts import App
from msgspec.structs import asdict

from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.asking import time_us
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access
from proofgap_app.cli.telling import document, exact_moment, pairs
from proofgap_store import Seen
from proofgap_store.clock import now_us

app = App(
    name="as-seen",
    help="Say what a person had been shown of a run, at a moment.",
    help_prologue="""Examples:
  proofgap audit as-seen --actor d.weber --run rr_01KB2M95QF7T3ZC8H --at 2026-11-21T14:02:00Z
  proofgap audit as-seen --actor d.weber --run rr_01KB2M95QF7T3ZC8H --json | jq .state
""",
)
_SHOWN = ("status", "reason", "impact", "primary_next_action")


@app.default
def as_seen(*, actor: str, run: str, at: str | None = None, access: Access = ACCESS) -> int:
    """Say what a person had been shown of a run, at a moment: the last time that they looked at it, alone or in a list.

    Exits with 0 when they had been shown nothing, too: that is an answer.

    Args:
        actor: the person.
        run: the run's id.
        at: the moment (RFC 3339); now, unless given.

    """
    check_id("--actor", actor)
    check_id("--run", run)
    at_us = time_us("--at", at)
    with opened(access) as ledger:
        seen = ledger.audit.as_seen(actor, run, now_us() if at_us is None else at_us, me())
    if access.json:
        output.json_line(_document(seen))
    else:
        _tell(seen)
    return 0


def _document(seen: Seen) -> dict[str, Any]:
    event = seen.event and document(seen.event) | {"payload": seen.event.payload.decode()}
    times = {"at": exact_moment(seen.at_us), "recorded": seen.recorded_us and exact_moment(seen.recorded_us)}
    rest = {name: value for name, value in asdict(seen).items() if not name.endswith("_us")}
    return rest | times | {"event": event}


def _nothing(seen: Seen, when: str) -> str:
    if not seen.is_pruned:
        return f"Nothing: {seen.person} had not been shown {seen.run} by {when}."
    return f"Not known: views before {when} were pruned. Look into the export that was kept."


def _tell(seen: Seen) -> None:
    when = utc_text(instant(seen.at_us))
    if seen.event_id is None:
        output.data(_nothing(seen, when))
        return
    output.data(f"By {when}, {seen.person} had last been shown {seen.run}:")
    pairs([
        ("state", seen.state),
        *((name.replace("_", " "), (seen.decision or {}).get(name)) for name in _SHOWN if seen.decision),
        ("shown", "alone" if seen.decision else "as a row of a list"),
        ("view of", seen.viewer),
        ("recorded", exact_moment(seen.recorded_us)),
        ("event", seen.event_id),
        ("leaf", seen.event and seen.event.leaf),
    ])  # fmt: skip
    if seen.event is None:
        output.note("The event also names runs that you may not see; its bytes are not shown.")
