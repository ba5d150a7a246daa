"""The pictures and tables say everything that the machines and the rules say, and nothing else."""

from __future__ import annotations

import builtins
import re
from html import unescape
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from proofgap import diagram, tables
from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.decision import decide, everyone
from proofgap.errors import BadInputError
from proofgap.facts import Facts, RunFacts, RunStatus
from proofgap.lifecycle import MACHINES, edges
from proofgap.records import Machine
from proofgap.wording import WORDING, DecisionState

PATH = ["draft", "scoped", "checked", "scoped", "checked", "previewed", "previewed", "queued", "running", "partial"]
HOSTILE = '"><script>x</script> | `y` -->\n;#1; %%{init}%% [*] \\ \x00 &amp; --- ü'
Triple = tuple[str, str, str]


def triples(machine: Machine) -> set[Triple]:
    """Read the edges straight off the machine class."""
    return {(source, event, target) for source, event, target, _ in edges(machine)}


def mermaid_triples(text: str) -> set[Triple]:
    """Read the edges back from Mermaid."""
    found = re.findall(r"^    (\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    return {
        (source, label.split(" ")[0], target) for source, target, labels in found for label in labels.split("<br/>")
    }


def dot_triples(text: str) -> set[Triple]:
    """Read the edges back from DOT; events that stay are lines inside the box of their status."""
    found = set()
    for source, target, label in re.findall(r"^(\w+) -> (\w+) +\[label=<(.*?)>, ", text, re.MULTILINE):
        found |= {(source, event, target) for event in re.findall(r'<FONT COLOR="[^"]+">(\w+)</FONT>', label)}
    for status, label in re.findall(r"^(\w+) \[label=<(.*?)>, ", text, re.MULTILINE):
        found |= {(status, event, status) for event in re.findall(r">stays: (\w+)</FONT>", label)}
    return found


def table_triples(text: str) -> set[Triple]:
    """Read the edges back from the table of moves."""
    moves = text.split("## Moves")[1].split("\n## ", maxsplit=1)[0]
    return set(re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|", moves, re.MULTILINE))


@pytest.mark.parametrize("machine", Machine)
def test_every_edge_is_in_every_format_and_no_other(machine: Machine) -> None:
    """Read back from the text, the edges are those of the machine class."""
    wanted = triples(machine)
    assert mermaid_triples(diagram.mermaid(machine)) == wanted
    assert dot_triples(diagram.dot(machine)) == wanted
    assert table_triples(tables.machine_table(machine)) == wanted


@pytest.mark.parametrize("machine", Machine)
def test_every_guard_is_named_in_every_format_and_explained_in_the_table(machine: Machine) -> None:
    """A guard that is evaluated is also documented, with its question and its refusal."""
    for guard in {guard for _, _, _, guards in edges(machine) for guard in guards}:
        texts = (diagram.mermaid(machine), diagram.dot(machine), tables.machine_table(machine))
        assert all(guard in text for text in texts)
        assert f"| `{guard}` | {getattr(MACHINES[machine], guard).__doc__} | " in texts[2]


@pytest.mark.parametrize("machine", Machine)
def test_start_and_ends_are_marked(machine: Machine) -> None:
    """There is one start, and each final status is marked as an end."""
    text, picture = diagram.mermaid(machine), diagram.dot(machine)
    assert re.findall(r"\[\*\] --> (\w+)", text) == [str(MACHINES[machine].initial_state.value)]
    assert re.findall(r"(\w+) --> \[\*\]", text) == list(tables.final_statuses(machine))
    assert set(re.findall(r"^(\w+) \[.*peripheries=2", picture, re.MULTILINE)) == set(tables.final_statuses(machine))


@pytest.mark.parametrize("machine", Machine)
def test_two_runs_write_the_same_text(machine: Machine) -> None:
    """Nothing depends on hash order or on what was drawn before."""
    assert diagram.dot(machine) == diagram.dot(machine)
    assert diagram.mermaid(machine) == diagram.mermaid(machine)
    assert tables.machine_table(machine) == tables.machine_table(machine)


def test_a_fallback_is_called_otherwise() -> None:
    """A cancel that is not proven clean leads to partial, and the drawings say on which condition."""
    cancels = {
        edge.target: edge.conditions for edge in tables.machine_edges(Machine.RUN) if edge[:2] == ("running", "cancel")
    }
    assert cancels == {"cancelled": ("nothing_was_written",), "partial": (tables.OTHERWISE,)}


def test_the_way_forward_is_loud_and_what_many_share_is_quiet() -> None:
    """The main path stands out; cancelling and changing the scope do not."""
    quiet = {(arrow.source, arrow.target): arrow.quiet for arrow in diagram.arrows(Machine.RUN)}
    forward = pairwise(["draft", "scoped", "checked", "previewed", "queued", "running", "completed"])
    assert not any(quiet[step] for step in forward)
    assert all(loud is False for (source, target), loud in quiet.items() if source == "running" and target == "failed")
    assert all(quiet[step] for step in [("draft", "cancelled"), ("checked", "scoped"), ("running", "running")])


def test_no_colour_promises_anything() -> None:
    """Green reads as "all is well"; no tone has more green than red and blue."""
    tones = [*diagram.DECISION_TONES.values(), *diagram.AVAILABILITY_TONES.values()]
    for colour in {colour for tone in tones for colour in tone}:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        assert green <= max(red, blue), colour


def test_a_path_is_marked_and_the_rest_steps_back() -> None:
    """Visited statuses and travelled arrows are thick; all others are faint."""
    picture = diagram.dot(Machine.RUN, path=PATH)
    thick = set(re.findall(r"^(\w+) \[.*penwidth=2\.6", picture, re.MULTILINE))
    travelled = set(re.findall(r"^(\w+) -> (\w+) .*penwidth=2\.6", picture, re.MULTILINE))
    assert thick == set(PATH)
    assert travelled == {(source, target) for source, target in pairwise(PATH) if source != target}
    assert "class draft,scoped,checked,previewed,queued,running,partial visited" in diagram.mermaid(
        Machine.RUN, path=PATH
    )
    assert " → ".join(f"`{status}`" for status in PATH) in tables.machine_table(Machine.RUN, path=PATH)


@pytest.mark.parametrize("write", [diagram.mermaid, diagram.dot, tables.machine_table])
def test_a_path_with_an_unknown_status_is_refused(write: Any) -> None:
    """The error names the status and those that exist."""
    with pytest.raises(
        BadInputError, match=r"'verified' is no status of the evidence machine.*Use: queued, generating"
    ):
        write(Machine.EVIDENCE, path=["queued", "verified"])


def test_a_hostile_caption_stays_text() -> None:
    """What comes from outside cannot become syntax in any of the languages."""
    picture = diagram.dot(Machine.RUN, caption=HOSTILE)
    assert "<script>" not in picture
    assert "\x00" not in picture
    shown = re.findall(r'<FONT POINT-SIZE="18">(.*?)</FONT>', picture)
    assert [unescape(text) for text in shown] == [tables.one_line(HOSTILE)]
    assert dot_triples(picture) == triples(Machine.RUN)

    text = diagram.mermaid(Machine.RUN, caption=HOSTILE)
    assert text.splitlines()[2:] == diagram.mermaid(Machine.RUN).splitlines()[2:]

    table = tables.machine_table(Machine.RUN, caption=HOSTILE)
    assert "\\<script\\>" in table
    assert table.splitlines()[1:] == tables.machine_table(Machine.RUN).splitlines()[1:]


def test_a_hostile_label_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even an event or a guard with syntax in its name would not break a drawing."""
    bad = tables.Edge("draft", HOSTILE, "scoped", (HOSTILE,))
    monkeypatch.setattr(diagram, "machine_edges", lambda _: (bad,))
    label = re.findall(r"draft --> scoped: (.*)", diagram.mermaid(Machine.RUN))
    assert len(label) == 1
    assert not set('"<>|`%*\\') & set(label[0])
    assert "<script>" not in diagram.dot(Machine.RUN)


def test_without_pydot_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOT needs the extra; the error says which one and how to get it. The other formats need nothing."""
    real = builtins.__import__

    def without_pydot(name: str, *arguments: Any, **more: Any) -> ModuleType:
        if name == "pydot":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_pydot)
    with pytest.raises(diagram.ExtraMissingError, match=r'pydot.*pip install "proofgap\[diagrams\]"') as caught:
        diagram.dot(Machine.RUN)
    assert (caught.value.extra, caught.value.package) == ("diagrams", "pydot")
    assert diagram.mermaid(Machine.RUN)
    assert tables.machine_table(Machine.RUN)


