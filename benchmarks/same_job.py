"""The naive way, doing the ledger's job: what people write first who want the same rows in the end.

A python-statemachine instance per event for the run, and one for its operation run; guards as conditions, a listener
as hook; ORM rows for run, operation run, evidence, roles and log; a session per event. Every move and every decision
is a log row with its facts, chained by a hash to the row before, and a log line after the commit. Decision, canonical
bytes, digests and roles are the ledger's own, so that only the way of doing it differs.

It still does less than the ledger: the forward path only, no triggers, no record of refusals, no idempotency keys, and
whoever loses a race has to begin anew.
"""

from __future__ import annotations

from hashlib import sha256

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from statemachine import State, StateMachine

from benchmarks.same_job_rows import Base, Environment, Grant, Log, Operation, Run, facts_of
from proofgap.access import Role, action_of, authorize
from proofgap.audit import GENESIS, canonical, digest
from proofgap.decision import decide, everyone
from proofgap.facts import RunEvent, RunStatus
from proofgap.moves import OPERATION_FOLLOWS
from proofgap_store.clock import new_id, now_us

ACTOR = "bench"
SCOPE = {"workspace": "default", "environment": "local"}


class RunMachine(StateMachine):
    """The forward path, with the guards that are on it."""

    draft = State(initial=True)
    scoped = State()
    checked = State()
    previewed = State()
    queued = State()
    running = State()
    completed = State(final=True)
    scope = draft.to(scoped)
    check = scoped.to(checked)
    preview = checked.to(previewed)
    queue = previewed.to(
        queued, cond=["preview_is_current", "plan_is_unchanged", "selection_is_not_empty", "is_approved"]
    )
    start = queued.to(running)
    complete = running.to(completed, cond=["nothing_is_unapplied", "nothing_contradicts"])

    def on_preview(self) -> None:
        """Keep what was shown."""
        details = self.model.details
        self.model.details = {**details, "preview": {"plan_digest": details.get("plan_digest")}}

    def preview_is_current(self) -> bool:
        """Whether the preview may still be acted on."""
        expires = self.model.details["preview"].get("expires_at_us")
        return expires is None or now_us() < expires

    def plan_is_unchanged(self) -> bool:
        """Whether the plan is what was previewed."""
        details = self.model.details
        return bool(details["preview"]["plan_digest"] == details.get("plan_digest"))

    def selection_is_not_empty(self) -> bool:
        """Whether something is selected, as far as is known."""
        return self.model.details.get("selected") != 0

    def is_approved(self) -> bool:
        """Whether enough people approved."""
        return len(self.model.details.get("approvals", [])) >= self.model.home.approvals_required

    def nothing_is_unapplied(self) -> bool:
        """Whether no count says otherwise."""
        counts = self.model.details.get("counts", {})
        return not any(counts.get(name) for name in ("failed", "partial", "non_applied"))

    def nothing_contradicts(self) -> bool:
        """Whether neither exit code nor reason says otherwise."""
        details = self.model.details
        return details.get("exit_code") in {None, 0} and details.get("end_reason") is None


class OperationMachine(StateMachine):
    """The execution of a run."""

    queued = State(initial=True)
    running = State()
    completed = State(final=True)
    start = queued.to(running)
    succeed = running.to(completed)

    def on_succeed(self) -> None:
        """Note the outcome."""
        self.model.outcome = "succeeded"


class Recorder:
    """The listener of both machines: moves the operation run along, logs every move, projects the decision."""

    def __init__(self, session: Session, run: Run) -> None:
        """Take the end of the chain from the log."""
        self.session, self.run, self.written = session, run, list[Log]()
        newest = select(Log).where(Log.run == run.id).order_by(Log.id.desc()).limit(1)
        last = session.scalars(newest).first()
        self.previous = GENESIS if last is None else last.hash

    def after_transition(self, event: str, source: State, target: State, model: Run | Operation) -> None:
        """Log a move; a run's move has consequences first, and its decision last."""
        if isinstance(model, Run):
            self.move_operation(model, RunEvent(event))
        kind = "run" if isinstance(model, Run) else "operation"
        details = model.details if isinstance(model, Run) else {}
        self.log(f"{kind}.moved", event=str(event), source=source.value, target=target.value, details=details)
        if isinstance(model, Run):
            self.project()

    def move_operation(self, run: Run, event: RunEvent) -> None:
        """Create the operation run when its run is queued; move it along afterwards."""
        if event is RunEvent.QUEUE:
            run.operation = Operation(id=new_id("op"), status="queued", evidence=[], **SCOPE)
            self.log("operation.created", subject=run.operation.id)
        elif event in OPERATION_FOLLOWS:
            OperationMachine(run.operation, state_field="status", listeners=[self]).send(OPERATION_FOLLOWS[event])

    def project(self) -> None:
        """Log the decision with the facts that it is made from."""
        facts = facts_of(self.run)
        viewer = everyone(facts)
        decision = decide(facts, viewer)
        self.log("decision.projected", viewer=viewer, facts=facts, facts_digest=digest(facts), decision=decision)

    def log(self, kind: str, **data: object) -> None:
        """Add a row to the log, chained to the one before."""
        stamp = {"run": self.run.id, "type": kind, "at_us": now_us(), "actor": ACTOR}
        payload = canonical({**stamp, "previous": self.previous, "data": data})
        self.previous = sha256(payload).hexdigest()
        self.written.append(Log(run=self.run.id, type=kind, payload=payload.decode(), hash=self.previous))
        self.session.add(self.written[-1])


def prepare(engine: Engine) -> None:
    """Make the tables, with one environment and somebody who may do everything in it."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Environment(workspace=SCOPE["workspace"], id=SCOPE["environment"]))
        session.add(Grant(principal=ACTOR, role=Role.ADMIN, **SCOPE))
        session.commit()


def create(engine: Engine) -> str:
    """Create a run."""
    with Session(engine) as session:
        run = Run(id=new_id("rr"), status="draft", details={}, **SCOPE)
        session.add(run)
        session.commit()
        return run.id


def fire(engine: Engine, run_id: str, event: str) -> None:
    """Fire an event: load the rows, ask for the role, let a machine move them, commit, and say so."""
    with Session(engine, expire_on_commit=False) as session:
        run = session.get_one(Run, run_id)
        held = select(Grant.role).where(
            Grant.principal == ACTOR, Grant.workspace == run.workspace, Grant.environment == run.environment
        )
        action = action_of(RunEvent(event), RunStatus(run.status))
        authorize(ACTOR, map(Role, session.scalars(held)), action, ("restore run", run.id))
        recorder = Recorder(session, run)
        RunMachine(run, state_field="status", listeners=[recorder]).send(event)
        session.commit()
    for row in recorder.written:
        structlog.get_logger("naive").info(row.type, event_id=row.id, run=row.run, leaf=row.hash)
