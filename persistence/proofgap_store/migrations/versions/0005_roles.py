"""The second wall on PostgreSQL: rows of others are not there, and triggers write where their caller may not.

Revision ID: 0005
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import before, run

revision = "0005"
down_revision = before("0005_roles")


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0005_roles")
