"""The fleet: workers and their leases, one live restore per environment, drills.

Revision ID: 0003
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0003_fleet")
