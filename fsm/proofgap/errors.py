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


class FencedError(RefusedError):
    """A worker's fencing token is not that of the run's claim, or the claim was lost: its tool must stop at once."""

    def __init__(self, event: str, status: str, because: str) -> None:
        """Name what the worker wanted to write, the status of the run, and why it may not any more."""
        super().__init__("run", event, status, (), guard="fencing_token", because=because)
        self.remedy = "Stop the tool, and write nothing more for this run."
        self.args = (f'cannot "{event}" a {status} run: {because}. {self.remedy}',)


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

    def __init__(self, kind: str, subject: str, *, done: str = "") -> None:
        """Name the kind of record and the id that was asked for; ``done`` is what became of one that they can view."""
        self.kind, self.subject = kind, subject
        if kind == "environment":
            self.remedy = "An admin declares one: proofgap init --environment NAME."
        why = f"it was {done} already." if done else f"it does not exist, or you cannot view it. {self.remedy}"
        super().__init__(f"no {kind} {subject!r} to show: {why}")


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


class ProofError(ProofgapError):
    """A proof does not prove what it is said to prove. Whatever it came with is not to be trusted."""

    remedy = "Do not trust what it came with. Get the checkpoint and the proof from the log again, and report the log."

    def __init__(self, claim: str, problem: str) -> None:
        """Name what was to be proven, and what is wrong with the proof."""
        self.claim, self.problem = claim, problem
        super().__init__(f"not proven: {claim}: {problem}. {self.remedy}")


class MalformedError(ProofgapError):
    """A signed document, a key or a policy does not have the form that its specification asks for."""

    remedy = "Get it again from where it came from, byte for byte."

    def __init__(self, document: str, problem: str) -> None:
        """Name the kind of document, and what is wrong with this one."""
        self.document, self.problem = document, problem
        super().__init__(f"this is no {document}: {problem}. {self.remedy}")


class SignatureError(ProofgapError):
    """A key that is known did not make the signature that bears its name: the document or the signature was changed."""

    remedy = "Do not trust it. Get it again from where it came from, and report it."

    def __init__(self, document: str, key: str) -> None:
        """Name the kind of document, and the key whose signature is wrong."""
        self.document, self.key = document, key
        super().__init__(f"the signature of {key} does not belong to this {document}. {self.remedy}")


class UnknownKeyError(ProofgapError):
    """A document bears no signature of a key that is known: whether it is genuine cannot be told."""

    remedy = "Hand in the key of whoever signed it, from a source that you trust."

    def __init__(self, document: str, wanted: Iterable[str], found: Iterable[str]) -> None:
        """Name the kind of document, the keys that would do, and those that signed."""
        self.document, self.wanted, self.found = document, tuple(wanted), tuple(found)
        signed, known = ", ".join(self.found) or "nobody", ", ".join(self.wanted) or "none"
        super().__init__(f"this {document} cannot be verified: signed by {signed}, known are {known}. {self.remedy}")


class QuorumError(ProofgapError):
    """Too few witnesses of a policy cosigned a checkpoint, or the policy asks for more than there can ever be."""

    remedy = "Get a checkpoint with more cosignatures, or a policy whose quorum can be met."

    def __init__(self, quorum: str, problem: str) -> None:
        """Name the quorum, or the group, and what it lacks."""
        self.quorum, self.problem = quorum, problem
        super().__init__(f"quorum {quorum}: {problem}. {self.remedy}")
