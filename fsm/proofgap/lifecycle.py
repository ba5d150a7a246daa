"""Every legal move of a restore run, of its operation run and of its evidence: the law, in one file.

Theory. A run is prepared (draft, scoped, checked, previewed), released (queued), executed (running) and ends in
exactly one of five terminal statuses, which it never leaves; a retry is a new run. Editing the scope throws away
every later check, preview and approval, so nobody can release what was not shown. Its *operation run* is born
when the run is queued and moves with it; it is the proof that something was executed. *Evidence snapshots* have a
life of their own, which goes on after the run has ended.

Guards and hooks are callbacks of the machines. Hooks run on entering a status, inside the event: if one fails, there
is no step, so nothing can have been written. What follows from an event is put together in `moves`.

Owns the edges, the guards, and what entering a status does to the record. Refuses to know what a decision is: it calls the
hooks it is handed. Refuses to know storage, clocks and ids: they are arguments.

Source: restore result state contract; ``docs/decision-rules.md``, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeVar

from msgspec.structs import replace
from statemachine import State, StateMachine
from statemachine.exceptions import TransitionNotAllowed

from proofgap.effects import arrive, merge
from proofgap.errors import BadInputError, GuardRefusedError, NotAllowedError
from proofgap.facts import (
    OUTCOME_OF_EVENT,
    Counts,
    OperationEvent,
    OperationStatus,
    RunEvent,
    RunStatus,
    SnapshotStatus,
)
from proofgap.guards import EVIDENCE_GUARDS, RUN_GUARDS
from proofgap.records import Machine, Moment, Move, PreviewFacts, RunRecord, SnapshotRecord, moved

Projection_co = TypeVar("Projection_co", covariant=True)


class Hooks(Protocol[Projection_co]):
    """What is called on entering a status, with the record as it will be."""

    def entered(self, record: RunRecord) -> Projection_co:
        """Project the facts of the record into a decision."""
        ...


class Attempt:
    """One event on its way through a machine: the record, what came with the event, and what came of it."""

    record: Any
    given: Any
    moment: Moment
    hooks: Hooks[Any]
    follow: Callable[[RunRecord, RunEvent], tuple[Move, ...]]  # moves the operation run along
    run: RunRecord  # that the evidence is about
    siblings: Iterable[SnapshotRecord]
    refused_by: str | None
    moves: tuple[Move, ...]
    projection: Any


class _Slot:
    """The model that a machine moves. The machine outlives the attempt: building one costs more than an event."""

    status: str = ""
    attempt: Attempt = Attempt()


class Law(StateMachine):
    """What the three machines share: one attempt at a time, and guards that leave their name when they refuse."""

    guard_reasons: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def hydrate(self, status: str, attempt: Attempt) -> None:
        """Stand on a status, ready for one event; a machine that ended its last attempt in a final status too."""
        self.model.status, self.model.attempt = status, attempt
        if self.is_terminated:
            self._engine = self._get_engine()  # type: ignore[no-untyped-call]  # the library's own, without types

    @property
    def _attempt(self) -> Attempt:
        attempt: Attempt = self.model.attempt
        return attempt

    def _holds(self, guard: str, verdict: bool) -> bool:  # noqa: FBT001 - the verdict is the value passed through
        self._attempt.refused_by = None if verdict else guard
        return verdict


class RestoreRunMachine(Law):
    """The life of a restore run, from draft to one of five outcomes."""

    draft = State(initial=True)
    scoped = State()
    checked = State()
    previewed = State()
    queued = State()
    running = State()
    completed = State(final=True)
    partial = State(final=True)
    completed_with_errors = State(final=True)
    failed = State(final=True)
    cancelled = State(final=True)

    scope = draft.to(scoped) | scoped.to.itself() | checked.to(scoped) | previewed.to(scoped)
    check = scoped.to(checked) | checked.to.itself() | previewed.to(checked)
    preview = checked.to(previewed) | previewed.to.itself()
    approve = previewed.to.itself(cond=["approver_is_somebody_else", "preview_names_a_plan"])
    queue = previewed.to(
        queued,
        cond=[
            *("is_not_a_dry_run", "preview_is_current", "plan_is_unchanged"),
            *("target_is_unchanged", "selection_is_not_empty", "is_approved"),
        ],
    )
    start = queued.to(running)
    report = running.to.itself()
    request_cancel = running.to.itself()
    complete = running.to(completed, cond=["nothing_is_known_to_be_unapplied", "nothing_contradicts_completion"])
    complete_with_errors = running.to(completed_with_errors, cond="nothing_is_known_to_be_unapplied")
    complete_partially = running.to(partial)
    fail = running.to(failed)
    cancel = (
        draft.to(cancelled)
        | scoped.to(cancelled)
        | checked.to(cancelled)
        | previewed.to(cancelled)
        | queued.to(cancelled)
        | running.to(cancelled, cond="nothing_was_written")
        | running.to(partial)
    )
    block = (
        checked.to(cancelled, cond="reason_is_given")
        | previewed.to(cancelled, cond="reason_is_given")
        | queued.to(cancelled, cond="reason_is_given")
    )

    guard_reasons: ClassVar[Mapping[str, str]] = RUN_GUARDS

    def approver_is_somebody_else(self) -> bool:
        """Whether the approver neither asked for the run nor prepared this plan, in person or by a token, nor approved it before."""
        details, actor = self._attempt.record.details, self._attempt.moment.actor
        involved = {details.requested_by, details.requested_for, *details.prepared_by, *details.prepared_for}
        approved = {given.by for given in details.approvals}
        return self._holds("approver_is_somebody_else", actor not in involved | approved)

    def preview_names_a_plan(self) -> bool:
        """Whether there is something to say yes to: a plan that can be told from every other."""
        preview = self._attempt.record.details.preview
        return self._holds("preview_names_a_plan", preview is not None and preview.plan_digest is not None)

    def is_not_a_dry_run(self) -> bool:
        """Whether the run is meant to write at all: its decision will always say that nothing was executed."""
        return self._holds("is_not_a_dry_run", not self._attempt.record.is_dry_run)

    def preview_is_current(self) -> bool:
        """Whether the preview may still be acted on; without an expiry it may."""
        preview = self._attempt.record.details.preview
        current = preview is not None and (
            preview.expires_at_us is None or self._attempt.moment.at_us < preview.expires_at_us
        )
        return self._holds("preview_is_current", current)

    def plan_is_unchanged(self) -> bool:
        """Whether the plan to execute is the plan that was checked and previewed."""
        details = self._attempt.record.details
        wanted = self._attempt.given.plan_digest or details.plan_digest
        shown = (details.preview or PreviewFacts()).plan_digest
        return self._holds("plan_is_unchanged", shown == wanted == details.plan_digest)

    def target_is_unchanged(self) -> bool:
        """Whether the target is what the preview showed, whenever else it was looked at."""
        details = self._attempt.record.details
        shown = (details.preview or PreviewFacts()).target_fingerprint
        found = (details.target_fingerprint, self._attempt.given.target_fingerprint)
        return self._holds("target_is_unchanged", all(seen in {None, shown} for seen in found))

    def selection_is_not_empty(self) -> bool:
        """Whether something is selected, or the plan says that it expects nothing; unknown is not empty."""
        details = self._attempt.record.details
        return self._holds("selection_is_not_empty", details.selected != 0 or details.expects_nothing)

    def is_approved(self) -> bool:
        """Whether as many other people approved exactly this plan as the environment asks for."""
        record = self._attempt.record
        shown = (record.details.preview or PreviewFacts()).plan_digest
        valid = [given for given in record.details.approvals if given.plan_digest == shown is not None]
        return self._holds("is_approved", len(valid) >= record.approvals_required)

    def nothing_is_known_to_be_unapplied(self) -> bool:
        """Whether no count and no item row says that a selected item failed or was not applied."""
        known = (self._attempt.record.details.item_counts, self._attempt.given.counts)
        unapplied = any(c is not None and (c.failed or c.partial or c.non_applied) for c in known)
        return self._holds("nothing_is_known_to_be_unapplied", not unapplied)

    def nothing_contradicts_completion(self) -> bool:
        """Whether outcome rules 1 to 7 and 10 leave the completion standing, as far as their facts are known."""
        given, details = self._attempt.given, self._attempt.record.details
        counts = details.item_counts or given.counts or Counts()
        wanted = details.selected if details.selected is not None else counts.total
        nothing_applied = bool(wanted) and counts.succeeded == 0
        other_total = None not in (wanted, counts.total) and wanted != counts.total
        contradicted = (
            given.exit_code not in {None, 0} or given.end_reason is not None or nothing_applied or other_total
        )
        return self._holds("nothing_contradicts_completion", not contradicted)

    def nothing_was_written(self) -> bool:
        """Whether it is proven that nothing was written; not known is not proven, and an applied item disproves it."""
        known = (self._attempt.record.details.item_counts, self._attempt.given.counts)
        applied = any(counts is not None and (counts.succeeded or counts.partial) for counts in known)
        return self._attempt.given.nothing_written is True and not applied

    def reason_is_given(self) -> bool:
        """Whether the blocker is named."""
        return self._holds("reason_is_given", self._attempt.given.end_reason is not None)

    def on_enter_state(self, event: str, target: State) -> None:
        """Apply the event to the record, move its operation run along, and project the facts into the decision.

        On a terminal status this closes the operation run first, so that the last projection of a run already
        sees the proof that it leaves behind.
        """
        attempt = self._attempt
        run_event = RunEvent(event)
        arrived = arrive(attempt.record, run_event, RunStatus(target.value), attempt.given, attempt.moment)
        operation_moves = attempt.follow(arrived, run_event)
        if operation_moves:
            arrived = replace(arrived, operation=operation_moves[-1].record)
        attempt.moves = (*operation_moves, moved(Machine.RUN, run_event, attempt.record.status, arrived))
        attempt.record = arrived
        attempt.projection = attempt.hooks.entered(arrived)


class OperationRunMachine(Law):
    """The life of the execution of a run."""

    queued = State(initial=True)
    running = State()
    completed = State(final=True)

    start = queued.to(running)
    succeed = running.to(completed)
    partially_succeed = running.to(completed)
    fail = running.to(completed)
    cancel = queued.to(completed) | running.to(completed)
    block = queued.to(completed)

    def on_enter_state(self, event: str, target: State) -> None:
        """Note the outcome."""
        attempt = self._attempt
        attempt.record = replace(
            attempt.record,
            status=OperationStatus(target.value),
            version=attempt.record.version + 1,
            outcome=OUTCOME_OF_EVENT.get(OperationEvent(event)),
        )


class EvidenceSnapshotMachine(Law):
    """The life of an evidence snapshot."""

    queued = State(initial=True)
    generating = State()
    active = State()
    superseded = State(final=True)
    expired = State(final=True)
    failed = State(final=True)

    generate = queued.to(generating)
    activate = generating.to(active, cond=["subjects_were_checked", "is_the_latest"])
    supersede = active.to(superseded)
    expire = active.to(expired)
    fail = queued.to(failed) | generating.to(failed)

    guard_reasons: ClassVar[Mapping[str, str]] = EVIDENCE_GUARDS

    def subjects_were_checked(self) -> bool:
        """Whether anything was checked at all, or the run's plan expected emptiness."""
        given, plan = self._attempt.given, self._attempt.run.details
        expected_empty = given.expected_empty and plan.expects_nothing and not plan.selected
        return self._holds("subjects_were_checked", bool(given.subjects_checked) or expected_empty)

    def is_the_latest(self) -> bool:
        """Whether no active snapshot of the same operation run was captured later."""
        mine = self._attempt.record.captured_at_us
        times = [other.captured_at_us for other in self._attempt.siblings]
        later = mine is not None and any(time is not None and time > mine for time in times)
        return self._holds("is_the_latest", not later)

    def on_enter_state(self, event: str, target: State) -> None:  # noqa: ARG002 - one signature for all machines
        """Note what was found."""
        attempt = self._attempt
        attempt.record = replace(
            attempt.record,
            status=SnapshotStatus(target.value),
            version=attempt.record.version + 1,
            details=merge(attempt.record.details, attempt.given),
        )


