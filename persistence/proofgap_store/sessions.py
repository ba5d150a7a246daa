"""Who is let in by the network: one thin class, whose verbs are carried out elsewhere.

Owns the names of the verbs, and the writes that are no events: when a token or a session was last used, and the end of
what has ended by itself. Refuses to know what anybody may do (`proofgap.access`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proofgap.audit import Actor
from proofgap_store import denials, signing_in, signing_out, tokens
from proofgap_store.calls import made
from proofgap_store.clock import new_secret, new_suffix
from proofgap_store.engine import Connection, connected, execute, transaction
from proofgap_store.gate import Answer, Gate, Writing
from proofgap_store.signing_in import Door, Entrance, Session
from proofgap_store.signing_out import OpenSession
from proofgap_store.tokens import Issued, NewToken, Token

_SECOND_US = 1_000_000
_LINK, _SESSION = "proofgap_link_", "proofgap_session_"
Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The tokens and sessions of one ledger; `Ledger.sessions` gives it. A denial is recorded, and raised."""

    gate: Gate
    clock: Callable[[], int]

    def create_token(self, new: NewToken, actor: Actor) -> Issued:
        """Make a token; the answer is the only place where its secret is ever shown.

        Raises:
            BadInputError: the name, the roles or the time of expiry are not acceptable.
            NotFoundError, ForbiddenError: the actor is no admin there.

        """
        call = made(self.clock(), actor)
        wanted, end = tokens.checked(new, call.rec_us), (new_suffix(), new_secret(tokens.PREFIX))
        return self._write(actor, lambda connection: tokens.creating(connection, wanted, end, call))

    def revoke_token(self, token: str, actor: Actor) -> int:
        """End a token at once; gives the event's id.

        Raises:
            NotFoundError: there is none that the actor can view, or it was revoked before.
            ForbiddenError: the actor is no admin there.

        """
        call = made(self.clock(), actor)
        return self._write(actor, lambda connection: tokens.revoking(connection, token, call))

    def tokens(self, actor: Actor) -> tuple[Token, ...]:
        """Read the tokens of what the actor administers, the newest first; those that ended as well."""
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.read(lambda connection: tokens.listing(connection, actor.id))

    def bearer(self, secret: str) -> str | None:
        """Give the token whose secret this is, if it is in force, and remember that it was used."""
        now_us = self.clock()
        found = self.gate.read(lambda connection: tokens.bearer(connection, secret, now_us))
        if found is not None and not found.is_fresh:
            self._note(tokens.stamp(found.id, now_us))
        return None if found is None else found.id

    def offer(self, actor: Actor, seconds: int) -> Entrance:
        """Make a link by which the actor signs in once, within so many seconds. Whoever calls this knows who it is."""
        door = self._door(_LINK, seconds)
        return self._write(actor, lambda connection: signing_in.offering(connection, actor, door))

    def begin_by_link(self, link: str, seconds: int) -> Entrance:
        """Begin a session of at most so many seconds for whoever comes by a link, which is used up.

        Raises:
            NotFoundError: there is no such link, it was used, or it is too late.

        """
        self._sweep()
        door = self._door(_SESSION, seconds)
        return self.gate.write(lambda connection: signing_in.by_link(connection, link, door))

    def begin(self, actor: Actor, seconds: int) -> Entrance:
        """Begin a session of at most so many seconds for somebody whom a provider vouches for."""
        self._sweep()
        door = self._door(_SESSION, seconds)
        return self.gate.write(lambda connection: signing_in.by_provider(connection, actor, door))

    def session(self, secret: str, idle_seconds: int, *, is_used: bool = True) -> Session | None:
        """Give the session whose secret this is, if somebody used it within so many seconds.

        ``is_used`` says whether somebody uses it now, which is remembered; what a page does by itself is no use.
        """
        now_us = self.clock()
        found = self.gate.read(
            lambda connection: signing_in.session(connection, secret, now_us, idle_seconds * _SECOND_US)
        )
        if found is not None and is_used and not found.is_fresh:
            self._note(signing_in.stamp(found.id, now_us))
        return found

    def in_force(self, actor: Actor) -> tuple[OpenSession, ...]:
        """Read the sessions in force that the actor may end: their own, and of whom they administer."""
        now_us = self.clock()
        return self.gate.read(lambda connection: signing_out.listing(connection, actor.id, now_us))

    def end(self, session: str, actor: Actor) -> None:
        """End a session of the actor's, by its id; one that is over stays so."""
        call = made(self.clock(), actor)
        self.gate.write(lambda connection: signing_out.ending(connection, session, call))

    def end_all(self, principal: str, actor: Actor) -> int:
        """End every session of somebody, and the links that could begin another; gives how many sessions there were.

        Raises:
            NotFoundError: there is none that the actor may end.

        """
        call = made(self.clock(), actor)
        return self.gate.write(lambda connection: signing_out.ending_all(connection, principal, call))

    def _door(self, prefix: str, seconds: int) -> Door:
        now_us = self.clock()
        return Door(new_secret(prefix), now_us, now_us + seconds * _SECOND_US)

    def _sweep(self) -> None:
        now_us = self.clock()
        for statement in signing_in.SWEEPS:
            self._note((statement, {"now": now_us}))

    def _note(self, statement: Statement) -> None:
        """Write what is volatile: no event says it, so it does not go through the gate."""
        with connected(self.gate.engine) as connection, transaction(connection, writes=True):
            execute(connection, *statement)

    def _write(self, actor: Actor, prepare: Callable[[Connection], Writing[Answer] | Answer]) -> Answer:
        with denials.recorded(self.gate, actor, self.clock):
            return self.gate.write(prepare)
