"""Tables of the machines and of the decision rules, read off the code that runs: nothing here is kept by hand.

Owns the Markdown. What an operator is told is found by asking `decide` over every combination of facts, so a table
cannot say anything else than the rules do. Refuses to know files and pictures (`diagram`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.decision import RULES_VERSION, Decision, decide, everyone
from proofgap.errors import BadInputError
from proofgap.facts import (
    OUTCOME_OF_EVENT,
    Counts,
    Facts,
    OperationFacts,
    OperationOutcome,
    OperationStatus,
    RunFacts,
    RunStatus,
    SnapshotFacts,
    SnapshotStatus,
)
from proofgap.lifecycle import MACHINES, edges
from proofgap.moves import OPERATION_FOLLOWS
from proofgap.records import Machine
from proofgap.wording import WORDING, DecisionState

TITLES = {Machine.RUN: "Restore run", Machine.OPERATION: "Operation run", Machine.EVIDENCE: "Evidence snapshot"}
OTHERWISE = "otherwise"
"""Stands where a guard would: the edge that is taken when the guards of the edges before it said no."""

_FOUND = "Every line below was found by asking `decide` over {} combinations of facts."
_HOW_TO_READ = (
    "Down: the status of the restore run. Across: the operation run that it names. Two rules in one cell: the first "
    "with evidence that the viewer may see, the second without."
)
_NO_OPERATION = "none, or out of scope"
_NO_OUTCOME = "no outcome"


class Edge(NamedTuple):
    """One edge of a machine; ``conditions`` are its guards, or `OTHERWISE`."""

    source: str
    event: str
    target: str
    conditions: tuple[str, ...]


class _Case(NamedTuple):
    """One combination of facts, by the words that the tables use, and what a viewer is told of it."""

    row: str
    column: str
    decision: Decision


def statuses(machine: Machine) -> tuple[str, ...]:
    """List a machine's statuses in order of definition."""
    return tuple(str(state.value) for state in MACHINES[machine].states)


def final_statuses(machine: Machine) -> tuple[str, ...]:
    """List the statuses that nothing leaves."""
    return tuple(str(state.value) for state in MACHINES[machine].states if state.final)


def checked_path(machine: Machine, path: Sequence[str]) -> tuple[str, ...]:
    """Let a list of statuses through.

    Raises:
        BadInputError: one of them is no status of the machine.

    """
    for status in path:
        if status not in statuses(machine):
            known = ", ".join(statuses(machine))
            raise BadInputError("path", f"{status!r} is no status of the {machine} machine", f"Use: {known}.")
    return tuple(path)


@cache
def machine_edges(machine: Machine) -> tuple[Edge, ...]:
    """List every edge of a machine, with the fallbacks of guarded edges named as such."""
    seen: set[tuple[str, str]] = set()
    found = []
    for source, event, target, guards in edges(machine):
        fallback = (OTHERWISE,) if (source, event) in seen else ()
        found.append(Edge(source, event, target, guards or fallback))
        seen.add((source, event))
    return tuple(found)


@cache
def told(machine: Machine, status: str) -> Decision:
    """Give what an operator is told when this status is all that is known.

    For an operation run or a snapshot: of a completed run that has nothing else.
    """
    facts = _facts_with(machine, status)
    return decide(facts, everyone(facts))


def machine_table(machine: Machine, *, path: Sequence[str] = (), caption: str | None = None) -> str:
    """Write a machine as Markdown: its moves, its guards, and what its statuses mean to an operator.

    ``path`` lists the statuses that one run went through, in order; ``caption`` replaces the title.
    """
    law = MACHINES[machine]
    parts = [f"# {markdown_text(caption or TITLES[machine])}", str(law.__doc__)]
    if path:
        parts += ["## Path", " → ".join(_code([status]) for status in checked_path(machine, path))]
    parts += ["## Moves", _moves_table(machine)]
    if law.guard_reasons:
        parts += ["## Guards", _guards_table(machine)]
    parts += ["## What an operator is told", *_told_table(machine)]
    if machine is Machine.OPERATION:
        parts += ["## How it follows its run", _follows_table()]
    return "\n\n".join(parts) + "\n"


def decision_table() -> str:
    """Write the decision rules as Markdown: rule, state and words, and which rule decides for which facts."""
    return (
        "\n\n".join(
            [
                "# Decision rules",
                f"Version {RULES_VERSION}. The first rule that matches decides. {_FOUND.format(len(_cases()))}",
                "## Rules",
                _rules_table(),
                "## Which rule decides",
                _HOW_TO_READ,
                _precedence_table(),
                "## States",
                _states_table(),
                f"Never said, in any state: {', '.join(f'“{words}”' for words in FORBIDDEN_CLAIMS)}.",
            ]
        )
        + "\n"
    )


def markdown_text(text: str) -> str:
    """Escape text so that Markdown shows it as it is, on one line."""
    return re.sub(r"[\\`*{}\[\]<>#!|~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", one_line(text))


