"""The statements of the migrations, as text: what Alembic runs, and what a ledger's schema is compared with.

Owns where the scripts are and how they are cut into statements. Refuses to know what they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

NAMES = ("0001_initial", "0002_tree", "0003_fleet", "0004_access", "0005_roles", "0006_places", "0007_guards")
"""Every migration, in order."""

_SEPARATOR = "\n--;\n"


def statements(name: str, dialect: str) -> Iterator[str]:
    """Give the statements of one migration for one kind of database."""
    script = Path(__file__).with_name("versions") / f"{name}.{dialect}.sql"
    yield from script.read_text("utf-8").split(_SEPARATOR)


def before(name: str) -> str:
    """Give the revision that a migration builds on."""
    return NAMES[NAMES.index(name) - 1].partition("_")[0]


def run(name: str) -> None:
    """Run one migration on the connection that Alembic holds."""
    from alembic import op  # noqa: PLC0415 - slow to import, and needed once in a ledger's life

    bind = op.get_bind().execution_options(no_parameters=True)  # a per cent sign is one
    for statement in statements(name, bind.dialect.name):
        bind.exec_driver_sql(statement)