MACHINES: Mapping[Machine, type[Law]] = MappingProxyType(
    {
        Machine.RUN: RestoreRunMachine,
        Machine.OPERATION: OperationRunMachine,
        Machine.EVIDENCE: EvidenceSnapshotMachine,
    }
)
_IDLE: dict[Machine, list[Law]] = {machine: [] for machine in Machine}
_ROUTES: dict[tuple[Machine, str, str, tuple[bool, ...]], State] = {}


def allowed_events(machine: Machine, status: str) -> tuple[str, ...]:
    """List the events that a machine has a move for in this status, guards left aside, in order of definition."""
    return tuple(dict.fromkeys(event for source, event, _, _ in edges(machine) if source == status))


def edges(machine: Machine) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """List every edge of a machine: status before, event, status after, guards."""
    return [
        (state.value, str(transition.event), target.value, tuple(str(cond.func) for cond in transition.cond))
        for state in MACHINES[machine].states
        for transition in state.transitions
        if (target := transition.target) is not None
    ]


def send(machine: Machine, record: Any, event: str, **situation: Any) -> Attempt:  # noqa: ANN401 - any record
    """Let a machine decide: hydrate it through its model, send the event, and put it back for the next one.

    Raises:
        BadInputError: the record stands on no status of the machine.
        NotAllowedError, GuardRefusedError: the machine refuses.

    """
    if record.status not in MACHINES[machine].states_map:
        raise BadInputError("status", f"{record.status!r} is no status of the {machine} machine", "Repair the record.")
    attempt = Attempt()
    vars(attempt).update(situation, record=record, refused_by=None)
    law = _idle(machine)
    law.hydrate(record.status, attempt)
    try:
        _advance(machine, law, event)
    except TransitionNotAllowed:
        raise _refusal(machine, event, record.status, attempt.refused_by) from None
    _IDLE[machine].append(law)  # not reached when a callback failed: that machine is thrown away
    return attempt


