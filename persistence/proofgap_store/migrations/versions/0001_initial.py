"""The first schema: the log, and everything that follows from it.

Revision ID: 0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    script = Path(__file__).with_name(f"0001_initial.{op.get_bind().dialect.name}.sql").read_text("utf-8")
    for statement in script.split("\n--;\n"):
        op.get_bind().exec_driver_sql(statement)
