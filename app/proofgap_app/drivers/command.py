"""The driver for everything else: a program of the user's does the work, and says what it does, line by line.

Theory. Nobody knows what the program restores, so nothing is taken on its word but what it says of single items, and that only as
far as the plan bears it out: a key that the plan does not have is a problem, a digest that is not the plan's is a failure, an
item that it is silent about was not applied. How the run ended is told by the outcome rule, as with every other tool. The
program itself is part of the plan: one that changed since the preview is a plan that changed.

Owns plan and preview; `command_execute` restores, `command_evidence` has the target checked. ``docs/command-driver.md`` says how
to write such a program.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, NamedTuple

from proofgap.records import Completeness
from proofgap_app.drivers.archives import demand_same_bytes, file_identity, file_unchanged
from proofgap_app.drivers.base import (
    Action,
    Depth,
    EvidenceReport,
    Execution,
    Identity,
    Kind,
    Plan,
    PlannedItem,
    Preview,
    PreviewItem,
    Progress,
    Report,
    Request,
    ShouldStop,
    SourceChangedError,
    SourceError,
    TargetError,
    demand_same_target,
    no_progress,
)
from proofgap_app.drivers.command_evidence import collect
from proofgap_app.drivers.command_execute import execute
from proofgap_app.drivers.command_program import Answer, Program, ask, program_of
from proofgap_app.drivers.command_protocol import About, Foreseen, Looked, Planned, Said, Verb
from proofgap_app.drivers.evidence import canonical_sha256
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.places import whole
from proofgap_app.drivers.selection import UNREADABLE_KEY
from proofgap_app.drivers.tool import demand_known_options

OPTIONS = {
    "program": "the file in the folder of programs that does the work",
    "checker": "the file there that checks the target afterwards; the program itself, unless given",
}
_NO_TIME = -1000  # nanoseconds: before 1970, so no time of a recovery point
_REFUSED_LINE = "malformed_line"


class _Foreseen(NamedTuple):
    """What a preview said."""

    answer: Answer
    items: tuple[PreviewItem, ...]
    looked: Looked
    problems: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Whatever the program says the target is like; if it does not say it, what it would do there."""
        actions = [[item.key, item.action, item.reason_code] for item in self.items]
        return canonical_sha256([self.looked.fingerprint, actions])


