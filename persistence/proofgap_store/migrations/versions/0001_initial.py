"""The first schema: the log, and everything that follows from it.

Revision ID: 0001
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0001_initial")