def test_a_status_is_shown_with_what_an_operator_reads() -> None:
    """The word "completed" never stands alone: below it is what may be said of it."""
    facts = Facts(
        run=RunFacts(id="r", workspace="w", environment="e", status=RunStatus.COMPLETED, is_dry_run=False),
        operation=None,
        evidence=(),
    )
    words = decide(facts, everyone(facts)).status
    assert re.search(
        rf"^completed \[label=<completed<BR/><FONT[^>]*>{words}</FONT>>", diagram.dot(Machine.RUN), re.MULTILINE
    )


def test_the_decision_table_holds_all_rules_states_and_words() -> None:
    """Nine rules, seven states, and each state's words."""
    text = tables.decision_table()
    assert re.findall(r"^\| (\d) \| `", text, re.MULTILINE) == list("123456789")
    for state in DecisionState:
        assert f"| `{state}` | {WORDING[state].status} | {WORDING[state].reason} | {WORDING[state].impact} |" in text


def test_the_decision_table_says_which_rule_decides_for_each_pair_of_facts() -> None:
    """Spot checks against the rules as written in docs/decision-rules.md, section 2."""
    rows = {line.split(" | ")[0]: line for line in tables.decision_table().splitlines()}
    assert rows["| dry run, any status"].endswith("| 1 | 1 | 1 | 1 | 1 |")
    assert rows["| `completed`"].endswith("| 8 | 2 | 7 or 8 | 3 | 5 |")
    assert rows["| `partial`"].endswith("| 4 | 2 | 4 | 3 | 4 |")


def test_the_forbidden_words_stand_only_in_the_list_that_forbids_them() -> None:
    """No picture and no table claims what may never be claimed."""
    *body, last = tables.decision_table().strip().splitlines()
    assert last.startswith("Never said, in any state: ")
    texts = ["\n".join(body), *(tables.machine_table(machine) for machine in Machine), *map(diagram.dot, Machine)]
    for words in FORBIDDEN_CLAIMS:
        assert words in last
        assert not any(words.lower() in text.lower() for text in texts)
