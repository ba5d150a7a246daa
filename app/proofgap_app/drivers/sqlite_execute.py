"""Putting a database into its place: built beside it, looked through, and moved there in one step.

Theory. Until the move, nothing of the target has changed, so a stop, a full disk or a damaged backup before it leaves
the target as it was, and that can be proven. A database with damaged tables is put where nothing was, and each damaged
table is told of; it never replaces a database that was there.

Owns the order of work. Refuses to know the difference between a dump and a file beyond how to load them.
"""

from __future__ import annotations

import os
from contextlib import closing

from proofgap.facts import ItemResult
from proofgap.records import Item
from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.base import (
    Action,
    Execution,
    Plan,
    Progress,
    Report,
    ShouldStop,
    no_progress,
)
from proofgap_app.drivers.draft import publish, temporary_name
from proofgap_app.drivers.files_execute import Tally, not_done
from proofgap_app.drivers.leftovers import IN_PLACE
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.sql_dump import StoppedError, load_dump
from proofgap_app.drivers.sqlite_content import TableContent, prepared, reading, side_files, target_trouble
from proofgap_app.drivers.sqlite_source import Contents, contents_of, holds, is_dump, read_backup, target_path
from proofgap_app.drivers.target import message_of, reason_of
from proofgap_app.drivers.target_state import EXISTS
from proofgap_store.sqlite_library import sqlite

TARGET_HAS_JOURNAL = "target_has_journal"
_PAGES_PER_STEP = 256


class _GivenUpError(Exception):
    """The database will not be put into its place; why, in one word and in one sentence."""

    def __init__(self, result: ItemResult, reason_code: str, message: str) -> None:
        self.result, self.reason_code, self.message = result, reason_code, message
        super().__init__(message)


def execute(plan: Plan, *, report: Report, progress: Progress, should_stop: ShouldStop) -> Execution:
    """Restore the database; every table is reported once."""
    tally = Tally(plan, report, progress)
    for item in plan.items:
        if item.refused is not None:
            tally.end(not_done(item, ItemResult.FAILED, item.refused, "the backup cannot be trusted"))
    restore = _Restore(plan, tally, should_stop)
    if tally.open:
        restore.run()
    return tally.execution(reached_end=not restore.stopped, nothing_written=not restore.changed)


