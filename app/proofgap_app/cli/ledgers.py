"""How commands reach the ledger, and as whom.

Owns opening it, the person at the keyboard, and the checkpoint at the end of a command that makes one. A ledger is
made only where one is to be written: looking at something leaves no file behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proofgap.audit import Actor
from proofgap.errors import ProofgapError
from proofgap.text import ID_LENGTH_MAX, check_text, unfit
from proofgap_app import collector, logs, settings, tracing
from proofgap_app.cli import output
from proofgap_app.cli.options import Access
from proofgap_store import GuardsError, InlineDispatcher, Ledger, UnavailableError
from proofgap_store.clock import display_name, operating_system_user


def me() -> Actor:
    """Give the person at the keyboard: the operating-system user, with their name where the system knows a fit one."""
    name = display_name()
    fit = name is not None and len(name) <= ID_LENGTH_MAX and unfit(name) is None
    return Actor(id=operating_system_user(), via="cli", name=name if fit else None)


@contextmanager
def opened(access: Access, *, create: bool = False) -> Iterator[Ledger]:
    """Open the ledger that a command is to work on.

    Args:
        access: the options that say where it is, and how log lines look.
        create: whether to make it where there is none yet.

    Raises:
        BadInputError: the URL is none.
        UnavailableError: there is no ledger there, or it cannot be used.

    """
    logs.configure(access.log)
    with collector.sending(output.note), _opened(access, create=create) as ledger:
        ledger.trace_by(tracing.tracer())
        yield ledger


@contextmanager
def _opened(access: Access, *, create: bool) -> Iterator[Ledger]:
    url = check_text("--ledger", settings.ledger_url(access.ledger))
    if create:
        _make_folder(url)
    key, head = settings.key_file(), settings.head_file()
    with Ledger.open(url, create=create, owner=me().id, key=key, head=head) as ledger:
        if settings.claims_in_place():
            ledger.fleet.deliver_by(InlineDispatcher())
        differences = ledger.guards()
        if differences:
            output.note(f"Warning: {GuardsError(*differences)}")
        yield ledger


def sign_off(ledger: Ledger) -> None:
    """Make a checkpoint of what was done; that there is none is said, and changes no result."""
    try:
        ledger.audit.checkpoint()
    except ProofgapError as error:
        output.note(f"proofgap: {error}")


def _make_folder(url: str) -> None:
    """Make the folder of a new ledger."""
    file = settings.ledger_file(url)
    if file is None or file.exists():
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"{file.parent}: {error.strerror}", "Name a folder that you may write to.") from error
