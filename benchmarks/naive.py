"""The least that people write first: a state machine per event, an ORM row, a log table.

It does much less than the ledger: one log row, no operation run, no guards, no hook, no facts of the projection, no
roles, no chain. `same_job` is the naive way with all of these.
"""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from statemachine import State, StateMachine

from proofgap.decision import decide, everyone
from proofgap.facts import Facts, RunFacts, RunStatus
from proofgap_store.sqlite_library import sqlite


class Base(DeclarativeBase):
    """Tables of the naive way."""


class Run(Base):
    """A run row that the machine moves directly."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]


class Log(Base):
    """A log row that the code remembers to write."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[int]
    source: Mapped[str]
    event: Mapped[str]
    target: Mapped[str]
    decision: Mapped[str]


class NaiveMachine(StateMachine):
    """The forward path only."""

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
    queue = previewed.to(queued)
    start = queued.to(running)
    complete = running.to(completed)


def connect(path: Path, synchronous: str, journal: str) -> Engine:
    """Open a database as people do, with the ledger's durability; ``DELETE`` is the journal of SQLite as it comes."""
    engine = create_engine(f"sqlite:///{path}", module=sqlite)

    @event.listens_for(engine, "connect")
    def _prepare(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(f"PRAGMA journal_mode={journal}")
        cursor.execute(f"PRAGMA synchronous={synchronous}")

    return engine


def prepare(engine: Engine) -> None:
    """Make the tables."""
    Base.metadata.create_all(engine)


def create(engine: Engine) -> int:
    """Create a run."""
    with Session(engine) as session:
        run = Run(status="draft")
        session.add(run)
        session.commit()
        return run.id


def fire(engine: Engine, run_id: int, name: str) -> None:
    """Fire an event: load the row, let a machine move it, log it, commit."""
    with Session(engine) as session:
        run = session.get_one(Run, run_id)
        source = run.status
        NaiveMachine(model=run, state_field="status").send(name)
        facts = Facts(
            run=RunFacts(
                id=str(run_id), workspace="w", environment="e", status=RunStatus(run.status), is_dry_run=False
            ),
            operation=None,
            evidence=(),
        )
        decision = json.dumps({"state": decide(facts, everyone(facts)).state})
        session.add(Log(run=run_id, source=source, event=name, target=run.status, decision=decision))
        session.commit()
