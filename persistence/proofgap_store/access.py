"""Who may do what where, as administrators change it: one thin class, whose verbs are carried out elsewhere.

Owns the names of the verbs. Refuses to know what a role allows (`proofgap.access`) and how any verb works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proofgap.access import Action, Role
from proofgap.audit import Actor
from proofgap_store import administration, denials, views
from proofgap_store.calls import made
from proofgap_store.engine import Connection
from proofgap_store.gate import Answer, Gate, Writing


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions of one ledger; `Ledger.access` gives it. A denial is recorded, and raised."""

    gate: Gate
    clock: Callable[[], int]

    def demand(self, action: Action, scope: tuple[str, str], actor: Actor) -> None:
        """Ask whether an actor may do something in a workspace and environment, before anything is begun that needs it.

        Raises:
            NotFoundError, ForbiddenError: they may not. A denial is recorded.

        """
        with denials.recorded(self.gate, actor, self.clock):
            self.gate.read(lambda connection: views.permit(connection, action, scope, actor.id), (actor.id,))

    def grant(self, principal: str, role: Role, scope: tuple[str, str], actor: Actor, *, revoke: bool = False) -> int:
        """Grant (or revoke) a role in a workspace and environment (``*``: all of them); gives the event's id.

        Raises:
            BadInputError: there is no such role, or an environment would be left without an admin.
            NotFoundError, ForbiddenError: the actor is no admin there.

        """
        call = made(self.clock(), actor)
        grant = (principal, role, revoke)
        return self._write(actor, lambda connection: administration.granting(connection, grant, scope, call))

    def declare_environment(self, scope: tuple[str, str], actor: Actor, *, approvals_required: int = 0) -> int:
        """Declare an environment of a workspace, and how many approvals its restores need; gives the event's id."""
        call = made(self.clock(), actor)
        needed = approvals_required
        return self._write(actor, lambda connection: administration.declaring(connection, scope, needed, call))

    def _write(self, actor: Actor, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(prepare)
