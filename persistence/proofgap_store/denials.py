"""Denials that no run's log holds: somebody wanted to look, grant, declare, create or import, and may not.

Owns the event ``access.denied`` and its transaction, in a stream of its own: permissions rest on the stream of grants,
and a denial changes none. Refused events of runs and of their evidence are recorded in the run's stream (`transitions`).
Whoever holds no role leaves no trace: for them nothing is there. Refuses to know who may do what (`proofgap.access`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proofgap.access import ANY_ENVIRONMENT
from proofgap.audit import Actor, EventType, system_stream
from proofgap.errors import ForbiddenError
from proofgap_store.audit_log import Draft, alone
from proofgap_store.engine import Connection
from proofgap_store.gate import Gate, Writing
from proofgap_store.schema import GuardsError

_STREAM = system_stream("access")


@contextmanager
def recorded(gate: Gate, actor: Actor, clock: Callable[[], int]) -> Iterator[None]:
    """Record a denial that is raised in here, in a transaction of its own, and let it go on its way.

    It stays a denial while nothing can be written because guards are missing: nothing was done for them either way.
    """
    try:
        yield
    except ForbiddenError as error:
        try:
            _record(gate, error, actor, clock())
        except GuardsError as unrecorded:
            raise error from unrecorded
        raise


def _record(gate: Gate, error: ForbiddenError, actor: Actor, now_us: int) -> None:
    def prepare(connection: Connection) -> Writing[None] | None:
        events = alone(connection, _STREAM, _draft(error), actor, now_us)
        return Writing(events=events, answer=lambda _written: None)

    gate.write(prepare)


def _draft(error: ForbiddenError) -> Draft:
    environment = None if error.environment == ANY_ENVIRONMENT else error.environment
    data = {"action": error.action, "kind": error.kind or None, "subject": error.subject or None}
    return Draft(EventType.ACCESS_DENIED, error.workspace, environment, error.run, None, data)
