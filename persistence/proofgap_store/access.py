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

    def declare_environment(
        self,
        scope: tuple[str, str],
        actor: Actor,
        *,
        approvals_required: int | None = None,
        evidence_valid_us: int | None = None,
    ) -> int:
        """Declare an environment of a workspace, or change what it asks of its restores; gives the event's id.

        Args:
            scope: workspace and environment.
            actor: who declares it; becomes the first admin of a new one.
            approvals_required: how many other people must approve a run before it is queued; a new one asks for none.
            evidence_valid_us: how long evidence counts after its capture, in microseconds; in a new one, for ever.
                It holds for snapshots that are activated from now on. What is not said stays as it is.

        Raises:
            BadInputError: a number is out of range.
            NotFoundError, ForbiddenError: the actor is no admin there.

        """
        call = made(self.clock(), actor)
        rules = administration.Rules(approvals_required, evidence_valid_us)
        return self._write(actor, lambda connection: administration.declaring(connection, scope, rules, call))

    def _write(self, actor: Actor, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(prepare)
