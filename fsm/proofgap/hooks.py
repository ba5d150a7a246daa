"""What entering a status does: project evidence and proof facts into the operator's decision.

Owns the projection for the record (everything in scope counts as authorised) and the projection for a person.
Refuses to know machines and storage: the lifecycle calls these hooks, the ledger writes what they return.
"""

from __future__ import annotations

from enum import StrEnum

from proofgap.audit import digest
from proofgap.decision import Decision, decide, everyone
from proofgap.facts import Facts, Struct, Viewer
from proofgap.records import RunRecord


class Trigger(StrEnum):
    """Why a decision was projected."""

    HOOK = "hook"  # a status was entered: for the record
    SHOW = "show"  # one run was shown to somebody
    LIST = "list"  # a row of a list was shown to somebody
    IMPORT = "import"  # a record of another system was taken in


class Projection(Struct):
    """One projection: who it is for, why, the facts that went in with their digest, and what came out."""

    viewer: Viewer
    trigger: Trigger
    facts: Facts
    facts_digest: str
    decision: Decision


class ProjectForRecord:
    """The hook of every status: project for the record."""

    def __init__(self, trigger: Trigger = Trigger.HOOK) -> None:
        """Say why the projections are made."""
        self._trigger = trigger

    def entered(self, record: RunRecord) -> Projection:
        """Project with everything in scope authorised."""
        facts = record.facts()
        return project(facts, everyone(facts), self._trigger)


def project(facts: Facts, viewer: Viewer, trigger: Trigger) -> Projection:
    """Project facts for one viewer; the digest is the SHA-256 of the facts' canonical bytes, in hex."""
    return Projection(
        viewer=viewer, trigger=trigger, facts=facts, facts_digest=digest(facts), decision=decide(facts, viewer)
    )
