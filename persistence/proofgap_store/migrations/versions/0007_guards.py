"""The guards on PostgreSQL cost less; they refuse what they refused.

Revision ID: 0007
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import before, run

revision = "0007"
down_revision = before("0007_guards")


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0007_guards")
