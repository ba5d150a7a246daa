"""Everything that can go wrong, by whose mistake it is; each error carries fields and says the remedy.

Owns the exceptions. Refuses to know how they are shown and which exit code or HTTP status they become.
"""

from __future__ import annotations

from collections.abc import Iterable


class ProofgapError(Exception):
    """Base of all errors of proofgap. ``remedy`` says what to do about it."""

    remedy = "Read the message; nothing was changed."


class BadInputError(ProofgapError):
    """A value that was handed in is not acceptable. Nothing was stored."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        """Name the field, what is wrong with its value, and what to hand in instead."""
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(f"{field}: {problem}. {remedy}" if field else f"{problem}. {remedy}")


class RefusedError(ProofgapError):
    """A transition was refused. Nothing was changed; the attempt itself is recorded."""

    def __init__(
        self,
        machine: str,
        event: str,
        status: str,
        allowed: Iterable[str],
        *,
        guard: str | None = None,
        because: str = "",
    ) -> None:
        """Name the machine, the event, the status it met, what is allowed now, and the guard that said no."""
        self.machine, self.event, self.status = machine, event, status
        self.allowed, self.guard, self.because = tuple(allowed), guard, because
        nothing = "nothing else" if guard is not None else f"nothing; {status} is final"
        now = ", ".join(self.allowed) or nothing
        self.remedy = f"Allowed now: {now}."
        super().__init__(f'cannot "{event}" a {status} {machine}{because and ": " + because}. {self.remedy}')


class NotAllowedError(RefusedError):
    """The machine has no such move from this status."""


class GuardRefusedError(RefusedError):
    """The machine has the move, but one of its guards said no."""


class StaleError(ProofgapError):
    """Somebody else changed the record first, or the expected version is not the current one."""

    remedy = "Read the record again and decide anew."

    def __init__(self, subject: str, expected: int | None, actual: int | None) -> None:
        """Name the record, the version that was expected, and the one that is there (``None``: not known)."""
        self.subject, self.expected, self.actual = subject, expected, actual
        versions = f"expected version {expected}, found {actual}" if expected is not None else "it changed meanwhile"
        super().__init__(f"{subject}: {versions}. {self.remedy}")


class NotFoundError(ProofgapError):
    """There is no such record, or it is not visible to whoever asks; the two read the same on purpose."""

    remedy = "Check the id, and who you are signed in as."

    def __init__(self, kind: str, subject: str) -> None:
        """Name the kind of record and the id that was asked for."""
        self.kind, self.subject = kind, subject
        super().__init__(f"no {kind} {subject!r} to show: it does not exist, or you cannot view it. {self.remedy}")


class ForbiddenError(ProofgapError):
    """The principal can see the record but may not do this. The attempt is recorded."""

    def __init__(
        self,
        principal: str,
        action: str,
        needed: Iterable[str],
        *,
        subject: tuple[str, str] = ("", ""),
        place: tuple[str | None, str | None, str | None] = (None, None, None),
    ) -> None:
        """Name who wanted to do what to which kind of subject and where (workspace, environment, run), and the roles that may."""
        self.principal, self.action, self.needed = principal, action, tuple(needed)
        self.kind, self.subject = subject
        self.workspace, self.environment, self.run = place
        self.remedy = f"Ask an admin of the workspace for one of the roles {', '.join(self.needed)}."
        super().__init__(f"{principal} may not {action}. {self.remedy}")


class KeyReusedError(ProofgapError):
    """An idempotency key came back with another request than the first time."""

    remedy = "Use a new key for a new request."

    def __init__(self, key: str) -> None:
        """Name the key."""
        self.key = key
        super().__init__(f"idempotency key {key!r} was used for another request. {self.remedy}")