def _advance(machine: Machine, law: Law, event: str) -> None:
    """Send an event, or take the route that the machine took before from here, with the same verdicts of its guards.

    A machine is a pure function of status, event and verdicts, so its answer is remembered: python-statemachine
    needs some 200 microseconds to find a route, as long as the database needs to commit. Guards and hooks are called
    either way; a refusal is never remembered.
    """
    status = law.model.status
    verdicts = tuple(getattr(law, guard)() for guard in _guards(machine, status, event))
    route = (machine, status, event, verdicts)
    target = _ROUTES.get(route)
    if target is not None:
        law.on_enter_state(event, target)  # type: ignore[attr-defined]  # each machine has its own
        return
    law.send(event)
    _ROUTES[route] = law.states_map[law.model.status]


def _idle(machine: Machine) -> Law:
    """Give a machine that nobody uses; threads may take from the list at once, so taking is one step."""
    try:
        return _IDLE[machine].pop()
    except IndexError:
        return MACHINES[machine](model=_Slot(), state_field="status")


@cache
def _guards(machine: Machine, status: str, event: str) -> tuple[str, ...]:
    """List the guards that an event meets in a status, over all its edges."""
    met = (guards for source, name, _, guards in edges(machine) if (source, name) == (status, event))
    return tuple(dict.fromkeys(guard for guards in met for guard in guards))


def _refusal(machine: Machine, event: str, status: str, guard: str | None) -> NotAllowedError | GuardRefusedError:
    allowed = allowed_events(machine, status)
    if guard is None:
        return NotAllowedError(machine, event, status, allowed)
    reason = MACHINES[machine].guard_reasons[guard]
    others = [name for name in allowed if name != event]
    return GuardRefusedError(machine, event, status, others, guard=guard, because=reason)
