"""``proofgap config``: what is set, to what, and by what. Opens no ledger, and changes nothing.

A setting is an environment variable; a command takes the same from an option where it has one. Refuses to know what the
settings are for (`settings`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from cyclopts import App

from proofgap_app import logs, settings
from proofgap_app.cli import output
from proofgap_app.cli.options import ACCESS, Access
from proofgap_store import shown_address

app = App(
    name="config",
    help="Show the settings in force, and where each comes from.",
    help_prologue="""Examples:
  proofgap config
  proofgap config --ledger postgresql://proofgap@db/proofgap
  proofgap config --json | jq -r 'select(.name == "ledger").value'
""",
)
_OF_THE_LEDGER = "in the place that proofgap doctor names"


class Setting(NamedTuple):
    """One setting: its value (``None``: it depends on the ledger), the variable that sets it, and what did."""

    name: str
    value: str | None
    variable: str
    source: str


@app.default
def config(*, access: Access = ACCESS) -> int:
    """Show the settings in force, and where each comes from; with --json one object per line.

    A password in the URL of the ledger is not shown. Exits with 2 where a setting is none that there is.

    """
    found = tuple(_in_force(access))
    if access.json:
        for setting in found:
            output.json_line(setting._asdict())
        return 0
    output.table(
        ("Setting", "Value", "From", "Set it by"),
        ((row.name, row.value or _OF_THE_LEDGER, row.source, row.variable) for row in found),
    )
    return 0


def _in_force(access: Access) -> Iterator[Setting]:
    url = settings.ledger_url(access.ledger)
    yield _setting("ledger", shown_address(url), settings.LEDGER_VARIABLE, "--ledger" if access.ledger else None)
    yield _setting("workspace", settings.workspace(None), settings.WORKSPACE_VARIABLE)
    yield _setting("environment", settings.environment(None), settings.ENVIRONMENT_VARIABLE)
    yield _setting("key", settings.key_file(), settings.KEY_VARIABLE)
    yield _setting("head", settings.head_file(), settings.HEAD_VARIABLE)
    yield _setting("commands", settings.commands_folder(), settings.COMMANDS_VARIABLE)
    engine = "inline" if settings.claims_in_place() else "procrastinate"
    yield _setting("engine", engine, settings.ENGINE_VARIABLE)
    yield _setting("log", logs.style_of(access.log), settings.LOG_VARIABLE, "--log" if access.log else None)
    yield _setting("debug", "on" if settings.is_debugging() else "off", settings.DEBUG_VARIABLE)


def _setting(name: str, value: object, variable: str, option: str | None = None) -> Setting:
    source = option or (variable if os.environ.get(variable) else "default")
    return Setting(name, None if value is None else str(value), variable, source)
