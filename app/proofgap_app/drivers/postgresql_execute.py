"""Restoring into PostgreSQL: one call of ``pg_restore`` or ``psql``, and a look at the database when nothing of it is left there.

Theory. The tool's session outlives a tool that is killed, so the database is looked at only when that session is gone. Whether
nothing was written is proven by the fingerprint of catalogs and rows, the same before and after, and by nothing else: neither
by an exit code nor by the wish for a single transaction, whose end may have come through although nobody heard of it. A
database that cannot be looked at afterwards leaves every item unknown.

Owns the call and the order of things. Refuses to know what an error means for an item (`postgresql_items`).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from proofgap.errors import BadInputError
from proofgap.facts import Counts, ItemResult
from proofgap.records import Item
from proofgap_app.drivers.base import Execution, Plan, Progress, Report, Request, ShouldStop, TargetError
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.postgresql_errors import ErrorReader
from proofgap_app.drivers.postgresql_items import Ending, Judge
from proofgap_app.drivers.postgresql_progress import copies_watched
from proofgap_app.drivers.postgresql_source import Form, form_of, selected, use_list, written_to
from proofgap_app.drivers.postgresql_target import Object, fingerprint, objects, wait_for_end
from proofgap_app.drivers.postgresql_tools import PG_RESTORE, PSQL, Connection, reading, target_argument, tool_of
from proofgap_app.drivers.process import Ended, Stream, run
from proofgap_app.drivers.tool import Tool

OPTIONS = {
    "single-transaction": "yes: all or nothing",
    "no-owner": "yes: what is restored belongs to whoever restores",
    "no-privileges": "yes: grants are left out",
    "data-only": "yes: rows and sequences only, into tables that are there",
    "disable-triggers": "yes: with data-only, triggers and references are not looked at meanwhile",
}
_PSQL_STOPPED = 3
_ALL_OR_NOTHING = "single-transaction"
_NOT_FOR_THE_LIST = frozenset({_ALL_OR_NOTHING, "disable-triggers"})


def flags_of(request: Request) -> tuple[str, ...]:
    """Give those of the options that decide which entries there are. Raises `BadInputError` for a value that is none."""
    for name, value in request.options.items():
        if value not in {"yes", "no"}:
            raise BadInputError("option", f"{name}={shown(value)} is neither yes nor no", f"Write {name}=yes.")
    wanted = [name for name, value in sorted(request.options.items()) if value == "yes"]
    if form_of(request.backup_path) is Form.PLAIN and wanted not in ([], [_ALL_OR_NOTHING]):
        problem = f"a plain dump is restored as it is, and knows only {_ALL_OR_NOTHING}"
        raise BadInputError("option", problem, "Leave the others out, or make a dump with --format=custom.")
    return tuple(f"--{name}" for name in wanted if name not in _NOT_FOR_THE_LIST)


def execute(
    plan: Plan,
    was: tuple[str, Mapping[str, Object]],
    *,
    report: Report,
    progress: Progress,
    should_stop: ShouldStop,
) -> Execution:
    """Restore, and tell of every item what became of it. ``was``: the target's fingerprint before, and what it had by name."""
    call = _Call(plan, progress)
    ended = call.run(should_stop) if selected(plan) else Ended(0, stopped=False)
    try:
        wait_for_end(plan.request, call.application)
        with reading(plan.request) as connection:
            ending = call.ending(ended, is_untouched=fingerprint(connection, written_to(plan)) == was[0])
            items = _judged(plan, ending, was[1], connection, call.tool)
    except TargetError as error:
        return call.unknown(ended, str(error))
    for done, item in enumerate(items, start=1):
        report(item)
        progress(call.copied_bytes, max(done, call.begun_count))
    return call.execution(ended, ending, items)


def _judged(plan: Plan, ending: Ending, before: Mapping[str, Object], connection: Connection, tool: Tool) -> list[Item]:
    judge = Judge(plan, ending, before, objects(connection), connection, tool.message)
    return [judge.item(planned) for planned in plan.items]