def one_line(text: str) -> str:
    """Bring text onto one line and replace what no XML document may hold."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _moves_table(machine: Machine) -> str:
    rows = [
        (_code([edge.source]), _code([edge.event]), _code([edge.target]), _conditions(edge))
        for edge in machine_edges(machine)
    ]
    rows += [(_code([status]), "", "", "final: nothing leaves it") for status in final_statuses(machine)]
    return _table(("Status", "Event", "Goes to", "If"), rows)


def _conditions(edge: Edge) -> str:
    return OTHERWISE if edge.conditions == (OTHERWISE,) else _code(edge.conditions)


def _guards_table(machine: Machine) -> str:
    law = MACHINES[machine]
    rows = [
        (_code([guard]), str(getattr(law, guard).__doc__), markdown_text(reason))
        for guard, reason in law.guard_reasons.items()
    ]
    return _table(("Guard", "Asks", "Says when it refuses"), rows)


def _told_table(machine: Machine) -> tuple[str, str]:
    known = "of the run" if machine is Machine.RUN else "of a completed run and this record"
    rows = [
        (_code([status]), _code([seen.state]), seen.status, seen.operation_proof.label, seen.evidence.label)
        for status in statuses(machine)
        for seen in [told(machine, status)]
    ]
    header = ("Status", "Decision state", "Status label", "Operation proof", "Post-run evidence")
    return f"When nothing is known but the status {known}; see [the decision rules](decision.md).", _table(header, rows)


def _follows_table() -> str:
    rows = [
        (_code([run_event]), _code([event]), _code([outcome]) if (outcome := OUTCOME_OF_EVENT.get(event)) else "")
        for run_event, event in OPERATION_FOLLOWS.items()
    ]
    return _table(("Event of the run", "Event of its operation run", "Outcome"), rows)


def _rules_table() -> str:
    found = sorted({(case.decision.rule, case.decision.state) for case in _cases()})
    return _table(
        ("Rule", "State", "Status label"), [(str(n), _code([state]), WORDING[state].status) for n, state in found]
    )


def _precedence_table() -> str:
    """Write rows by columns of facts; columns in which every row has the same rules are written as one."""
    rows = list(dict.fromkeys(case.row for case in _cases()))
    merged: dict[tuple[str, ...], list[str]] = {}
    for column in dict.fromkeys(case.column for case in _cases()):
        merged.setdefault(tuple(_rules_at(row, column) for row in rows), []).append(column)
    header = ("Restore run", *(", ".join(columns) for columns in merged.values()))
    return _table(header, zip(rows, *merged, strict=True))


def _rules_at(row: str, column: str) -> str:
    rules = {case.decision.rule for case in _cases() if (case.row, case.column) == (row, column)}
    return " or ".join(map(str, sorted(rules)))


def _states_table() -> str:
    rows = []
    for state in DecisionState:
        told_here = [case.decision for case in _cases() if case.decision.state is state]
        claims = dict.fromkeys(str(claim) for decision in told_here for claim in decision.claims.allowed)
        words = WORDING[state]
        actions = dict.fromkeys((words.next_action, words.next_action_otherwise))
        rows.append((_code([state]), words.status, words.reason, words.impact, " / ".join(actions), ", ".join(claims)))
    return _table(("State", "Status label", "Reason", "Impact", "Primary next action", "May be said"), rows)


@cache
def _cases() -> tuple[_Case, ...]:
    return tuple(_every_case())


def _every_case() -> Iterator[_Case]:
    operations = [None, *product(OperationStatus, [*OperationOutcome, None])]
    for dry, status, operation, snapshot in product((True, False), RunStatus, operations, (None, *SnapshotStatus)):
        row = "dry run, any status" if dry else _code([status])
        facts = _facts(status, operation, snapshot, dry=dry)
        yield _Case(row, _column(operation), decide(facts, everyone(facts)))


def _column(operation: tuple[OperationStatus, OperationOutcome | None] | None) -> str:
    if operation is None:
        return _NO_OPERATION
    status, outcome = operation
    if status is not OperationStatus.COMPLETED:
        return _code([status])
    return _code([outcome]) if outcome else _NO_OUTCOME


def _facts_with(machine: Machine, status: str) -> Facts:
    match machine:
        case Machine.RUN:
            return _facts(RunStatus(status))
        case Machine.OPERATION:
            return _facts(RunStatus.COMPLETED, (OperationStatus(status), None))
        case Machine.EVIDENCE:
            return _facts(RunStatus.COMPLETED, (OperationStatus.COMPLETED, None), SnapshotStatus(status))


def _facts(
    status: RunStatus,
    operation: tuple[OperationStatus, OperationOutcome | None] | None = None,
    snapshot: SnapshotStatus | None = None,
    *,
    dry: bool = False,
) -> Facts:
    run = RunFacts(
        id="r",
        workspace="w",
        environment="e",
        status=status,
        is_dry_run=dry,
        operation_run_id="o",
        counts=Counts(skipped=1),
    )
    return Facts(
        run=run,
        operation=_operation_facts(*operation) if operation else None,
        evidence=(_snapshot_facts(snapshot),) if snapshot else (),
    )


def _operation_facts(status: OperationStatus, outcome: OperationOutcome | None) -> OperationFacts:
    return OperationFacts(id="o", workspace="w", environment="e", status=status, outcome=outcome)


def _snapshot_facts(status: SnapshotStatus) -> SnapshotFacts:
    return SnapshotFacts(id="s", operation_run_id="o", workspace="w", environment="e", status=status)
