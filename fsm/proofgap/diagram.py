"""Pictures of the three machines, as Mermaid or DOT text, read off the machine classes: nothing is kept by hand.

Owns the look: the way a run is meant to go lies on one line, what many statuses share (cancel, change the scope) is
drawn lightly, and every status has the tone of what an operator is told of it. Refuses to know files and programs:
turning DOT into SVG or PNG is the application's business.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from html import escape
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from proofgap.errors import ProofgapError
from proofgap.records import Machine
from proofgap.tables import (
    TITLES,
    checked_path,
    final_statuses,
    machine_edges,
    one_line,
    statuses,
    told,
)
from proofgap.wording import Availability, DecisionState

SANS, MONO = "Helvetica", "Courier"
"""Drawn as Arimo and Cousine by graphviz-pure, which brings both along. A browser without a sans serif of these widths takes one
that is up to a sixth wider: the boxes leave room for it."""

SUBTITLE = "Under each status: what an operator is told when nothing else is known."
LEFT = '<BR ALIGN="LEFT"/>'
PAPER, INK, QUIET, FAINT = "#fdfcfa", "#17191d", "#5b616b", "#b4b8be"
NODES = {
    "shape": "box",
    "style": "rounded,filled",
    "fontname": SANS,
    "fontsize": "14",
    "margin": "0.32,0.09",
    "penwidth": "1.3",
}
EDGES = {"fontname": MONO, "fontsize": "11", "arrowsize": "0.75"}
START = {"shape": "circle", "style": "filled", "label": "", "width": "0.16", "fillcolor": INK, "color": INK}


class Tone(NamedTuple):
    """The colours of one meaning: text, fill and line."""

    text: str
    fill: str
    line: str


SLATE = Tone("#2f3743", "#e3e7ed", "#566072")
BLUE = Tone("#123a80", "#dbe7fb", "#2459bd")
INDIGO = Tone("#34267f", "#e3dffa", "#5341b8")
DECISION_TONES = MappingProxyType(
    {
        DecisionState.NOT_EXECUTED: SLATE,
        DecisionState.IN_PROGRESS: BLUE,
        DecisionState.COMPLETED_PROOF_INCOMPLETE: Tone("#533c00", "#f9e7b0", "#8a6500"),
        DecisionState.COMPLETED_WITH_EVIDENCE: INDIGO,
        DecisionState.NEEDS_REVIEW: Tone("#6d2b04", "#fbdcc2", "#ad470a"),
        DecisionState.FAILED: Tone("#7d1512", "#f9d9d6", "#b3261f"),
        DecisionState.BLOCKED_OR_CANCELLED: Tone("#26272a", "#d9d8d4", "#46484d"),
    }
)
AVAILABILITY_TONES = MappingProxyType(
    {Availability.AVAILABLE: INDIGO, Availability.IN_PROGRESS: BLUE, Availability.UNAVAILABLE: SLATE}
)


class ExtraMissingError(ProofgapError):
    """An optional part of proofgap is not installed."""

    def __init__(self, extra: str, package: str) -> None:
        """Name the extra, and the package that was looked for."""
        self.extra, self.package = extra, package
        self.remedy = f'Install it with: pip install "proofgap[{extra}]".'
        super().__init__(f"this needs the package {package}, which the extra {extra!r} brings. {self.remedy}")


class Arrow(NamedTuple):
    """All edges between two statuses, drawn as one line: its labels are events with their conditions."""

    source: str
    target: str
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    quiet: bool


class _Path(NamedTuple):
    """The way that one run went, to be shown in the picture; empty when there is none."""

    statuses: tuple[str, ...]
    steps: Collection[tuple[str, str]]


def arrows(machine: Machine) -> tuple[Arrow, ...]:
    """List what is drawn between the statuses: one arrow for all edges from one status to another.

    An arrow is quiet when it is neither on the way forward nor the only place where one of its events can happen.
    """
    edges = machine_edges(machine)
    sources = Counter(event for event, _ in {(edge.event, edge.source) for edge in edges})
    forward = set(_spine(machine))
    grouped: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = {}
    for edge in edges:
        grouped.setdefault((edge.source, edge.target), []).append((edge.event, edge.conditions))
    return tuple(
        Arrow(source, target, tuple(labels), quiet=_is_quiet(source, target, labels, forward, sources))
        for (source, target), labels in grouped.items()
    )


def mermaid(machine: Machine, *, path: Sequence[str] = (), caption: str | None = None) -> str:
    """Write a machine as a Mermaid ``stateDiagram-v2``.

    ``path`` marks the statuses that one run went through, in order; ``caption`` replaces the title.

    Raises:
        BadInputError: ``path`` names something that is no status of the machine.

    """
    way = _way(machine, path)
    lines = [
        "---",
        f"title: {json.dumps(one_line(caption or TITLES[machine]), ensure_ascii=False)}",
        "---",
        "stateDiagram-v2",
        "    direction LR",
    ]
    lines.append(f"    [*] --> {statuses(machine)[0]}")
    lines += [f"    {arrow.source} --> {arrow.target}: {_mermaid_label(arrow)}" for arrow in arrows(machine)]
    lines += [f"    {status} --> [*]" for status in final_statuses(machine)]
    lines += _mermaid_tones(machine)
    if way.statuses:
        lines += ["    classDef visited stroke-width:4px", f"    class {','.join(dict.fromkeys(way.statuses))} visited"]
    return "\n".join(lines) + "\n"


def dot(machine: Machine, *, path: Sequence[str] = (), caption: str | None = None) -> str:
    """Write a machine in the language of Graphviz.

    ``path`` marks the statuses that one run went through, in order; ``caption`` replaces the title.

    Raises:
        BadInputError: ``path`` names something that is no status of the machine.
        ExtraMissingError: pydot is not installed.

    """
    way = _way(machine, path)
    try:
        import pydot  # noqa: PLC0415 - an extra: only those who draw need it
    except ImportError as error:
        raise ExtraMissingError("diagrams", "pydot") from error
    graph = pydot.Dot(str(machine), graph_type="digraph", **_graph_look(caption or TITLES[machine]))
    graph.set_node_defaults(**NODES)
    graph.set_edge_defaults(**EDGES)
    graph.add_node(pydot.Node("_start", None, **START))
    for status in statuses(machine):
        graph.add_node(pydot.Node(status, None, **_node_look(machine, status, way)))
    ended = pydot.Subgraph("ended", rank="same")
    for status in final_statuses(machine):
        ended.add_node(pydot.Node(status))
    graph.add_subgraph(ended)
    graph.add_edge(pydot.Edge("_start", statuses(machine)[0], color=INK, weight="100"))
    for arrow in arrows(machine):
        if arrow.source != arrow.target:  # those that stay are written inside the box
            graph.add_edge(pydot.Edge(arrow.source, arrow.target, None, **_edge_look(machine, arrow, way)))
    return str(graph.to_string())


def _way(machine: Machine, path: Sequence[str]) -> _Path:
    return _Path(checked_path(machine, path), frozenset(pairwise(path)))


def _spine(machine: Machine) -> Iterator[tuple[str, str]]:
    """Give the way forward: from each status to the next one, up to the first that is final."""
    final = final_statuses(machine)
    return pairwise(status for status in statuses(machine) if status not in final[1:])


def _is_quiet(
    source: str,
    target: str,
    labels: list[tuple[str, tuple[str, ...]]],
    forward: set[tuple[str, str]],
    sources: Counter[str],
) -> bool:
    if (source, target) in forward:
        return False
    return source == target or all(sources[event] > 1 for event, _ in labels)


def _mermaid_label(arrow: Arrow) -> str:
    return "<br/>".join(
        _mermaid_text(event) + (f" [{_mermaid_text(', '.join(conditions))}]" if conditions else "")
        for event, conditions in arrow.labels
    )


def _mermaid_text(text: str) -> str:
    """Write everything that Mermaid could take for syntax as its character code."""
    return re.sub(r"[^\w ,.\-]", lambda found: f"#{ord(found[0])};", one_line(text))


def _mermaid_tones(machine: Machine) -> Iterator[str]:
    groups: dict[Tone, list[str]] = {}
    for status in statuses(machine):
        groups.setdefault(_tone(machine, status), []).append(status)
    for number, (tone, members) in enumerate(groups.items(), start=1):
        yield f"    classDef tone{number} fill:{tone.fill},color:{tone.text},stroke:{tone.line}"
        yield f"    class {','.join(members)} tone{number}"


def _tone(machine: Machine, status: str) -> Tone:
    seen = told(machine, status)
    return AVAILABILITY_TONES[seen.evidence.state] if machine is Machine.EVIDENCE else DECISION_TONES[seen.state]


def _says(machine: Machine, status: str) -> str:
    """Give what an operator reads while the record stands there."""
    seen = told(machine, status)
    match machine:
        case Machine.RUN:
            return seen.status
        case Machine.OPERATION:
            return f"Operation proof: {seen.operation_proof.label}"
        case Machine.EVIDENCE:
            return f"Post-run evidence: {seen.evidence.label}"


def _graph_look(title: str) -> dict[str, str]:
    return {
        "rankdir": "LR",
        "bgcolor": PAPER,
        "fontname": SANS,
        "fontcolor": INK,
        "label": f"<<B>{_font(title, size='18')}</B>{LEFT}{_font(' ', size='4')}{LEFT}{_font(SUBTITLE, size='10', color=QUIET)}{LEFT}>",
        "labelloc": "t",
        "labeljust": "l",
        "nodesep": "0.3",
        "ranksep": "0.4",
        "pad": "0.3",
    }


def _node_look(machine: Machine, status: str, way: _Path) -> dict[str, str]:
    tone = _tone(machine, status)
    lines = [_text(status), _font(_says(machine, status), size="9"), *_inner_lines(machine, status)]
    look = {"label": f"<{'<BR/>'.join(lines)}>", "fillcolor": tone.fill, "color": tone.line, "fontcolor": tone.text}
    if status in final_statuses(machine):
        look["peripheries"] = "2"
    if status in way.statuses:
        look["penwidth"] = "2.6"
    elif way.statuses:
        look |= {"fillcolor": PAPER, "color": FAINT, "fontcolor": QUIET}
    return look


def _inner_lines(machine: Machine, status: str) -> Iterator[str]:
    """Write the events that leave the status as it is: inside its box, as in UML, so that no loops clutter the way."""
    for arrow in arrows(machine):
        if arrow.source == arrow.target == status:
            yield _font(" ", size="3")
            for event, conditions in arrow.labels:
                yield _font(f"stays: {event}", face=MONO, size="9")
                yield from (_font(condition, size="8") for condition in conditions)


def _edge_look(machine: Machine, arrow: Arrow, way: _Path) -> dict[str, str]:
    travelled = (arrow.source, arrow.target) in way.steps
    quiet = not travelled if way.statuses else arrow.quiet
    width = "2.6" if travelled else "1" if quiet else "1.5"
    look = {
        "label": _dot_label(arrow, QUIET if quiet else INK),
        "color": FAINT if quiet else INK,
        "penwidth": width,
    }
    if (arrow.source, arrow.target) in set(_spine(machine)):
        look["weight"] = "100"
    return look


def _dot_label(arrow: Arrow, color: str) -> str:
    """Write one line per event, its conditions in small letters below, and a gap so that no line is touched."""
    lines = []
    for event, conditions in arrow.labels:
        lines.append(_font(event, color=color))
        lines += [_font(condition, face=SANS, size="8", color=QUIET) for condition in conditions]
    return f"<{'<BR/>'.join([*lines, _font(' ', size='4')])}>"


def _font(text: str, *, face: str = "", size: str = "", color: str = "") -> str:
    wanted = {"FACE": face, "POINT-SIZE": size, "COLOR": color}
    attributes = "".join(f' {name}="{value}"' for name, value in wanted.items() if value)
    return f"<FONT{attributes}>{_text(text)}</FONT>"


def _text(text: str) -> str:
    return escape(one_line(text)) or " "
