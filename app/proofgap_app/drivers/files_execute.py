"""Putting the files of a plan into the target, one after the other, and telling of each exactly once.

Theory. Contents come in the order of the backup, each once, even where hard links want it several times. Damage to
one content costs that item; damage to the stream costs the items behind it. A full disk, a read-only or an unreliable
target ends all writing: what is left is reported as not applied rather than tried by chance. A request to stop ends
it between two chunks, and the file in work is removed.

Owns the order of work and the counts. Refuses to know what the outcome means for the run.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from msgspec.structs import replace

from proofgap.facts import Counts, CountsSource, ItemResult
from proofgap.records import Item
from proofgap_app.drivers.archives import CHUNK_BYTES, Archive, Content, DamagedError
from proofgap_app.drivers.base import (
    Action,
    Execution,
    Kind,
    Plan,
    PlannedItem,
    Progress,
    Report,
    ShouldStop,
)
from proofgap_app.drivers.batch import Batch
from proofgap_app.drivers.files_evidence import DOUBTFUL, from_damaged_stream, is_unvouched
from proofgap_app.drivers.leftovers import IN_PLACE
from proofgap_app.drivers.sink import Sink
from proofgap_app.drivers.target import HOPELESS, Target, message_of, reason_of
from proofgap_app.drivers.target_state import EXISTS, SKIPPED_ON_PURPOSE, obstacle


def execute(plan: Plan, archive: Archive, *, report: Report, progress: Progress, should_stop: ShouldStop) -> Execution:
    """Restore the items of the plan; every one of them is reported once."""
    tally = Tally(plan, report, progress)
    with Target(plan.request.target_path) as target:
        restore = _Restore(plan, target, tally, should_stop)
        restore.refused()
        restore.contents(archive)
        restore.links_and_folders()
        restore.rest()
        restore.settle()
        return tally.execution(reached_end=not restore.stopped, nothing_written=not target.changed)


class Tally:
    """What was reported so far."""

    def __init__(self, plan: Plan, report: Report, progress: Progress) -> None:
        """Begin with all items of the plan still open."""
        self._plan, self._report, self._progress = plan, report, progress
        self.open = {item.key: item for item in plan.items}
        damaged = from_damaged_stream(plan)
        self._unvouched = {item.key for item in plan.items if damaged and is_unvouched(item)}
        self._results: Counter[ItemResult] = Counter()
        self._bytes_read = self._bytes_written = 0
        self._problems: list[str] = []

    def end(self, outcome: Item) -> None:
        """Report one item; it is open no longer."""
        del self.open[outcome.key]
        self._results[outcome.result] += 1
        if outcome.action in {Action.CREATED, Action.OVERWRITTEN}:
            self._bytes_written += outcome.bytes or 0
        if outcome.reason_code is not None and outcome.reason_code not in {EXISTS, IN_PLACE, "stopped"}:
            self.problem(f"{outcome.key}: {outcome.reason_code}")
        self._report(self._with_doubt(outcome))
        self._progress(self._bytes_read, self.done)

    def _with_doubt(self, outcome: Item) -> Item:
        """Say of content from a damaged stream that nothing vouches for it."""
        doubtful = outcome.result is ItemResult.SUCCEEDED and outcome.key in self._unvouched
        return replace(outcome, reason_code=DOUBTFUL) if doubtful else outcome

    def read(self, size: int) -> None:
        """Note that bytes of content were read."""
        self._bytes_read += size
        self._progress(self._bytes_read, self.done)

    def problem(self, text: str) -> None:
        """Note an error."""
        self._problems.append(text)

    @property
    def done(self) -> int:
        """How many items were reported."""
        return self._plan.selected - len(self.open)

    def execution(self, *, reached_end: bool, nothing_written: bool) -> Execution:
        """Sum up what was done here: the exit code says whether anything went wrong."""
        exit_code = 1 if self._problems or not reached_end else 0
        return self.ended(exit_code, reached_end=reached_end, nothing_written=nothing_written)

    def ended(
        self,
        exit_code: int,
        *,
        reached_end: bool,
        nothing_written: bool,
        source: CountsSource = CountsSource.ITEMS,
    ) -> Execution:
        """Sum up what a tool did that ended with this exit code."""
        results = {result.value: self._results[result] for result in ItemResult}
        return Execution(
            reached_end=reached_end,
            exit_code=exit_code,
            counts_source=source,
            errors_logged=len(self._problems),
            nothing_written=nothing_written,
            counts=Counts(total=self._plan.selected, **results),
            bytes_written=self._bytes_written,
            selected=self._plan.selected,
            expects_nothing=self._plan.expects_nothing,
            problems=tuple(self._problems),
        )


def not_done(
    item: PlannedItem, result: ItemResult, reason_code: str, message: str | None = None, action: Action = Action.NONE
) -> Item:
    """Give the outcome of an item that was not put into the target."""
    return Item(
        key=item.key,
        action=action,
        result=result,
        reason_code=reason_code,
        message=message,
        expected_digest=item.sha256,
    )


class _Restore:
    """One execution."""

    def __init__(self, plan: Plan, target: Target, tally: Tally, should_stop: ShouldStop) -> None:
        self._plan, self._target, self._tally, self._should_stop = plan, target, tally, should_stop
        self.stopped = False
        self._hopeless: str | None = None
        self._batch = Batch()

    def refused(self) -> None:
        """Report what the plan already refused."""
        for item in self._plan.items:
            if item.refused is not None:
                self._tally.end(_refusal(item, item.refused))

    def contents(self, archive: Archive) -> None:
        """Restore everything that has content."""
        wanted: dict[int, list[PlannedItem]] = {}
        for item in self._tally.open.values():
            if item.position is not None:
                wanted.setdefault(item.position, []).append(item)
        try:
            damage = self._walk(archive, wanted)
            # Whatever ended the walk, what waits in the batch is whole.
            self._publish()
        finally:
            self._batch.close()
        if damage is not None:
            for item in [item for items in wanted.values() for item in items]:
                self._tally.end(not_done(item, ItemResult.NON_APPLIED, damage.reason_code, damage.problem))

    def _walk(self, archive: Archive, wanted: dict[int, list[PlannedItem]]) -> DamagedError | None:
        """Restore content by content; what was tried is no longer wanted. Give what broke the stream off, if anything did."""
        try:
            for position, content in archive.walk(wanted):
                if self._halted():
                    break
                self._transfer(content, wanted.pop(position))
        except DamagedError as damage:
            return damage
        return None

    def links_and_folders(self) -> None:
        """Restore symbolic links and empty directories: last, so that no content could ever be written through a link."""
        for item in list(self._tally.open.values()):
            if item.position is not None:
                continue
            if self._halted():
                return
            try:
                self._tally.end(self._link(item) if item.kind is Kind.SYMLINK else self._folder(item))
            except OSError as error:
                self._end(not_done(item, ItemResult.FAILED, reason_of(error), message_of(error)))

    def rest(self) -> None:
        """Report what was not reached, and why."""
        reason_code = self._hopeless or "stopped"
        for item in list(self._tally.open.values()):
            self._tally.end(not_done(item, ItemResult.NON_APPLIED, reason_code))

    def settle(self) -> None:
        """See that names survive a power cut, then give directories their permissions and times, deepest first."""
        # In this order: a directory may get permissions that keep even its owner from opening it again.
        try:
            self._target.settle()
        except OSError as error:
            self._tally.problem(f"new names could not be flushed: {message_of(error)}")
        folders = [*self._plan.folders, *(item for item in self._plan.items if item.kind is Kind.DIRECTORY)]
        for folder in sorted(folders, key=lambda item: -len(item.parts)):
            try:
                self._target.dress_folder(folder)
            except OSError as error:
                self._tally.problem(f"{folder.key}: metadata_not_applied: {message_of(error)}")

    def _halted(self) -> bool:
        self.stopped = self.stopped or self._should_stop()
        return self.stopped or self._hopeless is not None

    def _end(self, outcome: Item) -> None:
        if outcome.reason_code in HOPELESS:
            self._hopeless = outcome.reason_code
        self._tally.end(outcome)

    def _transfer(self, content: Content, items: list[PlannedItem]) -> None:
        sinks: list[Sink] = []
        try:
            sinks.extend(Sink(self._target, item, overwrite=self._plan.request.overwrite) for item in items)
            self._pump(content, sinks, items[0].size)
        except BaseException:
            for sink in sinks:
                sink.drop()
            raise
        for sink in sinks:
            if sink.outcome is None:
                self._batch.add(sink, items[0].size or 0)
        # At once, and not with the batch: a full disk must be known before the next item is tried.
        self._end_all(sinks)
        if self._batch.is_full:
            self._publish()

    def _publish(self) -> None:
        self._end_all(self._batch.publish())

    def _end_all(self, sinks: list[Sink]) -> None:
        for outcome in filter(None, [sink.outcome for sink in sinks]):
            self._end(outcome)

    def _pump(self, content: Content, sinks: list[Sink], size_planned: int | None) -> None:
        try:
            digest = self._stream(content, sinks, size_planned)
        except DamagedError as damage:
            for sink in sinks:
                sink.abandon(ItemResult.FAILED, damage.reason_code, damage.problem)
            return
        for sink in sinks:
            if digest is None:
                sink.abandon(ItemResult.NON_APPLIED, "stopped", "somebody asked to stop")
            else:
                sink.complete(digest)

    def _stream(self, content: Content, sinks: list[Sink], size_planned: int | None) -> str | None:
        """Give every sink the whole content, and its digest back; ``None`` when it was stopped."""
        hasher, size = hashlib.sha256(), 0
        while chunk := content.read(CHUNK_BYTES):
            size += len(chunk)
            if size_planned is not None and size > size_planned:
                raise DamagedError("larger_than_planned", f"more than the {size_planned} bytes that were planned")
            hasher.update(chunk)
            for sink in sinks:
                sink.write(chunk)
            self._tally.read(len(chunk))
            if self._should_stop():
                self.stopped = True
                return None
        if size_planned not in {None, size}:
            raise DamagedError("source_truncated", f"{size} bytes instead of {size_planned}")
        return hasher.hexdigest()

    def _link(self, item: PlannedItem) -> Item:
        status = self._target.lookup(item.parts)
        blocked = obstacle(item, status)
        if blocked is not None:
            return not_done(item, ItemResult.FAILED, blocked, "something of another kind is in its place")
        if status is not None and self._target.link_text(item.parts) == item.link:
            return Item(key=item.key, action=Action.UNCHANGED, result=ItemResult.SUCCEEDED, reason_code=IN_PLACE)
        if status is not None and not self._plan.request.overwrite:
            return not_done(item, ItemResult.SKIPPED, EXISTS, "it exists and differs", Action.SKIPPED)
        self._target.make_link(item.parts, item.link or "", replace=status is not None)
        action = Action.CREATED if status is None else Action.OVERWRITTEN
        return Item(key=item.key, action=action, result=ItemResult.SUCCEEDED)

    def _folder(self, item: PlannedItem) -> Item:
        status = self._target.lookup(item.parts)
        blocked = obstacle(item, status)
        if blocked is not None:
            return not_done(item, ItemResult.FAILED, blocked, "something of another kind is in its place")
        if status is None:
            self._target.make_folder(item.parts)
            return Item(key=item.key, action=Action.CREATED, result=ItemResult.SUCCEEDED)
        return Item(key=item.key, action=Action.UNCHANGED, result=ItemResult.SUCCEEDED, reason_code=IN_PLACE)


def _refusal(item: PlannedItem, reason_code: str) -> Item:
    if reason_code in SKIPPED_ON_PURPOSE:
        return not_done(item, ItemResult.SKIPPED, reason_code, "refused to protect the target", Action.SKIPPED)
    if item.kind is Kind.MISSING:
        message = "the manifest names it, the backup does not hold it"
        return not_done(item, ItemResult.NON_APPLIED, reason_code, message)
    return not_done(item, ItemResult.FAILED, reason_code, "it cannot be read from the backup")
