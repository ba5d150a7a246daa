"""The outcome rule: each of its ten rules, their order, and every combination of facts against a second reading."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from msgspec.structs import replace

from proofgap.facts import Counts, EndReason, RunEvent, RunStatus
from proofgap.outcome import ExecutionFacts, Outcome, outcome_of

ALL_FOUR = Counts(total=4, succeeded=4, failed=0, skipped=0, partial=0, non_applied=0)
CLEAN = ExecutionFacts(
    reached_end=True, nothing_written=False, selected=4, exit_code=0, errors_logged=0, counts=ALL_FOUR
)


def counts(**parts: int) -> Counts:
    """Give counts in which every part that is not named is zero."""
    full = {"succeeded": 0, "failed": 0, "skipped": 0, "partial": 0, "non_applied": 0} | parts
    return Counts(total=sum(full.values()), **full)


def ended(facts: ExecutionFacts) -> tuple[str, int, str | None]:
    """Give status, rule and reason of the outcome."""
    outcome = outcome_of(facts)
    return outcome.status, outcome.rule, outcome.end_reason


EXAMPLES = {
    "rule 1: a lost lease": ({"lease_lost": True}, ("failed", 1, "worker_lost")),
    "rule 1: a signal nobody asked for": ({"unrequested_signal": True}, ("failed", 1, "worker_lost")),
    "rule 2: stopped, proven untouched": (
        {"cancel_requested": True, "reached_end": False, "nothing_written": True},
        ("cancelled", 2, "cancel_requested"),
    ),
    "rule 2: stopped, written or not is unknown": (
        {"cancel_requested": True, "reached_end": False, "nothing_written": None},
        ("partial", 2, "cancel_requested"),
    ),
    "rule 2 needs an early stop: a request that came too late changes nothing": (
        {"cancel_requested": True},
        ("completed", 8, None),
    ),
    "rule 3: nothing selected": ({"selected": 0, "counts": counts()}, ("failed", 3, "nothing_applied")),
    "rule 3 spares a plan that expects nothing": (
        {"selected": 0, "expects_nothing": True, "counts": counts(), "nothing_written": True},
        ("completed", 8, None),
    ),
    "rule 4: the tool aborted": ({"reached_end": False}, ("failed", 4, "tool_aborted")),
    "rule 4 needs an observed abort": ({"reached_end": None}, ("completed", 8, None)),
    "rule 5: counts prove that nothing was applied": (
        {"counts": counts(non_applied=4), "exit_code": 1},
        ("failed", 5, "nothing_applied"),
    ),
    "rule 5: every item skipped is nothing applied": ({"counts": counts(skipped=4)}, ("failed", 5, "nothing_applied")),
    "rule 5: nothing written, results unknown": (
        {"counts": Counts(), "nothing_written": True},
        ("failed", 5, "nothing_applied"),
    ),
    "rule 5 spares items that were in place already": ({"nothing_written": True}, ("completed", 8, None)),
    "rule 6: an item failed although the exit is 0": ({"counts": counts(succeeded=3, failed=1)}, ("partial", 6, None)),
    "rule 6: an item is partial": ({"counts": counts(succeeded=3, partial=1)}, ("partial", 6, None)),
    "rule 6: an item was not applied": ({"counts": counts(succeeded=3, non_applied=1)}, ("partial", 6, None)),
    "rule 6: results unknown and a non-zero exit": ({"counts": Counts(), "exit_code": 1}, ("partial", 6, None)),
    "rule 6: an exit that is not known is not zero": ({"counts": Counts(), "exit_code": None}, ("partial", 6, None)),
    "rule 7: all applied, non-zero exit": ({"exit_code": 1}, ("completed_with_errors", 7, None)),
    "rule 7: all applied, errors logged": ({"errors_logged": 2}, ("completed_with_errors", 7, None)),
    "rule 8: exit 0 and the counts reconcile": ({}, ("completed", 8, None)),
    "rule 8: skipped items reconcile": ({"counts": counts(succeeded=3, skipped=1)}, ("completed", 8, None)),
    "rule 9: exit 0, counts unknown": ({"counts": Counts()}, ("completed", 9, None)),
    "rule 9: exit 0, the plan's number unknown": ({"selected": None}, ("completed", 9, None)),
    "rule 10: fewer results than planned": ({"counts": counts(succeeded=3)}, ("partial", 10, None)),
    "rule 10: more results than planned": ({"counts": counts(succeeded=5)}, ("partial", 10, None)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_rule_by_example(name: str) -> None:
    """Each rule decides the case that it is for, and leaves the case beside it alone."""
    changes, expected = EXAMPLES[name]
    assert expected == ended(replace(CLEAN, **changes))


def test_the_first_rule_that_matches_decides() -> None:
    """With everything wrong at once, taking the causes away one by one walks down the rules in order."""
    facts = ExecutionFacts(
        lease_lost=True,
        cancel_requested=True,
        reached_end=False,
        selected=0,
        exit_code=1,
        errors_logged=1,
        counts=counts(failed=4),
    )
    steps: list[dict[str, object]] = [
        {},
        {"lease_lost": False},
        {"cancel_requested": False},
        {"selected": 4},
        {"reached_end": True},
        {"counts": counts(succeeded=3, failed=1)},
        {"counts": counts(succeeded=4)},
        {"exit_code": 0, "errors_logged": 0},
        {"counts": Counts()},
        {"counts": counts(succeeded=3)},
    ]
    rules = []
    for step in steps:
        facts = replace(facts, **step)
        rules.append(outcome_of(facts).rule)
    assert list(range(1, 11)) == rules


COUNT_SAMPLES = (
    Counts(),
    Counts(total=2),
    Counts(succeeded=1),
    Counts(succeeded=0, partial=0),
    Counts(failed=1),
    Counts(total=2, succeeded=1, skipped=1),
    Counts(succeeded=3),
    counts(),
    counts(succeeded=2),
    counts(succeeded=1),
    counts(succeeded=3),
    counts(succeeded=1, skipped=1),
    counts(skipped=2),
    counts(succeeded=1, failed=1),
    counts(failed=2),
    counts(succeeded=1, partial=1),
    counts(partial=2),
    counts(succeeded=1, non_applied=1),
    counts(non_applied=2),
    counts(non_applied=3),
)
NAMES = (
    "lease_lost",
    "unrequested_signal",
    "cancel_requested",
    "reached_end",
    "nothing_written",
    "selected",
    "expects_nothing",
    "exit_code",
    "errors_logged",
    "counts",
)
SPACE = (
    (False, True),
    (False, True),
    (False, True),
    (None, False, True),
    (None, False, True),
    (None, 0, 2),
    (False, True),
    (None, 0, 1),
    (None, 0, 1),
    COUNT_SAMPLES,
)


def results_complete(facts: ExecutionFacts) -> bool | None:
    """Say whether the results account for the plan: yes, no (a contradiction), or not known."""
    c = facts.counts
    parts = {k: v for k in c.__struct_fields__ if k != "total" and (v := getattr(c, k)) is not None}
    goals = {goal for goal in (facts.selected, c.total) if goal is not None}
    whole = len(parts) == 5
    if len(goals) > 1 or any(sum(parts.values()) > goal for goal in goals):
        return False
    if not goals:
        return True if whole else None
    if parts and sum(parts.values()) == min(goals):
        return True
    return False if whole else None


def second_reading(f: ExecutionFacts) -> tuple[str, int]:  # noqa: C901, PLR0911, PLR0912 - the page, line by line
    """Read section 4 of the page once more, as one plain list of sentences."""
    c, complete = f.counts, results_complete(f)
    empty_as_planned = f.expects_nothing and f.selected in (None, 0)
    if f.lease_lost or f.unrequested_signal:
        return "failed", 1
    if f.cancel_requested and f.reached_end is False:
        return ("cancelled" if f.nothing_written else "partial"), 2
    if f.selected == 0 and not f.expects_nothing:
        return "failed", 3
    if f.reached_end is False:
        return "failed", 4
    if not empty_as_planned:
        if c.succeeded == 0 and c.partial == 0:
            return "failed", 5
        if f.nothing_written and c.succeeded in (None, 0) and c.partial in (None, 0):
            return "failed", 5
    if any(n is not None and n > 0 for n in (c.failed, c.partial, c.non_applied)):
        return "partial", 6
    if f.exit_code is None or f.exit_code != 0:
        return ("completed_with_errors", 7) if complete else ("partial", 6)
    if f.errors_logged and complete:
        return "completed_with_errors", 7
    if complete and f.selected is not None:
        return "completed", 8
    return ("partial", 10) if complete is False else ("completed", 9)


EVENT_OF = {
    "failed": RunEvent.FAIL,
    "completed": RunEvent.COMPLETE,
    "completed_with_errors": RunEvent.COMPLETE_WITH_ERRORS,
}
REASON_OF = {
    1: EndReason.WORKER_LOST,
    2: EndReason.CANCEL_REQUESTED,
    3: EndReason.NOTHING_APPLIED,
    4: EndReason.TOOL_ABORTED,
    5: EndReason.NOTHING_APPLIED,
}


def test_every_combination_of_facts_agrees_with_a_second_reading() -> None:
    """Over the whole space of facts there is exactly one outcome, and an independent reading of the page gives the same."""
    seen: Counter[int] = Counter()
    for values in itertools.product(*SPACE):
        facts = ExecutionFacts(**dict(zip(NAMES, values, strict=True)))
        status, rule = second_reading(facts)
        event = RunEvent.CANCEL if rule == 2 else EVENT_OF.get(status, RunEvent.COMPLETE_PARTIALLY)
        expected = Outcome(event=event, status=RunStatus(status), rule=rule, end_reason=REASON_OF.get(rule))
        assert expected == outcome_of(facts), facts
        seen[rule] += 1
    assert set(range(1, 11)) == set(seen)


def test_without_an_observed_exit_of_zero_no_run_is_completed() -> None:
    """A non-zero exit, and one that nobody saw, never lead to completed, whatever else is known."""
    for values in itertools.product(*SPACE):
        facts = ExecutionFacts(**dict(zip(NAMES, values, strict=True)))
        assert facts.exit_code == 0 or outcome_of(facts).status is not RunStatus.COMPLETED


def test_an_outcome_cannot_be_changed() -> None:
    """An outcome is a value."""
    with pytest.raises(AttributeError):
        outcome_of(CLEAN).rule = 9
