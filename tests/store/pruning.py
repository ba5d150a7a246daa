"""Processes that prune a ledger, and die in it."""

from __future__ import annotations

from tests.conformance.pruning import prune
from tests.store.children import PROCESSES, open_file
from tests.store.faults import Plan, armed, die, expose


def crash(path: str, export: str, number: int, side: str) -> None:
    """Prune, and die at one statement of it."""
    ledger = expose(open_file(path))
    armed(Plan(number, side, die), lambda: prune(ledger, export, events=12))


def killed(path: str, export: str, number: int, side: str) -> bool:
    """Let a process prune and die in it; tell whether it did die of that."""
    child = PROCESSES.Process(target=crash, args=(path, export, number, side))
    child.start()
    child.join(60)
    return child.exitcode == -9
