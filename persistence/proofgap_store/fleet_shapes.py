"""What the fleet takes and gives back: workers, claims, beats, what waits and what is held. Values, no behaviour.

Words, each used for one thing only:

- A *worker* is one process that executes runs. It is registered, then retired by itself, or found to be lost.
- A *claim* is one worker's right to execute one run: the run's ``start`` event names the worker and the SHA-256 of a
  *fencing token*, which only the worker knows. Every later write of the worker carries the token.
- A *beat* says that a worker is alive. Its *lease* is how long it may stay silent, by the database's clock.
- An environment is *held* while a run is live in it, and after a worker was lost there, until an operator releases it.
- A *drill* is a restore that is due by the calendar; a *tick* is one time at which it is due.

Owns the public shapes of the fleet. Times are microseconds since 1970-01-01 UTC, on the database's clock where it says
so. Refuses to know how they come about (`fleet`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from proofgap.facts import Count, EndReason, RunStatus, Struct
from proofgap.records import RunDetails, RunRecord

LEASE_US = 90_000_000
"""How long a worker may stay silent, unless it says otherwise."""

Lease = Annotated[int, msgspec.Meta(ge=100_000, le=86_400_000_000)]
"""A lease in microseconds: a tenth of a second (for tests) to a day."""

Concurrency = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class WorkerState(StrEnum):
    """Where a worker stands."""

    ACTIVE = "active"  # has a lease
    RETIRED = "retired"  # ended by itself, and held no run
    LOST = "lost"  # its lease ran out; what it held was taken from it


class NewWorker(Struct, omit_defaults=True):
    """A worker that is to be registered.

    Attributes:
        name: how people recognise it, such as host and process.
        environments: what it serves, as ``WORKSPACE/ENVIRONMENT``; ``*`` for any environment; none: wherever its actor may execute.
        drivers: the drivers it has; none: it takes runs of every driver, and runs that name none.
        concurrency: how many runs it executes at once.
        lease_us: how long it may stay silent.

    """

    name: str
    environments: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    concurrency: Concurrency = 1
    lease_us: Lease = LEASE_US


class WorkerInfo(Struct):
    """A worker as it is known. ``beat_at_us`` and ``lease_until_us`` are ``None`` once it has no lease any more.

    ``running`` is ``None`` where whoever asks is not told what a worker executes: as it is for operation runs.
    """

    id: str
    principal: str  # who registered it: nobody else works in its name
    wanted: NewWorker
    state: WorkerState
    beat_at_us: int | None
    lease_until_us: int | None
    running: tuple[str, ...] | None = ()


class Claim(Struct):
    """A run that a worker has to execute now, and what it proves that with. Nothing else keeps the token."""

    run: RunRecord
    worker: str
    token: str


class Beat(Struct):
    """The answer to a beat.

    Attributes:
        worker: who beat.
        at_us: when, on the database's clock.
        is_lost: the worker is not active any more: all its tools must stop at once, and it must register anew.
        lost: runs that it named and that are not its own, or not any more: their tools must stop at once.
        cancel_requested: runs that it holds and that somebody asked to stop.

    """

    worker: str
    at_us: int
    is_lost: bool
    lost: tuple[str, ...]
    cancel_requested: tuple[str, ...]


class Reaped(Struct):
    """What the reaper did: workers it found lost, and runs it failed, blocked or asked to stop, in that order of cause."""

    workers: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # their worker was lost; their environments are held
    blocked: tuple[str, ...] = ()  # waited past their deadline, or for a worker that is gone
    stopping: tuple[str, ...] = ()  # run past their deadline


class Waiting(Struct):
    """A run that waits. ``held_by`` is the run that holds its environment now, if any."""

    run: str
    workspace: str
    environment: str
    driver: str | None
    priority: int
    queued_at_us: int
    deadline_us: int | None
    worker: str | None  # kept for this worker
    held_by: str | None


class Held(Struct):
    """An environment in which nothing may start, and the run that is the reason.

    ``status`` is running, or failed: then its worker was lost, and only an operator releases the environment.
    """

    workspace: str
    environment: str
    run: str
    status: RunStatus
    worker: str | None
    since_us: int
    end_reason: EndReason | None

    @property
    def needs_release(self) -> bool:
        """Whether an operator has to release it."""
        return self.status is not RunStatus.RUNNING


class Queue(Struct):
    """What waits, in the order in which it will be taken; what is held, and by what; the workers that are active."""

    waiting: tuple[Waiting, ...]
    held: tuple[Held, ...]
    workers: tuple[WorkerInfo, ...]


class NewDrill(Struct, omit_defaults=True):
    """A restore that is due by the calendar.

    Attributes:
        workspace: where its runs are created.
        environment: as above.
        cron: when it is due: five fields as in crontab, in UTC.
        details: what each run begins with; backup, target and driver must be said. ``{tick}`` in the target becomes the
            time of the tick, such as ``20261129T023000Z``.
        manifest: file of SHA-256 sums of the content.
        select: patterns over items; none selects everything.
        overwrite: replace what exists and differs: a drill may restore into the same target again and again.
        options: KEY=VALUE for the driver, never a secret.
        password_file: the file of the backup's password, on the machine that executes.
        grace_us: how late a tick may still fire; what is later was missed.

    """

    cron: str
    details: RunDetails
    workspace: str = "default"
    environment: str = "local"
    manifest: str | None = None
    select: tuple[str, ...] = ()
    overwrite: bool = False
    options: tuple[str, ...] = ()
    password_file: str | None = None
    grace_us: Count = 900_000_000


class Drill(Struct):
    """A drill as declared. ``decided_us`` is the last tick that fired or was missed; ``next_us`` the next one that is due."""

    id: str
    wanted: NewDrill
    is_active: bool
    decided_us: int
    next_us: int | None


class Ticked(Struct):
    """What became of a drill's ticks: one fired and gave a run, or some were missed (from the first to the last)."""

    drill: str
    first_us: int
    last_us: int
    ticks: int
    run: str | None  # None: missed
    event_id: int