class CommandDriver:
    """Restores by a program of the user's."""

    name: ClassVar[str] = "command"
    options: ClassVar[Mapping[str, str]] = OPTIONS

    def settled(self, request: Request) -> Request:
        """Give the request with whole paths. What holds no slash, or is a URL, is a name that only the program understands."""
        demand_known_options(request, self.options)
        program_of(request)
        backup = whole("backup", request.backup) if _is_path(request.backup) else request.backup
        target = whole("target", request.target) if _is_path(request.target) else request.target
        return replace(request, backup=backup, target=target)

    def plan(self, request: Request) -> Plan:
        """Have the backup listed. Raises `SourceError` when the program does not go to its end."""
        program = program_of(request)
        heard: list[Said] = []
        answer = ask(program, Verb.PLAN, heard.append)
        if not answer.went_to_its_end:
            raise SourceError("backup", f"the program cannot list it: it {answer.how}", "See what it says of it.")
        planned = [said for said in heard if isinstance(said, Planned)]
        about = next((said for said in reversed(heard) if isinstance(said, About)), About())
        _demand_different(planned)
        items = [_item(said) for said in planned if _is_selected(said.key, request)]
        if answer.malformed:
            items.append(PlannedItem(key=UNREADABLE_KEY, kind=Kind.UNREADABLE, refused=_REFUSED_LINE))
        return _plan(request, _identity(request, about, planned), about, tuple(items), (program, answer))

    def preview(self, plan: Plan, *, depth: Depth = Depth.DATA, progress: Progress = no_progress) -> Preview:
        """Have it said what would become of each item. Raises `TargetError` when the program does not go to its end."""
        demand_same(plan)
        progress(0, 0)
        found = _foreseen(plan)
        numbers = Counter(item.action for item in found.items)
        return Preview(
            created=numbers[Action.CREATED],
            overwritten=numbers[Action.OVERWRITTEN],
            unchanged=numbers[Action.UNCHANGED],
            skipped=numbers[Action.SKIPPED],
            unavailable=numbers[Action.NONE],
            depth=min(depth, found.looked.depth, key=(Depth.METADATA, Depth.DATA).index),
            target_fingerprint=found.fingerprint,
            problems=(*plan.problems, *found.problems),
            items=found.items,
        )

    def place(self, plan: Plan) -> Path:
        """Give the target's path; for a name, a path that stands for it and is nowhere."""
        target = plan.request.target
        if _is_path(target):
            return Path(target)
        return Path(f"/proofgap-target-{hashlib.sha256(target.encode()).hexdigest()}")

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of what the program says of the target, and of what it would do there."""
        return _foreseen(plan).fingerprint

    def execute(
        self,
        plan: Plan,
        *,
        target_fingerprint: str | None,
        report: Report,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> Execution:
        """Restore; see `base.Driver.execute`."""
        demand_same(plan)
        before = _foreseen(plan)
        demand_same_target(shown(plan.request.target), target_fingerprint, before.fingerprint)
        return execute(
            plan,
            report=report,
            progress=progress,
            should_stop=should_stop,
            stays=lambda: _says_the_same(plan, before.looked.fingerprint),
        )

    def collect(self, plan: Plan, *, progress: Progress = no_progress) -> EvidenceReport:
        """Have the target compared with the backup by the checker."""
        demand_same(plan)
        report = collect(plan, progress)
        path = Path(plan.request.backup)
        if _is_path(plan.request.backup) and path.is_file():
            demand_same_bytes(plan, lambda: file_identity(path))
        else:
            demand_same(plan)
        return report


def demand_same(plan: Plan) -> None:
    """Refuse a backup, or a program, that is not the one that was planned. Raises `SourceChangedError`."""
    try:
        is_same = _is_same(plan)
    except SourceError as error:
        raise SourceChangedError(shown(plan.request.backup)) from error
    if not is_same:
        raise SourceChangedError(shown(plan.request.backup))


def _is_same(plan: Plan) -> bool:
    path = Path(plan.request.backup)
    if _is_path(plan.request.backup) and path.is_file():
        return file_unchanged(path, plan.identity) and program_of(plan.request).said in plan.tool_version
    found = CommandDriver().plan(plan.request)
    return (found.identity, found.tool_version) == (plan.identity, plan.tool_version)


def _is_path(place: str) -> bool:
    return "/" in place and "://" not in place


def _is_selected(key: str, request: Request) -> bool:
    return not request.select or any(fnmatchcase(key, pattern) for pattern in request.select)


def _item(said: Planned) -> PlannedItem:
    return PlannedItem(key=said.key, kind=Kind.OBJECT, size=said.bytes, sha256=said.sha256, refused=said.refused)


def _demand_different(planned: list[Planned]) -> None:
    key, number = next(iter(Counter(said.key for said in planned).most_common(1)), ("", 0))
    if number > 1:
        problem = f"the program lists {shown(key)} {number} times"
        raise SourceError("backup", problem, "Give every item a key of its own.")


def _identity(request: Request, about: About, planned: list[Planned]) -> Identity:
    """Say which backup it is: by its bytes where it is a file, else by what the program says of it."""
    path = Path(request.backup)
    if _is_path(request.backup) and path.is_file():
        return file_identity(path)
    content = [about.identity, [[said.key, said.bytes, said.sha256, said.refused] for said in planned]]
    size = sum(said.bytes or 0 for said in planned)
    return Identity(size=size, sha256=canonical_sha256(content), mtime_ns=_NO_TIME)


def _plan(
    request: Request,
    identity: Identity,
    about: About,
    items: tuple[PlannedItem, ...],
    asked: tuple[Program, Answer],
) -> Plan:
    program, answer = asked
    content = {
        "driver": CommandDriver.name,
        "program": program.said,
        "checker": request.options.get("checker"),
        "backup": [identity.size, identity.sha256],
        "target": request.target,
        "overwrite": request.overwrite,
        "expects_nothing": request.expects_nothing,
        "items": [[item.key, item.size, item.sha256, item.refused] for item in items],
    }
    sizes = [item.size for item in items]
    return Plan(
        driver=CommandDriver.name,
        tool_version=f"{program.said} ({shown(about.tool)})" if about.tool else program.said,
        request=request,
        unit=about.unit,
        items=items,
        bytes_total=None if None in sizes else sum(size or 0 for size in sizes),
        identity=identity,
        source_completeness=Completeness.INCOMPLETE if answer.malformed else about.completeness,
        problems=(*answer.problems, *([f"the program {answer.how}"] if answer.ended.exit_code else [])),
        digest=canonical_sha256(content),
        marker=about.marker,
    )


def _foreseen(plan: Plan) -> _Foreseen:
    """Ask for a preview. Raises `TargetError` when the program does not go to its end."""
    wanted = [item.key for item in plan.items if item.refused is None]
    heard: list[Said] = []
    answer = ask(program_of(plan.request), Verb.PREVIEW, heard.append, keys=wanted, marker=plan.marker)
    if not answer.went_to_its_end:
        problem = f"the program cannot say what it would do there: it {answer.how}"
        raise TargetError("target", problem, "See what it says of it.")
    told = {said.key: said for said in heard if isinstance(said, Foreseen)}
    looked = next((said for said in reversed(heard) if isinstance(said, Looked)), Looked())
    items = tuple(_preview_item(item, told.get(item.key)) for item in plan.items)
    strangers = [f"{shown(key)}: the plan does not have it" for key in told.keys() - set(wanted)]
    lost = [f"{item.key}: {item.reason_code}" for item in items if item.action is Action.NONE]
    return _Foreseen(answer, items, looked, (*answer.problems, *sorted(strangers), *lost))


def _preview_item(item: PlannedItem, told: Foreseen | None) -> PreviewItem:
    if item.refused is not None or told is None:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=item.refused or "not_foreseen")
    return PreviewItem(key=item.key, action=told.action, reason_code=told.reason_code)


def _says_the_same(plan: Plan, before: str | None) -> bool:
    """Tell whether the program says, of its own accord, that the target is as it was before."""
    if before is None:
        return False
    try:
        return _foreseen(plan).looked.fingerprint == before
    except (TargetError, SourceError):
        return False
