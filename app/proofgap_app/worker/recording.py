"""How a restore gets on record: every write, with the token of the claim, and with patience while the database is away.

Theory. What a worker has to say must not get lost because a database restarts, and must not be said twice because an
answer got lost: so a worker that waits writes under idempotency keys, and asks again under the same one. A wish to stop
is not heard while something is put on record.

Owns writing. Refuses to know the steps of a restore (`restore`) and what a write means.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from proofgap.audit import Actor
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap.records import Item, RunDetails, RunRecord
from proofgap_app.drivers.base import EvidenceReport
from proofgap_app.drivers.leftovers import left_alone
from proofgap_app.worker.lease import Grip
from proofgap_app.worker.stop import Heard, Stop
from proofgap_app.worker.watching import Watcher
from proofgap_store import Ledger, Receipt, UnavailableError
from proofgap_store.fencing import new_token

_BATCH_ITEMS = 1000
_PAUSE_SECONDS = 1.0
_NO_FACTS = RunDetails()
_Answer = TypeVar("_Answer")


@dataclass(slots=True, kw_only=True)
class Recorder:
    """One run, as whoever executes it writes about it."""

    ledger: Ledger
    actor: Actor
    watcher: Watcher
    stop: Stop
    run_id: str = ""
    patience_s: float = 0  # for how long a write is tried again while the database is away
    _grip: Grip | None = None  # once the run is claimed
    _series: str = field(default_factory=new_token)  # of idempotency keys: another process may write about the same run
    _writes: int = 0
    _unreported: list[Item] = field(default_factory=list)
    _in_place: set[str] = field(default_factory=set)  # keys of what was there already, and was left alone

    def _report(self, item: Item) -> None:
        if left_alone(item):
            self._in_place.add(item.key)
        self._unreported.append(item)
        if len(self._unreported) >= _BATCH_ITEMS:
            self._flush()

    def _flush(self) -> None:
        """Report the items that were not reported yet."""
        if self._unreported:
            with self.stop.heard(Heard.NEVER):
                items, self._unreported = self._unreported, []
                self._write(partial(self.ledger.fire, self.run_id, RunEvent.REPORT, self.actor, items=items))

    def _fire(
        self,
        event: RunEvent,
        given: RunDetails = _NO_FACTS,
        *,
        expected_version: int | None = None,
        note: str | None = None,
    ) -> None:
        fire = partial(self.ledger.fire, self.run_id, event, self.actor, given=given, note=note)
        self._write(partial(fire, expected_version=expected_version))

    def _fire_evidence(self, snapshot: str, event: SnapshotEvent, report: EvidenceReport) -> Receipt:
        fire = partial(self.ledger.fire_evidence, snapshot, event, self.actor)
        return self._write(partial(fire, given=report.found, checks=report.checks))

    def _write(self, write: Callable[..., Receipt]) -> Receipt:
        """Write with the token of the claim; while the database is away, again under the same key, as patience allows."""
        token = None if self._grip is None else self._grip.token
        if not self.patience_s:
            return self._moved(write(token=token))
        self._writes += 1
        key = f"{self.run_id}#{self._series}#{self._writes}"
        return self._moved(self._patiently(partial(write, token=token, key=key)))

    def _stands(self) -> RunRecord:
        """Read how the run stands; while the database is away, again, as patience allows."""
        return self._patiently(partial(self.ledger.peek, self.run_id, self.actor))

    def _patiently(self, act: Callable[[], _Answer]) -> _Answer:
        until = time.monotonic() + self.patience_s
        while True:
            try:
                return act()
            except UnavailableError:
                if time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _moved(self, receipt: Receipt) -> Receipt:
        self.watcher.moved(receipt)
        return receipt
