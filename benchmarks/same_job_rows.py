"""The rows of the naive way that does the ledger's job (`same_job`), and the facts that they hold."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from proofgap.facts import (
    Facts,
    OperationFacts,
    OperationOutcome,
    OperationStatus,
    RunFacts,
    RunStatus,
    SnapshotFacts,
    SnapshotStatus,
)


class Base(DeclarativeBase):
    """Tables of this way."""


class Environment(Base):
    """How many approvals restores need here."""

    __tablename__ = "environment"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    approvals_required: Mapped[int] = mapped_column(default=0)


class Grant(Base):
    """A role that somebody holds."""

    __tablename__ = "access_grant"
    principal: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class Snapshot(Base):
    """Evidence of an operation run."""

    __tablename__ = "evidence_snapshot"
    id: Mapped[str] = mapped_column(primary_key=True)
    operation_run_id: Mapped[str] = mapped_column(ForeignKey("operation_run.id"), index=True)
    workspace: Mapped[str]
    environment: Mapped[str]
    status: Mapped[str]


class Operation(Base):
    """An operation run that its machine moves."""

    __tablename__ = "operation_run"
    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    environment: Mapped[str]
    status: Mapped[str]
    outcome: Mapped[str | None]
    version: Mapped[int] = mapped_column()
    evidence: Mapped[list[Snapshot]] = relationship()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy's manual writes it


class Run(Base):
    """A run that its machine moves; a stale version is refused by the ORM."""

    __tablename__ = "restore_run"
    __table_args__ = (ForeignKeyConstraint(["workspace", "environment"], ["environment.workspace", "environment.id"]),)
    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    environment: Mapped[str]
    status: Mapped[str]
    version: Mapped[int] = mapped_column()
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    operation_run_id: Mapped[str | None] = mapped_column(ForeignKey("operation_run.id"))
    operation: Mapped[Operation | None] = relationship()
    home: Mapped[Environment] = relationship()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - as above


class Log(Base):
    """A log row that the code remembers to write."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(index=True)
    type: Mapped[str]
    payload: Mapped[str]
    hash: Mapped[str]


def facts_of(run: Run) -> Facts:
    """Give the facts of a run's rows."""
    scope = {"workspace": run.workspace, "environment": run.environment}
    status = RunStatus(run.status)
    operation = run.operation
    return Facts(
        run=RunFacts(id=run.id, status=status, is_dry_run=False, operation_run_id=operation and operation.id, **scope),
        operation=operation
        and OperationFacts(
            id=operation.id,
            status=OperationStatus(operation.status),
            outcome=operation.outcome and OperationOutcome(operation.outcome),
            **scope,
        ),
        evidence=tuple(
            SnapshotFacts(id=row.id, operation_run_id=row.operation_run_id, status=SnapshotStatus(row.status), **scope)
            for row in (operation.evidence if operation else ())
        ),
    )