class _Restore:
    """One execution."""

    def __init__(self, plan: Plan, tally: Tally, should_stop: ShouldStop) -> None:
        self._plan, self._tally, self._should_stop = plan, tally, should_stop
        self._place = target_path(plan.request)
        self._draft = self._place.with_name(temporary_name(self._place.name))
        self._pages_done = 0
        self.stopped = self.changed = False

    def run(self) -> None:
        """Restore, and report every table that is still open."""
        try:
            self._restore()
        except StoppedError:
            self.stopped = True
            self._end_all(ItemResult.NON_APPLIED, "stopped", "somebody asked to stop")
        except _GivenUpError as given_up:
            self._end_all(given_up.result, given_up.reason_code, given_up.message)
        except DamagedError as damage:
            self._end_all(ItemResult.FAILED, damage.reason_code, damage.problem)
        except OSError as error:
            self._end_all(ItemResult.FAILED, reason_of(error), message_of(error))
        except sqlite.DatabaseError as error:
            self._end_all(ItemResult.FAILED, target_trouble(error) or "source_damaged", shown(str(error)))

    def _restore(self) -> None:
        if self._should_stop():
            raise StoppedError
        existed = self._place.exists()
        if side_files(self._place):
            raise _GivenUpError(
                ItemResult.FAILED, TARGET_HAS_JOURNAL, "journals lie beside it; close the database first"
            )
        if existed and not self._must_replace():
            return
        self._make_folder()
        try:
            self._build()
            contents = self._looked_through(existed=existed)
            self._put_into_place(replace=existed)
        finally:
            self._remove_draft()
        for item in list(self._tally.open.values()):
            self._tally.end(_outcome(item.key, contents, Action.OVERWRITTEN if existed else Action.CREATED))
        for problem in contents.problems:
            self._tally.problem(problem)

    def _must_replace(self) -> bool:
        """Whether what is there is to be replaced; if not, report all tables."""
        if holds(self._place, read_backup(self._plan, no_progress)):
            for item in list(self._tally.open.values()):
                self._tally.end(
                    Item(key=item.key, action=Action.UNCHANGED, result=ItemResult.SUCCEEDED, reason_code=IN_PLACE)
                )
            return False
        if self._plan.request.overwrite:
            return True
        for item in list(self._tally.open.values()):
            self._tally.end(not_done(item, ItemResult.SKIPPED, EXISTS, "it exists and differs", Action.SKIPPED))
        return False

    def _make_folder(self) -> None:
        if not self._place.parent.exists():
            self.changed = True
            self._place.parent.mkdir(parents=True)

    def _build(self) -> None:
        os.close(os.open(self._draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        with closing(sqlite.connect(self._draft, isolation_level=None)) as draft:
            if is_dump(self._plan.request.backup_path):
                self._load(draft)
            else:
                self._copy_pages(draft)

    def _load(self, draft: sqlite.Connection) -> None:
        # Nobody needs this file after a crash, and it is flushed before it gets its name.
        draft.execute("PRAGMA journal_mode = MEMORY")
        draft.execute("PRAGMA synchronous = OFF")
        load_dump(self._plan.request.backup_path, draft, self._tick)

    def _tick(self, done: int) -> bool:
        self._tally.read(max(0, done - self._pages_done))
        self._pages_done = max(done, self._pages_done)
        return self._should_stop()

    def _copy_pages(self, draft: sqlite.Connection) -> None:
        with reading(self._plan.request.backup_path, at_rest=True) as source:
            size: int = source.execute("PRAGMA page_size").fetchone()[0]

            def step(_status: int, remaining: int, total: int) -> None:
                if self._tick((total - remaining) * size):
                    raise StoppedError

            source.backup(draft, pages=_PAGES_PER_STEP, progress=step, sleep=0)

    def _looked_through(self, *, existed: bool) -> Contents:
        """Read every table of what was built; a damaged database must not replace one that is there."""
        with closing(sqlite.connect(self._draft, isolation_level=None)) as draft:
            contents = contents_of(prepared(draft), no_progress)
        if self._should_stop():
            raise StoppedError
        if existed and not contents.is_whole:
            message = "the backup is damaged, and what is there was left alone"
            raise _GivenUpError(ItemResult.FAILED, "source_damaged", message)
        return contents

    def _put_into_place(self, *, replace: bool) -> None:
        mode = self._place.stat().st_mode & 0o777 if replace else 0o666 & ~_umask()
        self._draft.chmod(mode)
        file = os.open(self._draft, os.O_RDONLY)
        folder = os.open(self._place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
            self.changed = True
            publish(folder, self._draft.name, self._place.name, replace=replace)
            os.fsync(folder)
        finally:
            os.close(file)
            os.close(folder)

    def _remove_draft(self) -> None:
        drafts = [self._draft] if self._draft.exists() else []
        for leftover in (*drafts, *side_files(self._draft)):
            try:
                leftover.unlink()
            except OSError as error:
                self.changed = True
                self._tally.problem(f"a temporary file could not be removed: {message_of(error)}")

    def _end_all(self, result: ItemResult, reason_code: str, message: str) -> None:
        for item in list(self._tally.open.values()):
            self._tally.end(not_done(item, result, reason_code, message))


def _outcome(key: str, contents: Contents, action: Action) -> Item:
    table = contents.tables.get(key)
    if isinstance(table, TableContent):
        return Item(key=key, action=action, result=ItemResult.SUCCEEDED, observed_digest=table.sha256)
    message = "missing" if table is None else table.problem
    return Item(key=key, action=action, result=ItemResult.PARTIAL, reason_code="source_damaged", message=message)


def _umask() -> int:
    # The only way to read it is to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
