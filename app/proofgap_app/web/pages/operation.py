"""The operation run: which phases it went through, how far it is, and the last things that its worker said.

A pure function from what the ledger shows. A number that nobody reported is not drawn. Refuses to know workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proofgap.access import Action
from proofgap.facts import TERMINAL_RUN_STATUSES
from proofgap.records import Item, RunRecord
from proofgap.run_log import duration_text
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.about import About, Link, Section, Table, pairs
from proofgap_app.web.pages.outcome import gap
from proofgap_store import Step

NO_OPERATION = "No operation run that you may view."
_PHASES = {"queued": "Waiting for a worker", "running": "Executing"}
_ENDED = frozenset(status.value for status in TERMINAL_RUN_STATUSES)


class Progress(NamedTuple):
    """How many of how many items are reported; ``percent`` is ``None`` where the whole is not known."""

    text: str
    percent: float | None


def page(record: RunRecord, steps: Sequence[Step] | None, said: list[Item], now_us: int) -> About:
    """Give the page of a run's operation run."""
    operation = record.operation
    if operation is None:
        return About(record.id, "Operation run", "Operation", (Section("Operation run", notes=(NO_OPERATION,)),))
    known = pairs(
        {
            "Operation run": operation.id,
            "Status": words.plain(operation.status),
            "Outcome": None if operation.outcome is None else words.plain(operation.outcome),
            "Tool": record.details.driver,
            "Exit code": record.details.exit_code,
            "Stop requested by": record.details.cancel_requested_by or (None if record.imported else "nobody"),
            "Items": progress(record).text,
        }
    )
    parts = [Section("Operation run", known, links=_ways(record))]
    parts.append(
        Section(
            "Phases",
            notes=() if steps else ("The log of a run is shown to its operators, workers and auditors.",),
            table=_phases(steps, now_us) if steps else None,
        )
    )
    parts.append(
        Section(
            "Last messages",
            notes=("Secrets are taken out.",) if said else ("The worker reported no messages.",),
            table=_log(said) if said else None,
        )
    )
    return About(record.id, "Operation run", "Operation", tuple(parts))


def progress(record: RunRecord) -> Progress:
    """Say how far a run is, by the item rows that were reported."""
    reported, selected = record.details.items, record.details.selected
    if reported is None:
        return Progress(words.NOT_REPORTED, None)
    if selected is None or selected < reported or selected == 0:
        return Progress(f"{words.amount(reported, 'item')} reported", None)
    return Progress(f"{reported:,} of {words.amount(selected, 'item')} reported", 100 * reported / selected)


def _phases(steps: Sequence[Step], now_us: int) -> Table:
    return Table(("Phase", "Began", "Lasted", "By"), tuple(_rows(steps, now_us)))


def _rows(steps: Sequence[Step], now_us: int) -> Iterator[tuple[str, ...]]:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        name = _PHASES.get(step.status, words.sentence(words.plain(step.status)))
        if step.status in _ENDED:
            lasted = "ended"
        else:
            end_us = now_us if following is None else following.at_us
            lasted = duration_text(max(end_us - step.at_us, 0)) + ("" if following else " so far")
        yield name, words.moment(step.at_us), lasted, step.actor


def _log(said: list[Item]) -> Table:
    rows = tuple((item.key, words.plain(item.result), item.message or item.reason_code or "") for item in said)
    return Table(("Item", "Outcome", "Message"), rows)


def _ways(record: RunRecord) -> tuple[Link, ...]:
    run = record.id
    stop = (
        ()
        if record.status in TERMINAL_RUN_STATUSES or record.imported
        else (Link("Stop this run", addresses.run(run, "cancel"), Action.PREPARE),)
    )
    return (
        Link("Item outcomes", addresses.run(run, "items")),
        Link("Evidence", addresses.run(run, "evidence")),
        *filter(None, [gap(record)]),
        Link("Log", addresses.run(run, "events"), Action.READ_LOG),
        *stop,
    )
