"""The tree over the log: leaves, nodes, signed checkpoints; openings, holds and pruning.

Revision ID: 0002
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0002_tree")
