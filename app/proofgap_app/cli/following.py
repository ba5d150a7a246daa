"""``proofgap run watch`` and ``proofgap run wait``: following a run until it has ended.

Owns how often is looked, and when it is enough. Looking is a read of the run's log and records nothing; only the
decision that is shown at the end is recorded as shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from proofgap.audit import NOTE, EventType
from proofgap.facts import TERMINAL_RUN_STATUSES
from proofgap.text import check_id
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import ACCESS, Access, seconds
from proofgap_app.cli.problems import EXIT_OF_STATE, Exit
from proofgap_app.cli.sheet import summary_cell
from proofgap_app.cli.show import document
from proofgap_store import HistoryEvent, Ledger, Shown

_STATUS_EVENTS = frozenset({EventType.RUN_CREATED, EventType.RUN_IMPORTED, EventType.RUN_TRANSITIONED})
_INTERVAL = "1s"
_SHORTEST_INTERVAL = 0.01


class _Pace(NamedTuple):
    """How often to look, and how long, in seconds."""

    interval: float
    timeout: float | None

    @classmethod
    def of(cls, interval: str, timeout: str | None) -> _Pace:
        """Read both from the command line."""
        looks = max(seconds("--interval", interval), _SHORTEST_INTERVAL)
        return cls(looks, None if timeout is None else seconds("--timeout", timeout))


def watch(run: str, /, *, interval: str = _INTERVAL, timeout: str | None = None, access: Access = ACCESS) -> int:
    """Print each change of a run, one line each, until it has ended. Stopping to watch does not stop the run.

    Args:
        run: the run's id.
        interval: how often to look, such as 500ms; 1s unless given.
        timeout: stop watching after this time, such as 10m, with exit code 8.

    """
    check_id("RUN", run)
    pace = _Pace.of(interval, timeout)
    with opened(access) as ledger:
        changes = _Changes(ledger, run, as_json=access.json)
        ended = _follow(changes.look, pace)
    return Exit.OK if ended else Exit.IN_PROGRESS


def wait(
    run: str,
    /,
    *,
    timeout: str | None = None,
    interval: str = _INTERVAL,
    exit_status: bool = False,
    access: Access = ACCESS,
) -> int:
    """Wait until a run has ended, and print its decision in one line. Exit code 8: it has not, in the given time.

    Args:
        run: the run's id.
        timeout: stop waiting after this time, such as 10m; without it, wait for ever.
        interval: how often to look, such as 500ms; 1s unless given.
        exit_status: exit with the decision: see proofgap help exit-codes.

    """
    check_id("RUN", run)
    pace, actor = _Pace.of(interval, timeout), me()
    with opened(access) as ledger:
        ended = _follow(lambda: ledger.peek(run, actor).status in TERMINAL_RUN_STATUSES, pace)
        shown = ledger.show(run, actor.id, actor)
    _print(shown, as_json=access.json)
    if not ended:
        return Exit.IN_PROGRESS
    return EXIT_OF_STATE[shown.decision.state] if exit_status else Exit.OK


class _Changes:
    """What is new in a run's log since the last look."""

    def __init__(self, ledger: Ledger, run: str, *, as_json: bool) -> None:
        self._ledger, self._run, self._as_json = ledger, run, as_json
        self._seen = 0

    def look(self) -> bool:
        """Print what is new; tell whether the run has ended."""
        ended = False
        for event in self._ledger.history(self._run, me().id, after=self._seen):
            self._seen = event.event_id
            if event.is_pruned:
                ended = self._ledger.peek(self._run, me()).status in TERMINAL_RUN_STATUSES
            elif event.entry["type"] in _STATUS_EVENTS:
                _tell(event, as_json=self._as_json)
                ended = event.entry["data"]["target"] in TERMINAL_RUN_STATUSES
        return ended


def _follow(has_ended: Callable[[], bool], pace: _Pace) -> bool:
    """Look until a run has ended; tell whether it has."""
    deadline = None if pace.timeout is None else time.monotonic() + pace.timeout
    while not has_ended():
        left = pace.interval if deadline is None else min(pace.interval, deadline - time.monotonic())
        if left <= 0:
            return False
        time.sleep(left)
    return True


def _tell(change: HistoryEvent, *, as_json: bool) -> None:
    data = change.entry["data"]
    known = {name: data.get(name) for name in ("event", "source", "target", "version")}
    note = change.openings.get(NOTE)
    told = {"run": change.entry["run"], **known, "event_id": change.event_id, "note": note and note.value}
    if as_json:
        output.json_line(told)
    else:
        output.columns(told.values())
    output.flush()


def _print(shown: Shown, *, as_json: bool) -> None:
    if as_json:
        output.json_line(document(shown))
        return
    decision = shown.decision
    output.table(("Run", "Decision", "Result"), [(shown.record.id, decision.state, summary_cell(decision))])
