"""How an execution ended: ten rules over what was observed, and the first that matches decides.

Theory. A worker observes facts about an execution; it never chooses the run's status. This table does. A tool's own
summary is not among the facts: dry runs print it too, a full disk reports 100 %, exit 0 may mean that nothing was
restored. What is not known stays ``None`` and never counts in favour of the run: an end that was not observed is not an
abort, an exit code that was not observed is not zero, and item results that were not observed are not successes.

Owns the order of the rules and what each leads to. Refuses to know how the facts were observed (the workers' business),
and whether the move is legal (`lifecycle`).

Source: ``docs/decision-rules.md``, section 4; ``rule`` is the number there.
"""

from __future__ import annotations

from collections.abc import Callable

from proofgap.facts import UNKNOWN_COUNTS, Count, Counts, EndReason, RunEvent, RunStatus, Struct


class ExecutionFacts(Struct):
    """What was observed of one execution.

    Attributes:
        lease_lost: the worker no longer holds the run, or never came back.
        unrequested_signal: a signal that nobody asked for ended the tool.
        cancel_requested: somebody asked for the execution to stop.
        reached_end: whether the tool went through everything it was given; ``False`` when it stopped early or aborted.
        nothing_written: ``True`` only when it is proven that the target is as it was before.
        selected: items that the plan selects.
        expects_nothing: the plan says that an empty selection is right.
        exit_code: of the tool; 0 is the only success.
        errors_logged: error messages seen.
        counts: added up from item results, never taken from the tool's summary.

    """

    lease_lost: bool = False
    unrequested_signal: bool = False
    cancel_requested: bool = False
    reached_end: bool | None = None
    nothing_written: bool | None = None
    selected: Count | None = None
    expects_nothing: bool = False
    exit_code: int | None = None
    errors_logged: Count | None = None
    counts: Counts = UNKNOWN_COUNTS


class Outcome(Struct):
    """The event to fire, the run status it leads to, the rule that decided, and the reason where the status does not say it."""

    event: RunEvent
    status: RunStatus
    rule: int
    end_reason: EndReason | None = None


def outcome_of(facts: ExecutionFacts) -> Outcome:
    """Give the outcome of an execution: the first of the ten rules that matches.

    The last rule matches everything, so there is always one; a new rule must go above it.
    """
    return next(outcome for matches, outcome in _RULES if matches(facts))


def _worker_lost(facts: ExecutionFacts) -> bool:
    return facts.lease_lost or facts.unrequested_signal


def _stopped_on_request(facts: ExecutionFacts) -> bool:
    return facts.cancel_requested and facts.reached_end is False


def _stopped_untouched(facts: ExecutionFacts) -> bool:
    return _stopped_on_request(facts) and facts.nothing_written is True


def _nothing_selected(facts: ExecutionFacts) -> bool:
    return facts.selected == 0 and not facts.expects_nothing


def _aborted(facts: ExecutionFacts) -> bool:
    return facts.reached_end is False


def _nothing_applied(facts: ExecutionFacts) -> bool:
    # A plan that expects nothing is fulfilled by nothing (rule 3 says so; the same must hold here).
    if facts.expects_nothing and not facts.selected:
        return False
    applied = (facts.counts.succeeded, facts.counts.partial)
    # An item can be in place without a write, where the target held it already: then nothing was written, yet it is applied.
    return applied == (0, 0) or (facts.nothing_written is True and not any(applied))


def _unapplied(facts: ExecutionFacts) -> bool:
    counts = facts.counts
    known = bool(counts.failed or counts.partial or counts.non_applied)
    return known or (facts.exit_code != 0 and not _all_accounted(facts))


def _applied_with_errors(facts: ExecutionFacts) -> bool:
    return bool(facts.exit_code != 0 or facts.errors_logged) and _all_accounted(facts)


def _reconciles(facts: ExecutionFacts) -> bool:
    return facts.selected is not None and _all_accounted(facts)


def _not_contradicted(facts: ExecutionFacts) -> bool:
    planned, accounted = _planned(facts), sum(_known_parts(facts.counts))
    if planned is None:
        return True
    complete = len(_known_parts(facts.counts)) == len(_PARTS)
    fits = accounted == planned if complete else accounted <= planned
    return fits and facts.counts.total in {None, planned}


def _otherwise(_facts: ExecutionFacts) -> bool:
    return True


def _all_accounted(facts: ExecutionFacts) -> bool:
    """Whether every planned item is known to have a result: the known parts add up to the plan."""
    parts, planned = _known_parts(facts.counts), _planned(facts)
    if planned is None:
        return len(parts) == len(_PARTS)
    return bool(parts) and sum(parts) == planned and facts.counts.total in {None, planned}


def _planned(facts: ExecutionFacts) -> int | None:
    return facts.counts.total if facts.selected is None else facts.selected


def _known_parts(counts: Counts) -> list[int]:
    values = (counts.succeeded, counts.failed, counts.skipped, counts.partial, counts.non_applied)
    return [value for value in values if value is not None]


_PARTS = ("succeeded", "failed", "skipped", "partial", "non_applied")


def _partially(rule: int) -> Outcome:
    return Outcome(event=RunEvent.COMPLETE_PARTIALLY, status=RunStatus.PARTIAL, rule=rule)


def _failed(rule: int, reason: EndReason) -> Outcome:
    return Outcome(event=RunEvent.FAIL, status=RunStatus.FAILED, rule=rule, end_reason=reason)


def _cancelled(status: RunStatus) -> Outcome:
    return Outcome(event=RunEvent.CANCEL, status=status, rule=2, end_reason=EndReason.CANCEL_REQUESTED)


def _completed(rule: int) -> Outcome:
    return Outcome(event=RunEvent.COMPLETE, status=RunStatus.COMPLETED, rule=rule)


_RULES: tuple[tuple[Callable[[ExecutionFacts], bool], Outcome], ...] = (
    (_worker_lost, _failed(1, EndReason.WORKER_LOST)),
    (_stopped_untouched, _cancelled(RunStatus.CANCELLED)),
    (_stopped_on_request, _cancelled(RunStatus.PARTIAL)),
    (_nothing_selected, _failed(3, EndReason.NOTHING_APPLIED)),
    (_aborted, _failed(4, EndReason.TOOL_ABORTED)),
    (_nothing_applied, _failed(5, EndReason.NOTHING_APPLIED)),
    (_unapplied, _partially(6)),
    (
        _applied_with_errors,
        Outcome(event=RunEvent.COMPLETE_WITH_ERRORS, status=RunStatus.COMPLETED_WITH_ERRORS, rule=7),
    ),
    (_reconciles, _completed(8)),
    (_not_contradicted, _completed(9)),
    (_otherwise, _partially(10)),
)
