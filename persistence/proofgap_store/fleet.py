"""The fleet, as workers and operators use it: one thin class, whose verbs are carried out elsewhere.

Theory. Runs wait in the ledger; workers claim them. At most once: a claim is the run's own ``start``, which only one
can win, and a run that was started is never started again. One restore at a time per environment, by a constraint of
the database. Whoever is silent for longer than its lease is lost: its runs fail, their environments stay held, and
whatever it still tries to write is refused by its fencing token.

A worker's life: `register`; then, from one thread, `beat` several times a lease; `claim`, and for each claim fire
what happens with ``token=claim.token``; `reap` now and then; `retire` at the end. Which engine wakes workers is
`deliver_by`; what it must do is in `dispatching`.

Owns the names of the verbs. Refuses to know what an event means and how any verb works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proofgap.access import Action
from proofgap.audit import Actor
from proofgap.text import check_words
from proofgap_store import claiming, denials, drills, environments, reaping, workers
from proofgap_store.calls import made
from proofgap_store.dispatching import RunDispatcher
from proofgap_store.drills import EVERYTHING, Served, Unprepared
from proofgap_store.engine import Connection, dialect_for
from proofgap_store.fencing import new_token
from proofgap_store.fleet_shapes import (
    Beat,
    Claim,
    Drill,
    Held,
    NewDrill,
    NewWorker,
    Queue,
    Reaped,
    Ticked,
    WorkerInfo,
)
from proofgap_store.gate import Answer, Gate, Writing

_WAITING_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of one ledger, and what waits for them; `Ledger.fleet` gives it. A denial is recorded, and raised."""

    gate: Gate
    clock: Callable[[], int]

    @property
    def dispatcher(self) -> RunDispatcher:
        """Give the engine that is told of what is queued, stopped and ended here."""
        return self.gate.dispatcher

    def deliver_by(self, dispatcher: RunDispatcher) -> None:
        """Let another engine bring runs to workers; every process that writes to the ledger must say the same."""
        self.gate.dispatcher = dispatcher

    def register(self, new: NewWorker, actor: Actor) -> WorkerInfo:
        """Register a worker; its lease begins now. Nobody but the actor can work in its name.

        Raises:
            BadInputError: a label names no scope.
            NotFoundError, ForbiddenError: the actor may not execute runs anywhere, or not where a label says.

        """
        call = made(self.clock(), actor)
        return self._write(actor, lambda connection: workers.registering(connection, new, call))

    def retire(self, worker: str, actor: Actor) -> None:
        """End a worker that executes nothing any more; one that is not active stays as it is.

        Raises:
            NotFoundError: the actor registered no such worker.
            BadInputError: it still executes runs.

        """
        call = made(self.clock(), actor)
        self._write(actor, lambda connection: workers.retiring(connection, worker, call))

    def beat(self, worker: str, actor: Actor, runs: Sequence[str] = ()) -> Beat:
        """Say that a worker is alive, and which runs it believes to execute; hear what it must know.

        A worker that is lost is told so, and nothing is renewed. No event is written.

        Raises:
            NotFoundError: the actor registered no such worker.
            UnavailableError: the database cannot be reached: the lease goes on running out.

        """
        return self.gate.renew(lambda connection: workers.beat(connection, worker, runs, actor.id), (actor.id,))

    def claim(self, worker: str, actor: Actor, *, run: str | None = None, token: str | None = None) -> Claim | None:
        """Start the next run that a worker may have, or the one that is named; ``None``: there is none, or it is gone.

        Args:
            worker: a registered worker of the actor.
            actor: who executes.
            run: the run that an engine delivered.
            token: the fencing token to use, for whoever may have to ask again because the answer got lost: the same token
                gives the same claim. Else a new one is made.

        Raises:
            NotFoundError: the actor registered no such worker.
            WorkerLostError: the worker is not active any more.

        """
        wanted = claiming.Wanted(worker, run, new_token() if token is None else token, token is not None)
        is_asked = not dialect_for(self.gate.engine).skip_locked  # else nobody waits for whoever chooses
        if is_asked and not self.gate.read(
            lambda connection: claiming.has_next(connection, wanted, actor.id), (actor.id,)
        ):
            return None
        call = made(self.clock(), actor)
        return self.gate.take(lambda connection: claiming.claiming(connection, wanted, call), (actor.id,))

    def reap(self, actor: Actor) -> Reaped:
        """Find workers that were silent for too long; fail their runs, whose environments stay held; end what is overdue.

        Raises:
            ForbiddenError: the actor may not execute runs anywhere.

        """
        with denials.recorded(self.gate, actor, self.clock):
            return reaping.reap(self.gate, self.clock, actor)

    def reap_in_a_file(self, actor: Actor) -> Reaped:
        """Reap for want of a worker that does: a ledger in a file may be used without any. On a server, workers do.

        There it is theirs alone: right after the server was away, whoever just came would find everybody silent.
        """
        places = self.gate.read(lambda connection: environments.seen(connection, actor.id, Action.EXECUTE), (actor.id,))
        return Reaped() if self.gate.is_on_server or not places else self.reap(actor)

    def release_environment(self, scope: tuple[str, str], actor: Actor, *, note: str | None = None) -> int:
        """Release an environment that the run of a lost worker holds, once no tool is at work there; gives the event's id.

        Args:
            scope: workspace and environment.
            actor: an operator or admin there.
            note: why, in the actor's words. It can be erased: the event holds a commitment to it only.

        Raises:
            NotFoundError: nothing holds it, or it is not visible.
            ForbiddenError: the actor's roles do not allow it.
            GuardRefusedError: the run that holds it is still running.

        """
        call = made(self.clock(), actor)._replace(note=None if note is None else check_words("note", note))
        return self._write(actor, lambda connection: environments.releasing(connection, scope, call))

    def holder(self, scope: tuple[str, str], actor: Actor) -> Held | None:
        """Read what holds an environment; ``None``: it is free, or the actor does not see it."""
        found = self.gate.read(lambda connection: environments.held(connection, actor.id), (actor.id,))
        return next((held for held in found if (held.workspace, held.environment) == scope), None)

    def queue(self, actor: Actor) -> Queue:
        """Read what waits (the first thousand), what is held and why, and who works; each as far as the actor sees it."""

        def look(connection: Connection) -> Queue:
            held = environments.held(connection, actor.id)
            active = (workers.as_seen(connection, found, actor.id) for found in workers.active(connection))
            return Queue(
                waiting=environments.waiting(connection, actor.id, _WAITING_MAX),
                held=held,
                workers=tuple(found for found in active if found is not None),
            )

        return self.gate.read(look, (actor.id,))

    def declare_drill(self, new: NewDrill, actor: Actor) -> Drill:
        """Declare a restore that is due by the calendar; ticks count from now on.

        Raises:
            BadInputError: the expression is none, or it is not said what to restore where with which driver.
            NotFoundError, ForbiddenError: the actor may not prepare runs there.

        """
        call = made(self.clock(), actor)
        return self._write(actor, lambda connection: drills.declaring(connection, new, call))

    def retire_drill(self, drill: str, actor: Actor) -> None:
        """Let a drill fire no more. Raises as `declare_drill`, and if there is no such drill."""
        call = made(self.clock(), actor)
        self._write(actor, lambda connection: drills.retiring(connection, drill, call))

    def drills(self, actor: Actor) -> tuple[Drill, ...]:
        """Read the drills that an actor sees, those that were retired as well."""
        return self.gate.read(lambda connection: drills.listing(connection, actor.id), (actor.id,))

    def fire_due_drills(self, actor: Actor, of: Served = EVERYTHING) -> tuple[Ticked, ...]:
        """Decide the ticks that are due where the actor may execute runs: each fires one run, or was missed.

        A run that fired is a draft: whoever called prepares and queues it; `unprepared_drills` has what others left behind.
        So only those fire that the caller serves (``of``); of the others it says what was missed.
        """
        return drills.fire_due(self.gate, self.clock, actor, of)

    def unprepared_drills(self, actor: Actor, seconds: float, of: Served = EVERYTHING) -> tuple[Unprepared, ...]:
        """Read the runs of served drills that nobody has moved for so long, and that wait for no approval."""

        def look(connection: Connection) -> tuple[Unprepared, ...]:
            before_us = workers.now_us(connection) - round(seconds * 1_000_000)
            return drills.unprepared(connection, actor.id, before_us, of)

        return self.gate.read(look, (actor.id,))

    def _write(self, actor: Actor, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(prepare, (actor.id,))