@dataclass
class _Call:
    """One call of a tool."""

    plan: Plan
    progress: Progress

    def __post_init__(self) -> None:
        request = self.plan.request
        self._is_plain = form_of(request.backup_path) is Form.PLAIN
        self.application = f"proofgap-{secrets.token_hex(8)}"
        self.tool = tool_of(PSQL if self._is_plain else PG_RESTORE, request)
        self.copied_bytes = 0
        self._begun: list[str] = []
        self._errors = ErrorReader(self._note, request.backup)

    @property
    def begun_count(self) -> int:
        """How many entries the tool said that it begins with."""
        return len(self._begun)

    def run(self, should_stop: ShouldStop) -> Ended:
        """Run the tool, and ask the server meanwhile how far it is."""
        request = self.plan.request
        with copies_watched(request, self.application) as watch:

            def heeding() -> bool:
                self.copied_bytes = watch.bytes
                self.progress(self.copied_bytes, self.begun_count)
                return should_stop()

            if self._is_plain:
                return run(self.tool.command(*self._psql(request)), self._on_line, heeding)
            with use_list(selected(self.plan)) as listed:
                return run(self.tool.command(*self._pg_restore(request, listed)), self._on_line, heeding)

    def ending(self, ended: Ended, *, is_untouched: bool) -> Ending:
        """Say how it ended."""
        if self._is_plain and ended.exit_code == _PSQL_STOPPED:
            self._errors.stopped()
        lines = [problem.entry for problem in self._errors.problems if problem.entry is not None]
        return Ending(
            errors=self._errors,
            begun=tuple(self._begun),
            reached_end=self._reached_end(ended),
            is_untouched=is_untouched,
            failed_line=lines[0] if self._is_plain and lines else None,
        )

    def execution(self, ended: Ended, ending: Ending, items: list[Item]) -> Execution:
        """Sum up."""
        numbers = Counter(item.result for item in items)
        counts = Counts(total=len(items), **{result.value: numbers[result] for result in ItemResult})
        return self._execution(ended, counts, is_untouched=ending.is_untouched, problems=())

    def unknown(self, ended: Ended, problem: str) -> Execution:
        """Sum up when the database cannot be looked at: nobody knows what became of anything."""
        return self._execution(ended, Counts(), is_untouched=False, problems=(problem,))

    def _execution(self, ended: Ended, counts: Counts, *, is_untouched: bool, problems: tuple[str, ...]) -> Execution:
        said = (*(self.tool.message(problem.text) for problem in self._errors.problems), *problems)
        return Execution(
            reached_end=self._reached_end(ended) and not problems,
            exit_code=ended.exit_code,
            errors_logged=len(said),
            nothing_written=is_untouched,
            counts=counts,
            bytes_written=0,
            selected=self.plan.selected,
            expects_nothing=self.plan.expects_nothing,
            problems=said,
        )

    def _reached_end(self, ended: Ended) -> bool:
        """Tell whether the tool went through everything: with 0, or with 1 and the number of errors that it went on from."""
        return ended.exit_code == 0 or (ended.exit_code == 1 and self._errors.went_on and not self._is_plain)

    def _pg_restore(self, request: Request, listed: str) -> tuple[str, ...]:
        chosen = [f"--{name}" for name, value in sorted(request.options.items()) if value == "yes"]
        replacing = ["--clean", "--if-exists"] if request.overwrite else []
        target = f"--dbname={target_argument(request, self.application)}"
        fixed = ("--verbose", "--strict-names", "--no-password", f"--use-list={listed}", target)
        return (*fixed, *chosen, *replacing, request.backup)

    def _psql(self, request: Request) -> tuple[str, ...]:
        whole = ["--single-transaction"] if request.options.get(_ALL_OR_NOTHING) == "yes" else []
        target = f"--dbname={target_argument(request, self.application)}"
        fixed = ("--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={request.backup}")
        return (*fixed, *whole, target)

    def _on_line(self, stream: Stream, line: str) -> None:
        if stream is Stream.ERR:
            self._errors.read(line)

    def _note(self, begun: str) -> None:
        self._begun.append(begun)
        self.progress(self.copied_bytes, self.begun_count)
