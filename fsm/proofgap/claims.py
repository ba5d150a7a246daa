"""The closed set of things that may be said of a restore, and the few that may never be said.

Owns the words of every claim. Refuses to know when a claim holds (`decision`). A forbidden claim cannot be
built: it is no member of `Claim`, and `Claims` takes members only. This is the one place in the product where
the forbidden words are written.

Source: restore result state contract, "Allowed proof claims" of each state.
"""

from __future__ import annotations

from enum import StrEnum

from proofgap.facts import Struct

FORBIDDEN_CLAIMS = ("Recovery verified", "Healthy", "Compliant", "Customer-safe")
"""Never said, in any state, in any place a person or a program can read, except in a list that says so."""


class Claim(StrEnum):
    """What may be said, word for word."""

    PREVIEW_EVIDENCE_EXISTS = "Preview evidence exists"
    EXECUTION_IN_PROGRESS = "Execution in progress"
    EXECUTION_PROOF_AVAILABLE = "Execution proof available"
    EVIDENCE_SNAPSHOT_AVAILABLE = "Evidence snapshot available"
    FOLLOW_UP_REQUIRED = "Follow-up required"
    SKIPPED_ITEMS_EXIST = "Skipped items exist"
    EXECUTION_FAILED = "Execution failed"


class Claims(Struct):
    """What may be said in one decision, and what may not.

    Raises ``ValueError`` for anything that is no `Claim`, and for a shortened list of forbidden claims.
    """

    allowed: tuple[Claim, ...]
    forbidden: tuple[str, ...] = FORBIDDEN_CLAIMS

    def __post_init__(self) -> None:
        """Refuse words that are no claims: the closed set is checked at run time too."""
        for claim in self.allowed:
            Claim(claim)
        if self.forbidden != FORBIDDEN_CLAIMS:
            msg = "the list of forbidden claims cannot be changed"
            raise ValueError(msg)
