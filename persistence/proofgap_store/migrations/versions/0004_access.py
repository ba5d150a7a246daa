"""Who is let in by the network: API tokens, sessions, one-time links.

Revision ID: 0004
"""

from __future__ import annotations

from proofgap_store.migrations.scripts import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the statements for this database, in the order of the file beside this one."""
    run("0004_access")
