"""The second wall on PostgreSQL goes around people and workers as well: those of other workspaces are not there.

Revision ID: 0006
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import before, run

revision = "0006"
down_revision = before("0006_places")


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0006_places")
