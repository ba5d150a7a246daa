"""What is done in the database and in files beside it: killed and broken at its steps, and done by many at once.

On a server a process is killed around its commits and at each step of a file: else its death is a connection that is cut.
"""

from __future__ import annotations

import pytest

from proofgap.notes import SignerKey
from proofgap_store import UnavailableError
from tests.conformance.children import SIGNING, killed, rotate_and_sign, sign_or_live, together
from tests.conformance.faults import Plan, armed, broken, count, expose, expose_files
from tests.conformance.lives import ADA, chain_faults, live, log
from tests.conformance.pruning import everything, prune, read
from tests.store.trees import hold, shape_of, tree_of


def steps_of(ledger, work):
    """List the steps of some signing: statements by their verbs, and steps of files."""
    expose(ledger)
    with pytest.MonkeyPatch.context() as patch:
        expose_files(patch.setattr)
        return count(lambda: SIGNING[work](ledger))


def deadly(place, steps):
    """List where a process is killed: before each step, and after the last one."""
    telling = [number for number, step in enumerate(steps) if step == "COMMIT" or step.startswith("file:")]
    numbers = telling if place.is_on_server else range(len(steps))
    return [*((number, "before") for number in numbers), (len(steps) - 1, "after")]


def held(place):
    """Read the key in the key file."""
    return SignerKey.parse(place.key.read_text().strip()).verifier.text


def test_killed_anywhere_a_sequencer_leaves_all_of_a_batch_or_nothing_and_the_next_makes_the_same_tree(place, tmp_path):
    """The first checkpoint, then one more; a copy that nobody killed is the measure."""
    with place.open() as ledger:
        live(ledger, "completed")
        ledger.audit.checkpoint()
        live(ledger, "draft")
    with place.copied(tmp_path / "whole") as other, other.open() as whole:
        steps = steps_of(whole, "checkpoint")
        wanted = shape_of(whole)
    committed = steps.index("COMMIT", steps.index("INSERT"))
    places = deadly(place, steps)
    found = [sequencer_killed_at(place, tmp_path / "-".join(map(str, at)), at, wanted) for at in places]
    assert found == [number > committed for number, _ in places]


def sequencer_killed_at(place, folder, at, wanted):
    """Kill a sequencer at one step; tell whether its batch was taken; then let the next one finish."""
    before = place.head.read_text("utf-8")
    with place.copied(folder) as mine:
        assert killed(mine, *at, "sign", "checkpoint")
        with mine.open() as ledger:
            waiting = len(shape_of(ledger)[0])
            assert mine.head.read_text("utf-8") == before or waiting == 0
            ledger.audit.checkpoint()
            assert shape_of(ledger) == wanted
            assert hold(ledger) == 2
            assert mine.head.read_text("utf-8") == tree_of(ledger)["audit_checkpoint"][-1]["note"]
    return waiting == 0


def test_killed_anywhere_a_rotation_happened_or_did_not_and_the_ledger_signs_all_the_same(place, tmp_path):
    with place.open() as ledger:
        live(ledger, "draft")
    with place.copied(tmp_path / "whole") as other, other.open() as whole:
        steps = steps_of(whole, "rotate")
    named = steps.index("COMMIT", len(steps) - steps[::-1].index("INSERT") - 1)
    places = deadly(place, steps)
    found = [rotation_killed_at(place, tmp_path / "-".join(map(str, at)), at) for at in places]
    assert found == [number > named for number, _ in places]


def rotation_killed_at(place, folder, at):
    """Kill a rotation at one step; tell whether the log names the new key; sign, rotate again, sign again."""
    with place.copied(folder) as mine:
        assert killed(mine, *at, "sign", "rotate")
        with mine.open() as ledger:
            happened = len(ledger.audit.keys(ADA)) == 2
            ledger.audit.checkpoint()
            assert held(mine) == ledger.audit.keys(ADA)[-1].key
            ledger.audit.rotate_key(ADA)
            ledger.audit.checkpoint()
            assert len(ledger.audit.keys(ADA)) == 2 + happened
            assert shape_of(ledger)[0] == []
            hold(ledger)
            assert chain_faults(log(ledger)) == []
    return happened


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("work", SIGNING)
def test_broken_at_every_step_signing_says_so_and_no_key_in_force_is_ever_lost(exposed, place, monkeypatch, work, side):
    expose_files(monkeypatch.setattr)
    exposed.audit.checkpoint()
    number = 0
    while broke_at(exposed, work, number, side):
        if work == "rotate":
            assert exposed.audit.checkpoint().size == len(log(exposed))
            assert held(place) == exposed.audit.keys(ADA)[-1].key
        number += 1
    assert number > 20
    exposed.audit.checkpoint()
    assert shape_of(exposed)[0] == []
    assert hold(exposed) > 1
    assert place.head.read_text("utf-8") == tree_of(exposed)["audit_checkpoint"][-1]["note"]


def broke_at(ledger, work, number, side):
    """Break one step of some signing, statement or file; False if it has no such step, and so was not broken."""
    live(ledger, "draft")
    plan = Plan(number, side, broken)
    try:
        armed(plan, lambda: SIGNING[work](ledger))
    except UnavailableError:
        return True
    return len(plan.seen) > number  # on a server nobody is told of a cut at the end of what only read


def test_sequencers_and_writers_in_many_processes_make_one_tree_and_nobody_is_refused(place):
    with place.open() as ledger:
        for number in range(0, 4, 2):
            ledger.access.declare_environment(("default", f"e{number}"), ADA)
        assert together(sign_or_live, place, count=4) == ["Checkpointed"] * 4
        assert hold(ledger) > 1
        assert ledger.audit.checkpoint().size == len(log(ledger))
        assert chain_faults(log(ledger)) == []


def test_processes_that_rotate_at_once_lose_no_key(place):
    answers = together(rotate_and_sign, place, count=4)
    assert set(answers) <= {"Checkpointed", "CustodyError"}, "who comes too late may find the key of its moment gone"
    assert "Checkpointed" in answers
    with place.open() as ledger:
        ledger.audit.checkpoint()
        assert held(place) == ledger.audit.keys(ADA)[-1].key
        hold(ledger)


@pytest.mark.owner
def test_killed_anywhere_a_pruning_happened_wholly_or_not_at_all_and_can_be_done_again(place, tmp_path):
    with place.open() as ledger:
        live(ledger)
        live(ledger, "running")
        ledger.audit.checkpoint()
    with place.copied(tmp_path / "whole") as other, other.open() as whole:
        expose(whole)
        steps = count(lambda: prune(whole, tmp_path / "export.jsonl", events=12))
    assert steps[-1] == "COMMIT"
    places = deadly(place, steps)
    found = [pruning_killed_at(place, tmp_path / "-".join(map(str, at)), at) for at in places]
    assert found == [False] * (len(places) - 1) + [True]


def pruning_killed_at(place, folder, at):
    """Kill a pruning at one statement; tell whether it happened; then do it again, with the same export."""
    export = folder / "export.jsonl"
    with place.copied(folder) as mine:
        with mine.open() as ledger:
            before = everything(ledger)
        assert killed(mine, *at, "prune", str(export))
        with mine.open() as ledger:
            happened = everything(ledger) != before
            pruned = read(ledger, "SELECT count(*) AS n FROM audit_event WHERE payload ->> '$.pruned' IS NOT NULL")
            assert (pruned[0]["n"] > 0) is happened
            assert not happened or export.exists()
            if not happened:
                assert prune(ledger, export, events=12).last == 11
            assert [found.type for found in log(ledger)].count("audit.pruned") == 1
    return happened
